"""A toy world on disk: captions about coloured things in four languages, their regions, phrases and tokenizer."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from store.concepts import (
    ALIGNED,
    PARSED,
    ConceptVocabulary,
    PhraseRow,
    StoredPhrase,
    phrase_record,
    phrase_schema,
)
from store.features import StoreWriter
from store.records import Caption, Regions, Sample
from store.shards import ShardWriter
from store.tables import write_table
from train.draws import generator
from train.job import Job
from train.recipe import load_recipe
from train.tokenizer import TokenizerParams, config, train

COLOURS = {
    "red": ("rot", "rouge", "červený"),
    "blue": ("blau", "bleu", "modrý"),
    "green": ("grün", "vert", "zelený"),
    "pink": ("rosa", "rose", "růžový"),
}
THINGS = {
    "ball": ("Ball", "ballon", "míč"),
    "cube": ("Würfel", "cube", "hranol"),
    "star": ("Stern", "étoile", "hvězda"),
    "ring": ("Ring", "anneau", "kruh"),
}
AND = {"en": "and", "de": "und", "fr": "et", "cs": "a"}
LANGUAGES = ("en", "de", "fr", "cs")
DIMENSION = 12


def scene(number: int, seed: int = 0) -> list[tuple[str, str]]:
    """Two to four distinct (colour, thing) pairs."""
    draws = generator(seed, number, "scene")
    pairs = list(itertools.product(COLOURS, THINGS))
    chosen = draws.choice(len(pairs), int(draws.integers(2, 5)), replace=False)
    return [pairs[i] for i in chosen]


def captions(key: str, pairs: list[tuple[str, str]]) -> tuple[Caption, ...]:
    found = []
    for at, lang in enumerate(LANGUAGES):
        words = [
            f"{colour} {thing}" if lang == "en" else f"{COLOURS[colour][at - 1]} {THINGS[thing][at - 1]}"
            for colour, thing in pairs
        ]
        text = f" {AND[lang]} ".join(words)
        found.append(
            Caption(id=f"{key}#{lang}0", lang=lang, text=text, translates=None if at == 0 else f"{key}#en0")
        )
    return tuple(found)


def regions(number: int, pairs: list[tuple[str, str]], seed: int = 0) -> Regions:
    draws = generator(seed, number, "regions")
    n = len(pairs)
    features = np.zeros((n, DIMENSION), np.float32)
    for row, (colour, thing) in enumerate(pairs):
        features[row, list(COLOURS).index(colour)] = 1
        features[row, 4 + list(THINGS).index(thing)] = 1
    features += draws.normal(0, 0.1, features.shape)
    corners = draws.integers(0, 60, (n, 2))
    boxes = np.concatenate([corners, corners + 20], axis=1).astype(np.float32)
    return Regions(
        boxes=boxes,
        features=features.astype(np.float16),
        class_id=np.array([list(THINGS).index(thing) for _, thing in pairs], np.int32),
        score=np.linspace(0.9, 0.5, n, dtype=np.float32),
        attribute_id=np.array([list(COLOURS).index(colour) for colour, _ in pairs], np.int32),
        attribute_score=np.full(n, 0.8, np.float32),
        image_size=np.array([96, 96], np.int32),
    )


def phrases(pairs: list[tuple[str, str]], text: str | None) -> tuple[StoredPhrase, ...]:
    """Objects and their attributes, with spans where the English text is given."""
    found: list[StoredPhrase] = []
    for colour, thing in pairs:
        start = 0 if text is None else text.index(f"{colour} {thing}")
        end = start + len(colour) + 1 + len(thing)
        noun = () if text is None else ((end - len(thing), end),)
        both = () if text is None else ((start, start + len(colour)), *noun)
        found += [StoredPhrase((thing,), noun), StoredPhrase((thing, colour), both)]
    return tuple(found)


def make_world(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Write shards, regions, phrases, concepts and a tokenizer below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    samples, rows, stores = [], [], {}
    for number in range(count):
        pairs, key = scene(number, seed), f"toys/{number:05d}"
        about = captions(key, pairs)
        samples.append(
            Sample(
                key=key,
                captions=about,
                image=None,
                extension="",
                sha256=f"{number:064x}",
                width=96,
                height=96,
            )
        )
        stores[key] = regions(number, pairs, seed)
        for caption in about:
            english = caption.lang == "en"
            rows.append(
                PhraseRow(
                    caption=caption.id,
                    key=key,
                    lang=caption.lang,
                    way=PARSED if english else ALIGNED,
                    phrases=phrases(pairs, caption.text if english else None),
                )
            )
    with ShardWriter(folder / "00000.tar", folder / "00000.parquet") as writer:
        for sample in samples:
            writer.write(sample)
    meta = {"detector": "toy", "classes": list(THINGS), "attributes": list(COLOURS)}
    with StoreWriter(folder / "regions.lmdb", meta, dim=DIMENSION) as store:
        for key, found in stores.items():
            store.write(key, found)
    write_table(folder / "phrases.parquet", [phrase_record(row) for row in rows], phrase_schema())
    words = sorted({p.words for row in rows for p in row.phrases})
    ConceptVocabulary(tuple(words)).write(folder / "all.concepts.json")
    params = TokenizerParams(vocabulary=200, minimum_count=1)
    (folder / "tokenizer").mkdir()
    texts = [caption.text for sample in samples for caption in sample.captions]
    train(texts, params).save(str(folder / "tokenizer" / "tokenizer.json"))
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config(True)))
    return folder


TINY: dict[str, Any] = {
    "model.hidden": 16,
    "model.heads": 2,
    "model.feed_forward": 32,
    "model.text_layers": 1,
    "model.vision_layers": 1,
    "model.fusion_layers": 1,
    "lengths.tags": 24,
    "data.tags": "names+attributes",
    "objectives.masked_tags.weight": 0.5,
    "objectives.fusion_rows": 4,
    "data.batch": 8,
    "optimiser.lr": 1.0e-3,
    "schedule.warmup": 3,
    "run.steps": 20,
    "run.zero_stage": 0,
    "run.checkpoint_every": 10,
    "run.check_every": 5,
}
"""Overrides of mvptr-tiny for tests."""


def make_job(
    world: Path, folder: Path, *, ranks: int = 1, with_phrases: bool = True, **overrides: Any
) -> Job:
    """A job over a world; overrides by dotted key with `__` for dots."""
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    recipe = load_recipe("mvptr-tiny", {**TINY, **dotted})
    for name in ("out", "scratch", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Job(
        recipe=recipe.model_dump(mode="json"),
        shards=(str(world / "00000.parquet"),),
        regions=(str(world / "regions.lmdb"),),
        phrases=(str(world / "phrases.parquet"),) if with_phrases else (),
        concepts=str(world / "all.concepts.json") if with_phrases else "",
        tokenizer=str(world / "tokenizer"),
        output=str(folder / "out" / "model"),
        scratch=str(folder / "scratch"),
        logs=str(folder / "logs"),
        run="toy",
        ranks=ranks,
    )
