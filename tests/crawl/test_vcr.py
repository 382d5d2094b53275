"""VCR in its published layout: tags in texts, metadata beside the images, and what is broken."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from crawl.tagged import PEOPLE, called, said
from store.errors import ConfigError, DataError
from store.shards import read_metadata
from tests.crawl.bench import classes, picture, plan, run, stage, write_rows

VCR = "crawl.sources.vcr:Vcr"
OBJECTS = ["person", "car", "person"]


def line(
    number: int, *, image: int = 0, labels: tuple[Any, Any] | None = (1, 3), **other: Any
) -> dict[str, Any]:
    about = {"movie": "m", "objects": OBJECTS, "img_fn": f"m/{image}.jpg", "metadata_fn": f"m/{image}.json"}
    answers = [["Yes", ",", [0], "does", "."], ["No", "."], [[2], "'s", [1]], ["Maybe", "."]]
    rationales = [["Because", str(n), "."] for n in range(4)]
    row = {**about, "question": ["Does", [0, 2], "drive", "?"], "answer_choices": answers}
    row |= {"rationale_choices": rationales, "img_id": f"train-{image}", "annot_id": f"train-{number}"}
    if labels is not None:
        row |= {"answer_label": labels[0], "rationale_label": labels[1]}
    return {**row, **other}


def metadata(names: list[str] = OBJECTS, **other: Any) -> bytes:
    boxes = [[n, 1.0, 20.123, 30.0, 0.98765] for n in range(len(names))]
    outlines = [[[[0, 0], [1.234, 0], [1, 1]]] for _ in names]
    about = {
        "names": names,
        "boxes": boxes,
        "segms": outlines,
        "width": 40,
        "height": 36,
        "img_fn": "m/0.jpg",
    }
    return json.dumps({**about, **other}).encode()


def images(folder: Path, *about: bytes) -> Path:
    (folder / "m").mkdir(parents=True)
    for number, data in enumerate(about):
        (folder / f"m/{number}.jpg").write_bytes(picture(shade=number))
        (folder / f"m/{number}.json").write_bytes(data)
    return folder


def block(folder: Path, rows: list[Any], name: str = "train.jsonl", **other: Any) -> dict[str, Any]:
    return {"source": VCR, "questions": write_rows(folder / name, rows), "counts": False, **other}


def test_texts_tag_the_objects_of_their_image(tmp_path: Path) -> None:
    made = block(tmp_path, [line(0), line(1, labels=None)], images=[str(images(tmp_path / "i", metadata()))])
    stats, failures = run(stage(made), tmp_path / "out")
    assert failures == []
    (sample,) = read_metadata(tmp_path / "out/00000.parquet")
    assert (sample.key, sample.split) == ("vcr/train-0", "train")
    assert sample.truth["objects"][1] == {
        "box": [1.0, 1.0, 20.12, 30.0],
        "name": "car",
        "attributes": [],
        "score": 0.9877,
        "polygons": [[[0.0, 0.0], [1.23, 0.0], [1.0, 1.0]]],
    }
    labelled, test = sample.truth["choices"]
    assert labelled["question"] == {
        "text": "Does Casey and Riley drive ?",
        "mentions": [[0, [5, 10]], [2, [15, 20]]],
    }
    assert labelled["answers"][2] == {"text": "Riley 's car", "mentions": [[2, [0, 5]], [1, [9, 12]]]}
    assert (labelled["answer"], labelled["rationale"], labelled["id"]) == (1, 3, "train-0")
    assert len(test["answers"]) == len(test["rationales"]) == 4
    assert not {"answer", "rationale"} & set(test)
    for text in (labelled["question"], *labelled["answers"]):
        for index, (start, end) in text["mentions"]:
            assert text["text"][start:end] == called(OBJECTS)[index]
    assert stats.totals["choices"] == 2


def test_thirteen_names_in_turn() -> None:
    assert len(set(PEOPLE)) == 13
    assert called(["person"] * 14)[13] == PEOPLE[0]
    assert called(["dog", "person", "dog"]) == ["dog", "Casey", "dog"]
    assert said([[1]], ["a", "b"]) == {"text": "b", "mentions": [[1, [0, 1]]]}


@pytest.mark.parametrize(
    ("field", "tokens", "says"),
    [
        ("question", ["Is", [3], "?"], "3"),
        ("question", ["Is", [-1], "?"], "-1"),
        ("answer_choices", [["a"], ["b", [0, 9]], ["c"], ["d"]], "9"),
        ("rationale_choices", [["a"], ["b"], ["c"], [["car"]]], "'car'"),
        ("question", [[True]], "True"),
    ],
)
def test_a_tag_without_its_object_ends_the_plan(tmp_path: Path, field: str, tokens: Any, says: str) -> None:
    made = stage(block(tmp_path, [line(0), line(1, **{field: tokens})]))
    told = rf"train\.jsonl:2: `{field}` of 'train-1' tags object {says}, where there are 3"
    with pytest.raises(DataError, match=told):
        plan(made)


def test_objects_that_differ_from_question_to_question_end_the_plan(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":2: 'train-1' has other objects in train-0"):
        plan(stage(block(tmp_path, [line(0), line(1, objects=["person"] * 3)])))


def test_what_is_broken_fails_alone(tmp_path: Path) -> None:
    rows = [
        line(0),
        line(0),
        line(1, labels=(4, 0)),
        line(2, labels=(0, "1")),
        b"nothing",
        line(3, answer_choices=[["a"]] * 3),
        line(4, question=[]),
        line(5, objects="person"),
        line(6, img_id=None),
        json.dumps(line(11, question=["bad \ud800"])).encode(),
        line(12, question=["a", {}]),
        line(7, image=1),
        line(8, image=2),
        line(9, image=3),
        line(10, image=4),
    ]
    about = [metadata(), metadata(["person", "car", "dog"]), b"{", metadata(boxes=[[1, 2, 3]] * 3)]
    made = block(tmp_path, rows, images=[str(images(tmp_path / "i", *about))])
    _, failures = run(stage(made), tmp_path / "out")
    (sample,) = read_metadata(tmp_path / "out/00000.parquet")
    assert [choice["id"] for choice in sample.truth["choices"]] == ["train-0"]
    assert classes(failures) == {
        "vcr/train-1": "bad_row",
        "vcr/train-2": "bad_row",
        "vcr/train-3": "bad_row",
        "vcr/train-4": "missing",
        "vcr/line 2": "duplicate",
        "vcr/line 3": "unknown_label",
        "vcr/line 4": "unknown_label",
        **{f"vcr/line {n}": "bad_row" for n in range(5, 12)},
    }
    details = {row["key"]: row["detail"] for row in failures}
    assert (
        "its objects are person, car, dog, those of its questions person, car, person"
        in details["vcr/train-1"]
    )
    assert "no choice has the number 4" in details["vcr/line 3"]


def test_metadata_and_questions_are_part_of_what_a_shard_is_made_of(tmp_path: Path) -> None:
    made = block(tmp_path, [line(0)], images=[str(images(tmp_path / "i", metadata()))])
    before = plan(stage(made))[0].uses
    assert plan(stage(made))[0].uses == before
    (tmp_path / "i/m/0.json").write_bytes(metadata(width=41))
    assert plan(stage(made))[0].uses != before
    (tmp_path / "i/m/0.json").write_bytes(metadata())
    assert plan(stage(made))[0].uses == before
    block(tmp_path, [line(0, question=["Who", "drives", "?"])])
    assert plan(stage(made))[0].uses != before


def test_images_and_metadata_in_zips(tmp_path: Path) -> None:
    folder = images(tmp_path / "i", metadata())
    for name in ("jpg", "json"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.write(folder / f"m/0.{name}", f"vcr1images/m/0.{name}")
    places: dict[str, Any] = {"images": [str(tmp_path / "jpg.zip")], "metadata": [str(tmp_path / "json.zip")]}
    run(stage(block(tmp_path, [line(0)], polygons=False, **places)), tmp_path / "out")
    (sample,) = read_metadata(tmp_path / "out/00000.parquet")
    assert [sorted(each) for each in sample.truth["objects"]] == [["attributes", "box", "name", "score"]] * 3


def test_counts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 questions, not 26,534"):
        plan(stage(block(tmp_path, [line(0)], "val.jsonl") | {"counts": True}))
    with pytest.raises(ConfigError, match="no numbers were published"):
        plan(stage(block(tmp_path, [line(0)], "mine.jsonl") | {"counts": True}))
