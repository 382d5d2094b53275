"""The base of every block of a recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """Base of every block of a recipe: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
