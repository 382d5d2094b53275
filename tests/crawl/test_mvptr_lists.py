"""MVPTR's own lists: three forms, the truths they become, rows that cannot be used."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from crawl.source import RowError
from crawl.sources.mvptr import Mvptr
from store.errors import ConfigError, CorruptError, DataError


def read(file: Path, **params: Any) -> dict[str, Any]:
    """Entries by id; of a failed row its error."""
    source = Mvptr(Mvptr.Params(file=file, name="m", **params))
    return {entry.id: entry.error or entry for entry in source.entries(None)}


def test_captions_of_a_pt(tmp_path: Path) -> None:
    torch.save({7: ["A dog.", "A cat."], 8: json.dumps(["Ä"]), 9: 3}, tmp_path / "test_captions.pt")
    found = read(tmp_path / "test_captions.pt", split="test")
    assert [(c.id, c.text) for c in found["7"].captions] == [("m/7#en0", "A dog."), ("m/7#en1", "A cat.")]
    assert found["8"].captions[0].text == "Ä"
    assert isinstance(found["image 9"], RowError)
    source = Mvptr(Mvptr.Params(file=tmp_path / "test_captions.pt", name="m", counts={"captions": 4}))
    with pytest.raises(DataError, match="captions"):
        source.require()


def test_questions_with_answers_by_text_or_number(tmp_path: Path) -> None:
    rows = [
        {"q": "What?", "o": "dog;cat", "an": ["a dog", "dog"], "s": [0.3, 1.0], "img_id": 42, "q_id": 1},
        {"q": "Who?", "o": "", "an": [], "s": [], "img_id": 42, "q_id": 2},
        {"q": "Where?", "o": "", "an": [0], "s": [1.0], "img_id": 43, "q_id": 3},
        {"q": "Why?", "o": "", "an": ["x"], "s": [], "img_id": 43, "q_id": 4},
    ]
    (tmp_path / "qla.json").write_text(json.dumps(rows))
    found = read(tmp_path / "qla.json")
    answered = {
        "question": "What?",
        "type": "",
        "lang": "en",
        "answer": "dog",
        "answers": {"a dog": 0.3, "dog": 1.0},
    }
    assert found["42"].truth == {
        "questions": [{"id": 1, **answered}, {"id": 2, "question": "Who?", "type": "", "lang": "en"}]
    }
    assert "43" not in found
    assert "`labels` does not say" in found["question 3"].detail
    for name, content in (("a.json", json.dumps(["sky"]).encode()), ("a.pkl", pickle.dumps({0: "sky"}))):
        (tmp_path / name).write_bytes(content)
        named = read(tmp_path / "qla.json", labels=tmp_path / name)
        assert named["43"].truth["questions"][0]["answers"] == {"sky": 1.0}
        assert isinstance(named["question 4"], RowError)


def test_expressions_mean_boxes(tmp_path: Path) -> None:
    one = {"id": 5, "image_id": 42, "sentence": "the left one", "bbox": [10, 20, 30.5, 40]}
    rows = [
        one,
        {**one, "id": 6, "sentence": "man"},
        {**one, "id": 7, "bbox": [0, 0, 1, 1]},
        {**one, "bbox": [1]},
    ]
    (tmp_path / "ve_splits.json").write_text(json.dumps({"train": [], "testA": rows}))
    found = read(tmp_path / "ve_splits.json", split="testA")
    truth = found["42"].truth
    assert [each["box"] for each in truth["objects"]] == [[10, 20, 40.5, 60], [0, 0, 1, 1]]
    assert [(e["id"], e["text"], e["object"]) for e in truth["expressions"]] == [
        (5, "the left one", 0),
        (6, "man", 0),
        (7, "the left one", 1),
    ]
    assert isinstance(found["expression 4"], RowError)
    with pytest.raises(ConfigError, match="did you mean 'testA'"):
        read(tmp_path / "ve_splits.json", split="testa")


def test_images_go_by_a_template(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    torch.save({"42": ["A dog."]}, tmp_path / "c.pt")
    place = (tmp_path / "images",)
    assert read(tmp_path / "c.pt", images=place)["42"].image == "42.jpg"
    name = "COCO_train2014_{id:012}.jpg"
    assert read(tmp_path / "c.pt", images=place, image=name)["42"].image == "COCO_train2014_000000000042.jpg"
    with pytest.raises(ConfigError, match="does not fit"):
        read(tmp_path / "c.pt", images=place, image="{name}.jpg")


class Code:
    pass


def test_what_is_no_list_of_mvptrs_is_refused(tmp_path: Path) -> None:
    torch.save({1: Code()}, tmp_path / "c.pt")
    with pytest.raises(CorruptError, match="holds more than plain data and tensors"):
        read(tmp_path / "c.pt")
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(DataError, match="no list of MVPTR's"):
        read(tmp_path / "x.json")
