"""What the learned part of the parser sees of a batch of dependency trees, without a loop over words.

Every feature is a 64-bit digest of strings (spaCy's own codes of words, tags and labels, mixed); a model
keeps the digests that it has seen often enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parse.tree import token_columns

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from parse.words import WordFacts

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

DEPTH = 7
"""Ancestors of a token that paths go through; longer paths look alike."""

TELL_WORD, TELL_BEFORE, TELL_AFTER = (0, 1, 2, 5, 6, 7, 8), (7,), (6,)
"""Kinds of features of a token that tell its word, the word before it, the word behind it."""
RELATION_TELLS = (5, 7), (4, 7, 8, 10)
"""Kinds of features of a pair of objects that tell the words of its left and of its right end."""
ATTRIBUTE_TELLS = (3,), (2, 3)
"""The same for an object and a word that may say what it is."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_STIR = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)


def mix(*parts: Any) -> Codes:
    """Digest columns of codes into one; order counts."""
    code = np.full(1, len(parts), np.uint64)
    for part in parts:
        code = code ^ part
        code *= _MIX
        code ^= code >> _SHIFT
        code *= _STIR
    return code


@dataclass(frozen=True, slots=True)
class Batch:
    """Trees of several captions, laid end to end.

    Attributes:
        first: position of the first token of each caption, and the end of the last, [captions + 1].
        caption: which caption a token belongs to, [tokens].
        word, tag, dep, noun, verb: codes, [tokens].
        verbal: could be a verb, [tokens].
        ancestors: position of the token itself, its head, and so on up; a root repeats, [tokens, DEPTH + 1].
        spans: characters of its text, [tokens, 2].
        words: lower-case forms.
        tensor: spaCy's vectors in context, float32 [tokens, width].
        features: of single tokens, [tokens, kinds].
    """

    first: Ints
    caption: Ints
    word: Codes
    tag: Codes
    dep: Codes
    noun: Codes
    verb: Codes
    verbal: Bools
    ancestors: Ints
    spans: Ints
    words: list[str]
    tensor: npt.NDArray[np.float32]
    features: Codes

    @property
    def before(self) -> Ints:
        """Position of the token before, -1 where there is none."""
        here = np.arange(len(self.word))
        return np.where(here > self.first[self.caption], here - 1, -1)

    @property
    def after(self) -> Ints:
        """Position of the token behind, -1 where there is none."""
        here = np.arange(len(self.word))
        return np.where(here + 1 < self.first[self.caption + 1], here + 1, -1)


def batch_of(docs: Sequence[Doc], facts: Callable[[int], WordFacts]) -> Batch:
    """Collect the trees of parsed documents.

    Args:
        docs: not all empty.
        facts: of a word, by its code.
    """
    sizes = np.array([len(doc) for doc in docs])
    first = np.concatenate([[0], np.cumsum(sizes)])
    caption = np.repeat(np.arange(len(docs)), sizes)
    columns = token_columns(docs)
    word, tag, dep = (np.ascontiguousarray(columns[:, i]) for i in range(3))
    spans = columns[:, 4:].astype(np.int64)
    here = np.arange(len(word))
    head = here + columns[:, 3].astype(np.int64)
    ancestors = np.empty((len(word), DEPTH + 1), np.int64)
    ancestors[:, 0] = here
    for level in range(DEPTH):
        ancestors[:, level + 1] = head[ancestors[:, level]]
    known, place = np.unique(word, return_inverse=True)
    told = [facts(code) for code in known.tolist()]
    word = np.array([t.code for t in told], np.uint64)[place]
    noun = np.array([t.noun for t in told], np.uint64)[place]
    verb = np.array([t.verb for t in told], np.uint64)[place]
    ending = np.array([t.ending for t in told], np.uint64)[place]
    batch = Batch(
        first=first,
        caption=caption,
        word=word,
        tag=tag,
        dep=dep,
        noun=noun,
        verb=verb,
        verbal=np.array([t.verbal for t in told], bool)[place] | np.isin(tag, verb_tags()),
        ancestors=ancestors,
        spans=np.stack([spans[:, 0], spans.sum(axis=1)], axis=1),
        words=[told[i].word for i in place.tolist()],
        tensor=np.concatenate([doc.tensor for doc in docs if len(doc)]).astype(np.float32, copy=False),
        features=np.empty((0, 0), np.uint64),
    )
    object.__setattr__(batch, "features", _token_features(batch, ending))
    return batch


