"""English concepts of captions in other languages, and the stage that learns them."""

from __future__ import annotations

from pathlib import Path

import pytest

from parse.parser import Parser
from parse.phrases import rows_of
from parse.projection import Entry, MultilingualLexicon, surface_words
from parse.projection_stage import LearnLexicon
from pipeline.artifacts import Artifact
from store.concepts import PhraseRow, StoredPhrase, phrase_record, phrase_schema
from store.errors import ConfigError, CorruptError
from store.records import Caption
from store.tables import write_table
from tests.parse.test_phrases_stage import Stubborn, rows
from tests.parse.toys import artifact, given, record, run, sample, shards

SPOTTING = Entry(
    parsed=False,
    words={"hund": "dog", "roter": "red", "auf": "on", "tisch": "table", "roten": "red"},
    concepts=frozenset([("dog",), ("table",), ("dog", "red"), ("table", "red"), ("dog", "on", "table")]),
    pairs=9,
)
TRANSLATING = Entry(
    parsed=True, words={"chien": "dog", "rouge": "red", "sur": "on"}, concepts=frozenset(), pairs=9
)


def words(phrases: tuple[StoredPhrase, ...]) -> list[tuple[str, ...]]:
    return [phrase.words for phrase in phrases]


def test_known_concepts_are_spotted_with_their_words() -> None:
    text = "Ein roter Hund liegt faul auf dem Tisch."
    found = SPOTTING.spotted(text)
    assert words(found) == [("dog",), ("dog", "red"), ("table",), ("dog", "on", "table")]
    assert [text[a:b] for a, b in found[-1].spans] == ["Hund", "auf", "Tisch"]


def test_an_attribute_stands_near_its_object() -> None:
    assert ("table", "red") not in words(SPOTTING.spotted("roter, sehr sehr großer Tisch"))


def test_nothing_is_spotted_in_nothing() -> None:
    assert SPOTTING.spotted("") == SPOTTING.spotted("🐶 ... !") == ()


def test_phrases_are_translated_whole_or_not_at_all() -> None:
    own = [
        StoredPhrase(("chien",), ((3, 8),)),
        StoredPhrase(("chien", "rouge"), ((3, 8), (9, 14))),
        StoredPhrase(("chien", "sur", "tapis"), ((3, 8), (15, 18), (22, 27))),
    ]
    found = TRANSLATING.translated(own)
    assert words(found) == [("dog",), ("dog", "red")]
    assert found[1].spans == ((3, 8), (9, 14))


def test_words_of_a_text() -> None:
    assert [word for word, _ in surface_words("L'homme, T-shirt 2 犬が走る")] == [
        "l'homme",
        "t-shirt",
        "2",
        *"犬が走る",
    ]


def test_each_caption_goes_its_way() -> None:
    def caption(name: str, lang: str, text: str, translates: str | None = None) -> Caption:
        return Caption(id=name, lang=lang, text=text, translates=translates)

    captions = [
        caption("en0", "en", "A dog."),
        caption("fr0", "fr", "Un chien.", "en0"),
        caption("cs0", "cs", "Pes."),
        caption("de0", "de-AT", "Ein Hund.", "en0"),
        caption("de1", "de", "Ein Tisch."),
        caption("it0", "it", "Un cane."),
    ]
    dog = (StoredPhrase(("dog",), ((2, 5),)),)
    parsed = {
        ("en", "A dog."): dog,
        ("fr", "Un chien."): (StoredPhrase(("chien",), ((3, 8),)),),
        ("cs", "Pes."): (StoredPhrase(("pes",), ((0, 3),)),),
    }
    found = {row.caption: row for row in rows_of("k", captions, parsed, {"de": SPOTTING, "fr": TRANSLATING})}
    assert {name: (row.way, words(row.phrases)) for name, row in found.items()} == {
        "en0": ("parsed", [("dog",)]),
        "fr0": ("lexicon", [("dog",)]),
        "cs0": ("parsed", [("pes",)]),
        "de0": ("aligned", [("dog",)]),
        "de1": ("lexicon", [("table",)]),
        "it0": ("none", []),
    }


