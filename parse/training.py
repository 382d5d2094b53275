"""Learn what grammar leaves open in FACTUAL's conventions from captions with their scene graphs."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parse.conventions import ATTRIBUTES
from parse.features import Batch, Codes, Ints, Pairs, attribute_pairs, batch_of, relation_pairs
from parse.gold import NAME, Labels, Lexicon, Sentence, label, learn_lexicon, relation_label
from parse.metrics import read_facts
from parse.network import Network, Sizes
from parse.opinion import nouns, object_pairs, word_pairs
from parse.parser import MODEL, clean, load
from parse.weights import Weights, save
from parse.words import Words

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of a pair that says nothing to the loss: a relation too rare to have a label."""


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
        joined: share of neighbouring captions that are read as one text, so that length is nothing new.
    """

    epochs: int = 12
    batch: int = 128
    rate: float = 3e-3
    warm_up: int = 200
    rare: int = 5
    dropout: float = 0.3
    feature_dropout: float = 0.15
    joined: float = 0.3
    long: int = 9
    width: int = 64
    layers: int = 3


@dataclass(frozen=True, slots=True)
class Examples:
    """Captions ready for training, end to end; `starts` say where the pairs of a caption begin."""

    batch: Batch
    nodes: Ints
    relations: Pairs
    relation_labels: Ints
    relation_starts: Ints
    attributes: Pairs
    attribute_labels: Ints
    attribute_starts: Ints


def train(
    table: Path,
    folder: Path,
    *,
    epochs: int = 12,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
    recipe: Recipe | None = None,
    model: str = MODEL,
    chosen: Callable[[int], bool] = lambda row: True,
) -> dict[str, Any]:
    """Train on a CSV in FACTUAL's format and write the weights into `folder`.

    Args:
        table: columns `caption` and `scene_graph`.
        folder: gets `factual.safetensors` and `factual.json`.
        epochs: passes over the captions; about half a minute of one core each.
        seed: of everything random.
        report: told about progress, a line at a time.
        recipe: everything else; its `epochs` is overruled.
        model: the spaCy pipeline to build on.
        chosen: rows of the table to learn from.

    Returns:
        The provenance that the JSON file states.

    Raises:
        DataError: the table is missing or has other columns.
        UserError: no such spaCy model.
    """
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    settled = replace(recipe or Recipe(), epochs=epochs)
    say = report or (lambda line: None)
    began = time.process_time()
    rows = [row for i, row in enumerate(read_facts(table)) if chosen(i) and row[0].strip()]
    nlp = load(model)
    words = Words(nlp)
    docs = list(nlp.pipe((clean(caption) for caption, _ in rows), batch_size=256))
    sentences = [Sentence.of(doc, words.lemmatizer) for doc in docs]
    facts = [facts for _, facts in rows]
    lexicon, stand_ins = learn_lexicon(list(zip(sentences, facts, strict=True)), words.lemmatizer)
    labels = [
        label(sentence, stated, lexicon, stand_ins, words.lemmatizer)
        for sentence, stated in zip(sentences, facts, strict=True)
    ]
    batch = batch_of(docs, words)
    names, examples = _examples(batch, sentences, labels, lexicon, settled.rare)
    weights = Weights(
        network=None,  # type: ignore[arg-type]
        token_keys=_frequent(batch.features, settled.rare),
        pair_keys=_frequent(
            np.concatenate(
                [
                    examples.relations.features.ravel(),
                    examples.attributes.features[examples.attribute_labels > 0].ravel(),
                ]
            ),
            settled.rare,
        ),
        relations=names,
        lexicon=lexicon,
        words=dict(sorted(Counter(w for s in sentences for w in s.words).items())),
        provenance={
            "learned from": "FACTUAL's training pairs (github.com/zhuang-li/FactualSceneGraph, MIT)",
            "table": f"sha256:{hashlib.sha256(table.read_bytes()).hexdigest()}",
            "captions": len(rows),
            "language model": f"{nlp.meta['lang']}_{nlp.meta['name']} {nlp.meta['version']}",
            "recipe": asdict(settled),
            "seed": seed,
        },
    )
    weights.network = Network(
        Sizes(
            token_features=len(weights.token_keys) + 1,
            pair_features=len(weights.pair_keys) + 1,
            tensor=batch.tensor.shape[1],
            relations=len(names),
            attributes=len(ATTRIBUTES),
            width=settled.width,
            layers=settled.layers,
        ),
        settled.dropout,
        settled.feature_dropout,
    )
    say(
        f"{len(rows)} captions, {len(names)} relations, {len(weights.token_keys)} features of tokens, "
        f"{len(weights.pair_keys)} of pairs"
    )
    for line in _fit(weights, examples, settled, seed):
        say(f"{line} · {time.process_time() - began:.0f} s")
    weights.words = {word: count for word, count in weights.words.items() if count >= 2}
    save(weights, folder)
    return weights.provenance


def _frequent(features: Codes, least: int) -> Codes:
    keys, counts = np.unique(features, return_counts=True)
    return np.asarray(keys[counts >= least])


def _examples(
    batch: Batch, sentences: Sequence[Sentence], labels: Sequence[Labels], lexicon: Lexicon, rare: int
) -> tuple[list[str], Examples]:
    nodes = np.concatenate([np.array(each.nodes) for each in labels])
    candidates = np.flatnonzero(nouns(batch) | (nodes == NAME))
    relations = relation_pairs(batch, *object_pairs(batch, candidates))
    attributes = attribute_pairs(batch, *word_pairs(batch, candidates))
    place = _places(relations)
    said: dict[int, str] = {}
    attribute_labels = np.zeros(len(attributes.left), np.int64)
    attribute_place = _places(attributes)
    for start, sentence, each in zip(batch.first.tolist(), sentences, labels, strict=False):
        for subject, thing, name in each.relations:
            pair = place.get((subject + start, thing + start))
            if pair is not None:
                verb = int(relations.verb[pair]) - start
                said.setdefault(
                    pair, relation_label(name, sentence.verbs[verb] if verb >= 0 else None, lexicon)
                )
        for owner, token, kind in each.attributes:
            pair = attribute_place.get((owner + start, token + start))
            if pair is not None:
                attribute_labels[pair] = kind
    counts = Counter(said.values())
    names = ["", *sorted((n for n, count in counts.items() if count >= rare), key=lambda n: (-counts[n], n))]
    number = {name: i for i, name in enumerate(names)}
    relation_labels = np.zeros(len(relations.left), np.int64)
    for pair, name in said.items():
        relation_labels[pair] = number.get(name, IGNORED)
    return names, Examples(
        batch,
        nodes,
        relations,
        relation_labels,
        np.searchsorted(relations.left, batch.first),
        attributes,
        attribute_labels,
        np.searchsorted(attributes.left, batch.first),
    )


def _places(pairs: Pairs) -> dict[tuple[int, int], int]:
    return {ends: i for i, ends in enumerate(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))}


def _fit(weights: Weights, examples: Examples, recipe: Recipe, seed: int) -> Iterator[str]:
    import torch
    from torch.nn.functional import cross_entropy

    network = weights.network
    draw = np.random.default_rng(seed)
    tables = {id(p) for p in (network.tokens.weight, network.pairs.weight)}
    dense = [p for p in network.parameters() if id(p) not in tables]
    optimizers = [
        torch.optim.AdamW(dense, lr=recipe.rate, weight_decay=1e-2, betas=(0.9, 0.98)),
        torch.optim.SparseAdam(
            [network.tokens.weight, network.pairs.weight], lr=recipe.rate, betas=(0.9, 0.98)
        ),
    ]
    captions = len(examples.batch.first) - 1
    again = np.flatnonzero(np.diff(examples.batch.first) >= recipe.long)
    seen = captions + len(again)
    steps = -(-seen // recipe.batch) * recipe.epochs
    rates = [
        torch.optim.lr_scheduler.LambdaLR(
            each, lambda step: min(1.0, (step + 1) / recipe.warm_up) * max(0.02, 1.0 - step / steps)
        )
        for each in optimizers
    ]
    rows = (
        torch.from_numpy(weights.token_rows(examples.batch.features)),
        torch.from_numpy(weights.pair_rows(examples.relations.features)),
        torch.from_numpy(weights.pair_rows(examples.attributes.features)),
    )
    network.train()
    for epoch in range(recipe.epochs):
        total = np.zeros(3)
        order = draw.permutation(np.concatenate([np.arange(captions), again]))
        for start in range(0, seen, recipe.batch):
            arrays = _minibatch(examples, rows, order[start : start + recipe.batch], recipe.joined, draw)
            tree, nodes, relations, relation_labels, attributes, attribute_labels = arrays
            states = network.states(*tree)
            losses = (
                cross_entropy(network.node(states), nodes, reduction="sum"),
                cross_entropy(network.relation_logits(states, *relations), relation_labels, reduction="sum"),
                cross_entropy(
                    network.attribute_logits(states, *attributes), attribute_labels, reduction="sum"
                ),
            )
            for optimizer in optimizers:
                optimizer.zero_grad()
            (sum(losses) / recipe.batch).backward()  # type: ignore[union-attr]
            torch.nn.utils.clip_grad_norm_(dense, 5.0)
            for optimizer, rate in zip(optimizers, rates, strict=True):
                optimizer.step()
                rate.step()
            total += [loss.item() for loss in losses]
        told = ", ".join(f"{x / seen:.3f}" for x in total)
        yield f"epoch {epoch + 1} of {recipe.epochs}: loss of names, relations, attributes {told}"
    network.eval()


def _minibatch(
    examples: Examples,
    rows: tuple[torch.Tensor, ...],
    chosen: Ints,
    joined: float,
    draw: np.random.Generator,
) -> tuple[Any, ...]:
    """Cut captions out of the flat arrays and lay them end to end."""
    import torch

    batch = examples.batch
    tokens, shift = _ranges(batch.first, chosen, batch.first)
    sizes = batch.first[chosen + 1] - batch.first[chosen]
    before, after = batch.before[tokens], batch.after[tokens]
    before = np.where(before < 0, -1, before + shift)
    after = np.where(after < 0, -1, after + shift)
    seams = np.cumsum(sizes)[:-1]
    seams = seams[draw.random(len(seams)) < joined]
    before[seams], after[seams - 1] = seams - 1, seams
    tree = (rows[0][tokens], batch.tensor[tokens], before, after, batch.ancestors[tokens, 1] + shift)
    found: list[Any] = [_tensors(tree), torch.from_numpy(examples.nodes[tokens])]
    for pairs, labels, starts, known, with_verb in (
        (examples.relations, examples.relation_labels, examples.relation_starts, rows[1], True),
        (examples.attributes, examples.attribute_labels, examples.attribute_starts, rows[2], False),
    ):
        index, shift = _ranges(starts, chosen, batch.first)
        verb = np.where(pairs.verb[index] < 0, -1, pairs.verb[index] + shift)
        ends = (pairs.left[index] + shift, pairs.right[index] + shift)
        found += [
            _tensors((*ends, verb, known[index]) if with_verb else (*ends, known[index])),
            torch.from_numpy(labels[index]),
        ]
    return tuple(found)


def _ranges(starts: Ints, chosen: Ints, first: Ints) -> tuple[Ints, Ints]:
    """Indices of everything that belongs to the chosen captions, and how far its tokens move."""
    sizes = starts[chosen + 1] - starts[chosen]
    index = np.arange(sizes.sum()) + np.repeat(starts[chosen] - (np.cumsum(sizes) - sizes), sizes)
    tokens = first[chosen + 1] - first[chosen]
    shift = (np.cumsum(tokens) - tokens) - first[chosen]
    return index, np.repeat(shift, sizes)


def _tensors(arrays: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    import torch

    return tuple(
        a if isinstance(a, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(a)) for a in arrays
    )
