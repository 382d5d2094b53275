"""From a task's settings to the head that it trains on VL-BERT's stream."""

from __future__ import annotations

from torch import nn

from train.models.translator import WORDS_ALONE, Translator
from train.models.vlbert import VlBert
from train.models.vlbert_heads import Answered, Chosen, Referred, Translated
from train.models.vlbert_looking import Looking
from train.models.vlbert_pretrained import Pretrained
from train.models.vlbert_seeking import Sought
from train.tasks.stream_settings import ChoosingSettings, StreamAnswerSettings, StreamReferringSettings
from train.vlbert.settings import LexicalSettings, SeekSettings, StreamTuning, TranslationSettings


def build_stream_head(settings: StreamTuning, trunk: VlBert, classes: int) -> nn.Module:
    """Put a fresh head on a stream, which it calls `trunk`.

    Args:
        classes: answers, words or labels; 0 where none are told apart.
    """
    if isinstance(settings, SeekSettings):
        return Sought(trunk, settings)
    if isinstance(settings, LexicalSettings):
        return Translated(trunk, classes, settings.pooling)
    if isinstance(settings, TranslationSettings):
        masked = settings.method == "masked"
        return Pretrained(trunk, WORDS_ALONE, 0) if masked else Translator(trunk, shared=settings.shared)
    if isinstance(settings, StreamAnswerSettings):
        soft = settings.loss == "sigmoid"
        if settings.head == "looking":
            return Looking(trunk, classes, soft=soft)
        return Answered(trunk, classes, settings.head, settings.wide, soft=soft)
    if isinstance(settings, StreamReferringSettings):
        return Referred(trunk)
    if isinstance(settings, ChoosingSettings):
        return Chosen(
            trunk,
            settings.head,
            classes=classes,
            class_weight=settings.class_weight,
            positive=settings.positive,
            wide=settings.wide,
            soft=settings.loss == "sigmoid",
            named=settings.named,
        )
    raise TypeError(f"no head for {type(settings).__name__}")
