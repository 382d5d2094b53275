"""One conformance suite for both formats of a feature store, for single files and for whole artifacts."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import ConfigError, CorruptError, DataError, UserError
from store.features import INDEX, FeatureStore, StoreWriter, open_store, write_index
from store.features.filesystems import file_system, refuse_network
from store.features.layout import Layout, split
from store.features.regions import from_arrays
from store.formats import check
from store.records import Regions
from tests.store.samples import assert_same_regions, regions

META = {"detector": "abc", "recipe": {"name": "demo"}, "classes": ["cube", "ball"], "attributes": ["red"]}
KEYS = [f"scenes/{i:03d}" for i in (5, 3, 11, 0, 8)] + ["scenes/žluť.a b", "s/" + "k" * 500]
ENDINGS = [".lmdb", ".h5"]

Build = Callable[..., Path]


def made(key: str, dim: int = 16, posteriors: int = 0) -> Regions:
    """Records of different size, one of them without any region."""
    return regions(len(key) + ord(key[-1]), ord(key[-1]) % 7, dim, posteriors)


def write(path: Path, keys: list[str], posteriors: int = 0, **options: Any) -> Path:
    with StoreWriter(path, META, dim=16, posteriors=posteriors, **options) as writer:
        for key in keys:
            writer.write(key, made(key, posteriors=posteriors))
    return path


@pytest.fixture(params=[(ending, folder) for ending in ENDINGS for folder in (False, True)], ids=str)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store of KEYS: one file, or an artifact of three."""
    ending, folder = request.param
    if not folder:
        return write(tmp_path / f"00000{ending}", KEYS)
    files = [write(tmp_path / f"0000{i}{ending}", keys) for i, keys in enumerate([KEYS[:4], [], KEYS[4:]])]
    assert write_index(tmp_path / INDEX, files) == len(KEYS)
    return tmp_path


def assert_whole(store: FeatureStore) -> None:
    for key in KEYS:
        assert_same_regions(store[key], made(key))


def test_records_keys_and_metadata(path: Path) -> None:
    store = open_store(path)
    assert_whole(store)
    assert len(store) == len(KEYS)
    assert sorted(store) == sorted(store.keys()) == sorted(KEYS)
    assert all(key in store for key in KEYS)
    for absent in ("scenes/004", "", "\0", "x" * 600, "\ud800"):
        assert absent not in store
        with pytest.raises(KeyError):
            store[absent]
    assert {**META, "dim": 16, "posteriors": 0}.items() <= store.meta.items()
    assert store.meta["format"] in ("lmdb", "hdf5")


def test_read_many_keeps_the_order_asked_and_repeats(path: Path) -> None:
    keys = [KEYS[2], KEYS[0], KEYS[6], KEYS[2]]
    found = open_store(path).read_many(keys)
    assert len(found) == 4
    for key, record in zip(keys, found, strict=True):
        assert_same_regions(record, made(key))
    assert open_store(path).read_many([]) == []
    with pytest.raises(KeyError):
        open_store(path).read_many([KEYS[0], "absent"])


def test_records_outlive_the_store_and_can_be_changed(path: Path) -> None:
    store = open_store(path)
    record = store[KEYS[2]]
    del store
    record.boxes[:] = 0
    record.features[:] = 1
    assert_same_regions(open_store(path)[KEYS[2]], made(KEYS[2]))


def test_two_stores_on_one_path_and_pickling(path: Path) -> None:
    first, second = open_store(path), open_store(path)
    assert_whole(first)
    assert_whole(second)
    del first
    assert_whole(second)
    assert_whole(pickle.loads(pickle.dumps(second)))


def test_a_stream_keeps_the_order_asked_and_reads_ahead(path: Path) -> None:
    keys = [*KEYS[::-1], KEYS[0]]
    for ahead in (0, 2, 100):
        found = open_store(path).stream(iter(keys), ahead)
        for key, record in zip(keys, found, strict=True):
            assert_same_regions(record, made(key))
    with pytest.raises(KeyError, match="absent"):
        list(open_store(path).stream([KEYS[0], "absent"]))


def test_threads(path: Path) -> None:
    store = open_store(path)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert_whole(store)
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_grandchildren(path: Path) -> None:
    store = open_store(path)
    assert_whole(store)
    child = os.fork()
    if child == 0:
        assert_whole(store)
        grandchild = os.fork()
        if grandchild == 0:
            assert_whole(store)
            os._exit(0)
        os._exit(os.waitpid(grandchild, 0)[1] and 1)
    assert os.waitpid(child, 0)[1] == 0
    assert_whole(store)


