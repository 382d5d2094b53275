"""RefCOCO in its published layout: pickled refs, COCO's instances, MAttNet's detections, and what is broken."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from crawl.plain import read_plain
from store.errors import ConfigError, DataError
from store.shards import read_metadata
from tests.crawl.bench import classes, contents, picture, plan, run, stage

REFCOCO = "crawl.sources.refcoco:RefCoco"


def ref(number: int, image: int, thing: int, *texts: str, split: str = "train") -> dict[str, Any]:
    sentences = [
        {"tokens": text.split(), "raw": text.title(), "sent_id": 10 * number + n, "sent": text}
        for n, text in enumerate(texts)
    ]
    ids = [sentence["sent_id"] for sentence in sentences]
    about = {"file_name": f"COCO_train2014_{image:012d}_{thing}.jpg", "category_id": 1, "sent_ids": ids}
    return {
        **about,
        "ref_id": number,
        "ann_id": thing,
        "image_id": image,
        "split": split,
        "sentences": sentences,
    }


def thing(number: int, image: int, box: list[float], category: int = 1, crowd: int = 0) -> dict[str, Any]:
    about = {"id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "area": 1.0}
    return {**about, "bbox": box, "segmentation": [[0.0, 0.0, 1.0, 1.0, 2.0, 0.0]]}


THINGS = [
    thing(50, 7, [0, 0, 10, 20]),
    thing(40, 7, [5, 5, 100, 10], category=2),
    thing(45, 7, [1, 1, 2, 2], crowd=1),
    thing(60, 8, [1, 2, 3, 4]),
    thing(61, 8, [1, 2, 0, 4]),
]
REFS = [
    ref(1, 7, 40, "the dog", "brown dog on the left"),
    ref(2, 7, 50, "woman"),
    ref(3, 8, 60, "man", split="testA"),
]


def files(folder: Path, refs: Any = REFS, things: Any = THINGS, protocol: int = 2) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol))
    images = [
        {"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", "width": 40, "height": 36} for n in (7, 8, 9)
    ]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]
    instances = {"images": images, "annotations": things, "categories": categories, "licenses": []}
    (folder / "instances.json").write_text(json.dumps(instances))
    block = {"source": REFCOCO, "refs": folder / "refs(unc).p", "instances": folder / "instances.json"}
    return {**block, "counts": False}


def truths(folder: Path) -> dict[str, Any]:
    return {s.key: s.truth for p in sorted(folder.glob("0????.parquet")) for s in read_metadata(p)}


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_expressions_mean_objects_of_their_image(tmp_path: Path, protocol: int) -> None:
    block = files(tmp_path / "f", protocol=protocol)
    (tmp_path / "i").mkdir()
    (tmp_path / "i/COCO_train2014_000000000007.jpg").write_bytes(picture())
    block |= {"splits": ["train"], "images": [str(tmp_path / "i")]}
    stats, failures = run(stage(block), tmp_path / "out")
    assert failures == []
    (sample,) = read_metadata(tmp_path / "out/00000.parquet")
    assert (sample.key, sample.split, sample.width) == ("refcoco/7", "train", 40)
    assert sample.truth == {
        "objects": [
            {"box": [5.0, 5.0, 40.0, 15.0], "name": "dog", "attributes": []},
            {"box": [0.0, 0.0, 10.0, 20.0], "name": "person", "attributes": []},
        ],
        "crowds": [{"box": [1.0, 1.0, 3.0, 3.0], "name": "person"}],
        "expressions": [
            {"id": 10, "text": "the dog", "object": 0, "ref": 1, "split": "train"},
            {"id": 11, "text": "brown dog on the left", "object": 0, "ref": 1, "split": "train"},
            {"id": 20, "text": "woman", "object": 1, "ref": 2, "split": "train"},
        ],
    }
    assert (stats.totals["expressions"], stats.totals["objects"]) == (3, 2)


def test_json_says_the_same_as_the_pickle(tmp_path: Path) -> None:
    block = files(tmp_path / "f")
    (tmp_path / "refs.json").write_text(json.dumps(REFS))
    run(stage(block), tmp_path / "a")
    run(stage({**block, "refs": tmp_path / "refs.json"}), tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert list(truths(tmp_path / "a")) == ["refcoco/7", "refcoco/8"]


def test_pickles_of_python_2(tmp_path: Path) -> None:
    """Protocol 0 with byte strings and long integers, as Python 2's cPickle wrote them."""
    written = (
        b"(lp1\n(dp2\nS'sent'\np3\nS'caf\\xc3\\xa9'\np4\nsS'ref_id'\np5\nL12L\nsS'split'\np6\nVtrain\np7\nsa."
    )
    (tmp_path / "refs.p").write_bytes(written)
    assert read_plain(tmp_path / "refs.p") == [{"sent": "café", "ref_id": 12, "split": "train"}]


