"""What a vocabulary does to captions, counted by hand on a few."""

from pathlib import Path

import pytest

from evaluate.results import read_metrics
from evaluate.tokenisation import Tokenisation, TokenisationParams
from tests.evaluate import toys
from train.tokenizer import TokenizerParams, train

EN, DE = "a red ball", "ein Ball über größeren Bällen"


def test_counts(tmp_path: Path) -> None:
    samples = [
        toys.sample("a", [("en0", EN), ("de0", DE)], translates={"de0": "en0"}),
        toys.sample("b", [("en0", " ".join([EN] * 20)), ("de0", "ein Ball ☃")]),
    ]
    texts = [c.text.replace(" ☃", "") for each in samples for c in each.captions] * 9
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    train(texts, TokenizerParams(lower_case=False)).save(str(folder / "tokenizer.json"))
    made, stats, _, _ = toys.run(
        Tokenisation(TokenisationParams(words=5, regions=5)),
        tmp_path / "out",
        shards=toys.shards_artifact(tmp_path / "shards", samples),
        tokenizer=toys.artifact(folder, "tokenizer", ["tokenizer"]),
    )
    assert (stats.n_in, stats.n_ok) == (2, 2)
    metrics = read_metrics(made.file("tokenisation", ".metrics.json"))
    found = {(m.language, m.name): m.value for m in metrics}
    assert {m.language for m in metrics} == {"de", "en", "de-en"}
    assert found["en", "pieces, mean"] == pytest.approx(31.5)
    assert found["en", "pieces, longest"] == 60
    assert found["en", "cut at 5 pieces a sentence"] == 0.5
    assert found["en", "cut by joint64 with 5 regions"] == 0.5  # 62 places and 6 are more than 64
    assert found["de-en", "pieces, mean"] == 8  # only the first sample translates anything
    assert found["de-en", "cut by joint64 with 5 regions"] == 0
    assert found["de", "unknown pieces"] == pytest.approx(1 / 8)
    assert (found["de", "with accents"], found["en", "with accents"]) == (0.5, 0)
