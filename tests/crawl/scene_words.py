"""Reads the captions of any language by the beginnings of their words: what is said of which thing.

Made apart from the grammars, so that a wrong word in their tables is found.
"""

from __future__ import annotations

import re

VALUES = {
    "en": "small large|big red blue green yellow purple pink black white solid striped dotted",
    "de": "klein groß rot blau grün gelb violett rosa schwarz weiß einfarbig gestreift gepunktet",
    "fr": "petit grand rouge bleu vert jaune violet rose noir blanc unie?s?\\b rayé pois",
    "cs": "mal velk|velc červen modr|modř zelen žlut fialov růžov čern bíl jednobarevn pruhovan puntíkovan",
}
SHAPES = {
    "en": "circle square triangle star heart cross crown ghost",
    "de": "kreis quadrat dreieck stern herz kreuz krone gespenst",
    "fr": "cercle carré triangle étoile cœur croix couronne fantôme",
    "cs": "kruh čtver trojúhelník hvězd srd kříž korun duch",
}
NUMBERS = {
    "en": "two three four",
    "de": "(zwei|beiden)\\b drei\\b vier\\b",
    "fr": "deux trois quatre",
    "cs": "(dv[aě]|dvou|dvěma|ob[aě]|obou|oběma)\\b (tři|tří|třemi)\\b (čtyř)",
}
SIDES = {
    "en": ("to the left of", "to the right of", "above", "below|under"),
    "de": ("links", "rechts", "über|oberhalb", "unter|unterhalb"),
    "fr": ("à gauche d", "à droite d", "au-dessus d", "au-dessous d|en dessous d|sous"),
    "cs": ("nalevo od|vlevo od", "napravo od|vpravo od", "nad", "pod"),
}
WORD = re.compile(r"[^\W\d_]+")


def sense(table: dict[str, str], lang: str, word: str) -> int | None:
    """Which entry of a table a word is a form of."""
    found = [i for i, stem in enumerate(table[lang].split()) if re.match(f"(?:{stem})", word.lower())]
    assert len(found) <= 1, (lang, word, found)
    return found[0] if found else None


def senses(table: dict[str, str], lang: str, text: str) -> list[int]:
    """The entries of a table that a text names, in their own order."""
    found = (sense(table, lang, word) for word in WORD.findall(text))
    return sorted(i for i in found if i is not None)


def sides(lang: str, text: str) -> list[int]:
    """The relations that a text names, as it names them."""
    alternatives = "|".join(rf"(\b(?:{words}))" for words in SIDES[lang])
    if lang in ("de", "cs"):
        alternatives = "|".join(rf"(\b(?:{words})\b)" for words in SIDES[lang])
    return [(match.lastindex or 0) - 1 for match in re.finditer(alternatives, text.lower())]


def facts(lang: str, text: str, spans: list[tuple[int, int]]) -> list[object]:
    """What a caption says, the same for every language that says the same.

    For each mention (characters from and to) its shape, attributes and number; then what is said outside of
    mentions, which is what predicates say; then the relations.
    """
    said: list[object] = []
    outside, end = "", 0
    for start, stop in spans:
        words = text[start:stop]
        said.append(tuple(tuple(senses(table, lang, words)) for table in (SHAPES, VALUES, NUMBERS)))
        outside, end = f"{outside} {text[end:start]}", stop
    outside += f" {text[end:]}"
    said.append(tuple(senses(VALUES, lang, outside)))
    said.append(tuple(sides(lang, text)))
    assert not senses(SHAPES, lang, outside), (lang, outside)
    return said
