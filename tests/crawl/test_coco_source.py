"""COCO's annotation files: boxes, crowds, captions, and what is wrong with them."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from crawl.shards import Shards
from store.errors import ConfigError, DataError
from store.shards import read_metadata
from tests.crawl.bench import COCO, SHARED, classes, contents, needs_shared, picture, plan, run, stage

INSTANCES: dict[str, Any] = {
    "images": [
        {
            "id": 30,
            "file_name": "c.jpg",
            "width": 40,
            "height": 36,
            "license": 4,
            "coco_url": "http://x/c.jpg",
        },
        {"id": 7, "file_name": "a.jpg", "width": 40, "height": 36},
        {"id": 12, "file_name": "gone.jpg", "width": 40, "height": 36},
        {"id": 9, "file_name": "b.jpg", "width": 40, "height": 36},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 44, "name": "hot dog"}],
    "licenses": [{"id": 4, "name": "Attribution"}],
    "annotations": [
        {"id": 3, "image_id": 7, "category_id": 44, "bbox": [1.5, 2, 10.21, 11], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [30, 30, 30, 30], "iscrowd": 0},
        {"id": 4, "image_id": 7, "category_id": 1, "bbox": [0, 0, 40, 36], "iscrowd": 1},
        {"id": 5, "image_id": 7, "category_id": 1, "bbox": [5, 5, 0, 8], "iscrowd": 0},
        {"id": 6, "image_id": 30, "category_id": 1, "bbox": [-1, 0, 5, 5]},
    ],
}
CAPTIONS: dict[str, Any] = {
    "images": [*INSTANCES["images"], {"id": 50, "file_name": "d.jpg"}],
    "annotations": [
        {"id": 91, "image_id": 7, "caption": "Second."},
        {"id": 90, "image_id": 7, "caption": "First."},
        {"id": 92, "image_id": 50, "caption": "Alone."},
    ],
}


def coco(folder: Path, instances: Any = None, captions: Any = None, **params: Any) -> Shards:
    """The stage over annotation files written for the occasion."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate("abcd"):
        (folder / f"{name}.jpg").write_bytes(picture(shade=number))
    block = {"source": COCO, "images": folder, "split": "train", **params}
    for name, data in (("instances", instances), ("captions", captions)):
        if data is not None:
            block[name] = folder / f"{name}.json"
            block[name].write_text(json.dumps(data), "utf-8")
    return stage(block, samples_per_shard=2)


def samples(folder: Path) -> dict[str, Any]:
    return {s.id: s for path in sorted(folder.glob("*.parquet")) for s in read_metadata(path)}


def test_boxes_become_objects_within_the_image(tmp_path: Path) -> None:
    stats, failures = run(coco(tmp_path, INSTANCES), tmp_path / "out")
    assert classes(failures) == {"coco/12": "missing"}
    found = samples(tmp_path / "out")
    assert list(found) == ["7", "9", "30"]
    assert found["7"].truth == {
        "objects": [
            {"box": [30.0, 30.0, 40.0, 36.0], "name": "person", "attributes": []},
            {"box": [1.5, 2.0, 11.71, 13.0], "name": "hot dog", "attributes": []},
        ],
        "relations": [],
        "crowds": [{"box": [0.0, 0.0, 40.0, 36.0], "name": "person"}],
        "boxes_without_area": 1,
    }
    assert found["9"].truth == {"objects": [], "relations": []}
    assert found["30"].truth["objects"][0]["box"] == [0.0, 0.0, 4.0, 5.0]
    assert (found["30"].url, found["30"].licence, found["30"].split) == (
        "http://x/c.jpg",
        "Attribution",
        "train",
    )
    assert found["30"].source_ids == {"coco": "30", "file_name": "c.jpg"}
    assert (stats.totals["objects"], stats.totals["crowds"]) == (3, 1)


def test_captions_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    run(coco(tmp_path, INSTANCES, CAPTIONS), tmp_path / "out")
    found = samples(tmp_path / "out")
    assert [(c.id, c.text) for c in found["7"].captions] == [
        ("coco/7#en0", "First."),
        ("coco/7#en1", "Second."),
    ]
    assert found["9"].captions == ()
    assert [c.text for c in found["50"].captions] == ["Alone."]  # an image that only the captions list
    assert found["50"].truth == {}


def test_captions_alone_will_do(tmp_path: Path) -> None:
    run(coco(tmp_path, None, CAPTIONS, name="cap", lang="de"), tmp_path / "out")
    assert samples(tmp_path / "out")["50"].captions[0].id == "cap/50#de0"


def test_the_order_in_the_file_changes_nothing(tmp_path: Path) -> None:
    turned = {**INSTANCES, **{k: INSTANCES[k][::-1] for k in ("images", "annotations", "categories")}}
    for name, data in (("one", INSTANCES), ("two", turned)):
        made = coco(tmp_path / name, data)
        run(made, tmp_path / name / "out")
    assert contents(tmp_path / "one/out") == contents(tmp_path / "two/out")
    assert plan(coco(tmp_path / "one", INSTANCES)) == plan(coco(tmp_path / "two", turned))


def test_a_changed_box_or_photo_reaches_its_own_shard_alone(tmp_path: Path) -> None:
    before = plan(coco(tmp_path, INSTANCES))
    changed = copy.deepcopy(INSTANCES)
    changed["annotations"][4]["bbox"] = [0, 0, 6, 6]
    assert [a == b for a, b in zip(before, plan(coco(tmp_path, changed)), strict=True)] == [True, False]
    made = coco(tmp_path, INSTANCES)
    (tmp_path / "b.jpg").write_bytes(picture(shade=9))
    assert [a == b for a, b in zip(before, plan(made), strict=True)] == [False, True]


