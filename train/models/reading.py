"""What a model makes of one caption and one picture: words at [MASK], whether they match, every state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from store.errors import DataError
from store.records import Regions
from train.models.alignment import known_phrases
from train.models.api import Encoded, Model
from train.padding import pad_rows
from train.vocabulary import Concept

MASK = "[MASK]"
Word = tuple[str, float]
"""A word piece and its chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One caption and one picture after their own stacks and after fusion.

    Attributes:
        pieces: the caption's word pieces; spans: the characters that each came from.
        phrases: positions in the caption's list of those that the model knows and has room for.
        masked: for each [MASK], the word pieces that may stand there, the likeliest first.
        match: the chance that text and picture belong together.
        similarity: cosine of both embeddings.
        states: float32 by name: `uni_modal.` and `cross_modal.` before `words` [pieces, h], `phrases`
            [phrases, h], `regions` [regions, h] and `cls` [h] (the text's); `uni_modal.text` and
            `uni_modal.picture` [h], the embeddings, of unit length; `cross_modal.pooled` [h].
    """

    pieces: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    phrases: tuple[int, ...]
    masked: tuple[tuple[Word, ...], ...]
    match: float
    similarity: float
    states: dict[str, NDArray[np.float32]]


@torch.no_grad()
def read_pair(
    model: Model, text: str, phrases: Sequence[Concept], regions: Regions, *, top: int = 5
) -> Reading:
    """Run all three stacks once.

    Args:
        text: with any number of [MASK].
        phrases: of the caption.
        top: word pieces for each [MASK].

    Raises:
        DataError: there is a [MASK] and the model was not trained to fill it, or the text is too long for it;
            the features have another dimension than those of training.
    """
    (given,) = model.vocabulary.pieces([text])
    kept = slice(model.recipe.lengths.words)
    ids, spans = given.ids[kept], given.spans[kept]
    places = [i for i, number in enumerate(ids) if number == model.vocabulary.mask]
    _check(model, text, given.ids, len(places))
    texts, pictures = model.encode_texts([text], [list(phrases)]), model.encode_images([regions])
    both = (*pad_rows(texts.states), *pad_rows(pictures.states))
    fused = model.network.fuse(*(side.to(model.device) for side in both))
    start, known = known_phrases(model, given.ids, phrases)
    chances = _words(model, fused.text[0, [1 + place for place in places]]) if places else []
    joint = fused.text[0].cpu().numpy(), fused.regions[0, : len(pictures.states[0])].cpu().numpy()
    return Reading(
        pieces=tuple(_piece(model, number) for number in ids),
        spans=tuple(spans),
        phrases=known,
        masked=tuple(_likeliest(model, row, top) for row in chances),
        match=float(model.network.match(fused.pooled)[0]),
        similarity=float(texts.embeddings[0] @ pictures.embeddings[0]),
        states=_states(texts, pictures, joint, slice(start, start + len(known)))
        | {"cross_modal.pooled": fused.pooled[0].cpu().numpy()},
    )


def masks_in(text: str) -> list[tuple[int, int]]:
    """The characters of every [MASK]."""
    return [match.span() for match in re.finditer(re.escape(MASK), text)]


def _check(model: Model, text: str, ids: Sequence[int], places: int) -> None:
    wanted = masks_in(text)
    if wanted and model.network.word_head is None:
        raise DataError(
            "this model fills no [MASK]: it was trained without masked words",
            "take a pre-trained model whose recipe gives objectives.masked_words a weight",
        )
    if places < len(wanted):
        raise DataError(
            f"{len(wanted) - places} [MASK] lie behind the {model.recipe.lengths.words} word pieces that the"
            f" model reads; the text has {len(ids)}",
            "shorten the text",
        )


def _words(model: Model, states: torch.Tensor) -> list[NDArray[np.float32]]:
    head = model.network.word_head
    assert head is not None
    chances: NDArray[np.float32] = (
        head(states, model.network.embeddings.words.weight).float().softmax(dim=-1).cpu().numpy()
    )
    return list(chances)


def _likeliest(model: Model, chances: NDArray[np.float32], top: int) -> tuple[Word, ...]:
    best = np.argsort(-chances, kind="stable")
    words = [int(i) for i in best if int(i) not in model.vocabulary.special][:top]
    return tuple((_piece(model, i), float(chances[i])) for i in words)


def _piece(model: Model, number: int) -> str:
    return model.vocabulary.tokenizer.id_to_token(number) or ""


def _states(
    texts: Encoded,
    pictures: Encoded,
    joint: tuple[NDArray[np.float32], NDArray[np.float32]],
    phrases: slice,
) -> dict[str, NDArray[np.float32]]:
    found = {"uni_modal.text": texts.embeddings[0], "uni_modal.picture": pictures.embeddings[0]}
    alone = texts.states[0], pictures.states[0]
    for name, (text, regions) in (("uni_modal", alone), ("cross_modal", joint)):
        found |= {
            f"{name}.cls": text[0],
            f"{name}.words": text[1 : phrases.start],
            f"{name}.phrases": text[phrases],
            f"{name}.regions": regions,
        }
    return found
