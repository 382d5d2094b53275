"""The concept vocabulary: counts, order, ids, files."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

import parse.counting
from parse.concepts import Concepts, select
from parse.counting import SortedCounts, merged
from pipeline.artifacts import Artifact
from pipeline.stage import Inputs
from store.concepts import (
    ConceptVocabulary,
    PhraseRow,
    StoredPhrase,
    phrase_record,
    phrase_schema,
    read_id2phrase,
    write_id2phrase,
)
from store.errors import CorruptError
from store.tables import write_table
from tests.parse.toys import artifact, given, record, run


def row(number: int, *phrases: tuple[str, ...], way: str = "parsed") -> PhraseRow:
    stored = tuple(StoredPhrase(words, ()) for words in phrases)
    return PhraseRow(caption=f"toys/{number}#en0", key=f"toys/{number}", lang="en", way=way, phrases=stored)


def tables(folder: Path, **rows: list[PhraseRow]) -> Artifact:
    folder.mkdir()
    for name, each in rows.items():
        write_table(folder / f"{name}.parquet", map(phrase_record, each), phrase_schema())
    return artifact(folder, [record(name) for name in rows])


MAN, HORSE, RED, RIDE = ("man",), ("horse",), ("horse", "red"), ("man", "ride", "horse")


@pytest.fixture
def made(tmp_path: Path) -> Artifact:
    phrases = tables(
        tmp_path / "in",
        s0=[row(0, MAN, HORSE, RIDE), row(1, HORSE, RED, HORSE), row(2, MAN, way="aligned")],
        s1=[row(3, HORSE, RED), row(4), row(5, MAN, way="none")],
    )
    return run(Concepts(Concepts.Params(minimum_count=2)), given(phrases=phrases), tmp_path / "out")


def test_sentences_are_counted_once_and_only_parsed_ones(made: Artifact) -> None:
    vocabulary = ConceptVocabulary.read(made.file("all", ".concepts.json"))
    assert vocabulary.concepts == (HORSE, RED)
    assert vocabulary.counts == (3, 2)
    assert (vocabulary.sentences, vocabulary.minimum_count) == (4, 2)


def test_totals_say_what_was_left_out(made: Artifact) -> None:
    totals = made.manifest.stats["totals"]
    assert totals["sentences"] == 4
    counted = {name: totals.get(f"occurrences_{name}", 0) for name in ("objects", "attributes", "relations")}
    assert counted == {"objects": 4, "attributes": 2, "relations": 1}  # HORSE 3 and MAN 1, RED 2, RIDE 1
    assert (totals["left_out_objects"], totals["left_out_relations"]) == (1, 1)
    assert (totals["distinct"], totals["concepts"], totals["concepts_objects"]) == (4, 2, 1)
    assert made.manifest.stats["n_in"] == made.manifest.stats["n_ok"] == 6


def test_illustration_names_the_coverage(made: Artifact) -> None:
    ((_, table),) = Concepts(Concepts.Params()).illustrate(made, given())
    assert "horse red (2)" in table
    assert "objects, 75.0% of occurrences" in table


def test_look_up_keeps_order_and_drops_strangers(made: Artifact) -> None:
    vocabulary = ConceptVocabulary.read(made.file("all", ".concepts.json"))
    assert vocabulary.look_up([["horse", "red"], ["cat"], ["horse"]]) == [1, 0]


@settings(max_examples=25, deadline=None)
@forall(
    st.lists(
        st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple), max_size=5), max_size=12
    ),
    st.integers(1, 4),
)
def test_any_split_into_shards_gives_one_vocabulary(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[list[tuple[str, ...]]], minimum: int
) -> None:
    """And it is the one that a plain count gives."""
    expected = Counter(words for sentence in sentences for words in set(sentence))
    ranked = sorted((-count, words) for words, count in expected.items() if count >= minimum)
    stage = Concepts(Concepts.Params(minimum_count=minimum))
    for shards in (1, 3):
        folder = tmp_path_factory.mktemp("split")
        parts = {f"s{n}": [row(i, *s) for i, s in enumerate(sentences)][n::shards] for n in range(shards)}
        made = run(stage, given(phrases=tables(folder / "in", **parts)), folder / "out")
        vocabulary = ConceptVocabulary.read(made.file("all", ".concepts.json"))
        assert [(-n, w) for w, n in zip(vocabulary.concepts, vocabulary.counts, strict=True)] == ranked


def test_many_tables_are_merged_in_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse.counting, "OPEN_FILES", 2)
    phrases = tables(tmp_path / "in", **{f"s{n}": [row(n, MAN, (f"x{n}",))] for n in range(9)})
    made = run(Concepts(Concepts.Params(minimum_count=9)), given(phrases=phrases), tmp_path / "out")
    assert ConceptVocabulary.read(made.file("all", ".concepts.json")).concepts == (MAN,)
    assert made.manifest.stats["totals"]["distinct"] == 10


def test_ties_stand_in_order_of_the_tuple() -> None:
    vocabulary, totals = select([("a", 1), ("b", 2), ("b\tc", 2), ("d", 2)], 2, 5)
    assert vocabulary.concepts == (("b",), ("b", "c"), ("d",))
    assert (totals["distinct"], totals["left_out_objects"]) == (4, 1)


def test_an_extended_vocabulary_keeps_its_ids() -> None:
    before = (("d",), ("gone",), ("a",))
    vocabulary, totals = select([("a", 1), ("b", 9), ("d", 2)], 2, 5, before)
    assert vocabulary.concepts == (("d",), ("gone",), ("a",), ("b",))
    assert vocabulary.counts == (2, 0, 1, 9)
    assert totals["left_out_objects"] == 0


def test_the_stage_extends_a_vocabulary(made: Artifact, tmp_path: Path) -> None:
    phrases = tables(tmp_path / "more", s0=[row(0, MAN), row(1, MAN), row(2, HORSE)])
    inputs = given(phrases=phrases, extends=made)
    stage = Concepts(Concepts.Params(minimum_count=2))
    assert all(shard.uses["extends"] == made.digest for shard in stage.shards(inputs))
    vocabulary = ConceptVocabulary.read(run(stage, inputs, tmp_path / "out2").file("all", ".concepts.json"))
    assert vocabulary.concepts == (HORSE, RED, MAN)
    assert vocabulary.counts == (1, 0, 2)


def test_several_data_sets_make_one_vocabulary(tmp_path: Path) -> None:
    one, other = tables(tmp_path / "a", s0=[row(0, MAN)]), tables(tmp_path / "b", s0=[row(1, MAN)])
    other = replace(other, manifest=replace(other.manifest, node="phrases/other"))
    inputs = Inputs({"phrases": (one, other)}, lambda path: "")
    made = run(Concepts(Concepts.Params(minimum_count=2)), inputs, tmp_path / "out")
    assert [record.name for record in made.shards] == ["toys-s0", "other-s0"]
    assert ConceptVocabulary.read(made.file("all", ".concepts.json")).counts == (2,)


def test_only_one_language_counts(tmp_path: Path) -> None:
    french = replace(row(1, ("cheval",)), lang="fr-CA")
    phrases = tables(tmp_path / "in", s0=[row(0, HORSE), french])
    stage = Concepts(Concepts.Params(minimum_count=1, lang="fr"))
    vocabulary = ConceptVocabulary.read(
        run(stage, given(phrases=phrases), tmp_path / "out").file("all", ".concepts.json")
    )
    assert vocabulary.concepts == (("cheval",),)


def test_a_word_that_is_a_word_piece_shares_its_id(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    vocab = {"[PAD]": 0, "horse": 1, "##s": 2}
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}}))
    tokenizer = artifact(tmp_path / "tokenizer", [record("tokenizer")])
    phrases = tables(tmp_path / "in", s0=[row(0, HORSE, RED, MAN)])
    made = run(
        Concepts(Concepts.Params(minimum_count=1)),
        given(phrases=phrases, tokenizer=tokenizer),
        tmp_path / "out",
    )
    assert read_id2phrase(made.file("all", ".id2phrase.json")) == {1: HORSE, 3: RED, 4: MAN}


def test_what_does_not_fit_in_memory_is_counted_on_disk(tmp_path: Path) -> None:
    counts = SortedCounts(lambda: tmp_path, held=3)
    expected: Counter[str] = Counter()
    for number in range(50):
        sentence = [f"w{number % 7}", f"w{number % 7}", f"x{number}"]
        counts.add(sentence)
        expected.update(set(sentence))
    assert len(list(tmp_path.iterdir())) > 20
    assert list(counts.merged()) == sorted(expected.items())


def test_nothing_to_merge(tmp_path: Path) -> None:
    assert list(merged([], lambda: tmp_path)) == []


def test_minimum_count_is_positive() -> None:
    with pytest.raises(ValidationError):
        Concepts.Params(minimum_count=0)


def test_vocabulary_comes_back(tmp_path: Path) -> None:
    vocabulary = ConceptVocabulary(
        concepts=(("žena",), ("žena", "a/b")), counts=(5, 3), sentences=9, minimum_count=2
    )
    vocabulary.write(tmp_path / "v.json")
    assert ConceptVocabulary.read(tmp_path / "v.json") == vocabulary


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"concepts": {"1": ["a"]}, "counts": {}, "sentences": 0, "minimum_count": 0}',
        '{"concepts": {"0": []}, "counts": {}, "sentences": 0, "minimum_count": 0}',
        '{"concepts": {"0": ["a", 1]}, "counts": {}, "sentences": 0, "minimum_count": 0}',
        '{"concepts": {"0": ["a"]}, "counts": {"1": 1}, "sentences": 0, "minimum_count": 0}',
    ],
)
def test_a_broken_vocabulary_names_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(CorruptError, match=r"broken\.json"):
        ConceptVocabulary.read(path)


def test_a_missing_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="missing"):
        ConceptVocabulary.read(tmp_path / "none.json")


def test_id2phrase_keeps_gaps(tmp_path: Path) -> None:
    phrases = {7: ("boat", "two"), 999: ("man",), 86_050: ("man", "ride on top of", "surfboard")}
    write_id2phrase(tmp_path / "p.json", phrases)
    assert json.loads((tmp_path / "p.json").read_text())["7"] == ["boat", "two"]
    assert read_id2phrase(tmp_path / "p.json") == phrases


@pytest.mark.shared
def test_mvptr_id2phrase_is_read_whole(shared: Path, tmp_path: Path) -> None:
    phrases = read_id2phrase(shared / "mvptr" / "id2phrase_new.json")
    assert len(phrases) == 73_599
    assert phrases[30_522] == ("boat", "two")
    write_id2phrase(tmp_path / "again.json", phrases)
    assert read_id2phrase(tmp_path / "again.json") == phrases
