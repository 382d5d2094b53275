"""The concept vocabulary of COCO's and Multi30k's English captions against MVPTR's id2phrase.

python benchmarks/bench_concepts.py [--minimum 50] [--limit 0] [--shared ../shared/data]
python benchmarks/bench_concepts.py --synthetic 10000000

Parses the captions, counts their phrases by sentence on disk where they do not fit in memory, and says which
share of MVPTR's entries is found, at half the captions and at all of them, and what explains the others. With
`--synthetic`, counts so many phrases drawn from a long tail instead, and says what memory that took.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from parse.concepts import select
from parse.counting import HELD, SEPARATOR, SortedCounts
from parse.graph import KINDS
from parse.parser import Parser
from store.concepts import Words, read_id2phrase

FUNCTION_WORDS = frozenset(
    ("a", "an", "the", "what", "that", "this", "do", "have", "look", "sit", "be", "it", "one")
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minimum", type=int, default=50)
    parser.add_argument("--limit", type=int, default=0, help="captions; 0 for all")
    parser.add_argument("--synthetic", type=int, default=0)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.synthetic:
            synthetic(options.synthetic, Path(folder))
        else:
            captions = list(captions_of(options.shared))[: options.limit or None]
            mvptr = frozenset(read_id2phrase(options.shared / "mvptr" / "id2phrase_new.json").values())
            real(captions, mvptr, options.minimum, Path(folder))


def real(captions: list[str], mvptr: frozenset[Words], minimum: int, folder: Path) -> None:
    ours = Parser()
    loaded = peak()
    counts = SortedCounts(lambda: folder)
    half: Counter[str] = Counter()
    began = time.process_time()
    for number, graph in enumerate(ours.pipe(captions)):
        if number == len(captions) // 2:
            half = shares(dict(counts.merged()), mvptr, minimum)
        counts.add(SEPARATOR.join(words) for words in graph.tuples())
    seconds = time.process_time() - began
    print(f"{len(captions):,} captions in {seconds:.0f} s, {peak() - loaded} MiB above the model")
    every = dict(counts.merged())
    vocabulary, totals = select(every.items(), minimum, len(captions))
    print(f"{totals['distinct']:,} phrases, {len(vocabulary):,} in {minimum} sentences or more")
    whole = shares(every, mvptr, minimum)
    print(f"{len(mvptr):,} entries of MVPTR: captions used, found in any sentence, in {minimum} or more")
    for used, found in ((len(captions) // 2, half), (len(captions), whole)):
        print(f"  {used:,}  {found['any'] / len(mvptr):.1%}  {found['frequent'] / len(mvptr):.1%}")
    ours_too = sum(words in mvptr for words in vocabulary.concepts)
    print(f"of our vocabulary {ours_too / max(len(vocabulary), 1):.1%} are entries of MVPTR's")
    seen = Seen.of(every, captions)
    reasons: dict[str, list[Words]] = {}
    for words in sorted(mvptr, key=lambda w: (hash_of(w), w)):
        reasons.setdefault(reason(words, seen), []).append(words)
    for why, members in sorted(reasons.items(), key=lambda item: -len(item[1])):
        kinds = Counter(len(words) for words in members)
        shown = ", ".join(f"{kinds[n]:,} {kind}" for n, kind in enumerate(KINDS, 1) if kinds[n])
        print(f"  {len(members):6,}  {len(members) / len(mvptr):6.1%}  {why} ({shown})")
        print(f"{'':18}{'; '.join(' '.join(words) for words in members[:6])}")


def shares(counts: dict[str, int], mvptr: Iterable[Words], minimum: int) -> Counter[str]:
    """How many entries occur at all, and how many often enough."""
    found = [counts.get(SEPARATOR.join(words), 0) for words in mvptr]
    return Counter({"any": sum(n > 0 for n in found), "frequent": sum(n >= minimum for n in found)})


@dataclass(frozen=True)
class Seen:
    """What the captions hold: phrases, words of text, and our objects, attributes and relations alone."""

    phrases: frozenset[str]
    text: frozenset[str]
    objects: frozenset[str]
    attributes: frozenset[str]
    relations: frozenset[str]

    @classmethod
    def of(cls, phrases: Iterable[str], captions: Iterable[str]) -> Seen:
        parts = [phrase.split(SEPARATOR) for phrase in phrases]
        text = {
            word
            for caption in captions
            for word in caption.lower().replace(".", " ").replace(",", " ").split()
        }
        return cls(
            frozenset(phrases),
            frozenset(text | {word for each in parts for part in each for word in part.split()}),
            frozenset(word for each in parts for word in each[::2]),
            frozenset(each[1] for each in parts if len(each) == 2),
            frozenset(each[1] for each in parts if len(each) == 3),
        )


def reason(words: Words, seen: Seen) -> str:
    """Why an entry was not found, or that it was."""
    if SEPARATOR.join(words) in seen.phrases:
        return "found"
    if any("/" in word for word in words):
        return "synset merge of SPICE's, `a/b`"
    if any(not word.replace(" ", "").replace("-", "").replace("'", "").isalnum() for word in words):
        return "odd characters"
    if (len(words) == 3 and words[1] == "be") or FUNCTION_WORDS & {words[0], words[-1]}:
        return "function word as object, attribute or relation"
    parts = {part for word in words for part in word.split()}
    if not parts <= seen.text:
        return "a word that these captions do not hold"
    if not seen.objects.issuperset(words[::2]):
        return "a word that is no object here"
    if len(words) == 2:
        return (
            "object and attribute occur, not of each other"
            if words[1] in seen.attributes
            else "a word that is no attribute here"
        )
    return (
        "objects and relation occur, not together"
        if words[1] in seen.relations
        else "a relation that does not occur"
    )


def synthetic(phrases: int, folder: Path) -> None:
    """Count phrases of which nearly every other is new."""
    chance = random.Random(0)
    before = peak()
    counts = SortedCounts(lambda: folder)
    began = time.process_time()
    for _ in range(phrases // 10):
        counts.add(f"w{int(chance.paretovariate(0.15)) % 10**12}\tx{chance.randrange(50)}" for _ in range(10))
    distinct = total = 0
    for _, count in counts.merged():
        distinct += 1
        total += count
    runs = [path.stat().st_size for path in folder.iterdir()]
    print(f"{total:,} phrases, {distinct:,} distinct; {HELD:,} held, {len(runs)} runs, {sum(runs) >> 20} MiB")
    print(f"{peak() - before} MiB more than before at the most, {time.process_time() - began:.0f} s")


def captions_of(shared: Path) -> Iterator[str]:
    """COCO's captions, then Multi30k's five independent English ones an image, all splits."""
    content = json.loads((shared / "coco_captions" / "captions_val2017.json").read_text("utf-8"))
    yield from (each["caption"] for each in content["annotations"])
    for path in sorted((shared / "multi30k" / "task2").glob("train.*.en.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from (line.rstrip("\n") for line in file)


def peak() -> int:
    """Most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def hash_of(words: Words) -> int:
    """An order that has nothing to do with the alphabet, for examples."""
    return random.Random(" ".join(words)).randrange(1 << 30)


if __name__ == "__main__":
    main()
