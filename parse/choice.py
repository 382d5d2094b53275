"""Which likely facts go together: people say of nearly every object something, and once what governs it.

In FACTUAL's training captions 96 of 100 objects of relations have one subject, 99 of 100 attributes have one
owner, one pair of objects in a thousand is related both ways, and an object of which nothing is said stands
alone in its caption. The network judges each pair by itself; the bounds were chosen on captions of the
training table that it had not learned from.
"""

from __future__ import annotations

import numpy as np

from parse.features import Batch, Bools, Ints, Pairs, codes
from parse.opinion import LIKELY_NAME, Floats, Opinion

LIKELY = 0.5
"""Probability from which a fact is told."""
LIKELY_ADJECTIVE = 0.25
"""The same for what an adjective is most likely said of: annotators leave few of them out."""
CERTAIN_RIVAL = 0.9
"""The same for a relation whose object has a likelier subject, or that is likelier the other way round."""
CERTAIN_OWNER = 0.75
"""The same for an attribute whose word is likelier said of another object."""
SURE_NAME = 0.7
"""Probability from which a token names an object surely, so that something should be said of it ..."""
LONE = 0.15
"""... if the likeliest relation that it has part in reaches this."""


def chosen(batch: Batch, said: Opinion) -> tuple[Bools, Bools]:
    """Choose relations among `said.objects` and attributes among `said.words`."""
    named = said.sure > LIKELY_NAME
    words, pairs = said.words, said.objects
    likely = _likely(said.attributes, named[words.left] & (name_ends(said.joined)[words.right] != words.left))
    adjective = np.isin(batch.tag, codes("JJ", "JJR", "JJS")) & ~named & ~said.joined
    least = np.where(adjective, np.float32(LIKELY_ADJECTIVE), np.float32(LIKELY))[words.right]
    rival = _best(likely, words.right, len(named))[words.right]
    attributes = likely > np.where(likely < rival, np.float32(CERTAIN_OWNER), least)
    likely = _likely(said.relations, named[pairs.left] & named[pairs.right])
    rival = np.maximum(_best(likely, pairs.right, len(named))[pairs.right], _reversed(pairs, likely))
    relations = likely > np.where(likely < rival, np.float32(CERTAIN_RIVAL), np.float32(LIKELY))
    lone = said.sure > SURE_NAME
    lone[words.left[attributes]] = lone[pairs.left[relations]] = lone[pairs.right[relations]] = False
    best = np.maximum(_best(likely, pairs.left, len(named)), _best(likely, pairs.right, len(named)))
    for end in (pairs.left, pairs.right):
        relations |= lone[end] & (likely == best[end]) & (likely > LONE)
    return relations, attributes


def name_ends(joined: Bools) -> Ints:
    """For each token the last word of the name that it would be part of."""
    last = np.where(joined, len(joined), np.arange(len(joined)))
    return np.asarray(np.minimum.accumulate(last[::-1])[::-1])


def _likely(probabilities: Floats, possible: Bools) -> Floats:
    """Probability of any fact, 0 where there can be none."""
    return np.where(possible, 1 - probabilities[:, 0], np.float32(0))


def _best(likely: Floats, token: Ints, tokens: int) -> Floats:
    """The greatest probability at each token."""
    best = np.zeros(tokens, np.float32)
    np.maximum.at(best, token, likely)
    return best


def _reversed(pairs: Pairs, likely: Floats) -> Floats:
    """How likely each pair is the other way round; every pair comes both ways, ordered by its ends."""
    return likely[np.lexsort((pairs.left, pairs.right))]
