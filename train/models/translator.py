"""Translation by an encoder and a decoder (MM-BERT's method 2), trained at all positions in one forward.

The encoder reads source and regions from both sides. The decoder reads the translation from the left: each of
its words looks at the words before it and, in the same attention, at what the encoder's layer of the same
depth read. MM-BERT's decoder has attention of its own to the encoder's last states, no causal mask that holds
and no mask over the encoder's padding; ours starts as the pre-trained stream, to which a translation behind
its source is nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from train.batch import IGNORE
from train.layers import Layer, Stack
from train.models.speech import speak
from train.models.vlbert import VlBert
from train.models.vlbert_pretrained import Pretrained
from train.vlbert.batch import JointBatch, TargetBatch
from train.vlbert.config import MaskedRegions, StreamObjectives

WORDS_ALONE = StreamObjectives(masked_regions=MaskedRegions(weight=0.0))
"""Translation predicts words and nothing else."""
Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a word of a translation can look at, for R rows.

    Attributes:
        layers: of each layer, keys and values [R, heads, L, h / heads]: the encoder's, then the words said.
        mask: bool [R, L].
        shown: [R, 1, h], what words see.
        position: int64 [R, 1], of the next word.
    """

    layers: tuple[Pair, ...]
    mask: Tensor
    shown: Tensor
    position: Tensor

    def rows(self, which: Tensor) -> Memory:
        """Some of the rows, perhaps one several times, int64 [n]."""
        if torch.equal(which, torch.arange(len(self.mask), device=which.device)):
            return self
        return Memory(
            tuple((keys[which], values[which]) for keys, values in self.layers),
            self.mask[which],
            self.shown[which],
            self.position[which],
        )


