"""SNLI-VE in its published layout: statements joined to Flickr30k's photographs, and what is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store.errors import DataError
from store.shards import read_metadata
from tests.crawl.bench import classes, picture, plan, run, stage, write_rows

SNLI_VE = "crawl.sources.snli_ve:SnliVe"


def line(pair: str, image: Any, label: str = "neutral", text: str = "A dog runs.") -> dict[str, Any]:
    about = {"annotator_labels": [label], "captionID": f"{image}.jpg#0", "sentence1": "An animal."}
    return {**about, "gold_label": label, "pairID": pair, "sentence2": text, "Flickr30K_ID": image}


def test_statements_stand_in_the_truth_of_their_photograph(tmp_path: Path) -> None:
    rows = [
        line("10.jpg#0r1n", "10"),
        line("20.jpg#0r1e", 20, "entailment"),
        line("10.jpg#0r1c", "10.jpg", "contradiction", "It sleeps."),
    ]
    block = {"source": SNLI_VE, "statements": write_rows(tmp_path / "snli_ve_dev.jsonl", rows)}
    (tmp_path / "i").mkdir()
    (tmp_path / "i/10.jpg").write_bytes(picture())
    counts = {"images": 2, "neutral": 1, "entailment": 1, "contradiction": 1}
    made = stage({**block, "images": [str(tmp_path / "i")], "counts": counts})
    stats, failures = run(made, tmp_path / "out")
    assert classes(failures) == {"snli_ve/20": "missing"}
    (sample,) = read_metadata(tmp_path / "out/00000.parquet")
    assert (sample.key, sample.split, sample.source_ids) == ("snli_ve/10", "dev", {"flickr": "10"})
    assert sample.truth["entailments"] == [
        {"id": "10.jpg#0r1n", "text": "A dog runs.", "label": "neutral"},
        {"id": "10.jpg#0r1c", "text": "It sleeps.", "label": "contradiction"},
    ]
    assert stats.totals["entailments"] == 2


def test_what_is_broken_fails_alone(tmp_path: Path) -> None:
    rows: list[Any] = [
        line("a", "10"),
        line("b", "10", "-"),
        line("c", "10", "maybe"),
        line("a", "10", "entailment"),
        b"{",
        line("d", "", text=" "),
        {},
    ]
    path = write_rows(tmp_path / "mine.jsonl", rows)
    with path.open("ab") as file:
        file.write(b'{"pairID": "f", "Flickr30K_ID": "10", "gold_label": "neutral", "sentence2": "\xff"}\n')
    block = {"source": SNLI_VE, "statements": path, "counts": False, "split": "train"}
    _, failures = run(stage(block), tmp_path / "out")
    (sample,) = read_metadata(tmp_path / "out/00000.parquet")
    assert [each["id"] for each in sample.truth["entailments"]] == ["a"]
    assert sample.split == "train"
    assert classes(failures) == {
        "snli_ve/line 2": "no_label",
        "snli_ve/line 3": "unknown_label",
        "snli_ve/line 4": "duplicate",
        "snli_ve/line 5": "bad_row",
        "snli_ve/line 6": "bad_row",
        "snli_ve/line 7": "bad_row",
        "snli_ve/line 8": "bad_row",
    }
    details = [row["detail"] for row in failures]
    assert "'maybe' is none of entailment, neutral, contradiction" in details[1]
    assert "no `Flickr30K_ID`, `sentence2`" in details[4]


def test_counts(tmp_path: Path) -> None:
    block = {"source": SNLI_VE, "statements": write_rows(tmp_path / "snli_ve_test.jsonl", [line("a", "1")])}
    with pytest.raises(DataError) as caught:
        plan(stage(block))
    assert "1 images, not 1,000; 0 entailment, not 5,973; 1 neutral, not 5,964" in str(caught.value)
