"""From a task's settings to the model that it trains."""

from __future__ import annotations

from train.models.attended import Attended
from train.models.heads import Classified, Referred
from train.models.mvptr import Mvptr
from train.tasks.settings import AnswerSettings, ChoiceSettings, ReferringSettings, Tuning


def build_head(settings: Tuning, trunk: Mvptr, classes: int) -> Classified | Attended | Referred:
    """Put a fresh head on stacks.

    Args:
        classes: answers or labels; ignored where regions are scored.
    """
    if isinstance(settings, ReferringSettings):
        return Referred(trunk, settings.mode, settings.layer, place=settings.place)
    assert isinstance(settings, ChoiceSettings)
    soft = isinstance(settings, AnswerSettings) and settings.loss == "sigmoid"
    if settings.head == "attended":
        return Attended(trunk, classes, soft=soft, place=settings.place)
    cut = settings.cut if isinstance(settings, AnswerSettings) else None
    return Classified(trunk, classes, settings.head, soft=soft, cut=cut)
