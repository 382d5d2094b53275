"""A text tower: any encoder of transformers that takes words, and the tokenizer that came with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from extract.embeddings.embedded import Embedded, Running, masked_mean
from extract.embeddings.loading import load_model, quiet
from extract.embeddings.stage import Pool
from extract.embeddings.vision import own_pooling
from store.errors import ConfigError, UserError

Tensor = torch.Tensor
OFFSET = ("roberta", "camembert", "mpnet", "longformer", "data2vec-text", "esm")
"""In these families the first position is that of the padding token and one more."""


class TextTower:
    """A frozen text tower and what is taken from it.

    Args:
        variant: `albef` leaves BERT's token-type vector and the closing token out, as ALBEF, BLIP and LilT do
            (their BERT reads `[CLS] words`).
        longest: tokens at the most, special ones included; None for as many as the tower takes.

    Raises:
        ConfigError: the tower takes no text, or has no such pooling, variant or length.
        UserError: it cannot be opened, or weights that are needed are missing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pool: Pool,
        tokens: bool,
        running: Running,
        variant: Literal["published", "albef"] = "published",
        longest: int | None = None,
    ) -> None:
        self.model: Any = load_model(folder, pooler=pool == "tower").to(running.device)
        self._forward = getattr(self.model, "get_text_features", None) or self.model
        if self._forward is self.model and self.model.main_input_name != "input_ids":
            raise ConfigError(f"tower {folder.name} takes no text", "name a text model, or CLIP")
        self._name, self._pool, self._tokens, self._running = folder.name, pool, tokens, running
        config: Any = self.model.config
        self.config = config.get_text_config()
        self.tokenizer = _tokenizer(folder, int(self.config.vocab_size))
        self._unclosed = variant == "albef"
        if self._unclosed:
            self._forget_types()
        self.longest = self._limit(longest)
        if pool == "cls":
            self._refuse_causal()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token numbers of each text, special ones included, however many they are."""
        found: list[list[int]] = self.tokenizer(list(texts), verbose=False)["input_ids"]
        return [ids[:-1] for ids in found] if self._unclosed else found

    def shorten(self, text: str) -> list[int]:
        """Token numbers of a text of which only the beginning has room, special tokens kept."""
        room = self.longest + (1 if self._unclosed else 0)
        ids: list[int] = self.tokenizer(text, truncation=True, max_length=room, verbose=False)["input_ids"]
        return ids[:-1] if self._unclosed else ids

    @property
    def special(self) -> int:
        """Special tokens around a text."""
        return int(self.tokenizer.num_special_tokens_to_add()) - (1 if self._unclosed else 0)

    def about(self) -> dict[str, Any]:
        """What it is, as plain JSON that tells no folder of this machine."""
        return {"model": self.model.config.model_type, "width": int(self.config.hidden_size)}

    def __call__(self, sentences: Sequence[Sequence[int]]) -> Embedded:
        """Embed token numbers; they are padded to the longest, and what is padded counts nowhere.

        Pooling: `tower` is the model's own (CLIP: the projected state of the end token; BERT: its pooler);
        `cls` the first token's last state; `mean` that of all tokens. Tokens are all last states.
        """
        longest = max(len(ids) for ids in sentences)
        ids = torch.full((len(sentences), longest), self._padding, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, sentence in enumerate(sentences):
            ids[row, : len(sentence)] = torch.tensor(sentence)
            mask[row, : len(sentence)] = 1
        with self._running():
            found = self._forward(
                input_ids=ids.to(self._running.device), attention_mask=mask.to(self._running.device)
            )
        states = found.last_hidden_state.float()
        pooled = None
        if self._pool == "tower":
            pooled = own_pooling(found, "text_embeds", self._name)
        elif self._pool == "cls":
            pooled = states[:, 0]
        elif self._pool == "mean":
            pooled = masked_mean(states, mask.to(states.device))
        kept = [state[: len(ids)] for state, ids in zip(states, sentences, strict=True)]
        return Embedded(pooled=pooled, tokens=kept if self._tokens else None)

    @property
    def _padding(self) -> int:
        for found in (self.tokenizer.pad_token_id, getattr(self.config, "pad_token_id", None)):
            if found is not None:
                return int(found)
        return 0

    def _limit(self, wanted: int | None) -> int:
        positions = getattr(self.config, "max_position_embeddings", None)
        if positions and any(family in self.config.model_type for family in OFFSET):
            positions -= self._padding + 1
        most = min(n for n in (int(self.tokenizer.model_max_length), positions) if n)
        if wanted is not None and wanted > most:
            raise ConfigError(f"max_length {wanted} is more than the {most} tokens of tower {self._name}")
        limit = most if wanted is None else wanted
        if limit <= self.special:
            raise ConfigError(f"max_length {limit} leaves no room for words", "give more")
        return limit

    def _forget_types(self) -> None:
        if self.config.model_type != "bert":
            raise ConfigError(
                f"tower {self._name} is no BERT, and has no variant 'albef'", "take variant: published"
            )
        nn.init.zeros_(self.model.embeddings.token_type_embeddings.weight)

    def _refuse_causal(self) -> None:
        """A first token that sees none of those after it says nothing about a sentence."""
        short, long = self.encode(["a", "a dog under a table"])
        if len(short) != len(long) and short[0] == long[0]:
            first, second = (self([ids]).pooled for ids in (short, long))
            assert first is not None
            assert second is not None
            if torch.allclose(first, second, atol=1e-6):
                raise ConfigError(
                    f"the first token of tower {self._name} sees no other: it reads from left to right",
                    "take pool: tower",
                )


def _tokenizer(folder: Path, words: int) -> Any:
    """The tokenizer of a folder; transformers makes one without a word where there is none."""
    import transformers

    hint = "save the tower's own tokenizer beside its weights"
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} has no tokenizer that can be opened: {' '.join(str(error).split())}", hint
        ) from error
    if not len(tokenizer.all_special_ids) < len(tokenizer) <= words:
        raise UserError(
            f"{folder} has no tokenizer for the {words:,} words of its tower, but one of {len(tokenizer):,}",
            hint,
        )
    return tokenizer
