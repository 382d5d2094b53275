"""Where the style `spice` and SPICE's own parser part, tuple by tuple, with the cause of each difference.

python benchmarks/bench_spice.py [--examples 3] [--shared ../shared/data]

Reads the 1,200 recorded outputs of SPICE, prints tuple F1, and puts every tuple that only one side has under
exactly one cause (spice_causes.py), the first that explains it; so the counts add up to all differences.
`F1 without` says what would be reached if the differences of this cause and of those above it were gone.

Causes that are defects of SPICE's are marked `defect`: what it then says, or leaves out, a person who reads
the caption would not; `record` marks what its records cannot tell. A second figure sets those tuples aside on
both sides, and an object only where every fact that took it along is such a defect's. It is no figure of the
protocol, and has a name of its own.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from spice_causes import DEFECTS, RECORD, Case, causes, set_aside

from parse.metrics import KINDS, closed, read_graphs, tuple_f1
from parse.parser import Parser, clean


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
    gone = [set_aside(case) for case in cases]
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
        mark = "defect" if cause in DEFECTS else "record" if cause == RECORD else ""
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
        clauses = {t.i for t in doc if t.dep_ in ("relcl", "xcomp", "advcl", "ccomp", "conj")}
        participles = [t for t in doc if t.tag_ in ("VBG", "VBN", "VBD") or t.lower_.endswith("ing")]
        yield Case(
            caption=caption,
            stated=closed(stated),
            found=closed(graph.tuples()),
            alone=frozenset(lemma.verb(t.lower_) for t in participles if t.i not in helped),
            passive=frozenset(lemma.verb(t.lower_) for t in participles if t.i in helped),
            sentences=frozenset(lemma.verb(doc[i].lower_) for i in clauses if doc[i].tag_[:2] == "VB"),
            participles=frozenset(t.lower_ for t in participles),
            verbs=frozenset(root(t.lower_) for t in doc if t.tag_[:2] == "VB"),
            nouns=frozenset(root(t.lower_) for t in doc if t.tag_[:2] == "NN")
            - {root(t.lower_) for t in participles},
            words=tuple(root(t.lower_) for t in doc),
            root=root,
        )


if __name__ == "__main__":
    main()