@pytest.mark.parametrize("ending", ENDINGS)
def test_bytes_depend_on_content_not_on_order(ending: str, tmp_path: Path) -> None:
    one = write(tmp_path / f"a{ending}", KEYS)
    other = write(tmp_path / f"b{ending}", KEYS[::-1])
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_mode & 0o222 == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


def test_lmdb_reads_the_same_from_its_tree(tmp_path: Path) -> None:
    import lmdb

    # Three levels of pages, some values in leaves, some on pages of their own.
    keys = sorted(f"s/{i:03d}" + "k" * 400 for i in range(150))
    with StoreWriter(tmp_path / "a.lmdb", META, dim=16) as writer:
        for i, key in enumerate(keys):
            writer.write(key, regions(i, i % 50))
    store = open_store(tmp_path / "a.lmdb")
    with (
        lmdb.open(str(tmp_path / "a.lmdb"), subdir=False, readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        assert environment.stat()["depth"] == 3
        (_, about), *rows = transaction.cursor()
        layout = Layout.from_json(json.loads(about)["layout"])
        assert [key.decode() for key, _ in rows] == keys == list(store)
        for key, value in rows:
            arrays, _ = split(layout, key, np.frombuffer(value, np.uint8), tmp_path)
            assert_same_regions(store[key.decode()], from_arrays(arrays))


@pytest.mark.parametrize("ending", ENDINGS)
def test_posteriors(ending: str, tmp_path: Path) -> None:
    store = open_store(write(tmp_path / f"a{ending}", KEYS, posteriors=3))
    for key in KEYS:
        assert_same_regions(store[key], made(key, posteriors=3))
    assert store.meta["posteriors"] == 3


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_largest_posteriors_alone(ending: str, tmp_path: Path) -> None:
    """The rest reads as 0, and what is left has the sum of all."""
    store = open_store(write(tmp_path / f"a{ending}", KEYS, posteriors=9, top=3))
    assert store.meta["posteriors"] == 9
    for key in KEYS:
        whole, found = made(key, posteriors=9), store[key]
        assert_same_regions(dataclasses.replace(found, posteriors=whole.posteriors), whole)
        wide, kept = (each.posteriors.astype(np.float64) for each in (whole, found))
        largest = np.argsort(-wide, axis=1, kind="stable")[:, :3]
        scale = np.take_along_axis(kept, largest, 1) / np.take_along_axis(wide, largest, 1)
        np.testing.assert_allclose(scale, scale[:, :1].repeat(3, 1), rtol=2e-3)
        np.testing.assert_allclose(kept.sum(axis=1), wide.sum(axis=1), rtol=2e-3)
        assert ((kept > 0).sum(axis=1) == 3).all()
    all_of_them = open_store(write(tmp_path / f"b{ending}", KEYS, posteriors=3, top=3))
    assert_same_regions(all_of_them[KEYS[0]], made(KEYS[0], posteriors=3))


@pytest.mark.parametrize("ending", ENDINGS)
def test_eight_bits_stay_within_the_stated_error(ending: str, tmp_path: Path) -> None:
    store = open_store(write(tmp_path / f"a{ending}", KEYS, quantised=True))
    for key in KEYS:
        wanted, found = made(key), store[key]
        assert_same_regions(dataclasses.replace(found, features=wanted.features), wanted)
        largest = np.abs(wanted.features.astype(np.float32)).max(axis=1, initial=0, keepdims=True)
        error = np.abs(found.features.astype(np.float32) - wanted.features.astype(np.float32))
        assert (error <= largest * (1 / 254 + 1 / 2048)).all()


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_both_formats_hold_any_record(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, 9))
    classes = data.draw(st.integers(0, 3))
    sizes = data.draw(st.lists(st.integers(0, 6), max_size=5))
    records = {f"k/{i}": regions(i, n, dim, classes) for i, n in enumerate(sizes)}
    for ending in ENDINGS:
        file = tmp_path_factory.mktemp("any") / f"0{ending}"
        with StoreWriter(file, {}, dim=dim, posteriors=classes) as writer:
            for key, record in records.items():
                writer.write(key, record)
        store = open_store(file)
        assert list(store.keys()) == sorted(records)
        for key, record in records.items():
            assert_same_regions(store[key], record)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"features": np.zeros((5, 15), np.float16)}, "features"),
        ({"features": np.zeros((5, 16), np.float32)}, "float16"),
        ({"features": np.zeros((4, 16), np.float16)}, "must be"),
        ({"features": np.full((5, 16), np.inf, np.float16)}, "finite"),
        ({"features": np.full((5, 16), np.nan, np.float16)}, "finite"),
        ({"boxes": np.zeros((5, 4))}, "boxes"),
        ({"boxes": np.zeros((5, 5), np.float32)}, "boxes"),
        ({"score": np.zeros(4, np.float32)}, "must be"),
        ({"image_size": np.zeros(3, np.int32)}, "image_size"),
        ({"posteriors": np.zeros((5, 2), np.float16)}, "posteriors"),
    ],
)
def test_a_refused_record_leaves_the_store_good(
    ending: str, change: dict[str, Any], what: str, tmp_path: Path
) -> None:
    with StoreWriter(tmp_path / f"a{ending}", META, dim=16) as writer:
        writer.write("s/1", regions(1))
        with pytest.raises(DataError, match=what) as caught:
            writer.write("s/2", dataclasses.replace(regions(2), **change))
        assert "s/2" in caught.value.what
        writer.write("s/3", regions(3))
    assert list(open_store(tmp_path / f"a{ending}").keys()) == ["s/1", "s/3"]