def test_an_official_zip_is_read_in_place(tmp_path: Path) -> None:
    made = coco(tmp_path, INSTANCES)
    run(made, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "train2017.zip", "w") as archive:
        for name in "abc":
            archive.write(tmp_path / f"{name}.jpg", f"train2017/{name}.jpg")
    block = {**made.params.dataset, "images": tmp_path / "train2017.zip"}
    run(stage(block, samples_per_shard=2), tmp_path / "zipped")
    tars = [
        {k: v for k, v in contents(tmp_path / o).items() if k.endswith(".tar")} for o in ("out", "zipped")
    ]
    assert tars[0] == tars[1]


def test_a_damaged_member_of_a_zip_fails_its_row(tmp_path: Path) -> None:
    made = coco(tmp_path, INSTANCES)
    path = tmp_path / "train2017.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in "abc":
            archive.write(tmp_path / f"{name}.jpg", f"{name}.jpg")
        at = archive.getinfo("b.jpg").header_offset + 100
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    made = stage({**made.params.dataset, "images": path})
    _, failures = run(made, tmp_path / "out")
    assert classes(failures) == {"coco/9": "unreadable", "coco/12": "missing"}


def test_an_image_listed_twice_is_a_duplicate(tmp_path: Path) -> None:
    twice = {**INSTANCES, "images": [*INSTANCES["images"], {"id": 9, "file_name": "d.jpg"}]}
    stats, failures = run(coco(tmp_path, twice), tmp_path / "out")
    assert (stats.n_in, stats.n_ok) == (5, 3)
    assert classes(failures) == {"coco/9": "duplicate", "coco/12": "missing"}


def _with(name: str, field: str, value: Any = None) -> dict[str, Any]:
    """`INSTANCES` with one field changed, or left out."""
    data = copy.deepcopy(INSTANCES)
    data[name][0] = {k: v for k, v in {**data[name][0], field: value}.items() if v is not None}
    return data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "no `images` and `annotations`"),
        ({"images": []}, "no `images` and `annotations`"),
        ({**INSTANCES, "images": [], "annotations": []}, "lists no images"),
        (_with("images", "file_name"), "an entry of `images` lacks file_name"),
        (_with("annotations", "bbox"), "an entry of `annotations` lacks bbox"),
        (_with("categories", "name"), "an entry of `categories` lacks name"),
        (_with("images", "id", "abc"), "an entry of `images` lacks id"),
        (_with("annotations", "bbox", [1, 2, 3]), "lacks four numbers in bbox"),
        (_with("annotations", "bbox", [1, 2, 3, float("nan")]), "lacks four numbers in bbox"),
        ({**INSTANCES, "annotations": {}}, "`annotations` is no list of objects"),
        ({**INSTANCES, "images": ["a.jpg"]}, "`images` is no list of objects"),
        ({**INSTANCES, "images": INSTANCES["images"][:1]}, "annotation 2 names an image or category"),
        ({**INSTANCES, "categories": INSTANCES["categories"][:1]}, "annotation 3 names an image or category"),
    ],
)
def test_annotations_that_make_no_sense_are_a_clear_error(tmp_path: Path, data: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        plan(coco(tmp_path, data))


def test_files_that_are_not_there_or_cut_off(tmp_path: Path) -> None:
    made = coco(tmp_path, INSTANCES)
    (tmp_path / "instances.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"instances.json is not JSON"):
        plan(stage(made.params.dataset))
    (tmp_path / "instances.json").unlink()
    with pytest.raises(ConfigError, match="No such file"):
        plan(stage(made.params.dataset))
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4")
    with pytest.raises(ConfigError, match="is not a zip"):
        run(coco(tmp_path, INSTANCES, images=tmp_path / "cut.zip"), tmp_path / "out")


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"images": "a"}, "give `instances`, `captions` or both"),
        ({"instances": "a"}, "source crawl.sources.coco:Coco: give `images`"),
        ({"images": "a", "instance": "b"}, "unknown key 'instance'"),
    ],
)
def test_a_misspelled_block_is_one_clear_line(block: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        stage({"source": COCO, **block})


@needs_shared
@pytest.mark.parametrize(
    ("split", "images", "objects", "crowds", "captions"),
    [("train", 80, 731, 8, 400), ("val", 79, 619, 5, 395)],
)
def test_coco_mini_as_it_lies_there(
    tmp_path: Path, split: str, images: int, objects: int, crowds: int, captions: int
) -> None:
    root = SHARED / "coco_mini"
    if not root.is_dir():
        pytest.skip("no coco_mini")
    block: dict[str, Any] = {"source": COCO, "images": root / f"{split}2017", "split": split}
    for name in ("instances", "captions"):
        block[name] = root / f"annotations/{name}_{split}2017.json"
    stats, failures = run(stage(block), tmp_path)
    assert (stats.n_in, stats.n_ok, failures) == (images, images, [])
    assert (stats.totals["objects"], stats.totals["crowds"]) == (objects, crowds)
    assert stats.totals["captions_en"] == captions
    listed = {str(i["id"]): i for i in json.loads(block["instances"].read_bytes())["images"]}
    for name, sample in samples(tmp_path).items():
        assert (sample.width, sample.height) == (listed[name]["width"], listed[name]["height"])
        for item in sample.truth["objects"]:
            x1, y1, x2, y2 = item["box"]
            assert 0 <= x1 < x2 <= sample.width
            assert 0 <= y1 < y2 <= sample.height
