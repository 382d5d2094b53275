"""Captions laid out for training: trees, pairs of tokens and what is to be said of them, in flat arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parse.features import (
    ATTRIBUTE_TELLS,
    RELATION_TELLS,
    TELL_AFTER,
    TELL_BEFORE,
    TELL_WORD,
    Batch,
    Bools,
    Ints,
    Pairs,
    attribute_pairs,
    batch_of,
    relation_pairs,
)
from parse.gold import NAME, Labels, Lexicon, Sentence, relation_label
from parse.opinion import nouns, object_pairs, opinion, word_pairs
from parse.weights import Weights
from parse.words import Words

if TYPE_CHECKING:
    import torch
    from spacy.tokens import Doc

IGNORED = -100
"""Label of a pair that says nothing to the loss: a relation too rare to have a label."""
_AT_ONCE = 256

Said = npt.NDArray[Any]
"""Labels, int64 [rows], or probabilities of labels, float16 [rows, labels]."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Captions ready for training, end to end; `starts` say where the pairs of a caption begin."""

    batch: Batch
    nodes: Said
    relations: Pairs
    relation_labels: Said
    relation_starts: Ints
    attributes: Pairs
    attribute_labels: Said
    attribute_starts: Ints

    def __len__(self) -> int:
        return len(self.batch.first) - 1


def labelled(
    batch: Batch, sentences: Sequence[Sentence], labels: Sequence[Labels], lexicon: Lexicon, rare: int
) -> tuple[list[str], Examples]:
    """Lay out captions whose facts are aligned.

    Args:
        batch: their trees.
        sentences, labels: of each caption.
        lexicon: what annotators call things.
        rare: relations said less often than this get no label.

    Returns:
        The labels of relations, the first of which is none, and the examples.
    """
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


def taught(docs: Sequence[Doc], words: Words, teachers: Sequence[Weights]) -> Examples:
    """Lay out captions of which nothing is known but what other networks say, as probabilities."""
    batch = batch_of(docs, words)
    said = [
        opinion(teachers, batch_of(docs[start : start + _AT_ONCE], words))
        for start in range(0, len(docs), _AT_ONCE)
    ]
    firsts = batch.first[:-1:_AT_ONCE].tolist()
    relations = [_moved(each.objects, first) for each, first in zip(said, firsts, strict=True)]
    attributes = [_moved(each.words, first) for each, first in zip(said, firsts, strict=True)]
    objects, pairs = _together(relations), _together(attributes)
    return Examples(
        batch,
        np.concatenate([each.names for each in said]).astype(np.float16),
        objects,
        np.concatenate([each.relations for each in said]).astype(np.float16),
        np.searchsorted(objects.left, batch.first),
        pairs,
        np.concatenate([each.attributes for each in said]).astype(np.float16),
        np.searchsorted(pairs.left, batch.first),
    )


def fragments(docs: Sequence[Doc], whole: float, draw: np.random.Generator) -> Iterator[str]:
    """Cut one phrase of three to nine words out of each caption, as short as those that people described.

    Args:
        docs: parsed captions.
        whole: share of the captions that come whole, too.
        draw: which ones.
    """
    for doc in docs:
        phrases = []
        for token in doc:
            start, end = token.left_edge.i, token.right_edge.i + 1
            if token.tag_.startswith("NN") and 3 <= end - start <= 9 and end - start < len(doc) - 1:
                phrases.append(doc[start:end].text)
        if phrases:
            yield phrases[int(draw.integers(len(phrases)))]
        if draw.random() < whole:
            yield doc.text