@pytest.fixture
def learned(tmp_path: Path) -> tuple[Artifact, Artifact]:
    """(shards, lexicon) of two languages, one with phrases of its own."""
    english = {"dog": "Hund", "cat": "Katze", "house": "Haus", "tree": "Baum"}
    samples, table = [], []
    for number, (first, second) in enumerate((a, b) for a in english for b in english if a < b):
        name = f"s{number}"
        text = f"{english[first]} und {english[second]}"
        samples.append(sample(name, ("en0", "x", None), ("de0", text, "en0"), ("fr0", "y", "en0")))
        both = tuple(StoredPhrase((word,), ()) for word in (first, second))
        own = tuple(StoredPhrase((f"le {word}",), ()) for word in (first, second))
        for tag, way, phrases in (("en0", "parsed", both), ("de0", "aligned", both), ("fr0", "parsed", own)):
            table.append(
                PhraseRow(
                    caption=f"toys/{name}#{tag}", key=f"toys/{name}", lang=tag[:2], way=way, phrases=phrases
                )
            )
    images = shards(tmp_path / "in", s0=samples)
    (tmp_path / "phrases").mkdir()
    write_table(tmp_path / "phrases" / "s0.parquet", map(phrase_record, table), phrase_schema())
    phrases_ = artifact(tmp_path / "phrases", [record("s0")])
    made = run(LearnLexicon(LearnLexicon.Params()), given(shards=images, phrases=phrases_), tmp_path / "out")
    return images, made


def test_the_stage_learns_each_language_its_way(learned: tuple[Artifact, Artifact]) -> None:
    lexicon = MultilingualLexicon.read(learned[1].file("all", ".lexicon.json"))
    assert sorted(lexicon.entries) == ["de", "fr"]
    german, french = lexicon.entries["de"], lexicon.entries["fr"]
    assert german.words["hund"] == "dog"
    assert german.words["baum"] == "tree"
    assert (german.parsed, french.parsed) == (False, True)
    assert french.words["le cat"] == "cat"
    assert ("house",) in german.concepts
    assert french.concepts == frozenset()
    assert learned[1].manifest.stats["totals"]["pairs"] == 12


def test_illustration_names_languages(learned: tuple[Artifact, Artifact]) -> None:
    ((_, table),) = LearnLexicon(LearnLexicon.Params()).illustrate(learned[1], given())
    assert "hund → dog" in table
    assert "its own phrases" in table


def test_a_lexicon_comes_back(tmp_path: Path) -> None:
    lexicon = MultilingualLexicon({"de": SPOTTING, "fr": TRANSLATING})
    lexicon.write(tmp_path / "l.json")
    assert MultilingualLexicon.read(tmp_path / "l.json") == lexicon


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"languages": {"de": {}}}', '{"languages": {"de": 1}}'])
def test_a_broken_lexicon_names_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(CorruptError, match=r"broken\.json"):
        MultilingualLexicon.read(tmp_path / "broken.json")


def test_a_missing_lexicon(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="missing"):
        MultilingualLexicon.read(tmp_path / "none.json")


def test_phrases_with_a_lexicon(learned: tuple[Artifact, Artifact], parser: Parser, tmp_path: Path) -> None:
    images = shards(tmp_path / "more", s0=[sample("z", ("de0", "Der Hund vor dem Haus", None))])
    stage = Stubborn(Stubborn.Params())
    stage.parser = parser
    inputs = given(shards=images, lexicon=learned[1])
    (shard,) = stage.shards(inputs)
    assert shard.uses["lexicon"] == learned[1].digest
    stage.setup(inputs)
    stage._lexicon = MultilingualLexicon.read(learned[1].file("all", ".lexicon.json")).entries
    (row,) = rows(run(stage, inputs, tmp_path / "made")).values()
    assert row.way == "lexicon"
    assert words(row.phrases) == [("dog",), ("house",)]


def test_a_lexicon_of_parsed_captions_needs_the_model(
    learned: tuple[Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    from parse.phrases import Phrases

    monkeypatch.setattr("parse.languages.parser.load_parser", lambda *args, **options: None)
    with pytest.raises(ConfigError, match="'fr'"):
        Phrases(Phrases.Params()).setup(given(lexicon=learned[1]))
