"""Where the style `spice` and SPICE's own parser part, tuple by tuple, with the cause of each difference.

python benchmarks/bench_spice.py [--examples 3] [--shared ../shared/data]

Reads the 1,200 recorded outputs of SPICE, prints tuple F1, and puts every tuple that only one side has under
exactly one cause, the first that explains it; so the counts add up to all differences. A cause is recognised
by what the caption and both graphs look like, not by SPICE's own trees, which are not recorded. `F1 without`
says what would be reached if the differences of this cause and of those above it were gone.

Causes that are defects of SPICE's are marked `defect`: what it then says, or leaves out, a person who reads
the caption would not. A second figure sets those tuples aside on both sides, and an object only where every
fact that took it along is such a defect's. It is no figure of the protocol, and has a name of its own.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from parse.lexicon import PREPOSITIONS, QUANTITIES
from parse.metrics import KINDS, Tuples, closed, read_graphs, tuple_f1
from parse.parser import Parser, clean

_PLACES = frozenset(
    ("top", "front", "middle", "side", "edge", "back", "end", "center", "bottom", "corner", "tine")
)


@dataclass(frozen=True)
class Case:
    """One caption.

    Attributes:
        stated, found: closed tuples of SPICE and of ours.
        alone: verbs of participles without auxiliary.
        passive: verbs of participles with one.
        ing: present participles, as they stand.
        root: a phrase without the inflection of its words.
    """

    caption: str
    stated: Tuples
    found: Tuples
    alone: frozenset[str]
    passive: frozenset[str]
    ing: frozenset[str]
    root: Callable[[str], str]

    @property
    def lost(self) -> Tuples:
        return self.stated - self.found

    @property
    def new(self) -> Tuples:
        return self.found - self.stated


def synonyms(case: Case, words: tuple[str, ...]) -> bool:
    merged = {part for each in case.stated for w in each if "/" in w for part in (w, *w.split("/"))}
    return bool(merged & set(words))


def broken(case: Case, words: tuple[str, ...]) -> bool:
    marred = {w for each in case.stated for w in each if w != w.lower()}
    return bool(marred) and (bool(marred & set(words)) or (words in case.found and len(words) == 2))


def article(case: Case, words: tuple[str, ...]) -> bool:
    if len(words) != 2:
        return False
    if words in case.lost:
        return words[1] == "a"
    return words[1] in QUANTITIES and (words[0], "a") in case.lost


def compound_preposition(case: Case, words: tuple[str, ...]) -> bool:
    long = [w for w in case.new if len(w) == 3 and any(w[1].endswith(p) for p in PREPOSITIONS if " " in p)]
    split = [
        w for w in case.lost if len(w) == 3 and (w[2] in _PLACES or w[1].split()[-1] in ("of", "to", "from"))
    ]
    if words in long or words in split:
        return bool(long) and bool(split)
    return len(words) == 1 and words[0] in _PLACES and bool(long)


def participle_as_noun(case: Case, words: tuple[str, ...]) -> bool:
    taken = {w[0] for w in case.lost if w[0] in case.ing} | {
        w[1] for w in case.lost if len(w) == 2
    } & case.ing
    if not taken:
        return False
    verbs = {case.root(w) for w in taken}
    if words in case.lost:
        return any(w in taken for w in words)
    return len(words) == 3 and words[1].split()[0] in verbs


def same_but_form(case: Case, words: tuple[str, ...]) -> bool:
    others = case.found if words in case.lost else case.stated
    return any(
        len(words) == len(each) and words != each and [*map(case.root, words)] == [*map(case.root, each)]
        for each in others
    )


def attached_elsewhere(case: Case, words: tuple[str, ...]) -> bool:
    others = case.new if words in case.lost else case.lost
    return len(words) == 3 and any(
        len(each) == 3 and each[2] == words[2] and each[1].split()[-1] == words[1].split()[-1]
        for each in others
    )


def participle_lost(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.new and len(words) > 1 and words[1].split()[0] in case.alone


def passive_lost(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.new and len(words) > 1 and words[1].split()[0] in case.passive


def modifier_described(case: Case, words: tuple[str, ...]) -> bool:
    """`stop red` for `sign red`: the adjective is said of the noun that describes the head."""
    if len(words) != 2:
        return False
    head, value = words
    if words in case.new:
        return any(w[1:] == (value,) and (head, w[0]) in case.found for w in case.lost)
    return any(w[1:] == (value,) and (w[0], head) in case.found for w in case.new)


def one_of_several(case: Case, words: tuple[str, ...]) -> bool:
    """`clear blue sky`: both sides have another attribute of the same object."""
    both = case.found & case.stated
    return words in case.new and len(words) == 2 and any(len(w) == 2 and w[0] == words[0] for w in both)


def other_head(case: Case, words: tuple[str, ...]) -> bool:
    if len(words) != 2:
        return False
    others = case.new if words in case.lost else case.lost
    return any(len(each) == 2 and set(each) & set(words) for each in others)


def relation_lost(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.new and len(words) == 3


def relation_theirs(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.lost and len(words) == 3


def attribute_lost(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.new and len(words) == 2


def attribute_theirs(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.lost and len(words) == 2


CAUSES: tuple[tuple[str, Callable[[Case, tuple[str, ...]], bool]], ...] = (
    ("nodes merged that share a synset, `tail/dog`", synonyms),
    ("broken output: names such as `Nodes`", broken),
    ("`a pair of scissors` leaves the article as attribute, `scissors a`", article),
    ("compound preposition taken apart: `on` `top`, `of`; `park to`", compound_preposition),
    ("participle taken for a noun that the one before describes: `standing horse`", participle_as_noun),
    ("form of a word: participles as verbs (`leg define`), plurals unknown to its lemmatizer", same_but_form),
    ("the same preposition and object hung on another noun or verb", attached_elsewhere),
    ("what a participle behind its noun says is lost: `a man riding an elephant`", participle_lost),
    ("what a passive with its auxiliary says is lost: `the ground is covered in snow`", passive_lost),
    (
        "an adjective is said of the noun that describes its own: `stop red` for `sign red`",
        modifier_described,
    ),
    ("one of several attributes is lost: `clear blue sky`", one_of_several),
    ("another head in a row of nouns and adjectives", other_head),
    ("another relation of ours that it lacks", relation_lost),
    ("another relation of its own", relation_theirs),
    ("another attribute of ours that it lacks", attribute_lost),
    ("another attribute of its own", attribute_theirs),
)
CONSEQUENCE = "objects that stand alone once their fact is lost, which its records leave out"
_ITS_OWN = (
    *(synonyms, broken, article, compound_preposition, participle_as_noun, participle_lost, passive_lost),
    *(modifier_described, one_of_several),
)
DEFECTS = frozenset(name for name, holds in CAUSES if holds in _ITS_OWN)
"""Causes that are SPICE's alone; the others are ours, or matters of taste."""


