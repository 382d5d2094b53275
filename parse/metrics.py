"""How close scene graphs are to other people's: tuple F1, SPICE F1, Set Match, each naming its protocol.

All of them compare tuples as exact strings. A graph is given as tuples: (object,), (object, attribute),
(subject, relation, object). FACTUAL's notation, `( man , ride , horse ) , ( horse , is , brown )`, names an
object alone only where it stands in no other fact, and recorded SPICE outputs only where there is no other
fact at all, so graphs are closed (the objects of every fact added) before their tuples are compared.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def score(pairs: Iterable[Pair]) -> list[Score]:
    """Every metric over closed graphs; tuple F1 for each kind of tuple, too.

    Args:
        pairs: for each caption the tuples stated and the tuples found.
    """
    both = [(closed(stated), closed(found)) for stated, found in pairs]
    scores = [each for kind in KINDS for each in tuple_f1(both, kind)]
    return [
        *scores,
        *tuple_f1([(facts(a), facts(b)) for a, b in both], "", "facts"),
        spice_f1(both),
        set_match(both),
    ]


def tuple_f1(pairs: Sequence[Pair], kind: str = "", what: str = "closed") -> list[Score]:
    """Precision, recall and F1 of the set of tuples, counts summed over captions (micro average)."""
    common = stated = found = 0
    for truth, guess in pairs:
        common += _count(truth & guess, kind)
        stated += _count(truth, kind)
        found += _count(guess, kind)
    protocol = f"graph/{what}_tuples/exact/micro"
    values = {
        "precision": common / found if found else 0.0,
        "recall": common / stated if stated else 0.0,
        "F1": 2 * common / (stated + found) if stated + found else 1.0,
    }
    return [
        Score(name=name, value=value, protocol=protocol, kind=kind, n=len(pairs))
        for name, value in values.items()
    ]


def spice_f1(pairs: Sequence[Pair]) -> Score:
    """F1 of the set of tuples of each caption, averaged over captions: SPICE without its synsets.

    Two empty graphs agree.
    """
    values = [
        2 * len(truth & guess) / (len(truth) + len(guess)) if truth or guess else 1.0
        for truth, guess in pairs
    ]
    return _mean("F1", values, "graph/spice_f1/exact/macro")


def set_match(pairs: Sequence[Pair]) -> Score:
    """Share of captions whose facts are all found, and no other."""
    return _mean("set match", [float(facts(a) == facts(b)) for a, b in pairs], "graph/set_match/exact")


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
    found = set()
    for match in _FACT.finditer(text):
        parts = tuple(part.strip() for part in match.group(1).split(" , "))
        if len(parts) not in (1, 3) or not all(parts):
            raise DataError(f"no fact: '({match.group(1)})'", "( object ) or ( subject , relation , object )")
        found.add((parts[0], parts[2]) if len(parts) == 3 and parts[1] == "is" else parts)
    return frozenset(found)


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
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".tsv":
                rows = [line.rstrip("\n").partition("\t")[::2] for line in file]
            else:
                rows = [(row["caption"], row["scene_graph"]) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path} has no graphs: {error}", "columns: caption, scene_graph") from error
    return [(caption, parse_facts(graph)) for caption, graph in rows]


def _count(tuples: Tuples, kind: str) -> int:
    lengths = KINDS[kind]
    return sum(len(words) in lengths for words in tuples)


def _mean(name: str, values: Sequence[float], protocol: str) -> Score:
    value = sum(values) / len(values) if values else 0.0
    return Score(name=name, value=value, protocol=protocol, kind="", n=len(values))
