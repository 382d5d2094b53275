"""How close scene graphs are to other people's: tuple F1, SPICE F1, Set Match, each naming its protocol.

All of them compare tuples: as exact strings (`exact`), after a lemmatizer has gone over every word (`lemmas`,
the protocol of FACTUAL's published figures), or up to WordNet's synonyms (`synsets`). A graph is given as
tuples: (object,), (object, attribute), (subject, relation, object). FACTUAL's notation, `( man , ride , horse
) , ( horse , is , brown )`, names an object alone only where it stands in no other fact, and recorded SPICE
outputs only where there is no other fact, so graphs are closed (the objects of every fact added) before
they are compared.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from parse.wordnet import Synsets
from store.errors import DataError

Tuples = frozenset[tuple[str, ...]]
Pair = tuple[Tuples, Tuples]
"""(stated, found)."""

KINDS = {"": (1, 2, 3), "object": (1,), "attribute": (2,), "relation": (3,)}
_FACT = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One figure.

    Attributes:
        name: `F1`, `precision`, `recall` or `set match`.
        value: a fraction.
        protocol: what was compared and how it was averaged; figures of different protocols do not compare.
        kind: `object`, `attribute`, `relation`, or empty for all tuples.
        n: captions behind it.
    """

    name: str
    value: float
    protocol: str
    kind: str
    n: int


def score(
    pairs: Iterable[Pair], *, lemma: Callable[[str], str] | None = None, synsets: Synsets | None = None
) -> list[Score]:
    """Every metric over closed graphs; tuple F1 for each kind of tuple, too.

    Args:
        pairs: for each caption the tuples stated and the tuples found.
        lemma: applied to every word of both before they are compared, as FACTUAL's evaluation does.
        synsets: adds SPICE F1 with WordNet's synonyms.
    """
    how = "exact" if lemma is None else "lemmas"
    both = [(closed(_lemmas(a, lemma)), closed(_lemmas(b, lemma))) for a, b in pairs]
    scores = [each for kind in KINDS for each in tuple_f1(both, kind, how=how)]
    return [
        *scores,
        *tuple_f1([(facts(a), facts(b)) for a, b in both], "", "facts", how),
        spice_f1(both, how=how),
        *([] if synsets is None else [spice_f1(both, synsets, f"{how}+synsets")]),
        set_match(both, how),
    ]


def tuple_f1(pairs: Sequence[Pair], kind: str = "", what: str = "closed", how: str = "exact") -> list[Score]:
    """Precision, recall and F1 of the set of tuples, counts summed over captions (micro average)."""
    common = stated = found = 0
    for truth, guess in pairs:
        common += _count(truth & guess, kind)
        stated += _count(truth, kind)
        found += _count(guess, kind)
    protocol = f"graph/{what}_tuples/{how}/micro"
    values = {
        "precision": common / found if found else 0.0,
        "recall": common / stated if stated else 0.0,
        "F1": 2 * common / (stated + found) if stated + found else 1.0,
    }
    return [
        Score(name=name, value=value, protocol=protocol, kind=kind, n=len(pairs))
        for name, value in values.items()
    ]


def spice_f1(pairs: Sequence[Pair], synsets: Synsets | None = None, how: str = "exact") -> Score:
    """F1 of the set of tuples of each caption, averaged over captions: SPICE, with or without its synonyms.

    Two empty graphs agree.
    """
    values = [
        2 * matches(truth, guess, synsets) / (len(truth) + len(guess)) if truth or guess else 1.0
        for truth, guess in pairs
    ]
    return _mean("F1", values, f"graph/spice_f1/{how}/macro")


def matches(stated: Tuples, found: Tuples, synsets: Synsets | None = None) -> int:
    """Count tuples that match one to one: equal ones, then those whose elements share synsets."""
    count = len(stated & found)
    if synsets is None:
        return count
    rest = sorted(stated - found)
    for words in sorted(found - stated):
        for other in rest:
            if len(words) == len(other) and all(
                a == b or synsets(a) & synsets(b) for a, b in zip(words, other, strict=True)
            ):
                rest.remove(other)
                count += 1
                break
    return count


def set_match(pairs: Sequence[Pair], how: str = "exact") -> Score:
    """Share of captions whose facts are all found, and no other."""
    return _mean("set match", [float(facts(a) == facts(b)) for a, b in pairs], f"graph/set_match/{how}")


def closed(tuples: Iterable[Sequence[str]]) -> Tuples:
    """The tuples with the objects that they speak of."""
    found = {tuple(words) for words in tuples}
    return frozenset(found | {(word,) for words in found for word in words[::2]})


def facts(tuples: Tuples) -> Tuples:
    """Attributes and relations, or the objects where there are none: what recorded SPICE outputs tell."""
    return frozenset(words for words in tuples if len(words) > 1) or tuples


def parse_facts(text: str) -> Tuples:
    """Read FACTUAL's notation; `( horse , is , brown )` is an attribute.

    Raises:
        DataError: a fact has neither one nor three parts.
    """
    return frozenset(
        (fact[0], fact[2]) if len(fact) == 3 and fact[1] == "is" else fact for fact in _facts(text)
    )


def _facts(text: str) -> Iterator[tuple[str, ...]]:
    for match in _FACT.finditer(text):
        parts = tuple(part.strip() for part in match.group(1).split(" , "))
        if len(parts) not in (1, 3) or not all(parts):
            raise DataError(f"no fact: '({match.group(1)})'", "( object ) or ( subject , relation , object )")
        yield parts


def read_facts(path: Path) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Captions with their facts as they are written, `("horse", "is", "brown")`, of a file of graphs.

    Raises:
        DataError: the file is missing, has other columns, or a graph cannot be read.
    """
    return [(caption, list(_facts(graph))) for caption, graph in _rows(path)]


def format_facts(tuples: Iterable[Sequence[str]]) -> str:
    """Write FACTUAL's notation; objects that stand in a fact are not repeated."""
    found = {tuple(words) for words in tuples}
    told = {word for words in found if len(words) > 1 for word in words[::2]}
    shown = sorted(words for words in found if len(words) > 1 or words[0] not in told)
    parts = [(words[0], "is", words[1]) if len(words) == 2 else words for words in shown]
    return " , ".join(f"( {' , '.join(part)} )" for part in parts)


def read_graphs(path: Path) -> list[tuple[str, Tuples]]:
    """Captions with their graphs: a CSV with the columns `caption` and `scene_graph`, or caption TAB graph.

    Raises:
        DataError: the file is missing, has other columns, or a graph cannot be read.
    """
    return [(caption, parse_facts(graph)) for caption, graph in _rows(path)]


def _rows(path: Path) -> list[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".tsv":
                return [line.rstrip("\n").partition("\t")[::2] for line in file]
            return [(row["caption"], row["scene_graph"]) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path} has no graphs: {error}", "columns: caption, scene_graph") from error


def _lemmas(tuples: Tuples, lemma: Callable[[str], str] | None) -> Tuples:
    if lemma is None:
        return tuples
    return frozenset(tuple(" ".join(map(lemma, part.split())) for part in words) for words in tuples)


def _count(tuples: Tuples, kind: str) -> int:
    lengths = KINDS[kind]
    return sum(len(words) in lengths for words in tuples)


def _mean(name: str, values: Sequence[float], protocol: str) -> Score:
    value = sum(values) / len(values) if values else 0.0
    return Score(name=name, value=value, protocol=protocol, kind="", n=len(values))
