"""MLT, VL-BERT's lists and IAPR TC-12 in their published layouts, and what is broken."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from store.errors import ConfigError, DataError
from store.records import Sample
from store.shards import read_metadata
from tests.crawl.bench import classes, picture, plan, run, stage, write_rows

MLT, VLBERT, IAPR = "crawl.sources.mlt:Mlt", "crawl.sources.vlbert:VlBert", "crawl.sources.iapr:Iapr"


def samples(folder: Path) -> dict[str, Sample]:
    return {s.key: s for p in sorted(folder.glob("0????.parquet")) for s in read_metadata(p)}


def said(sample: Sample) -> dict[str, str]:
    return {c.id.partition("#")[2]: c.text for c in sample.captions}


LINES = """hat | hut | a man in a hat . | ein mann mit hut . | 10.jpg
man | mann herr | a man in a hat . | ein mann mit hut . | 10.jpg
hat | mütze | l&apos; hat | l&apos; mütze | 20.jpg
hat | hut | no sentence
hat |  | a hat | ein hut | 20.jpg
grass | gras | the grass . | COCO_train2014_000000000003.jpg
"""


def test_words_and_their_translations(tmp_path: Path) -> None:
    (tmp_path / "ende_mine.txt").write_text(LINES)
    block = {"source": MLT, "files": [str(tmp_path / "ende_mine.txt")], "split": "test"}
    stats, failures = run(stage({**block, "counts": {"lines of ende_mine": 6}}), tmp_path / "out")
    found = samples(tmp_path / "out")
    assert said(found["mlt/10"]) == {"en0": "a man in a hat .", "de0": "ein mann mit hut ."}
    assert found["mlt/10"].captions[1].translates == "mlt/10#en0"
    assert found["mlt/10"].truth["words"] == [
        {
            "id": "ende_mine line 1",
            "word": "hat",
            "lang": "de",
            "translations": ["hut"],
            "caption": "mlt/10#en0",
        },
        {
            "id": "ende_mine line 2",
            "word": "man",
            "lang": "de",
            "translations": ["mann", "herr"],
            "caption": "mlt/10#en0",
        },
    ]
    assert said(found["mlt/20"]) == {"en0": "l' hat", "de0": "l' mütze"}
    assert said(found["mlt/COCO_train2014_000000000003"]) == {"en0": "the grass ."}
    assert classes(failures) == {"mlt/ende_mine line 4": "bad_row", "mlt/ende_mine line 5": "bad_row"}
    assert stats.totals["words"] == 4
    with pytest.raises(ConfigError, match="no numbers were published"):
        plan(stage(block))
    (tmp_path / "ende_test2016.txt").write_text(LINES)
    with pytest.raises(DataError, match="6 lines of ende_test2016, not 1,004"):
        plan(stage({**block, "files": [str(tmp_path / "ende_test2016.txt")]}))


def test_vlberts_lines_in_zips(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"image": "val.zip@/10.jpg", "frcnn": "f.zip@/10.json", "caption_de": "Hund", "caption_en": "Dog"},
        {
            "image": "val.zip@/10.jpg",
            "caption_en": "Dog",
            "caption_de": "Hund",
            "word_en": "dog",
            "word_de": "hund",
        },
        {"image": "20.jpg", "caption": ["a", "cat"]},
        {"image": "20.jpg", "caption": "two cats"},
        {"image": "gone.jpg", "caption": "x"},
        {"caption_en": "text", "caption_de": "alone"},
        {"image": "30.jpg"},
        {"image": "30.jpg", "caption": "x", "word_en": "x"},
        b"{",
    ]
    write_rows(tmp_path / "val.json", rows)
    with zipfile.ZipFile(tmp_path / "val.zip", "w") as archive:
        for shade, name in enumerate(("10.jpg", "20.jpg")):
            archive.writestr(name, picture(shade=shade))
    block = {"source": VLBERT, "files": [str(tmp_path / "val.json")], "name": "multi30k"}
    made = stage({**block, "images": [str(tmp_path / "val.zip")], "counts": {"lines": 9, "images": 3}})
    _, failures = run(made, tmp_path / "out")
    found = samples(tmp_path / "out")
    assert {key: said(sample) for key, sample in found.items()} == {
        "multi30k/10": {"en0": "Dog", "de0": "Hund"},
        "multi30k/20": {"en0": "a cat", "en1": "two cats"},
    }
    assert found["multi30k/10"].captions[1].translates == "multi30k/10#en0"
    assert [word["translations"] for word in found["multi30k/10"].truth["words"]] == [["hund"]]
    assert classes(failures) == {
        "multi30k/gone": "missing",
        **{f"multi30k/val line {n}": "bad_row" for n in (6, 7, 8, 9)},
    }
    details = {row["key"]: row["detail"] for row in failures}
    assert "crawl.sources.parallel" in details["multi30k/val line 6"]
    write_rows(tmp_path / "val.json", rows[:1])
    run(stage({**block, "translations": False}), tmp_path / "independent")
    assert [c.translates for c in samples(tmp_path / "independent")["multi30k/10"].captions] == [None, None]


def test_identical_sides_end_the_plan(tmp_path: Path) -> None:
    """As in the 2018 test file that was once made from the English side twice."""
    rows = [{"image": f"{n}.jpg", "caption_en": f"dog {n}", "caption_de": f"dog {n}"} for n in range(3)]
    block = {"source": VLBERT, "files": [str(tmp_path / "test.json")]}
    write_rows(tmp_path / "test.json", rows)
    with pytest.raises(DataError, match="the two languages of all 3 lines are identical"):
        plan(stage(block))
    write_rows(tmp_path / "test.json", [*rows, {**rows[0], "caption_de": "Hund"}])
    stats, _ = run(stage(block), tmp_path / "out")
    assert stats.totals["translations_identical"] == 3


def annotation(folder: Path, lang: str, number: int, text: str, image: str = "") -> None:
    path = folder / lang / f"{number // 1000:02d}/{number}.{lang}"
    path.parent.mkdir(parents=True, exist_ok=True)
    where = image or f"images/{number // 1000:02d}/{number}.jpg"
    written = f"<DOC>\n<DOCNO>annotations/{number}</DOCNO>\n<TITLE>Title &amp; all</TITLE>\n<DESCRIPTION>{text}</DESCRIPTION>\n"
    path.write_bytes((written + f"<IMAGE>{where}</IMAGE>\n</DOC>\n").encode("latin-1"))


def iapr(folder: Path) -> dict[str, Any]:
    annotation(folder, "eng", 25, "a yellow building;\n two palm trees;")
    annotation(folder, "ger", 25, "ein gelbes Gebäude; zwei Palmen;")
    annotation(folder, "eng", 1002, "a bridge;")
    annotation(folder, "ger", 3, "")
    folders = {"de": str(folder / "ger"), "en": str(folder / "eng")}
    return {"source": IAPR, "annotations": folders, "counts": {"images": 3}}


def test_iapr_tc_12(tmp_path: Path) -> None:
    block = iapr(tmp_path)
    (tmp_path / "i/images/00").mkdir(parents=True)
    (tmp_path / "i/images/00/25.jpg").write_bytes(picture())
    (tmp_path / "i/images/00/3.jpg").write_bytes(picture(shade=5))
    _, failures = run(stage({**block, "images": [str(tmp_path / "i")]}), tmp_path / "out")
    (sample,) = samples(tmp_path / "out").values()
    assert (sample.key, sample.width) == ("iapr/25", 40)
    assert said(sample) == {
        "en0": "a yellow building; two palm trees;",
        "de0": "ein gelbes Gebäude; zwei Palmen;",
    }
    assert sample.captions[1].translates == "iapr/25#en0"
    assert classes(failures) == {"iapr/1002": "missing", "iapr/3": "bad_caption"}
    with pytest.raises(DataError, match="3 images, not 20,000"):
        plan(stage({**block, "counts": True}))
    before = plan(stage(block))[0].uses
    annotation(tmp_path, "ger", 25, "ein rotes Gebäude;")
    assert plan(stage(block))[0].uses != before


def test_a_part_of_iapr_tc_12(tmp_path: Path) -> None:
    block = {**iapr(tmp_path), "ids": tmp_path / "ids.txt", "split": "test", "counts": True, "text": "TITLE"}
    (tmp_path / "ids.txt").write_text("01/1002\n25\n77\n")
    _, failures = run(stage(block), tmp_path / "out")
    assert {key: said(s) for key, s in samples(tmp_path / "out").items()} == {
        "iapr/1002": {"en0": "Title & all"},
        "iapr/25": {"en0": "Title & all", "de0": "Title & all"},
    }
    assert classes(failures) == {"iapr/77": "bad_row"}
    (tmp_path / "ids.txt").write_text("abc\n")
    with pytest.raises(DataError, match="'abc' is no number of an image"):
        plan(stage(block))
    with pytest.raises(ConfigError, match="no such folder of annotations"):
        plan(stage({**iapr(tmp_path), "annotations": {"en": str(tmp_path / "none")}}))