class Malice:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    touched = tmp_path / "touched"
    (tmp_path / "refs.p").write_bytes(pickle.dumps([Malice(touched)], protocol))
    with pytest.raises(DataError, match="could run code: it is not opened"):
        read_plain(tmp_path / "refs.p")
    assert not touched.exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"junk", b"(lp1\n(dp2\n", b"cos\nsystem\n(S'true'\ntR.", b"\x80\x02}q\x00b.", b"\x80\x02\x82\x01."],
)
def test_no_pickle_of_plain_data(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "refs.p").write_bytes(data)
    with pytest.raises(DataError, match=r"no whole pickle|could run code"):
        read_plain(tmp_path / "refs.p")


def test_a_pickle_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_plain(tmp_path / "refs.p")


def test_what_is_broken_fails_alone(tmp_path: Path) -> None:
    bad = ref(4, 7, 50, "x")
    refs = [
        *REFS[:2],
        ref(1, 7, 50, "again"),
        ref(5, 7, 99, "of no object"),
        ref(6, 8, 61, "of an object without area"),
        ref(7, 8, 50, "of an object elsewhere"),
        ref(8, 12, 60, "of no image"),
        {**bad, "sentences": []},
        {**bad, "sentences": [{"sent_id": 1, "sent": " "}]},
        {**bad, "split": None},
        {**bad, "ann_id": "50"},
    ]
    _, failures = run(stage(files(tmp_path, refs)), tmp_path / "out")
    assert [len(truth["expressions"]) for truth in truths(tmp_path / "out").values()] == [3]
    found = classes(failures)
    assert list(found.values()) == ["duplicate", *["no_object"] * 4, *["bad_row"] * 4]
    assert list(found) == [f"refcoco/ref {n}" for n in range(3, 12)]
    assert "object 99 of image 7 is not in instances.json" in failures[1]["detail"]


def test_detections_of_mattnet(tmp_path: Path) -> None:
    found = [
        {"det_id": 1, "image_id": 7, "box": [0, 0, 10, 10], "category_name": "dog", "score": 0.7},
        {"det_id": 2, "image_id": 7, "box": [30, 30, 20, 20], "category_id": 1, "score": 0.9},
        {"det_id": 3, "image_id": 1234, "box": [0, 0, 1, 1], "category_name": "dog", "score": 0.7},
    ]
    (tmp_path / "dets.json").write_text(json.dumps(found))
    block = {**files(tmp_path / "f"), "detections": tmp_path / "dets.json"}
    run(stage(block), tmp_path / "out")
    assert [truth["detections"] for truth in truths(tmp_path / "out").values()] == [
        [
            {"box": [30.0, 30.0, 40.0, 36.0], "name": "person", "score": 0.9},
            {"box": [0.0, 0.0, 10.0, 10.0], "name": "dog", "score": 0.7},
        ],
        [],
    ]
    spoilt: list[dict[str, Any]] = [{"box": [1, 2, 3]}, {"score": None}, {"image_id": "7"}, {"box": None}]
    for wrong in (*spoilt, {"category_id": []}):
        (tmp_path / "dets.json").write_text(json.dumps([{**found[1], **wrong}]))
        with pytest.raises(DataError, match="detection 1 has no `image_id`, `box` and `score`"):
            plan(stage(block))


def test_counts_and_splits(tmp_path: Path) -> None:
    block = {**files(tmp_path), "counts": True}
    with pytest.raises(DataError) as caught:
        plan(stage({**block, "release": "refcoco_plus_unc", "splits": ["train"]}))
    assert "2 objects of train, not 42,278; 1 images of train, not 16,992" in str(caught.value)
    with pytest.raises(ConfigError, match="no numbers were published"):
        plan(stage(block))
    with pytest.raises(ConfigError, match=r"has no split 'testC'.*\n.*did you mean 'testA'"):
        plan(stage({**block, "splits": ["testC"]}))
    plan(stage({**block, "splits": ["testA"], "counts": {"objects of testA": 1, "images of testA": 1}}))


def test_instances_that_contradict_themselves(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="annotation 70 names an image or category that is not listed"):
        plan(stage(files(tmp_path, things=[*THINGS, thing(70, 7, [0, 0, 1, 1], category=3)])))
    with pytest.raises(DataError, match="no list of refs"):
        plan(stage(files(tmp_path, refs={"refs": []})))
