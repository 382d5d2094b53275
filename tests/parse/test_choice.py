"""Which likely facts go together: rivals, lone objects, adjectives."""

from __future__ import annotations

import numpy as np
import pytest

from parse.choice import chosen, name_ends
from parse.features import Batch, attribute_pairs, batch_of, relation_pairs
from parse.opinion import Opinion, object_pairs, word_pairs
from parse.parser import Parser
from parse.words import Words

CAPTION = "a black cat on a sofa near a dog"
CAT, SOFA, DOG = 2, 5, 8
BLACK = 1


@pytest.fixture(scope="module")
def batch(parser: Parser) -> Batch:
    return batch_of([parser.nlp(CAPTION)], Words(parser.nlp, {}))


def told(
    batch: Batch,
    relations: dict[tuple[int, int], float],
    attributes: dict[tuple[int, int], float] | None = None,
    objects: dict[int, float] | None = None,
) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """What is chosen when the network gives facts these probabilities, and 0.01 to all others."""
    names = np.tile(np.array([0.99, 0.01, 0.0], np.float32), (len(batch.word), 1))
    for token, likely in (objects or dict.fromkeys((CAT, SOFA, DOG), 0.9)).items():
        names[token] = 1 - likely, likely, 0
    candidates = np.array([CAT, SOFA, DOG])
    pairs = relation_pairs(batch, *object_pairs(batch, candidates))
    words = attribute_pairs(batch, *word_pairs(batch, candidates))
    said = []
    for ends, likely_facts in ((pairs, relations), (words, attributes or {})):
        some = np.array([likely_facts.get(each, 0.01) for each in zip(ends.left, ends.right, strict=True)])
        said.append(np.stack([1 - some, some], axis=1).astype(np.float32))
    kept = chosen(batch, Opinion(names, pairs, said[0], words, said[1]))
    return tuple(  # type: ignore[return-value]
        set(zip(ends.left[mask].tolist(), ends.right[mask].tolist(), strict=True))
        for ends, mask in zip((pairs, words), kept, strict=True)
    )


def test_an_object_has_one_governor_unless_another_is_all_but_certain(batch: Batch) -> None:
    assert told(batch, {(CAT, DOG): 0.8, (SOFA, DOG): 0.7, (CAT, SOFA): 0.9})[0] == {(CAT, DOG), (CAT, SOFA)}
    assert told(batch, {(CAT, DOG): 0.97, (SOFA, DOG): 0.95})[0] == {(CAT, DOG), (SOFA, DOG)}


def test_objects_are_related_one_way(batch: Batch) -> None:
    assert told(batch, {(CAT, SOFA): 0.6, (SOFA, CAT): 0.7, (CAT, DOG): 0.9})[0] == {(SOFA, CAT), (CAT, DOG)}


def test_something_is_said_of_every_sure_object(batch: Batch) -> None:
    likely = {(CAT, SOFA): 0.9, (CAT, DOG): 0.2, (SOFA, DOG): 0.3}
    assert told(batch, likely)[0] == {(CAT, SOFA), (SOFA, DOG)}
    assert told(batch, likely, {(DOG, BLACK): 0.9}) == ({(CAT, SOFA)}, {(DOG, BLACK)})
    assert told(batch, likely, objects={CAT: 0.9, SOFA: 0.9, DOG: 0.6})[0] == {(CAT, SOFA)}
    assert told(batch, {(CAT, SOFA): 0.9, (SOFA, DOG): 0.1})[0] == {(CAT, SOFA)}


def test_what_names_nothing_has_no_facts(batch: Batch) -> None:
    assert told(batch, {(CAT, SOFA): 0.9}, {(SOFA, BLACK): 0.9}, {CAT: 0.9, SOFA: 0.2, DOG: 0.1}) == (
        set(),
        set(),
    )


def test_an_adjective_is_rarely_left_out_and_rarely_shared(batch: Batch) -> None:
    related = {(CAT, SOFA): 0.9, (CAT, DOG): 0.9}
    assert told(batch, related, {(CAT, BLACK): 0.4, (SOFA, BLACK): 0.3})[1] == {(CAT, BLACK)}
    assert told(batch, related, {(CAT, BLACK): 0.9, (SOFA, BLACK): 0.7})[1] == {(CAT, BLACK)}
    assert told(batch, related, {(CAT, BLACK): 0.9, (SOFA, BLACK): 0.8})[1] == {(CAT, BLACK), (SOFA, BLACK)}


def test_name_ends() -> None:
    joined = np.array([False, True, True, False, True, False])
    assert name_ends(joined).tolist() == [0, 3, 3, 3, 5, 5]
