"""Commands that stage packages add to `babelscene`: entry points of the group `babelscene.verbs`.

The engine knows no image and no text, so `babelscene parse` lies in parse/ and is found by name, as a stage
is. A package of one's own declares its verbs in the same way; a verb is a function with Typer's annotations.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

GROUP = "babelscene.verbs"


class Verbs(TyperGroup):
    """The engine's own commands first; what is not among them is looked up when it is typed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Own commands in the order of the file, then those of the packages by name."""
        own = super().list_commands(ctx)
        return [*own, *sorted(set(_found()) - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entry = _found().get(cmd_name)
        if entry is None:
            return None
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cmd_name)(entry.load())
        return typer.main.get_command(app)


def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