@pytest.mark.parametrize("key", ["", "\0x", "k" * 512, "ž" * 256, "\ud800", "s/1"])
def test_refused_keys(key: str, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "a.lmdb", META, dim=16) as writer:
        writer.write("s/1", regions(1))
        with pytest.raises(DataError):
            writer.write(key, regions(2))


def test_a_record_beyond_what_a_format_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.features.writer._MAX_RECORD", 1000)
    with StoreWriter(tmp_path / "a.lmdb", META, dim=16) as writer:
        writer.write("s/1", regions(1))
        with pytest.raises(DataError, match=r"'s/2' takes [0-9,]+ bytes, of at most 1,000"):
            writer.write("s/2", regions(2, 50))
    assert list(open_store(tmp_path / "a.lmdb")) == ["s/1"]


def test_refused_ending_and_metadata(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.hdf5"):
        StoreWriter(tmp_path / "a.hdf5", {}, dim=16)
    with pytest.raises(DataError):
        StoreWriter(tmp_path / "a.h5", {"x": float("nan")}, dim=16)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_error_leaves_no_file(ending: str, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), StoreWriter(tmp_path / f"a{ending}", META, dim=16) as writer:
        writer.write("s/1", regions(1 // 0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_size_is_the_payload(ending: str, tmp_path: Path) -> None:
    records = {f"s/{i:03d}": regions(i, 36, 2048) for i in range(40)}
    with StoreWriter(tmp_path / f"a{ending}", META, dim=2048) as writer:
        for key, record in records.items():
            writer.write(key, record)
    arrays = [getattr(r, name) for r in records.values() for name in Regions.__slots__]
    payload = sum(array.nbytes for array in arrays if array is not None)
    state = (tmp_path / f"a{ending}").stat()
    assert state.st_size <= 1.025 * payload  # 1.02 from some hundred records on: LMDB has fixed pages
    assert state.st_blocks * 512 <= 1.03 * payload


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_record_is_named(ending: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"a{ending}", KEYS)
    file.chmod(0o644)
    key = KEYS[3]
    whole = bytearray(file.read_bytes())
    at = whole.index(made(key).features.tobytes())
    whole[at + 5] ^= 1
    file.write_bytes(whole)
    store = open_store(file)
    with pytest.raises(CorruptError, match="checksum") as caught:
        store[key]
    assert key in caught.value.what
    assert str(file) in caught.value.what
    assert_same_regions(store[KEYS[0]], made(KEYS[0]))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cut_is_seen_at_opening(ending: str, tmp_path: Path) -> None:
    whole = write(tmp_path / f"a{ending}", KEYS).read_bytes()
    for i, size in enumerate([*range(0, len(whole), 509), len(whole) - 1]):
        cut = tmp_path / f"cut{i}{ending}"
        cut.write_bytes(whole[:size])
        with pytest.raises(CorruptError, match=f"cut{i}"):
            open_store(cut)


@pytest.mark.parametrize("name", ["a.lmdb", "a.h5", "a.txt", "folder"])
def test_nothing_there(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorruptError, match=name):
        open_store(tmp_path / name)


@pytest.mark.parametrize("ending", ENDINGS)
def test_other_files_of_the_format(ending: str, tmp_path: Path) -> None:
    import h5py
    import lmdb

    if ending == ".lmdb":
        with (
            lmdb.open(str(tmp_path / "a.lmdb"), subdir=False, lock=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            transaction.put(b"a", b"b")
    else:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["boxes"] = np.zeros(3)
    with pytest.raises(CorruptError, match="no"):
        open_store(tmp_path / f"a{ending}")


def test_a_rebuilt_file_is_read_anew(tmp_path: Path) -> None:
    for ending in ENDINGS:
        file = write(tmp_path / f"a{ending}", KEYS[:2])
        old = open_store(file)
        file.unlink()
        write(file, KEYS[2:4])
        assert sorted(open_store(file)) == sorted(KEYS[2:4])
        assert sorted(old) == sorted(KEYS[:2])


def test_more_shards_than_open_files(tmp_path: Path) -> None:
    files = []
    for i in range(60):
        with StoreWriter(tmp_path / f"{i:05d}.lmdb", META, dim=16) as writer:
            writer.write(f"s/{i}", regions(i))
        files.append(writer.path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    # A quarter of these may be stores, each with two descriptors: as many as are left, whoever else has some.
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * used + 40, hard))
    try:
        write_index(tmp_path / INDEX, files)
        store = open_store(tmp_path)
        for i in [*range(60), *range(60)]:
            assert_same_regions(store[f"s/{i}"], regions(i))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /data rw - nfs4 server:/x rw
31 22 0:41 / /data/local\\040disk rw - xfs /dev/sdb rw
32 22 0:42 / /database rw - ext4 /dev/sdc rw
33 22 0:43 / /mnt rw - ext4 /dev/sdd rw
34 33 0:44 / /mnt rw - fuse.sshfs host: rw
"""


@pytest.mark.parametrize(
    ("path_", "kind"),
    [
        ("/", "ext4"),
        ("/data", "nfs4"),
        ("/data/a/b", "nfs4"),
        ("/data/local disk/x", "xfs"),
        ("/database/x", "ext4"),
        ("/mnt/x", "fuse.sshfs"),
    ],
)
def test_network_file_systems_are_refused(path_: str, kind: str) -> None:
    assert file_system(Path(path_), MOUNTS) == kind
    if kind in ("nfs4", "fuse.sshfs"):
        with pytest.raises(UserError, match=kind):
            refuse_network(Path(path_), MOUNTS)
    else:
        refuse_network(Path(path_), MOUNTS)


def test_network_check_can_be_overruled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.features.filesystems.file_system", lambda *_: "nfs")
    with pytest.raises(UserError, match="BABELSCENE_NETWORK_STORES=1"):
        open_store(path)
    assert_whole(open_store(path, allow_network=True))
    monkeypatch.setenv("BABELSCENE_NETWORK_STORES", "1")
    assert_whole(open_store(path))


FULL = """
import sys
from pathlib import Path
import numpy as np
from store.errors import UserError
from store.features import StoreWriter
from tests.store.samples import regions
folder = Path(sys.argv[1])
for ending in (".lmdb", ".h5"):
    for megabytes in (4, 8, 11):   # full while spilling, or while the file itself is written
        try:
            with StoreWriter(folder / f"a{ending}", {}, dim=2048) as writer:
                for i in range(megabytes * 7):
                    writer.write(f"s/{i}", regions(i, 36, 2048))
        except UserError as error:
            assert "no space" in error.what, error
        else:
            sys.exit(f"{ending} {megabytes}: no error")
        assert list(folder.iterdir()) == [], list(folder.iterdir())
print("fine")
"""


def test_full_disk(tmp_path: Path) -> None:
    script = tmp_path / "full.py"
    script.write_text(FULL)
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f'mount -t tmpfs -o size=7m tmpfs "{disk}" && exec "$0" "{script}" "{disk}"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, sys.executable],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    assert done.stdout == "fine\n", done.stderr


@pytest.fixture(scope="module", params=ENDINGS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole store, to be damaged by hand in a copy."""
    return write(tmp_path_factory.mktemp("whole") / f"whole{request.param}", KEYS)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_flips_are_seen_or_change_nothing(whole: Path, data: st.DataObject) -> None:
    flipped = bytearray(whole.read_bytes())
    at = data.draw(st.integers(0, 8 * len(flipped) - 1))
    flipped[at // 8] ^= 1 << at % 8
    damaged = whole.with_stem("damaged")
    damaged.unlink(missing_ok=True)
    damaged.write_bytes(flipped)
    try:
        check(damaged, deep=True)
        store = open_store(damaged)
    except CorruptError:
        return
    assert_whole(store)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_key_is_seen_at_opening(ending: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"a{ending}", ["s/100", "s/200"])
    bytes_ = file.read_bytes()
    at = bytes_.rindex(b"s/100s/200") + len("s/100s/20")
    file.chmod(0o644)
    file.write_bytes(bytes_[:at] + b"1" + bytes_[at + 1 :])
    with pytest.raises(CorruptError, match="checksum of its tables"):
        check(file, deep=True)
