"""What is wrong with a file is a failed row with class and line, or one clear error; nothing is lost silently."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extract.exporting import export_store
from store.errors import DataError
from store.features import open_store
from tests.extract import import_toys as make

NAN = np.full((1, 8), np.nan, np.float32)
Cells = list[str]


def set_cell(i: int, text: str) -> Callable[[Cells], Cells]:
    return lambda cells: [*cells[:i], text, *cells[i:][1:]]


def cut_last(cells: Cells) -> Cells:
    """Half of the features, at a place where base64 may end: only the length tells."""
    return [*cells[:-1], cells[-1][: len(cells[-1]) // 8 * 4]]


BUTD: dict[str, tuple[Callable[[Cells], Cells], str, str]] = {
    "a column less": (lambda cells: cells[:-1], "bad_entry", "9 columns"),
    "an empty line": (lambda _: [""], "bad_entry", "1 columns"),
    "no number": (set_cell(1, "tall"), "bad_entry", "img_h is 'tall'"),
    "no boxes": (set_cell(7, "0"), "no_regions", "num_boxes is 0"),
    "a negative count": (set_cell(7, "-3"), "bad_entry", "num_boxes is -3"),
    "another count": (set_cell(7, "7"), "wrong_length", "objects_id"),
    "cut base64": (lambda cells: [*cells[:-1], cells[-1][:-5]], "bad_base64", "features"),
    "no base64": (set_cell(8, "????"), "bad_base64", "boxes"),
    "cut features": (cut_last, "wrong_length", "features"),
    "NaN": (
        lambda cells: set_cell(9, make.b64(np.repeat(NAN, int(cells[7]), 0)))(cells),
        "not_finite",
        "region 0",
    ),
    "a box outside": (set_cell(1, "3"), "bad_boxes", "in an image of"),
    "a wild class": (set_cell(3, make.b64(np.full(2, 1 << 40))), "bad_entry", "the class of region 0"),
}


def damage(path: Path, row: int, change: Callable[[Cells], Cells]) -> None:
    lines = path.read_bytes().decode().split("\r\n")
    lines[row] = "\t".join(change(lines[row].split("\t")))
    path.write_bytes("\r\n".join(lines).encode())


@pytest.mark.parametrize("fault", BUTD)
def test_a_damaged_line(tmp_path: Path, fault: str) -> None:
    images = make.toys(4)
    path = make.butd_ten(tmp_path / "a.tsv", images)
    change, failure, detail = BUTD[fault]
    damage(path, 1, change)
    artifact = make.imported(tmp_path / "work", path)
    ((key, found, said),) = make.failures(artifact)
    assert found == failure
    assert said.startswith("line 2: ")
    assert detail in said
    assert key.startswith(f"images/{images[1].id}" if fault != "an empty line" else "no id (line 2)")
    assert len(open_store(artifact.path)) == 3


def test_a_dimension_that_divides_is_still_another(tmp_path: Path) -> None:
    """The first entry says what the dimension is; twice as many numbers would pass for regions of 16."""
    images = [*make.toys(2), make.toy("wide", 9, dim=16)]
    artifact = make.imported(tmp_path / "work", make.butd_ten(tmp_path / "a.tsv", images))
    assert make.failures(artifact)[0][:2] == ("images/wide", "wrong_length")


def test_a_key_twice(tmp_path: Path) -> None:
    images = make.toys(3)
    path = make.butd_six(tmp_path / "a.tsv", [*images, images[0]])
    artifact = make.imported(tmp_path / "work", path)
    assert make.failures(artifact) == [
        (f"images/{images[0].id}", "duplicate", "line 4: line 1 has this image too")
    ]
    made = make.run_import(tmp_path / "other", path, images_per_shard=1)
    assert made.artifact is None
    assert f"'images/{images[0].id}'" in made.failures[0].what


def test_what_float16_cannot_hold_fails_and_float32_takes(tmp_path: Path) -> None:
    images = make.toys(3)
    images[1].features[0, 0] = 70_000
    path = make.butd_six(tmp_path / "a.tsv", images)
    artifact = make.imported(tmp_path / "half", path)
    assert [row[:2] for row in make.failures(artifact)] == [(f"images/{images[1].id}", "unstorable")]
    assert len(open_store(make.imported(tmp_path / "full", path, precision="float32").path)) == 3


OSCAR = {
    "columns": (lambda text: text.replace("\t", " "), "bad_entry"),
    "geometry": (lambda text: text, "bad_boxes"),
    "json": (lambda text: text[:-9], "bad_json"),
    "count": (lambda text: text.replace('"num_boxes": 2', '"num_boxes": 3'), "wrong_length"),
}


@pytest.mark.parametrize("fault", OSCAR)
def test_a_damaged_line_of_oscars(tmp_path: Path, fault: str) -> None:
    images = make.toys(3)
    path = make.oscar(tmp_path / "a.tsv", images, "captioning")
    path.with_suffix(".lineidx").unlink()
    lines = path.read_text().splitlines()
    change, failure = OSCAR[fault]
    lines[1] = change(lines[1])
    if fault == "geometry":  # boxes in pixels instead of fractions
        rows = np.concatenate([images[1].features, np.repeat(images[1].boxes, 2, axis=1)[:, :6]], axis=1)
        lines[1] = f"{images[1].id}\t{json.dumps({'num_boxes': 2, 'features': make.b64(rows)})}"
    path.write_text("\n".join(lines) + "\n")
    artifact = make.imported(tmp_path / "work", path)
    ((_, found, said),) = make.failures(artifact)
    assert (found, said[:8]) == (failure, "line 2: ")


def test_no_size_no_boxes(tmp_path: Path) -> None:
    path = make.oscar(tmp_path / "a.tsv", make.toys(3))
    (tmp_path / "a.hw.tsv").unlink()
    made = make.run_import(tmp_path / "work", path)
    assert "no regions at all" in made.failures[0].what
    assert made.failures[0].hint == "what failed: no_size 3"
    (tmp_path / "a.label.tsv").unlink()  # which might have said them
    made = make.run_import(tmp_path / "work", path)
    assert "nothing says the images' sizes" in made.failures[0].what


@pytest.mark.parametrize(
    ("table", "change", "failure"),
    [
        ("hw", lambda text: "", "no_hw"),
        ("hw", lambda text: text.replace("height", "tall"), "bad_hw"),
        ("label", lambda text: "", "no_labels"),
        ("label", lambda text: text[:-4], "bad_labels"),
        ("label", lambda text: text.replace('"class": "', '"class": "no '), "bad_labels"),
        (
            "label",
            lambda text: text.replace("[{", '[{"class": "dog", "rect": [0, 0, 1, 1]}, {'),
            "bad_labels",
        ),
        ("label", lambda text: text.replace('"rect": [', '"rect": [9'), "bad_labels"),
    ],
)
def test_tables_beside_that_do_not_fit(
    tmp_path: Path, table: str, change: Callable[[str], str], failure: str
) -> None:
    images = make.toys(3)
    path = make.oscar(tmp_path / "a.tsv", images)
    side = tmp_path / f"a.{table}.tsv"
    lines = side.read_text().splitlines()
    lines[1] = change(lines[1])
    side.write_text("\n".join(line for line in lines if line) + "\n")
    artifact = make.imported(tmp_path / "work", path)
    assert [row[:2] for row in make.failures(artifact)] == [(f"images/{images[1].id}", failure)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda lines: [*lines[:2], str(int(lines[2]) + 1), *lines[3:]], "line 3 is at byte"),
        (lambda lines: lines[:-1], "the index ends before it"),
        (lambda lines: [], "the index ends before it"),
        (lambda lines: [*lines, "99999999"], "a line at byte 99999999"),
        (lambda lines: ["5", *lines[1:]], "do not ascend from 0"),
        (lambda lines: ["many"], "is no line index"),
    ],
)
@pytest.mark.parametrize("images_per_shard", [1, 100])
def test_a_line_index_that_does_not_fit(
    tmp_path: Path, change: Callable[[list[str]], list[str]], what: str, images_per_shard: int
) -> None:
    path = make.oscar(tmp_path / "a.tsv", make.toys(4))
    index = path.with_suffix(".lineidx")
    index.write_text("\n".join(change(index.read_text().split())) + "\n")
    made = make.run_import(tmp_path / "work", path, images_per_shard=images_per_shard)
    assert made.artifact is None
    assert any(what in failure.what for failure in made.failures)
    assert "--no-lineidx" in made.failures[0].hint
    again = make.imported(tmp_path / "work", path, images_per_shard=images_per_shard, lineidx=False)
    assert len(open_store(again.path)) == 4


def test_the_index_of_a_writer_that_counts_characters(tmp_path: Path) -> None:
    """Oscar's own index is wrong after the first letter beyond ASCII; that is said, not used."""
    path = make.oscar(tmp_path / "a.tsv", [make.toy("straße", 1), make.toy("café", 2), make.toy("b", 3)])
    counted = np.cumsum([0, *map(len, path.read_text("utf-8").splitlines(keepends=True))])[:-1]
    path.with_suffix(".lineidx").write_text("".join(f"{offset}\n" for offset in counted.tolist()))
    made = make.run_import(tmp_path / "work", path)
    assert "line 2 is at byte" in made.failures[0].what