class Translator(Pretrained):
    """The stream as an encoder, with a decoder.

    Args:
        shared: the decoder's layers are the encoder's; else the decoder has as many of its own.
    """

    def __init__(self, trunk: VlBert, *, shared: bool) -> None:
        super().__init__(trunk, WORDS_ALONE, 0)
        self.decoder = None if shared else deepcopy(trunk.stack)
        if self.decoder is not None:  # nothing looks at what the encoder's last layer makes
            trunk.stack.layers[-1].requires_grad_(False)

    def start_decoder(self) -> None:
        """Let a decoder with layers of its own begin as the encoder."""
        if self.decoder is not None:
            self.decoder.load_state_dict(self.trunk.stack.state_dict())

    def remember(self, batch: JointBatch) -> Memory:
        """Read sources and regions."""
        trunk = self.trunk
        seen = trunk.see(batch)
        _, joint, x = trunk.embed(batch, seen=seen)
        layers = []
        for depth, (reads, says) in enumerate(zip(_layers(trunk.stack), self._says(), strict=True)):
            layers.append(says.attention.offer(x))
            if depth + 1 < len(trunk.stack.layers):
                x = reads(x, joint.mask)
        position = batch.text_mask.sum(dim=1, keepdim=True) - 1
        return Memory(tuple(layers), joint.mask, trunk.shown(batch, seen)[:, :1], position)

    def follow(self, words: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """States [R, n, h] of words [R, n] that continue what was said, and the memory with them."""
        trunk, n = self.trunk, words.shape[1]
        place = memory.position + torch.arange(n, device=words.device)
        second = trunk.segments(torch.full_like(words, trunk.compatibility.segment_second_language))
        x = trunk.words(words) + trunk.text_norm(memory.shown) + trunk.positions(place) + second
        x = functional.dropout(trunk.norm(x), trunk.sizes.dropout, trunk.training)
        before = memory.mask[:, None, None, :].expand(-1, 1, n, -1)
        causal = torch.ones(n, n, dtype=torch.bool, device=words.device).tril()
        mask = torch.cat([before, causal.expand(len(words), 1, n, n)], dim=3)
        layers = []
        for layer, (keys, values) in zip(self._says(), memory.layers, strict=True):
            own = layer.attention.offer(x)
            keys, values = torch.cat([keys, own[0]], dim=2), torch.cat([values, own[1]], dim=2)
            layers.append((keys, values))
            x = layer.feed(layer.attention.look(x, keys, values, mask))
        said = functional.pad(memory.mask, (0, n), value=True)
        return x, replace(memory, layers=tuple(layers), mask=said, position=memory.position + n)

    def forward(self, batch: TargetBatch) -> dict[str, Tensor]:  # type: ignore[override]
        """Cross entropy of every word of the translations and of the stop behind them, as `total`.

        Args:
            batch: its texts are sources; its `target`, int64 [B, n], translations, each between two [SEP],
                padded with `IGNORE`.
        """
        wanted = batch.target[:, 1:]
        there = wanted != IGNORE
        return {"total": functional.cross_entropy(self.logits(batch, there), wanted[there])}

    def logits(self, batch: TargetBatch, there: Tensor) -> Tensor:
        """Logits [n, words] of the words of the translations that are `there`, each given those before it."""
        states, _ = self.follow(batch.target[:, :-1].clamp(min=0), self.remember(batch))
        return self.word_logits(states[there])

    @torch.no_grad()
    def translate(
        self,
        batch: JointBatch,
        sep: int,
        *,
        steps: int,
        beams: int = 1,
        length_penalty: float = 1.0,
        cache: bool = True,
    ) -> list[list[int]]:
        """Word pieces of translations, without the stop.

        Args:
            sep: id of [SEP], with which a translation begins and ends.
            steps, beams, length_penalty: see `train.models.speech.speak`.
            cache: keep keys and values of what was read and said; else all is computed anew for each word.
        """
        said = torch.full((len(batch), 1), sep, device=batch.ids.device)
        speech = Remembered.begin(self, self.remember(batch), said) if cache else Anew(self, batch, said)
        return speak(speech, stop=sep, steps=steps, beams=beams, length_penalty=length_penalty)

    def _says(self) -> Iterator[Layer]:
        return _layers(self.trunk.stack if self.decoder is None else self.decoder)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Translations in the making, of which a step reads the last word.

    Attributes:
        logits: [R, words] of the next word.
    """

    model: Translator
    memory: Memory
    logits: Tensor

    @classmethod
    def begin(cls, model: Translator, memory: Memory, words: Tensor) -> Remembered:
        """Say words [R, 1]."""
        states, memory = model.follow(words, memory)
        return cls(model, memory, model.word_logits(states[:, -1]))

    def __len__(self) -> int:
        return len(self.logits)

    def chances(self) -> Tensor:
        """Log probabilities [R, words]."""
        return self.logits.log_softmax(dim=1)

    def say(self, rows: Tensor, words: Tensor) -> Remembered:
        """Rows continued by a word each."""
        device = self.logits.device
        return Remembered.begin(self.model, self.memory.rows(rows.to(device)), words[:, None].to(device))


@dataclass(frozen=True, slots=True)
class Anew:
    """The same without a memory: source, regions and all that was said are read for every word."""

    model: Translator
    batch: JointBatch
    said: Tensor

    def __len__(self) -> int:
        return len(self.said)

    def chances(self) -> Tensor:
        """Log probabilities [R, words]."""
        states, _ = self.model.follow(self.said, self.model.remember(self.batch))
        return self.model.word_logits(states[:, -1]).log_softmax(dim=1)

    def say(self, rows: Tensor, words: Tensor) -> Anew:
        """Rows continued by a word each."""
        device = self.said.device
        said = torch.cat([self.said[rows.to(device)], words[:, None].to(device)], dim=1)
        return replace(self, batch=self.batch.rows(rows), said=said)


def _layers(stack: Stack) -> Iterator[Layer]:
    for layer in stack.layers:
        assert isinstance(layer, Layer)
        yield layer
