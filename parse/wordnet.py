"""WordNet's synsets, from the files that Debian's `wordnet-base` installs or a folder with the same files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from store.errors import UserError

PLACES = (Path("/usr/share/wordnet"), Path("/usr/share/wordnet-3.0"), Path("/usr/local/share/wordnet/dict"))
POS = ("noun", "verb", "adj", "adv")
_ENDINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}
"""WordNet's rules of detachment (morphy)."""


@dataclass(slots=True)
class Synsets:
    """Synsets by phrase, over all parts of speech.

    Attributes:
        index: for each part of speech the synsets of a lemma, words joined by `_`.
        exceptions: for each part of speech the lemmas of an irregular form.
    """

    index: Mapping[str, Mapping[str, frozenset[str]]]
    exceptions: Mapping[str, Mapping[str, tuple[str, ...]]]
    _known: dict[str, frozenset[str]] = field(default_factory=dict)

    def __call__(self, phrase: str) -> frozenset[str]:
        """Return the synsets of a phrase and of its base forms; none where WordNet lacks it."""
        found = self._known.get(phrase)
        if found is None:
            form = phrase.replace(" ", "_")
            found = self._known[phrase] = frozenset(
                synset
                for pos in POS
                for lemma in self._lemmas(form, pos)
                for synset in self.index[pos].get(lemma, ())
            )
        return found

    def _lemmas(self, form: str, pos: str) -> tuple[str, ...]:
        regular = tuple(form[: -len(old)] + new for old, new in _ENDINGS[pos] if form.endswith(old))
        return (form, *self.exceptions[pos].get(form, regular))


def find_synsets(folder: Path | None = None) -> Synsets | None:
    """Read WordNet from `folder`, or from where Debian installs it; None where it is not installed.

    Raises:
        UserError: `folder` was given and has no WordNet.
    """
    if folder is not None:
        if not (folder / "index.noun").is_file():
            raise UserError(f"{folder} has no WordNet: no index.noun", "the folder `dict` of WordNet 3.0")
        return read_synsets(folder)
    return next((read_synsets(place) for place in PLACES if (place / "index.noun").is_file()), None)


def read_synsets(folder: Path) -> Synsets:
    """Read `index.<pos>` and `<pos>.exc` of all parts of speech."""
    return Synsets(
        {pos: _index(folder / f"index.{pos}", pos) for pos in POS},
        {pos: _exceptions(folder / f"{pos}.exc") for pos in POS},
    )


def _index(path: Path, pos: str) -> dict[str, frozenset[str]]:
    """Lines are `lemma pos synsets pointers pointer... senses tagged offset...`; the licence is indented."""
    table = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.startswith(" "):
                parts = line.split()
                table[parts[0]] = frozenset(f"{pos}:{offset}" for offset in parts[-int(parts[2]) :])
    return table


def _exceptions(path: Path) -> dict[str, tuple[str, ...]]:
    if not path.is_file():
        return {}
    rows = [line.split() for line in path.read_text("utf-8").splitlines()]
    return {row[0]: tuple(row[1:]) for row in rows if len(row) > 1}
