"""The tasks by name, each with the type of its settings. Imports nothing heavy: reading a recipe needs it."""

from __future__ import annotations

from collections.abc import Mapping

from train.config import Block
from train.tasks.settings import AnswerSettings, EntailmentSettings, ReferringSettings
from train.tasks.stream_settings import ChoosingSettings, StreamAnswerSettings, StreamReferringSettings
from train.vlbert.settings import (
    LexicalSettings,
    MultilingualSettings,
    SeekSettings,
    TranslationSettings,
)

SETTINGS: Mapping[str, type[Block]] = {
    "pretraining": Block,
    "answers": AnswerSettings,
    "entailment": EntailmentSettings,
    "referring": ReferringSettings,
    "retrieval": Block,
    "multilingual": MultilingualSettings,
    "caption_retrieval": SeekSettings,
    "translation_retrieval": SeekSettings,
    "lexical": LexicalSettings,
    "translation": TranslationSettings,
    "stream_answers": StreamAnswerSettings,
    "stream_referring": StreamReferringSettings,
    "choices": ChoosingSettings,
}
"""Task (a module of this package) -> what the recipe's block `settings` may hold for it."""
FAMILY: Mapping[str, str] = {
    "pretraining": "mvptr",
    "answers": "mvptr",
    "entailment": "mvptr",
    "referring": "mvptr",
    "retrieval": "mvptr",
    "multilingual": "vlbert",
    "caption_retrieval": "vlbert",
    "translation_retrieval": "vlbert",
    "lexical": "vlbert",
    "translation": "vlbert",
    "stream_answers": "vlbert",
    "stream_referring": "vlbert",
    "choices": "vlbert",
}
"""Task -> the family of models that it trains."""
PRETRAINING = ("pretraining", "multilingual")
"""The tasks that start from nothing; all others start from a pre-trained model."""