def test_damaged_files(tmp_path: Path) -> None:
    images = make.toys(5)
    folder = make.vlbert(tmp_path / "json", images)
    files = sorted(folder.iterdir())
    files[1].write_bytes(files[1].read_bytes()[:-30])
    files[2].write_text("[]")
    row = make.vlbert_row(images[3])
    files[3].write_text(json.dumps({**row, "boxes": row["features"]}))
    found = make.failures(make.imported(tmp_path / "a", folder))
    assert [(row[1], row[2].split(":")[0]) for row in found] == [
        ("bad_json", files[1].name),
        ("bad_json", files[2].name),
        ("wrong_length", files[3].name),
    ]
    folder = make.npz(tmp_path / "npz", images)
    files = sorted(folder.iterdir())
    files[1].write_bytes(files[1].read_bytes()[:-30])
    np.savez(files[2], x=images[2].features, bbox=images[2].boxes[:1], image_h=9, image_w=9)
    np.savez(files[3], x=np.asarray({"a": 1}, object), bbox=images[3].boxes)
    found = make.failures(make.imported(tmp_path / "b", folder))
    assert [row[1] for row in found] == ["unreadable", "wrong_length", "unreadable"]


def test_a_cut_zip(tmp_path: Path) -> None:
    path = make.vlbert(tmp_path / "a.zip", make.toys(3))
    path.write_bytes(path.read_bytes()[:-40])
    made = make.run_import(tmp_path / "work", path)
    assert "no whole zip" in made.failures[0].what


