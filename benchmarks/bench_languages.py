"""How far French, Czech and German captions give the English concepts of their translations, on Multi30k.

python benchmarks/bench_languages.py [--pairs 29000] [--shared ../shared/data]

Aligned: every caption has the concepts of the English caption that it translates. Without that caption: a
lexicon learned from training pairs puts the language's own phrases into English (`parsed`, needs the spaCy
model), or spots English concepts in its words (`spotted`). Both are held against the concepts of the
English caption on the validation split, by precision, recall and F1 of closed tuples, micro-averaged.
Translators were free to say things otherwise, so no parser reaches 100.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from parse.alignment import best_translations
from parse.captions import ENGLISH
from parse.languages.parser import LANGUAGES, CaptionParser, load_parser
from parse.metrics import KINDS, closed, tuple_f1
from parse.phrases import rows_of
from parse.projection import Entry, surface_words
from parse.projection_stage import LearnLexiconParams
from store.concepts import ALIGNED, StoredPhrase
from store.records import Caption

Phrases = tuple[StoredPhrase, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=29_000)
    parser.add_argument("--languages", nargs="+", default=["fr", "cs", "de"])
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    folder = options.shared / "multi30k" / "task1"
    english = load_parser(ENGLISH)
    sources, texts = lines(folder, "train", ENGLISH)[: options.pairs], lines(folder, "val", ENGLISH)
    learn = phrases_of(english, sources)
    stated = phrases_of(english, texts)
    for lang in options.languages:
        train, val = lines(folder, "train", lang)[: options.pairs], lines(folder, "val", lang)
        share = aligned(lang, sources + texts, learn + stated, train + val)
        print(f"{lang}: {share:.2%} of {len(train) + len(val):,} captions have their English concepts")
        if lang in LANGUAGES and importlib.util.find_spec(LANGUAGES[lang].model):
            own = load_parser(lang)
            entry = learned([names(each) for each in phrases_of(own, train)], learn, parsed=True)
            report(lang, "parsed", entry, stated, [entry.translated(each) for each in phrases_of(own, val)])
        entry = learned([[word for word, _ in surface_words(text)] for text in train], learn, parsed=False)
        report(lang, "spotted", entry, stated, [entry.spotted(text) for text in val])


def aligned(lang: str, texts: Sequence[str], stated: Sequence[Phrases], others: Sequence[str]) -> float:
    """The share of captions that come by the concepts of the English one, through the stage's rows."""
    right = 0
    for text, phrases, other in zip(texts, stated, others, strict=True):
        pair = [
            Caption(id="k#en0", lang=ENGLISH, text=text),
            Caption(id=f"k#{lang}0", lang=lang, text=other, translates="k#en0"),
        ]
        row = list(rows_of("k", pair, {(ENGLISH, text): phrases}))[1]
        right += row.way == ALIGNED and [p.words for p in row.phrases] == [p.words for p in phrases]
    return right / len(texts)


def learned(units: list[list[str]], english: list[Phrases], *, parsed: bool) -> Entry:
    """What the stage learns with its default parameters."""
    options = LearnLexiconParams.model_validate({})
    best = best_translations(
        zip(units, map(names, english), strict=True),
        rounds=options.rounds,
        threshold=options.threshold,
        minimum_count=options.minimum_count,
    )
    counts = Counter(phrase.words for each in english for phrase in each)
    known = frozenset(words for words, number in counts.items() if number >= options.minimum_count)
    words = {word: translation for word, (translation, _) in best.items()}
    return Entry(parsed=parsed, words=words, concepts=known, pairs=len(units))


def report(lang: str, way: str, entry: Entry, stated: list[Phrases], found: list[Phrases]) -> None:
    pairs = [
        (closed(p.words for p in truth), closed(p.words for p in guess))
        for truth, guess in zip(stated, found, strict=True)
    ]
    for kind in KINDS:
        precision, recall, f1 = (100 * score.value for score in tuple_f1(pairs, kind))
        print(f"  {lang} {way:8}{kind or 'all':10} P {precision:5.1f}  R {recall:5.1f}  F1 {f1:5.1f}")
    print(f"  {lang} {way:8}{len(entry.words):,} words from {entry.pairs:,} pairs")


def phrases_of(parser: CaptionParser, texts: list[str]) -> list[Phrases]:
    return [tuple(StoredPhrase(p.words, p.spans) for p in graph.phrases()) for graph in parser.pipe(texts)]


def names(phrases: Phrases) -> list[str]:
    return sorted({word for phrase in phrases for word in phrase.words})


def lines(folder: Path, split: str, lang: str) -> list[str]:
    return gzip.decompress((folder / f"{split}.{lang}.gz").read_bytes()).decode().rstrip("\n").split("\n")


if __name__ == "__main__":
    main()
