"""The tasks by name, each with the type of its settings. Imports nothing heavy: reading a recipe needs it."""

from __future__ import annotations

from collections.abc import Mapping

from train.config import Block

SETTINGS: Mapping[str, type[Block]] = {
    "pretraining": Block,
}
"""Task (a module of this package) -> what the recipe's block `settings` may hold for it."""