def test_tables_of_another_format_are_refused(tmp_path: Path) -> None:
    path = make.butd_six(tmp_path / "a.tsv", make.toys(2))
    made = make.run_import(tmp_path / "work", path, hw=path)
    assert "tables of Oscar's" in made.failures[0].what


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 1 << 20), kind=st.sampled_from(["butd, ten columns", "oscar, columns", "vlbert, zip"])
)
def test_any_byte_changed_is_a_row_or_an_error_or_harmless(tmp_path: Path, seed: int, kind: str) -> None:
    """Every line is accounted for, and what is stored came from an undamaged line or can be read."""
    from extract.formats.base import Beside
    from extract.formats.find import cut_source, find_source, open_reader
    from store.atomic import sha256_file

    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    path = make.WRITERS[kind](folder, make.toys(4))
    path.with_suffix(".lineidx").unlink(missing_ok=True)
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] = int(rng.integers(256))
    path.write_bytes(data)
    try:
        source = find_source(path)
        reader = open_reader(source, Beside(hw=source.hw, labels=source.labels, classes=make.CLASSES))
        reader.facts()
        entries = [e for part in cut_source(source, 2, sha256_file) for e in reader.read(part.args)]
    except DataError:
        return
    assert 3 <= len(entries) <= 5
    for entry in entries:
        assert (entry.regions is None) == (entry.error is not None)
        if entry.regions is not None:
            assert np.isfinite(entry.regions.features).all()
            assert len(entry.regions.boxes) == len(entry.regions.features)


def test_what_failed_does_not_go_out(tmp_path: Path) -> None:
    images = make.toys(4)
    path = make.butd_ten(tmp_path / "a.tsv", images)
    whole = path.read_bytes().splitlines(keepends=True)
    damage(path, 2, lambda cells: cells[:-1])
    artifact = make.imported(tmp_path / "work", path, precision="float32")
    assert export_store(artifact.path, tmp_path / "out.tsv") == 3
    assert (tmp_path / "out.tsv").read_bytes() == b"".join(whole[:2] + whole[3:])
    assert base64.b64decode(whole[0].split(b"\t")[-1]) == images[0].features.tobytes()
