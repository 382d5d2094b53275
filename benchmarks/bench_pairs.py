"""Retrieval scores of a single stream: from what is cached of both sides, and pair by pair, in one run.

python benchmarks/bench_pairs.py [--images 250] [--slow 512] [--batched 2048]

Two models of random parameters, one of the demo's size, and one that is wider and deeper. Each of 250 images
has one caption; captions are of 8 to 24 words, images have 4 to 16 regions; every caption is scored with
every image.

CPU seconds on one thread, from raw captions and regions to the last score. "From what is cached" is what the
stages do: each caption is cut into pieces once, each image's regions are run through the stream's eye once,
pairs of equal length go together, so that nothing is padding, and of the last layer only [CLS] is computed.
"Pair by pair" reads both sides and runs the stream for each pair, one after another; "in batches" does so for
64 pairs at a time, padded to the longest. Both would take long, so an even share of the pairs is timed, in
turns with the fast side, and scaled. The scores of that share must agree.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bench_rerank import CLASSES, FEATURES, regions, sentences, tokenizer
from store.records import Regions
from train.models.vlbert import VlBert
from train.models.vlbert_seeker import Seeker
from train.models.vlbert_seeking import Sought
from train.models.vlbert_start import StreamStart
from train.models.vlbert_tuned import TunedStream
from train.recipe import load_recipe
from train.vlbert.reader import Reader
from train.vlbert.regions import Detector
from train.vlbert.settings import SeekSettings
from train.vocabulary import Vocabulary

SIZES: dict[str, dict[str, int]] = {
    "the demo's": {},
    "wider": {"hidden": 192, "heads": 6, "feed_forward": 768, "layers": 6, "geometry": 32},
}
BATCH = 64
TURNS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=250, help="and as many captions")
    parser.add_argument("--slow", type=int, default=512, help="pairs that are scored one by one")
    parser.add_argument("--batched", type=int, default=2_048, help="pairs that are scored in batches")
    options = parser.parse_args()
    torch.set_num_threads(1)
    captions, _ = sentences(options.images, random.Random(0))
    images = [regions(number) for number in range(options.images)]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = tokenizer(captions, [[] for _ in captions], Path(folder))
        for name, sizes in SIZES.items():
            torch.manual_seed(0)
            compare(name, random_model(sizes, vocabulary), captions, images, options)


def compare(
    name: str, model: TunedStream, captions: list[str], images: list[Regions], options: argparse.Namespace
) -> None:
    """Time the ways on one model, in turns, and print them."""
    n = len(images)
    every = np.stack(np.divmod(np.arange(n * n), n), axis=1)
    shuffled = np.random.default_rng(0).permutation(every)
    singles, batches = shuffled[: options.slow], shuffled[: options.batched]
    seeker, seconds = Seeker(model), {"cached": 0.0, "pair by pair": 0.0, "in batches": 0.0}
    began = time.process_time()
    texts, seen = seeker.texts([(caption,) for caption in captions]), seeker.images(images)
    seconds["cached"] += time.process_time() - began
    cached = np.empty(n * n, np.float32)
    slow: list[NDArray[np.float32]] = []
    for turn in range(TURNS):
        own = np.array_split(np.arange(n * n), TURNS)[turn]
        began = time.process_time()
        cached[own] = seeker.scores(texts, seen, every[own])
        seconds["cached"] += time.process_time() - began
        for way, pairs, size in (("pair by pair", singles, 1), ("in batches", batches, BATCH)):
            began = time.process_time()
            slow.append(anew(model, captions, images, np.array_split(pairs, TURNS)[turn], size))
            seconds[way] += time.process_time() - began
    sizes = model.start.recipe.vlbert.model
    print(f"{name}: width {sizes.hidden}, {sizes.layers} layers; {n * n:,} pairs")
    for way, pairs in (("pair by pair", singles), ("in batches", batches)):
        rate = len(pairs) / seconds[way]
        times = n * n / seconds["cached"] / rate
        print(f"  {way:13}{rate:8,.0f} pairs/s: {times:.1f} times as long")
    print(f"  cached       {n * n / seconds['cached']:8,.0f} pairs/s")
    timed = [np.array_split(p, TURNS)[turn] for turn in range(TURNS) for p in (singles, batches)]
    again = np.concatenate([cached[part[:, 0] * n + part[:, 1]] for part in timed])
    off = float(np.abs(again - np.concatenate(slow)).max())
    print(f"  scores differ by {off:.1e} at the most; they spread over {np.ptp(cached):.2f}", flush=True)


def anew(
    model: TunedStream, captions: list[str], images: list[Regions], pairs: NDArray[np.int64], size: int
) -> NDArray[np.float32]:
    """Read both sides of each pair and run the stream, so many at a time."""
    network, found = model.network, []
    assert isinstance(network, Sought)
    with torch.inference_mode():
        for first in range(0, len(pairs), size):
            part = pairs[first : first + size].tolist()
            batch = model.reader.rows([(captions[t],) for t, _ in part], [images[i] for _, i in part])
            found.append(network.scores(batch).numpy())
    return np.concatenate(found)


def random_model(sizes: Mapping[str, int], vocabulary: Vocabulary) -> TunedStream:
    """The demo's recipe at other sizes, untrained."""
    recipe = load_recipe("mmbert-b-tiny", {f"vlbert.model.{name}": value for name, value in sizes.items()})
    detector = Detector(FEATURES, tuple(CLASSES), background=False)
    about = {"feature_dim": FEATURES, "classes": CLASSES}
    start = StreamStart(Path(), "", recipe, about, vocabulary)
    trunk = VlBert(
        recipe.vlbert.model, recipe.vlbert.compatibility, words=vocabulary.words, feature_dim=FEATURES
    )
    settings = SeekSettings()
    network = Sought(trunk, settings).eval()
    return TunedStream(start, settings, (), Reader(recipe, vocabulary, detector), network, "cpu")


if __name__ == "__main__":
    main()