def causes(case: Case) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each difference with its cause."""
    for words in sorted(case.lost | case.new):
        cause = next((name for name, holds in CAUSES if holds(case, words)), CONSEQUENCE)
        yield cause, words


def of_defects(case: Case) -> Tuples:
    """The differences that defects of SPICE's explain, with the objects that these alone took along."""
    found = {words: cause for cause, words in causes(case)}
    facts = {words: cause in DEFECTS for words, cause in found.items() if cause != CONSEQUENCE}
    taken = {words for words, defect in facts.items() if defect}
    for words in found.keys() - facts.keys():
        side = case.lost if words in case.lost else case.new
        lost_with = [facts[each] for each in facts if each in side and words[0] in (each[0], each[-1])]
        if lost_with and all(lost_with):
            taken.add(words)
    return frozenset(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--examples", type=int, default=2)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    cases = list(cases_of(options.shared / "spice" / "spice_outputs.tsv"))
    pairs = [(case.stated, case.found) for case in cases]
    for kind in KINDS:
        precision, recall, f1 = (score.value for score in tuple_f1(pairs, kind))
        print(f"{kind or 'all tuples':12} P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}")
    gone = [of_defects(case) for case in cases]
    left = [(stated - each, found - each) for (stated, found), each in zip(pairs, gone, strict=True)]
    print(
        f"F1 of what is left when {sum(map(len, gone)):,} tuples that its defects explain are set aside: "
        f"{tuple_f1(left)[2].value:.3f}"
    )
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for case in cases:
        for cause, words in causes(case):
            counts[cause] += 1
            sign = "-" if words in case.lost else "+"
            examples.setdefault(cause, []).append(f"{case.caption!r}: {sign}({', '.join(words)})")
    every = sum(len(a) + len(b) for a, b in pairs)
    rest = sum(counts.values())
    print(
        f"{rest:,} tuples that only one side has, of {every:,} on both; captions that agree wholly: "
        f"{sum(a == b for a, b in pairs):,} of {len(pairs):,}"
    )
    for cause, count in counts.most_common():
        rest -= count
        mark = "defect" if cause in DEFECTS else ""
        print(f"{count:5}  F1 without {1 - rest / every:.3f}  {mark:6}  {cause}")
        for example in examples[cause][:: max(1, len(examples[cause]) // max(1, options.examples))][
            : options.examples
        ]:
            print(f"         {example}")


def cases_of(path: Path) -> Iterator[Case]:
    """Parse the captions of the record."""
    parser = Parser()
    rows = read_graphs(path)
    lemma = parser.lemmatizer
    docs = list(parser.nlp.pipe(clean(caption) for caption, _ in rows))

    def root(phrase: str) -> str:
        return " ".join(lemma.noun(lemma.verb(word)) for word in phrase.split())

    for (caption, stated), doc, graph in zip(rows, docs, parser.read(docs), strict=True):
        helped = {t.head.i for t in doc if t.dep_ in ("aux", "auxpass")}
        participles = [t for t in doc if t.tag_ in ("VBG", "VBN", "VBD") or t.lower_.endswith("ing")]
        yield Case(
            caption=caption,
            stated=closed(stated),
            found=closed(graph.tuples()),
            alone=frozenset(lemma.verb(t.lower_) for t in participles if t.i not in helped),
            passive=frozenset(lemma.verb(t.lower_) for t in participles if t.i in helped),
            ing=frozenset(t.lower_ for t in participles if t.lower_.endswith("ing")),
            root=root,
        )


if __name__ == "__main__":
    main()
