"""The verbs `babelscene import` and `babelscene export`: region features of other projects, in and out."""

from __future__ import annotations

from pathlib import Path


def import_features(source: Path) -> None:
    """Make a feature store of a published feature file."""
    raise NotImplementedError(source)


def export_features(source: Path) -> None:
    """Write a feature store in another project's format."""
    raise NotImplementedError(source)
