"""What was worked out once is not worked out again, and never believed when it is damaged."""

from __future__ import annotations

from pathlib import Path

from pipeline.memory import Memory


def test_worked_out_once_for_all_processes(tmp_path: Path) -> None:
    calls: list[str] = []

    def make() -> list[str]:
        calls.append("x")
        return ["a", "b"]

    memory = Memory(tmp_path / "m")
    assert memory.recall({"of": 1}, make) == memory.recall({"of": 1}, make) == ["a", "b"]
    assert Memory(tmp_path / "m").recall({"of": 1}, make) == ["a", "b"]
    assert len(calls) == 1
    memory.recall({"of": 2}, make)
    assert len(calls) == 2


def test_damage_and_disks_that_take_nothing(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "m")
    memory.recall("of", lambda: 1)
    [file] = (tmp_path / "m").iterdir()
    whole = file.read_bytes()
    for bad in (b"", whole[:-3], whole.replace(b"1", b"7", 1)):
        file.write_bytes(bad)
        assert Memory(tmp_path / "m").recall("of", lambda: 2) == 2
    (tmp_path / "no folder").write_text("a file")
    assert Memory(tmp_path / "no folder").recall("of", lambda: 3) == 3


def test_what_nobody_asked_for_is_unused(tmp_path: Path) -> None:
    earlier = Memory(tmp_path / "m")
    earlier.recall("old", lambda: 1)
    [old] = (tmp_path / "m").iterdir()
    now = Memory(tmp_path / "m")
    now.recall("new", lambda: 1)
    assert list(now.unused()) == [old]
    assert list(Memory(tmp_path / "absent").unused()) == []
