"""Commands that parsing adds to `babelscene`: `parse`, `score-parser`, `train-parser`."""

from __future__ import annotations

from typing import Annotated

import typer

Captions = Annotated[list[str] | None, typer.Argument(help="captions")]


def parse(captions: Captions = None) -> None:
    """Print the scene graph and the phrases of captions."""
    from parse.metrics import format_facts
    from parse.parser import Parser

    for graph in Parser().pipe(captions or []):
        typer.echo(format_facts(graph.tuples()))


def score_parser() -> None:
    """Score a parser against scene graphs that people wrote."""
    raise NotImplementedError


def train_parser() -> None:
    """Learn what grammar does not decide."""
    raise NotImplementedError
