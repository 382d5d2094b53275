"""Corpora of Oscar and MVPTR: lines of one image are one sample, of the part that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawl.sources.oscar import Corpus, CorpusParams
from store.errors import ConfigError, DataError
from tests.crawl.bench import classes, run, stage
from tests.crawl.test_published_sources import photos, samples

LINES = [
    "coco_139\tcoco_139\tA woman in a kitchen.",
    "coco_285\tcoco_285\tA bear.",
    "googlecc_0_77\tgooglecc_77\tan actor",
    "coco_139\tcoco_139\tEin Küchentisch.",
    "coco_139\tcoco_qa_139_139001\tWhat color is the table?",
    "",
    "no tabs here",
    "coco_4\tcoco_qa_4\tWhich?",
]
ENTRY = "crawl.sources.oscar:Corpus"


def write(folder: Path, lines: list[str] = LINES) -> str:
    (folder / "corpus.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return str(folder / "corpus.tsv")


def test_lines_of_an_image_are_one_sample(tmp_path: Path) -> None:
    block = {"source": ENTRY, "corpus": write(tmp_path), "part": "coco", "name": "coco"}
    stats, failures = run(stage(block), tmp_path / "out")
    found = samples(tmp_path / "out")
    assert {name: [c.text for c in sample.captions] for name, sample in found.items()} == {
        "139": ["A woman in a kitchen.", "Ein Küchentisch."],
        "285": ["A bear."],
    }
    assert found["139"].key == "coco/139"
    assert found["139"].image is None
    assert classes(failures) == {"coco/line 7": "bad_row", "coco/line 8": "bad_row"}
    assert stats.n_in == 4


def test_questions_as_in_pre_training_and_images(tmp_path: Path) -> None:
    block = {"source": ENTRY, "corpus": write(tmp_path), "part": "coco", "name": "coco", "questions": True}
    folder = photos(tmp_path / "images", "000139.jpg", "000285.jpg")
    run(stage({**block, "images": [str(folder)], "image": "000{id}.jpg"}), tmp_path / "out")
    found = samples(tmp_path / "out")
    assert [c.text for c in found["139"].captions][-1] == "What color is the table?"
    assert found["285"].extension == "jpg"


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({"part": "cocoo"}, ConfigError, "no caption is of the part 'cocoo'"),
        ({"corpus": "absent.tsv"}, ConfigError, r"absent\.tsv: No such file"),
        ({"counts": {"images": 3}}, DataError, "2 images, not 3"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, change: dict[str, object], error: type, what: str) -> None:
    params = {"corpus": write(tmp_path), "part": "coco", "name": "coco", **change}
    with pytest.raises(error, match=what):
        list(Corpus(CorpusParams.model_validate(params)).chunks(10, lambda path: ""))