def verb_tags() -> Codes:
    """Codes of the Penn tags of verbs."""
    return codes("VB", "VBD", "VBG", "VBN", "VBP", "VBZ")


def _token_features(batch: Batch, ending: Codes) -> Codes:
    padded = np.append(batch.word, np.uint64(1))
    tags = np.append(batch.tag, np.uint64(1))
    before, after, head = batch.before, batch.after, batch.ancestors[:, 1]
    word, tag, dep = batch.word, batch.tag, batch.dep
    columns = [
        (word,),
        (batch.noun,),
        (batch.verb,),
        (ending,),
        (tag, dep),
        (word, tag),
        (word, padded[after]),
        (padded[before], word),
        (word, batch.verb[head]),
        (tag, tags[before], tags[after]),
        (dep, tag[head], dep[head]),
    ]
    return _digests(columns)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Ordered pairs of tokens of one caption.

    Attributes:
        left, right: positions of the two, [pairs].
        verb: position of the verb that most likely joins them, -1 where there is none, [pairs].
        features: [pairs, kinds].
    """

    left: Ints
    right: Ints
    verb: Ints
    features: Codes


def relation_pairs(batch: Batch, left: Ints, right: Ints) -> Pairs:
    """Describe how two objects lie to each other: the path between them, their words, what stands between.

    Args:
        batch: the trees.
        left, right: positions, each pair in one caption.
    """
    up, down, joined = _paths(batch, left, right)
    verb = _verbs(batch, left, right, up, down, joined)
    sign = (right > left).astype(np.uint64)
    gap = np.minimum(np.abs(right - left), 8).astype(np.uint64)
    preposition = np.isin(batch.dep, codes("prep", "agent", "prt", "case", "dative", "aux", "cc"))
    plain = np.where(preposition, batch.verb, batch.tag)
    paths = [
        _path_codes(batch, info, left, right, up, down, joined)
        for info in (np.zeros_like(batch.tag), batch.tag, plain, batch.verb)
    ]
    between = _between(batch, left, right)
    meant = _through_pronoun(batch, plain, left, right)
    ends = mix(batch.noun[left], batch.noun[right])
    padded = np.append(batch.verb, np.uint64(1))
    columns = [
        (paths[0], sign),
        (paths[1], batch.tag[left], batch.tag[right]),
        (paths[2], sign),
        (paths[3], sign),
        (paths[2], batch.noun[right]),
        (paths[2], batch.noun[left]),
        (between, sign),
        (ends,),
        (padded[verb], batch.noun[right], sign),
        (gap, sign, batch.tag[left], batch.tag[right]),
        (between, batch.noun[right], sign),
        (meant,),
    ]
    return Pairs(left, right, verb, _digests(columns))


def attribute_pairs(batch: Batch, left: Ints, right: Ints) -> Pairs:
    """Describe how a word lies to an object, with less ado: there are many such pairs.

    Args:
        batch: the trees.
        left, right: positions of objects and words, each pair in one caption.
    """
    ways = _paths(batch, left, right)
    sign = (right > left).astype(np.uint64)
    gap = np.minimum(np.abs(right - left), 8).astype(np.uint64)
    plain = _path_codes(batch, batch.tag, left, right, *ways)
    columns = [
        (plain, sign),
        (plain, batch.tag[left], batch.tag[right]),
        (plain, batch.noun[right]),
        (batch.noun[left], batch.noun[right]),
        (gap, sign, batch.tag[left], batch.tag[right]),
        (_between(batch, left, right), sign),
    ]
    return Pairs(left, right, np.full(len(left), -1), _digests(columns, 32))


def _digests(columns: Sequence[tuple[Codes, ...]], first: int = 0) -> Codes:
    """A digest for each kind of feature, kinds numbered from `first`, [rows, kinds]."""
    return np.stack([mix(np.uint64(first + kind), *parts) for kind, parts in enumerate(columns)], axis=1)


def _through_pronoun(batch: Batch, info: Codes, left: Ints, right: Ints) -> Codes:
    """Digest of the path to a pronoun behind both, which may mean `right`: `a table with a vase on it`."""
    here = np.arange(len(batch.word))
    spoken = np.isin(batch.word, codes("it", "them", "him", "her")) & np.isin(
        batch.dep, codes("pobj", "dobj")
    )
    last = np.maximum.accumulate(np.where(spoken, here, -1))
    pronoun = last[batch.first[batch.caption[left] + 1] - 1]
    found = np.full(len(left), 17, np.uint64)
    which = np.flatnonzero((pronoun > left) & (left > right))
    ends = left[which], pronoun[which]
    up, down, joined = _paths(batch, *ends)
    found[which] = _path_codes(batch, info, *ends, up, down, joined)
    return found


def codes(*names: str) -> Codes:
    """spaCy's codes of strings."""
    from spacy.strings import get_string_id

    return np.array([get_string_id(name) for name in names], np.uint64)


