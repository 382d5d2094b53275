"""Translation by the encoder-decoder with its memory of keys and values, and without, in one run.

python benchmarks/bench_translation.py [--captions 64] [--batch 32] [--words 24] [--model FOLDER]

Two models of random parameters, one of the demo's size, and one that is wider and deeper; or a tuned one,
which ends its sentences where it likes. Captions are of 8 to 24 words, images have 4 to 16 regions; random
models say 24 word pieces of each, greedily and with four beams.

CPU seconds on one thread, from batches to word pieces. Without a memory the same model reads source, regions
and all that it has said for every further word. Both take turns, batch by batch, and must say the same.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.bench_pairs import SIZES
from benchmarks.bench_rerank import CLASSES, FEATURES, regions, sentences, tokenizer
from store.records import Regions
from train.models.translator import Translator
from train.models.vlbert import VlBert
from train.models.vlbert_tuned import open_tuned
from train.recipe import load_recipe
from train.vlbert.reader import Reader
from train.vlbert.regions import Detector
from train.vocabulary import Vocabulary

WAYS = {"with": True, "without": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--captions", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--words", type=int, default=24, help="that are said of each at the most")
    parser.add_argument("--model", type=Path, help="a folder with a model fine-tuned to translate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    captions, _ = sentences(options.captions, random.Random(0))
    images = [regions(number) for number in range(options.captions)]
    if options.model:
        tuned = open_tuned(options.model)
        assert isinstance(tuned.network, Translator)
        compare(str(options.model), tuned.network, tuned.reader, captions, images, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = tokenizer(captions, [[] for _ in captions], Path(folder))
        for name, sizes in SIZES.items():
            torch.manual_seed(0)
            compare(name, *random_model(sizes, vocabulary), captions, images, options)


def compare(
    name: str,
    model: Translator,
    reader: Reader,
    captions: Sequence[str],
    images: Sequence[Regions],
    options: argparse.Namespace,
) -> None:
    """Time both ways on one model, in turns, and print them."""
    sizes, sep = model.trunk.sizes, reader.vocabulary.sep
    print(f"{name}: width {sizes.hidden}, {sizes.layers} layers, {options.batch} captions at a time")
    for beams in (1, 4):
        seconds, said = dict.fromkeys(WAYS, 0.0), {way: list[list[int]]() for way in WAYS}
        for first in range(0, len(captions), options.batch):
            rows = slice(first, first + options.batch)
            batch = reader.rows([(caption,) for caption in captions[rows]], images[rows])
            for way, cache in WAYS.items():
                began = time.process_time()
                said[way] += model.translate(batch, sep, steps=options.words, beams=beams, cache=cache)
                seconds[way] += time.process_time() - began
        words = sum(map(len, said["with"]))
        rates = {way: words / spent for way, spent in seconds.items()}
        same = "the same words" if said["with"] == said["without"] else "OTHER WORDS"
        print(
            f"  beams {beams}: {rates['with']:8,.0f} words/s with a memory, {rates['without']:8,.0f} without:"
            f" {rates['with'] / rates['without']:.1f} times as many; {same}",
            flush=True,
        )


def random_model(sizes: Mapping[str, int], vocabulary: Vocabulary) -> tuple[Translator, Reader]:
    """The demo's recipe at other sizes, untrained; it never ends a sentence."""
    recipe = load_recipe("mmbert-a-tiny", {f"vlbert.model.{name}": value for name, value in sizes.items()})
    settings = recipe.vlbert
    trunk = VlBert(settings.model, settings.compatibility, words=vocabulary.words, feature_dim=FEATURES)
    model = Translator(trunk, shared=True)
    assert model.word_head is not None
    model.word_head.transform.weight.data.normal_(std=0.5)  # else each word says itself again
    model.word_head.bias.data[vocabulary.sep] = -1e4
    reader = Reader(recipe, vocabulary, Detector(FEATURES, tuple(CLASSES), background=False))
    return model.eval(), reader


if __name__ == "__main__":
    main()
