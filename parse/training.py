"""Learn what grammar leaves open in FACTUAL's conventions from captions with their scene graphs.

A network can learn from others besides (`teachers`): all of them read captions that have no graph, and it
learns what they say on average, which is more often right than what any of them says.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parse.conventions import ATTRIBUTES
from parse.examples import Examples, fragments, labelled, minibatch, taught
from parse.features import Codes, batch_of
from parse.gold import Sentence, label, learn_lexicon
from parse.metrics import read_facts
from parse.network import Average, Network, Sizes
from parse.parser import MODEL, clean, load
from parse.weights import Weights, save
from parse.words import Words
from store.errors import UserError

if TYPE_CHECKING:
    import torch
    from spacy.language import Language
    from spacy.tokens import Doc


EACH = 10
"""Steps from one set of weights that is averaged to the next."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network is trained.

    Attributes:
        epochs: passes over the captions.
        batch: captions in a step.
        rate: the highest learning rate, reached after `warm_up` steps; it falls linearly to a fiftieth.
        rare: features and relations seen less often than this are unknown.
        dropout, feature_dropout: see Network.
        long: captions of so many tokens, which are rare, are seen twice in an epoch.
        joined, forgotten: see minibatch.
        whole: share of captions without graphs that are seen whole; of all of them a phrase is.
        averaged: share of the steps, the last ones, over which the weights are averaged.
        width, layers: see Sizes.
    """

    epochs: int = 12
    batch: int = 128
    rate: float = 3e-3
    warm_up: int = 200
    rare: int = 5
    dropout: float = 0.2
    feature_dropout: float = 0.15
    joined: float = 0.3
    forgotten: float = 0.15
    long: int = 9
    whole: float = 0.25
    averaged: float = 0.25
    width: int = 96
    layers: int = 3


def train(
    table: Path,
    folder: Path,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    teachers: Sequence[Weights] = (),
    captions: Sequence[str] = (),
    report: Callable[[str], None] | None = None,
    model: str = MODEL,
    chosen: Callable[[int], bool] = lambda row: True,
) -> dict[str, Any]:
    """Train on a CSV in FACTUAL's format and write the weights into `folder`.

    Args:
        table: columns `caption` and `scene_graph`.
        folder: gets `factual.safetensors` and `factual.json`.
        recipe: how; half a minute of one core for each epoch.
        seed: of everything random.
        teachers: networks learned from the same table, to be imitated on `captions`.
        captions: without graphs.
        report: told about progress, a line at a time.
        model: the spaCy pipeline to build on.
        chosen: rows of the table to learn from.

    Returns:
        The provenance that the JSON file states.

    Raises:
        DataError: the table is missing or has other columns.
        UserError: no such spaCy model, or the teachers learned other relations.
    """
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    settled, draw = recipe or Recipe(), np.random.default_rng(seed)
    say = report or (lambda line: None)
    began = time.process_time()
    rows = [row for i, row in enumerate(read_facts(table)) if chosen(i) and row[0].strip()]
    nlp = load(model)
    docs = _parsed(nlp, [caption for caption, _ in rows])
    counts = Counter(token.lower_ for doc in docs for token in doc)
    words = Words(nlp, {word: count for word, count in sorted(counts.items()) if count >= 2})
    weights, examples = _prepared(docs, [facts for _, facts in rows], words, settled)
    weights.provenance = {
        "learned from": "FACTUAL's training pairs (github.com/zhuang-li/FactualSceneGraph, MIT)",
        "table": f"sha256:{hashlib.sha256(table.read_bytes()).hexdigest()}",
        "captions": len(rows),
        "language model": f"{nlp.meta['lang']}_{nlp.meta['name']} {nlp.meta['version']}",
        "recipe": asdict(settled),
        "seed": seed,
    }
    lessons = [examples]
    if teachers:
        if any(each.relations != weights.relations for each in teachers):
            raise UserError("the teachers learned other relations", "train them from the same table")
        docs = _parsed(nlp, fragments(_parsed(nlp, captions), settled.whole, draw))
        lessons.append(taught([doc for doc in docs if len(doc)], words, teachers))
        weights.provenance["teachers"] = [each.provenance for each in teachers]
        digest = hashlib.sha256("\n".join(captions).encode()).hexdigest()
        weights.provenance["captions without graphs"] = f"{len(captions):,}, sha256:{digest}"
    say(
        f"{' and '.join(f'{len(each):,}' for each in lessons)} captions, {len(weights.relations)} relations, "
        f"{len(weights.token_keys):,} features of tokens, {len(weights.pair_keys):,} of pairs"
    )
    for line in _fit(weights, lessons, settled, draw):
        say(f"{line} · {time.process_time() - began:.0f} s")
    save(weights, folder)
    return weights.provenance


def _parsed(nlp: Language, captions: Iterator[str] | Sequence[str]) -> list[Doc]:
    return list(nlp.pipe((clean(caption) for caption in captions), batch_size=256))


def _prepared(
    docs: list[Doc], facts: list[list[tuple[str, ...]]], words: Words, recipe: Recipe
) -> tuple[Weights, Examples]:
    """What is known of the table before a network is: lexicon, labels, features."""
    sentences = [Sentence.of(doc, words) for doc in docs]
    pairs = list(zip(sentences, facts, strict=True))
    lexicon, stand_ins = learn_lexicon(pairs, words.lemmatizer)
    labels = [label(*pair, lexicon, stand_ins, words.lemmatizer) for pair in pairs]
    names, examples = labelled(batch_of(docs, words), sentences, labels, lexicon, recipe.rare)
    of_attributes = examples.attributes.features[examples.attribute_labels > 0]
    of_pairs = np.concatenate([examples.relations.features.ravel(), of_attributes.ravel()])
    keys = (_frequent(examples.batch.features, recipe.rare), _frequent(of_pairs, recipe.rare))
    network = Network(
        Sizes(
            token_features=len(keys[0]) + 1,
            pair_features=len(keys[1]) + 1,
            tensor=examples.batch.tensor.shape[1],
            relations=len(names),
            attributes=len(ATTRIBUTES),
            width=recipe.width,
            layers=recipe.layers,
        ),
        recipe.dropout,
        recipe.feature_dropout,
    )
    return Weights(network, *keys, names, lexicon, dict(words.seen), {}), examples


def _frequent(features: Codes, least: int) -> Codes:
    keys, counts = np.unique(features, return_counts=True)
    return np.asarray(keys[counts >= least])


def _fit(
    weights: Weights, lessons: Sequence[Examples], recipe: Recipe, draw: np.random.Generator
) -> Iterator[str]:
    import torch
    from torch.nn.functional import cross_entropy

    network = weights.network
    tables = [network.tokens.weight, network.pairs.weight]
    dense = [p for p in network.parameters() if all(p is not table for table in tables)]
    optimizers = [
        torch.optim.AdamW(dense, lr=recipe.rate, weight_decay=1e-2, betas=(0.9, 0.98)),
        torch.optim.SparseAdam(tables, lr=recipe.rate, betas=(0.9, 0.98)),
    ]
    orders = [_seen(examples, recipe) for examples in lessons]
    seen = sum(map(len, orders))
    each_epoch = -(-seen // recipe.batch)
    steps = each_epoch * recipe.epochs
    rates = [
        torch.optim.lr_scheduler.LambdaLR(
            each, lambda step: min(1.0, (step + 1) / recipe.warm_up) * max(0.02, 1.0 - step / steps)
        )
        for each in optimizers
    ]
    rows = [_rows(weights, examples) for examples in lessons]
    network.train()
    averaged = Average(network)
    for epoch in range(recipe.epochs):
        total = np.zeros(3)
        shares = [np.array_split(draw.permutation(order), each_epoch) for order in orders]
        for step in range(each_epoch):
            for optimizer in optimizers:
                optimizer.zero_grad()
            for examples, known, share in zip(lessons, rows, shares, strict=True):
                (tree, objects, words), said = minibatch(
                    examples, known, share[step], recipe.joined, recipe.forgotten, draw
                )
                states = network.states(*tree)
                logits = (
                    network.node(states),
                    network.relation_logits(states, *objects),
                    network.attribute_logits(states, *words),
                )
                losses = [cross_entropy(x, y, reduction="sum") for x, y in zip(logits, said, strict=True)]
                (torch.stack(losses).sum() / recipe.batch).backward()
                total += [loss.item() for loss in losses]
            torch.nn.utils.clip_grad_norm_(dense, 5.0)
            for optimizer, rate in zip(optimizers, rates, strict=True):
                optimizer.step()
                rate.step()
            done = epoch * each_epoch + step + 1
            if done % EACH == 0 and done > (1 - recipe.averaged) * steps:
                averaged.add(network)
        told = ", ".join(f"{x / seen:.3f}" for x in total)
        yield f"epoch {epoch + 1} of {recipe.epochs}: loss of names, relations, attributes {told}"
    averaged.write(network)
    network.eval()


def _seen(examples: Examples, recipe: Recipe) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The captions of one epoch; people's long ones twice."""
    every = np.arange(len(examples))
    if examples.nodes.ndim == 2:
        return every
    return np.concatenate([every, np.flatnonzero(np.diff(examples.batch.first) >= recipe.long)])


def _rows(weights: Weights, examples: Examples) -> tuple[torch.Tensor, ...]:
    import torch

    return (
        torch.from_numpy(weights.token_rows(examples.batch.features)),
        torch.from_numpy(weights.pair_rows(examples.relations.features)),
        torch.from_numpy(weights.pair_rows(examples.attributes.features)),
    )
