"""What the parser costs on top of spaCy, and its speed against scenegraphparser, in one process and one run.

python benchmarks/bench_parse.py [--captions 25014] [--rounds 5] [--peer 1000] [--style spice]

CPU seconds of this process, on COCO's validation captions. "spaCy" is the language model's own work:
tokenizer, tagger, dependency parser, with everything that is not needed left out; "on top" is the rules, the
learned network where the style has one, and the phrases. Both take turns in chunks, as do parser and peer;
the share on top is told for all captions and as the median of rounds, each with its part of the captions.
`scenegraphparser` must be importable (with tabulate); without it the peer is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from itertools import islice
from pathlib import Path
from typing import Any

from parse.parser import AT_ONCE, MODEL, Parser, clean

CHUNK = 128
"""Captions that parser and peer parse in turns."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--captions", type=int, default=25_014)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=int, default=1_000, help="captions that the peer parses")
    parser.add_argument("--style", choices=("spice", "factual"), default="spice")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    content = json.loads((options.shared / "coco_captions" / "captions_val2017.json").read_text("utf-8"))
    captions = [each["caption"] for each in content["annotations"]][: options.captions]
    ours = Parser(style=options.style)
    list(ours.pipe(captions[:AT_ONCE]))  # what is loaded at first use
    rounds = [cost(ours, captions[start :: options.rounds]) for start in range(options.rounds)]
    spacy, top, phrases = (sum(column) for column in zip(*rounds, strict=True))
    shares = sorted(own / models for models, own, _ in rounds)
    print(f"{len(captions):,} captions, style {options.style}, {phrases:,} phrases")
    print(f"spaCy   {spacy:7.2f} s  {len(captions) / spacy:7,.0f} captions/s")
    print(f"on top  {top:7.2f} s  {top / spacy:7.1%}")
    print(f"a round {statistics.median(shares):.1%} (median), {shares[0]:.1%} to {shares[-1]:.1%}")
    print(f"in all  {spacy + top:7.2f} s  {len(captions) / (spacy + top):7,.0f} captions/s")
    if options.peer and importlib.util.find_spec("sng_parser") is not None:
        mine, theirs = against(ours, captions[: options.peer])
        print(f"scenegraphparser {theirs:,.0f} captions/s, ours {mine:,.0f}: {mine / theirs:.1f} times")


def cost(parser: Parser, captions: list[str]) -> tuple[float, float, int]:
    """Seconds of spaCy, seconds on top of it, and how many phrases came out."""
    spacy = top = 0.0
    phrases = 0
    docs = parser.nlp.pipe(
        (clean(caption, parser.max_characters) for caption in captions), batch_size=parser.batch_size
    )
    while True:
        began = time.process_time()
        chunk = list(islice(docs, AT_ONCE))
        parsed = time.process_time()
        phrases += sum(len(graph.phrases()) for graph in parser.read(chunk))
        spacy += parsed - began
        top += time.process_time() - parsed
        if not chunk:
            return spacy, top, phrases


def against(parser: Parser, captions: list[str]) -> tuple[float, float]:
    """Captions a second of ours and of the peer, in turns."""
    import sng_parser

    peer: Any = sng_parser.Parser("spacy", model=MODEL)
    mine = theirs = 0.0
    for start in range(0, len(captions), CHUNK):
        chunk = captions[start : start + CHUNK]
        began = time.process_time()
        for graph in parser.pipe(chunk):
            graph.phrases()
        turned = time.process_time()
        for caption in chunk:
            peer.parse(caption)
        mine += turned - began
        theirs += time.process_time() - turned
    return len(captions) / mine, len(captions) / theirs


if __name__ == "__main__":
    main()
