"""Re-ranking from cached states against running every stack for every pair, in one process and one run.

python benchmarks/bench_rerank.py [--images 1000] [--slow 2048] [--texts-each 128] [--images-each 64]

Two models of random parameters: one of the demo's size, and a wider and deeper one with tags that reads [CLS]
as the published recipe does. Each of 1,000 images has one caption; captions are of 8 to 24 words and up to 8
phrases, images have 4 to 16 regions. The model's own embeddings choose the short lists: 128 captions for each
image, 64 images for each caption.

CPU seconds on one thread, from raw captions and regions to the last chance. "From cached states" is what the
stage does: each caption and image is encoded once, a pair on both lists is matched once, by the fusion stack
alone, without padding. "Every stack" encodes both sides of each listed pair anew, first one direction, then
the other: padded to the recipe's lengths, as the original does, and padded to the longest of the batch. Both
would take long, so an even share of their pairs is timed, in turns with the fast side, and scaled. The
chances of that share must agree.
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evaluate.metrics import shortlist
from evaluate.scoring import similarity
from store.records import Regions
from train.models.api import Model
from train.padding import pad_rows
from train.recipe import load_recipe
from train.tokenizer import TokenizerParams
from train.tokenizer import train as train_tokenizer
from train.vocabulary import Concept, Vocabulary

SIZES = {
    "the demo's": {},
    "wider": {
        "model.hidden": 192,
        "model.heads": 6,
        "model.feed_forward": 768,
        "model.text_layers": 3,
        "model.vision_layers": 3,
        "model.fusion_layers": 3,
        "model.pooling": "first",
        "lengths.tags": 12,
    },
}
CLASSES = [f"class{i}" for i in range(40)]
FEATURES = 128
BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000, help="and as many captions")
    parser.add_argument("--texts-each", type=int, default=128, help="captions matched with each image")
    parser.add_argument("--images-each", type=int, default=64, help="images matched with each caption")
    parser.add_argument("--slow", type=int, default=2_048, help="pairs that run through every stack")
    options = parser.parse_args()
    torch.set_num_threads(1)
    draws = random.Random(0)
    captions, phrases = sentences(options.images, draws)
    images = [regions(number) for number in range(options.images)]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = tokenizer(captions, phrases, Path(folder))
        for name, sizes in SIZES.items():
            torch.manual_seed(0)
            compare(name, random_model(sizes, vocabulary), captions, phrases, images, options)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def compare(
    name: str,
    model: Model,
    captions: list[str],
    phrases: list[list[Concept]],
    images: list[Regions],
    options: argparse.Namespace,
) -> None:
    """Time the ways on one model and print them."""
    began = time.process_time()
    texts, seen = model.encode_texts(captions, phrases), model.encode_images(images)
    encoding = time.process_time() - began
    lists = listed(similarity(seen.embeddings, texts.embeddings), options.texts_each, options.images_each)
    every = np.concatenate(lists)
    distinct = np.unique(every[:, 0] * len(images) + every[:, 1])
    pairs = np.stack(np.divmod(distinct, len(images)), axis=1)
    share = [part for each in lists for part in evenly(each, options.slow // 2)]
    seconds = {"recipe": 0.0, "batch": 0.0, "cached": encoding}
    chances, found = [], []
    for part, block in zip(share, np.array_split(pairs, len(share)), strict=True):
        given = [captions[t] for t, _ in part], [phrases[t] for t, _ in part], [images[i] for _, i in part]
        for way in ("recipe", "batch"):
            began = time.process_time()
            chances.append(every_stack(model, *given, full=way == "recipe"))
            seconds[way] += time.process_time() - began
        began = time.process_time()
        found.append(model.match_scores(texts, seen, block))
        seconds["cached"] += time.process_time() - began
    timed = np.concatenate([part for part in share for _ in range(2)])
    again = np.concatenate(found)[np.searchsorted(distinct, timed[:, 0] * len(images) + timed[:, 1])]
    sizes, scale = model.recipe.model, 2 * len(every) / len(timed)
    states = sum(row.nbytes for side in (texts, seen) for row in side.states) / 2**20
    layers = f"{sizes.text_layers}+{sizes.vision_layers}+{sizes.fusion_layers} layers"
    print(f"{name}: width {sizes.hidden}, {layers}, pooling {sizes.pooling}")
    print(f"  {len(every):,} pairs on the lists, {len(distinct):,} of them distinct")
    for way in ("recipe", "batch"):
        total = seconds[way] * scale
        print(
            f"  every stack, padded to the {way}  {total:8,.0f} s, scaled from {seconds[way]:.1f} s:"
            f" {total / seconds['cached']:.1f} times as long"
        )
    print(
        f"  from cached states                {seconds['cached']:8,.0f} s, {encoding:.1f} s of it encode,"
        f" {states:,.0f} MiB of states"
    )
    off = float(np.abs(again - np.concatenate(chances)).max())
    print(f"  chances differ by {off:.1e} at the most; they spread over {np.ptp(again):.2f}", flush=True)


def every_stack(
    model: Model, texts: list[str], phrases: list[list[Concept]], images: list[Regions], *, full: bool
) -> NDArray[np.float32]:
    """Run all three stacks for each pair, padded to the longest of the batch.

    Args:
        full: put one pair of full length among them.
    """
    if full:
        lengths = model.recipe.lengths
        texts = [*texts, " ".join(["word1"] * lengths.words)]
        phrases = [*phrases, list(model.vocabulary.concepts[: lengths.phrases])]
        images = [*images, regions(0, lengths.regions)]
    text, image = (
        model.encode_texts(texts, phrases, batch=len(texts)),
        model.encode_images(images, batch=len(texts)),
    )
    with torch.inference_mode():
        fused = model.network.fuse(*pad_rows(text.states), *pad_rows(image.states))
        return model.network.match(fused.pooled).numpy()[: len(texts) - full]


def listed(coarse: NDArray[np.float64], texts: int, images: int) -> list[NDArray[np.int64]]:
    """The pairs (caption, image) of both short lists, in the order in which they would be scored."""
    captions_of, images_of = shortlist(coarse, texts, axis=1), shortlist(coarse, images, axis=0)
    rows = np.arange(len(coarse))
    return [
        np.stack([captions_of.ravel(), rows.repeat(captions_of.shape[1])], axis=1),
        np.stack([rows.repeat(images_of.shape[1]), images_of.ravel()], axis=1),
    ]


def evenly(pairs: NDArray[np.int64], n: int) -> Iterator[NDArray[np.int64]]:
    """Whole batches of neighbours from all over a list, about n pairs in all."""
    batches = np.array_split(pairs, max(1, len(pairs) // BATCH))
    step = max(1, len(pairs) // n)
    yield from batches[::step]


def sentences(n: int, draws: random.Random) -> tuple[list[str], list[list[Concept]]]:
    """Captions over a small vocabulary, and phrases of two words from each."""
    words = [f"word{i}" for i in range(400)]
    captions, phrases = [], []
    for _ in range(n):
        own = draws.choices(words, k=draws.randint(8, 24))
        captions.append(" ".join(own))
        phrases.append(list(itertools.pairwise(own))[: draws.randint(0, 8)])
    return captions, phrases


def regions(number: int, n: int = 0) -> Regions:
    """An image of n regions, or of 4 to 16, with features of its own."""
    draws = np.random.default_rng(number)
    n = n or int(draws.integers(4, 17))
    corners = draws.uniform(0, 80, (n, 2))
    return Regions(
        boxes=np.concatenate([corners, corners + draws.uniform(4, 20, (n, 2))], axis=1).astype(np.float32),
        features=(draws.normal(size=FEATURES) + draws.normal(size=(n, FEATURES))).astype(np.float16),
        class_id=draws.integers(0, len(CLASSES), n).astype(np.int32),
        score=np.linspace(0.9, 0.3, n, dtype=np.float32),
        attribute_id=np.full(n, -1, np.int32),
        attribute_score=np.zeros(n, np.float32),
        image_size=np.array([100, 100], np.int32),
    )


def tokenizer(captions: list[str], phrases: list[list[Concept]], folder: Path) -> Vocabulary:
    """A vocabulary of the captions' words and phrases."""
    train_tokenizer(captions, TokenizerParams()).save(str(folder / "tokenizer.json"))
    return Vocabulary(folder / "tokenizer.json", sorted({phrase for own in phrases for phrase in own}))


def random_model(sizes: dict[str, object], vocabulary: Vocabulary) -> Model:
    """The demo's recipe at other sizes, untrained."""
    about = {
        "recipe": load_recipe("mvptr-tiny", sizes).model_dump(mode="json"),
        "languages": ["en"],
        "uses_phrases": True,
        "region_dim": FEATURES + 6,
        "classes": CLASSES,
        "attributes": [],
    }
    return Model(about, vocabulary, "cpu")


if __name__ == "__main__":
    main()
