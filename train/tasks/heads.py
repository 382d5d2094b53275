"""From a task's settings to the model that it trains."""

from __future__ import annotations

from train.models.heads import Classified, Referred
from train.models.mvptr import Mvptr
from train.tasks.settings import AnswerSettings, EntailmentSettings, ReferringSettings, Tuning


def build_head(settings: Tuning, trunk: Mvptr, classes: int) -> Classified | Referred:
    """Put a fresh head on stacks.

    Args:
        classes: answers or labels; ignored where regions are scored.
    """
    if isinstance(settings, ReferringSettings):
        return Referred(trunk, settings.mode, settings.layer)
    if isinstance(settings, AnswerSettings):
        return Classified(trunk, classes, settings.head, soft=True, cut=settings.cut)
    assert isinstance(settings, EntailmentSettings)
    return Classified(trunk, classes, settings.head, soft=False)
