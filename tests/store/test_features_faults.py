"""What a kill, a full disk and damage do to a store: nothing is lost, and each is an error with a name."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from store import faults
from store.atomic import is_temporary
from store.errors import CorruptError, UserError
from store.features import StoreWriter, footer, open_store
from tests.store.samples import assert_same_regions, regions

ENDINGS = [".lmdb", ".h5"]


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_and_die(path: Path, moment: str) -> None:
    if moment == "table":  # the format's own part is whole, what we read it by is not there yet
        footer.canonical_json = die  # type: ignore[assignment]
    elif moment != "records":
        faults.arm(moment)
    with StoreWriter(path, {}, dim=16) as store:
        for i in range(20):
            store.write(f"s/{i}", regions(i))
            if moment == "records" and i == 10:
                die()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("moment", ["records", "table", "shard.write.before", "shard.write.after"])
def test_kill(moment: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    for _ in range(2):  # again over what the first one has left
        child = os.fork()
        if child == 0:
            write_and_die(path, moment)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert all(is_temporary(left) for left in tmp_path.iterdir())
        with pytest.raises(CorruptError, match=f"a{ending} is missing"):
            open_store(path)
    with StoreWriter(path, {}, dim=16) as store:
        store.write("s/0", regions(0))
    assert_same_regions(open_store(path)["s/0"], regions(0))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_record_that_found_no_space_is_not_there(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{ending}"
    with StoreWriter(path, {}, dim=16) as store:
        store.write("s/0", regions(0))
        spill = store._spill

        class Full:
            def tell(self) -> int:
                return spill.tell()

            def write(self, _: bytes) -> int:
                raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(store, "_spill", Full())
        with pytest.raises(UserError, match="no space left"):
            store.write("s/1", regions(1))
        monkeypatch.setattr(store, "_spill", spill)
        store.write("s/1", regions(1))
    assert_same_regions(open_store(path)["s/1"], regions(1))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("what", ["Input/output error", "the file ends at byte"])
def test_a_record_that_the_disk_cannot_read(
    what: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StoreWriter(tmp_path / f"a{ending}", {}, dim=16) as writer:
        writer.write("s/0", regions(0))
    store = open_store(tmp_path / f"a{ending}")

    def broken(*_: object) -> int:
        if what == "Input/output error":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return 3

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(CorruptError, match=rf"a{ending}: 's/0' cannot be read: .*{what}"):
        store["s/0"]
