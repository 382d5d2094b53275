"""From a task's settings to the head that it trains on VL-BERT's stream."""

from __future__ import annotations

from torch import nn

from train.models.vlbert import VlBert
from train.models.vlbert_seeking import Sought
from train.vlbert.settings import SeekSettings, StreamTuning


def build_stream_head(settings: StreamTuning, trunk: VlBert, classes: int) -> nn.Module:
    """Put a fresh head on a stream, which it calls `trunk`.

    Args:
        classes: answers, words or labels; 0 where none are told apart.
    """
    if isinstance(settings, SeekSettings):
        return Sought(trunk, settings)
    raise TypeError(f"no head for {type(settings).__name__}")