def _paths(batch: Batch, left: Ints, right: Ints) -> tuple[Ints, Ints, Bools]:
    """Steps up from `left` and from `right` to where they meet, and whether they do."""
    size = DEPTH + 1
    up, down = np.divmod(np.arange(size * size, dtype=np.int16).reshape(size, size, 1), np.int16(size))
    # The way with the fewest steps, of those the one with the fewest from `left`; pairs last, for long loops.
    ways = (up + down) * np.int16(size * size) + up * np.int16(size) + down
    above = np.ascontiguousarray(batch.ancestors[left].T), np.ascontiguousarray(batch.ancestors[right].T)
    apart = np.int16(np.iinfo(np.int16).max)
    best = np.where(above[0][:, None] == above[1][None], ways, apart).min(axis=(0, 1), initial=apart)
    way = best.astype(np.int64) % (size * size)
    return way // size, way % size, best < apart


def _path_codes(
    batch: Batch, info: Codes, left: Ints, right: Ints, up: Ints, down: Ints, joined: Bools
) -> Codes:
    """Digest of the labels on a path, with `info` of the tokens on it but not of its ends."""
    is_end = np.zeros(len(batch.word), bool)
    is_end[left] = is_end[right] = True
    above = np.ascontiguousarray(batch.ancestors[is_end].T)
    place = np.cumsum(is_end) - 1
    legs = np.empty((DEPTH + 1, above.shape[1]), np.uint64)
    legs[0] = 7
    for k in range(DEPTH):
        legs[k + 1] = mix(legs[k], batch.dep[above[k]], info[above[k]] if k else np.uint64(0))
    top = np.where((up > 0) & (down > 0), info[batch.ancestors[left, up]], np.uint64(0))
    ends = legs[up, place[left]], legs[down, place[right]]
    return np.where(joined, mix(ends[0], np.uint64(11), ends[1], top), np.uint64(13))


def _verbs(batch: Batch, left: Ints, right: Ints, up: Ints, down: Ints, joined: Bools) -> Ints:
    """The verb on the path nearest to `right`, else the nearest before the later of the two, else after."""
    found = np.full(len(left), -1)

    def consider(position: Ints, allowed: Bools) -> None:
        take = (found < 0) & allowed & batch.verbal[position]
        found[take] = position[take]

    for k in range(1, DEPTH + 1):
        consider(batch.ancestors[right, k], joined & ((k < down) | ((k == down) & (up > 0))))
    for k in range(DEPTH, 0, -1):
        consider(batch.ancestors[left, k], joined & (k < up))
    here = np.arange(len(batch.word))
    last = np.maximum.accumulate(np.where(batch.verbal, here, -1))
    first, late, early = batch.first[batch.caption[left]], np.maximum(left, right), np.minimum(left, right)
    for end in (late, early):
        position = last[end - 1]
        consider(np.maximum(position, 0), (end > first) & (position >= first) & (position != early))
    following = np.minimum.accumulate(np.where(batch.verbal, here, len(here))[::-1])[::-1]
    position = np.append(following, len(here))[late + 1]
    stop = batch.first[batch.caption[left] + 1]
    consider(np.minimum(position, len(here) - 1), position < stop)
    return found


def _between(batch: Batch, left: Ints, right: Ints) -> Codes:
    """Digest of the words strictly between two tokens, wherever in the batch they stand."""
    n = len(batch.word)
    power = np.full(n + 1, 0x100000001B3, np.uint64)
    power[0] = 1
    power = np.multiply.accumulate(power)
    inverse = np.full(n + 1, pow(0x100000001B3, -1, 2**64), np.uint64)
    inverse[0] = 1
    inverse = np.multiply.accumulate(inverse)
    sums = np.concatenate([np.zeros(1, np.uint64), np.add.accumulate(mix(batch.verb) * power[:n])])
    low, high = np.minimum(left, right) + 1, np.maximum(left, right)
    return np.asarray((sums[high] - sums[low]) * inverse[low], np.uint64)
