"""Words and phrase concepts as ids of one embedding table: word pieces first, concepts behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from store.concepts import mvptr_ids
from store.errors import CorruptError, DataError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
Concept = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text in word pieces.

    Attributes:
        ids: without special tokens.
        spans: for each piece the characters that it came from, start and end.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


class Vocabulary:
    """Texts and phrases to ids.

    A concept of one word that is itself a word piece shares that piece's id, as in MVPTR; every other concept
    has a row of its own behind the words.

    Args:
        tokenizer: path of a `tokenizer.json`.
        concepts: phrase tuples, in the order of their ids.

    Raises:
        CorruptError: no tokenizer there.
        DataError: it lacks a special token, or its padding id is not 0.
    """

    def __init__(self, tokenizer: Path, concepts: Sequence[Concept] = ()) -> None:
        try:
            self.tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # tokenizers raises the bare class
            raise CorruptError(
                f"{tokenizer} is no tokenizer: {error}", "run the tokenizer stage again"
            ) from error
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.words: int = self.tokenizer.get_vocab_size(with_added_tokens=True)
        found = {token: self.tokenizer.token_to_id(token) for token in SPECIAL}
        ids = {token: number for token, number in found.items() if number is not None}
        if missing := [token for token in SPECIAL if token not in ids]:
            raise DataError(
                f"{tokenizer} has no {', '.join(missing)}", "a BERT-style WordPiece tokenizer has them"
            )
        self.pad, self.unknown, self.cls, self.sep, self.mask = (ids[token] for token in SPECIAL)
        if self.pad != 0:
            raise DataError(f"{tokenizer}: [PAD] has the id {self.pad}, not 0")
        self.special = frozenset(ids.values())
        self.concepts = tuple(tuple(concept) for concept in concepts)
        numbers = mvptr_ids(self.concepts, self.tokenizer.token_to_id, self.words)
        self._concept_ids: dict[Concept, int] = {}
        for concept, number in zip(self.concepts, numbers, strict=True):
            self._concept_ids.setdefault(concept, number)
        self.size = max([self.words, *(number + 1 for number in numbers)])
        self.concept_table = np.array(sorted(set(self._concept_ids.values())) or [self.mask], np.int64)

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """Word pieces of each text."""
        encodings = (self.tokenizer.encode(text, add_special_tokens=False) for text in texts)
        return [Pieces(encoding.ids, encoding.offsets) for encoding in encodings]

    def concept_id(self, concept: Concept) -> int | None:
        """The id of a phrase tuple, or None when it is not in the vocabulary."""
        return self._concept_ids.get(tuple(concept))

    def word_pieces_of_concepts(self) -> dict[int, list[int]]:
        """For each concept with a row of its own: the word pieces of its words, which its row starts from."""
        own = [(concept, number) for concept, number in self._concept_ids.items() if number >= self.words]
        found = self.pieces([" ".join(concept) for concept, _ in own])
        return {number: pieces.ids for (_, number), pieces in zip(own, found, strict=True)}
