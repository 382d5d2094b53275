"""Scores of translations: whose they are, what stands beside them, and which pairs are refused."""

import sys
from dataclasses import replace

import pytest

from evaluate.results import read_metrics
from evaluate.translation import ScoreTranslation, TranslationParams, score
from store.errors import DataError, UserError
from store.records import Caption
from store.tables import read_table
from tests.evaluate import toys

TEXTS = [
    ("a red ball lies here", "ein roter Ball liegt hier"),
    ("two blue cubes are there", "zwei blaue Würfel sind dort"),
    ("the star is very green", "der Stern ist sehr grün"),
]


class Dictionary:
    """Translates word by word, all but the first text."""

    source, target = "en", "de"

    def __init__(self, *, blind: bool = False) -> None:
        self.blind, self.asked = blind, {}

    def translate(self, texts, regions, **asked):
        self.asked = asked
        assert all((seen is None) == self.blind for seen in regions)
        known = dict(TEXTS)
        return [texts[0], *(known[text] for text in texts[1:])]


def run(tmp_path, monkeypatch, model, params=None, *, texts=TEXTS, missing: bool = False):
    samples = []
    for number, (english, german) in enumerate(texts):
        key = f"toy/{number}"
        captions = (
            Caption(id=f"{key}#en0", lang="en", text=english),
            Caption(id=f"{key}#de0", lang="de", text=german, translates=f"{key}#en0"),
        )
        samples.append(replace(toys.sample(str(number)), captions=captions))
    boxes = [[0, 0, 10, 11]]
    there = samples[1:] if missing else samples
    monkeypatch.setattr("train.models.vlbert_translating.Translating", lambda folder: model)
    given = {
        "shards": toys.shards_artifact(tmp_path / "shards", samples),
        "model": toys.artifact(tmp_path / "tuned", "tuned", ["model"]),
    }
    if not model.blind:
        regions = {sample.key: toys.regions(boxes, [0]) for sample in there}
        given["regions"] = toys.regions_artifact(tmp_path / "regions", regions, classes=["ball"])
    return toys.run(ScoreTranslation(params or TranslationParams()), tmp_path / "out", **given)


def test_numbers_name_their_signature_and_their_search(tmp_path, monkeypatch):
    pytest.importorskip("sacrebleu")
    model = Dictionary()
    made, stats, *_ = run(tmp_path, monkeypatch, model, TranslationParams(beams=4, length_penalty=0.6))
    assert model.asked == {"beams": 4, "length_penalty": 0.6}
    metrics = read_metrics(made.file("translation", ".metrics.json"))
    found = {(m.name, m.protocol.split()[0], "case:lc" in m.protocol): m for m in metrics}
    ours = found["BLEU", "translation/en-de/beam4^0.6", False]
    assert (ours.n, ours.language, stats.n_ok) == (3, "de", 3)
    assert "tok:13a" in ours.protocol
    assert "version:" in ours.protocol
    assert (
        ours.value
        == score([TEXTS[0][0], TEXTS[1][1], TEXTS[2][1]], [german for _, german in TEXTS], "p", "de")[0].value
    )
    assert found["BLEU", "translation/en-de/untranslated", False].value < 10 < ours.value < 90
    assert found["chrF", "translation/en-de/beam4^0.6", False].value > ours.value
    rows = read_table(made.file("translation", ".predictions.parquet"))
    assert [(r["key"], r["translation"] == r["reference"]) for r in rows] == [
        ("toy/0#en0", False),
        ("toy/1#en0", True),
        ("toy/2#en0", True),
    ]


def test_case_counts_where_the_signature_says_so():
    pytest.importorskip("sacrebleu")
    references = [german for _, german in TEXTS]
    cased, chrf, lower, _ = score([text.lower() for text in references], references, "p", "de")
    assert lower.value == pytest.approx(100)
    assert cased.value < 60
    assert cased.name == lower.name == "BLEU"
    assert chrf.name == "chrF"


def test_without_pictures_and_without_regions(tmp_path, monkeypatch):
    pytest.importorskip("sacrebleu")
    _, stats, *_ = run(tmp_path / "blind", monkeypatch, Dictionary(blind=True))
    assert stats.n_ok == 3
    made, stats, *_ = run(tmp_path / "missing", monkeypatch, Dictionary(), missing=True)
    assert (stats.n_in, stats.n_ok, dict(stats.failed)) == (3, 2, {"no_regions": 1})
    assert len(read_table(made.file("translation", ".predictions.parquet"))) == 2


def test_references_that_are_the_sources_are_refused(tmp_path, monkeypatch):
    """As MM-BERT's test file of 2018 has them."""
    monkeypatch.setattr("evaluate.translation.require_sacrebleu", lambda: None)
    with pytest.raises(DataError, match="say the same in 3 of 3"):
        run(tmp_path, monkeypatch, Dictionary(), texts=[(english, english) for english, _ in TEXTS])


def test_nothing_but_sacrebleu_measures(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(UserError, match="scored by sacreBLEU, which is missing"):
        run(tmp_path, monkeypatch, Dictionary())
