"""The demo's questions, statements and expressions, written as VQA v2, SNLI-VE and RefCOCO were published: what
comes back through their sources is what the tasks read of the demo itself."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from crawl.source import Row
from crawl.sources.scenes import make_row
from tests.crawl.bench import run, stage
from train.tasks.items import Item, read_items

SCENES = 6
SPLIT = "val2014"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """Shards of the demo, and its rows."""
    folder = tmp_path_factory.mktemp("demo")
    run(stage({"source": "crawl.sources.scenes:Scenes", "count": SCENES, "seed": 11}), folder)
    return folder, [make_row(11, index) for index in range(SCENES)]


def named(rows: Sequence[Row], folder: Path, name: str) -> str:
    """Images under the names that a data set gives them; `name` makes one of the number."""
    folder.mkdir()
    for number, row in enumerate(rows):
        assert isinstance(row.image, bytes)
        (folder / name.format(number)).write_bytes(row.image)
    return str(folder)


def items(task: str, folder: Path) -> list[Item]:
    return read_items(task, sorted(folder.glob("0????.parquet")))


def plain(found: Sequence[Item]) -> list[tuple[Any, ...]]:
    """What a model is asked and must answer, without the names of images."""
    order = {image: number for number, image in enumerate(dict.fromkeys(item.image for item in found))}
    return [(order[item.image], item.text, item.target) for item in found]


def published(folder: Path, block: Mapping[str, Any], expected: int) -> Path:
    stats, failures = run(stage({**block, "counts": False}), folder)
    assert (stats.n_ok, failures) == (expected, [])
    return folder


def test_questions(tmp_path: Path, demo: tuple[Path, list[Row]]) -> None:
    shards, rows = demo
    asked = [(number, each) for number, row in enumerate(rows) for each in row.truth["questions"]]
    questions = [
        {"image_id": image, "question": each["question"], "question_id": place}
        for place, (image, each) in enumerate(asked)
    ]
    annotations = [
        {
            "image_id": image,
            "question_id": place,
            "question_type": each["type"],
            "answer_type": each["type"],
            "multiple_choice_answer": each["answer"],
            "answers": [{"answer": each["answer"], "answer_id": n} for n in range(1, 11)],
        }
        for place, (image, each) in enumerate(asked)
    ]
    (tmp_path / "q.json").write_text(json.dumps({"data_subtype": SPLIT, "questions": questions}))
    (tmp_path / "a.json").write_text(json.dumps({"data_subtype": SPLIT, "annotations": annotations}))
    block = {"source": "crawl.sources.vqa:Vqa", "questions": tmp_path / "q.json"}
    block |= {"annotations": tmp_path / "a.json"}
    block |= {"images": [named(rows, tmp_path / "i", f"COCO_{SPLIT}_{{:012d}}.jpg")]}
    found = items("answers", published(tmp_path / "out", block, SCENES))
    ours = items("answers", shards)
    # The challenge has numerals for number words, the demo has not.
    numerals = {"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"}
    expected = [
        (image, text, {numerals.get(answer, answer): score for answer, score in target.items()})
        for image, text, target in plain(ours)
    ]
    assert plain(found) == expected
    assert [item.kind for item in found] == [item.kind for item in ours]
    assert [item.id for item in found] == list(range(len(asked)))


def test_statements(tmp_path: Path, demo: tuple[Path, list[Row]]) -> None:
    shards, rows = demo
    lines = [
        {
            "Flickr30K_ID": str(number),
            "pairID": f"{number}.jpg#{n}",
            "sentence1": "A scene.",
            "sentence2": each["text"],
            "gold_label": each["label"],
        }
        for number, row in enumerate(rows)
        for n, each in enumerate(row.truth["entailments"])
    ]
    (tmp_path / "snli_ve_dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    block = {"source": "crawl.sources.snli_ve:SnliVe", "statements": tmp_path / "snli_ve_dev.jsonl"}
    block |= {"images": [named(rows, tmp_path / "i", "{}.jpg")]}
    found = items("entailment", published(tmp_path / "out", block, SCENES))
    assert plain(found) == plain(items("entailment", shards))
    assert [item.id for item in found] == [line["pairID"] for line in lines]


def test_expressions(tmp_path: Path, demo: tuple[Path, list[Row]]) -> None:
    shards, rows = demo
    names = sorted({thing["name"] for row in rows for thing in row.truth["objects"]})
    annotations, refs, images = [], [], []
    for number, row in enumerate(rows):
        images.append({"id": number, "file_name": f"COCO_train2014_{number:012d}.jpg"})
        for n, thing in enumerate(row.truth["objects"]):
            x1, y1, x2, y2 = thing["box"]
            about = {"id": 100 * number + n, "image_id": number, "category_id": names.index(thing["name"])}
            annotations.append({**about, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0})
        for n, each in enumerate(row.truth["expressions"]):
            ref = {"ref_id": 100 * number + n, "ann_id": 100 * number + each["object"], "image_id": number}
            sentence = {"sent_id": 100 * number + n, "sent": each["text"], "tokens": each["text"].split()}
            refs.append({**ref, "split": "val", "sentences": [sentence]})
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    instances = {"images": images, "annotations": annotations, "categories": categories, "licenses": []}
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(refs, 2))
    block = {"source": "crawl.sources.refcoco:RefCoco", "refs": tmp_path / "refs(unc).p"}
    block |= {"instances": tmp_path / "instances.json"}
    block |= {"images": [named(rows, tmp_path / "i", "COCO_train2014_{:012d}.jpg")]}
    found, ours = items("referring", published(tmp_path / "out", block, SCENES)), items("referring", shards)
    assert [each[:2] for each in plain(found)] == [each[:2] for each in plain(ours)]
    for theirs, own in zip(found, ours, strict=True):
        assert theirs.target == pytest.approx(own.target, abs=0.011)  # COCO states hundredths of a pixel


def test_an_answer_counts_by_the_people_who_gave_it() -> None:
    from types import SimpleNamespace

    import torch

    from train.tasks.answers import right

    batch: Any = SimpleNamespace(target=torch.tensor([[1.0, 0.3], [0.9, 0.6], [0.0, 0.0]]))
    assert right(torch.tensor([[0.0, 2.0], [1.0, -1.0], [3.0, 4.0]]), batch).tolist() == pytest.approx(
        [0.3, 0.9, 0.0]
    )
