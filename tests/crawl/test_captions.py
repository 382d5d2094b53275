"""Ids of captions, and the rules that a text must meet."""

from __future__ import annotations

import pytest

from crawl.captions import CaptionList, check, is_tag, printable
from store.records import Caption


def test_captions_are_numbered_by_language() -> None:
    captions = CaptionList("d/1")
    captions.add_aligned({"de": "Ein Hund.", "en": "A dog.", "fr": "Un chien."}, "en")
    captions.add("en", "A wet dog.")
    captions.add("de", "Ein nasser Hund.")
    assert [(c.id, c.translates) for c in captions.done()] == [
        ("d/1#en0", None),
        ("d/1#de0", "d/1#en0"),
        ("d/1#fr0", "d/1#en0"),
        ("d/1#en1", None),
        ("d/1#de1", None),
    ]


def test_without_the_original_language_the_first_is_the_original() -> None:
    captions = CaptionList("d/1")
    captions.add_aligned({}, "en")
    captions.add_aligned({"cs": "Pes.", "fr": "Chien."}, "en")
    assert [(c.id, c.translates) for c in captions.done()] == [("d/1#cs0", None), ("d/1#fr0", "d/1#cs0")]


@pytest.mark.parametrize(
    ("lang", "text", "says"),
    [
        ("en", "", "empty"),
        ("en", " \n\t", "empty"),
        ("en", "x" * 1001, "1001 characters, the limit is 1000"),
        ("en", "caf\udce9", "not UTF-8"),
        ("en", "half an emoji \ud83d", "not UTF-8"),
        ("english", "A dog.", "language tag"),
        ("", "A dog.", "language tag"),
        ("en\n", "A dog.", "language tag"),
    ],
)
def test_bad_captions_say_why(lang: str, text: str, says: str) -> None:
    good, dropped = check([Caption(id="d/1#en0", lang=lang, text=text)], 1000)
    assert good == ()
    assert says in dropped[0].detail


@pytest.mark.parametrize("text", ["A dog.", "x" * 1000, "犬", "👍", "line\nbreak", "a\0b"])
def test_what_its_source_has_is_kept_as_it_is(text: str) -> None:
    caption = Caption(id="d/1#en0", lang="en", text=text)
    assert check([caption], 1000) == ((caption,), [])


def test_a_second_caption_of_one_id_is_dropped() -> None:
    captions = [Caption(id="d/1#en0", lang="en", text=text) for text in ("one", "two")]
    good, dropped = check(captions, 10)
    assert [c.text for c in good] == ["one"]
    assert "second caption of id d/1#en0" in dropped[0].detail


def test_translations_of_a_dropped_original_stay_linked_to_each_other() -> None:
    captions = CaptionList("d/1")
    captions.add_aligned({"en": "", "de": "Ein Hund.", "fr": "Un chien.", "cs": "Pes."}, "en")
    good, _ = check(captions.done(), 100)
    assert [(c.id, c.translates) for c in good] == [
        ("d/1#de0", None),
        ("d/1#fr0", "d/1#de0"),
        ("d/1#cs0", "d/1#de0"),
    ]


@pytest.mark.parametrize("tag", ["en", "cs", "pt-BR", "zh-Hant-TW", "fil", "sl-rozaj-biske-1994"])
def test_language_tags(tag: str) -> None:
    assert is_tag(tag)


def test_details_can_always_be_written() -> None:
    assert printable("a\x1b[31m\ud800é\n") == "a\\x1b[31m\\ud800é\\n"