def minibatch(
    examples: Examples,
    rows: tuple[torch.Tensor, ...],
    chosen: Ints,
    joined: float,
    forgotten: float,
    draw: np.random.Generator,
) -> tuple[tuple[Any, ...], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Cut captions out of the flat arrays and lay them end to end.

    Args:
        examples: all captions.
        rows: of the features of tokens, pairs of objects, objects with words.
        chosen: which captions.
        joined: share of neighbouring captions that are read as one text, so that length is nothing new.
        forgotten: share of tokens whose word is unknown, so that neither is a rare word.
        draw: which of them.

    Returns:
        Arguments for `states`, `relation_logits` and `attribute_logits` of the network behind its states; and
        what is to be said of tokens, pairs of objects, objects with words.
    """
    import torch

    batch = examples.batch
    tokens, shift = _ranges(batch.first, chosen, batch.first)
    before, after = batch.before[tokens], batch.after[tokens]
    before = np.where(before < 0, -1, before + shift)
    after = np.where(after < 0, -1, after + shift)
    seams = np.cumsum(batch.first[chosen + 1] - batch.first[chosen])[:-1]
    seams = seams[draw.random(len(seams)) < joined]
    before[seams], after[seams - 1] = seams - 1, seams
    lost = np.append(draw.random(len(tokens)) < forgotten, False)
    known = _without(
        rows[0][tokens], (lost[:-1], TELL_WORD), (lost[before], TELL_BEFORE), (lost[after], TELL_AFTER)
    )
    tree = _tensors((known, batch.tensor[tokens], before, after, batch.ancestors[tokens, 1] + shift))
    arguments, said = [tree], [_target(examples.nodes[tokens])]
    for pairs, labels, starts, features, tells, with_verb in (
        (
            examples.relations,
            examples.relation_labels,
            examples.relation_starts,
            rows[1],
            RELATION_TELLS,
            True,
        ),
        (
            examples.attributes,
            examples.attribute_labels,
            examples.attribute_starts,
            rows[2],
            ATTRIBUTE_TELLS,
            False,
        ),
    ):
        index, shift = _ranges(starts, chosen, batch.first)
        verb = np.where(pairs.verb[index] < 0, -1, pairs.verb[index] + shift)
        ends = (pairs.left[index] + shift, pairs.right[index] + shift)
        known = _without(
            features[torch.from_numpy(index)], *zip((lost[ends[0]], lost[ends[1]]), tells, strict=True)
        )
        arguments.append(_tensors((*ends, verb, known) if with_verb else (*ends, known)))
        said.append(_target(labels[index]))
    return tuple(arguments), (said[0], said[1], said[2])


def _places(pairs: Pairs) -> dict[tuple[int, int], int]:
    return {ends: i for i, ends in enumerate(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))}


def _moved(pairs: Pairs, by: int) -> Pairs:
    verb = np.where(pairs.verb < 0, -1, pairs.verb + by)
    return Pairs(pairs.left + by, pairs.right + by, verb, pairs.features)


def _together(parts: Sequence[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([each.left for each in parts]),
        np.concatenate([each.right for each in parts]),
        np.concatenate([each.verb for each in parts]),
        np.concatenate([each.features for each in parts]),
    )


def _ranges(starts: Ints, chosen: Ints, first: Ints) -> tuple[Ints, Ints]:
    """Indices of everything that belongs to the chosen captions, and how far its tokens move."""
    sizes = starts[chosen + 1] - starts[chosen]
    index = np.arange(sizes.sum()) + np.repeat(starts[chosen] - (np.cumsum(sizes) - sizes), sizes)
    tokens = first[chosen + 1] - first[chosen]
    shift = (np.cumsum(tokens) - tokens) - first[chosen]
    return index, np.repeat(shift, sizes)


def _without(known: torch.Tensor, *told: tuple[Bools, tuple[int, ...]]) -> torch.Tensor:
    """Rows of features with the unknown one, 0, in the columns that tell what some rows have forgotten."""
    import torch

    for lost, columns in told:
        known[torch.from_numpy(np.flatnonzero(lost))[:, None], torch.tensor(columns)] = 0
    return known


def _tensors(arrays: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    import torch

    return tuple(
        a if isinstance(a, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(a)) for a in arrays
    )


def _target(said: Said) -> torch.Tensor:
    import torch

    return torch.from_numpy(said.astype(np.float32) if said.ndim == 2 else said)
