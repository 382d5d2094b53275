"""Cards of an artifact's first pictures, for stages that draw nothing of their own."""

from __future__ import annotations

from itertools import islice

from pipeline.artifacts import Artifact
from pipeline.html import Markup, cards, command, details, join, notice
from pipeline.inspect import files_of, look
from pipeline.inspect_page import captions_of, pictures_of
from store.errors import UserError

SHOWN = 6
PICTURED = ("shard", "regions")
"""Kinds of files (`store.listing.describe`) whose records have a picture, or boxes in one."""


def sample_cards(artifact: Artifact) -> Markup:
    """The first records of the first shard, with pictures, boxes and captions; empty where there are none."""
    from store.listing import describe, entries

    try:
        for shard in artifact.shards[:1]:
            for path in files_of(artifact, shard):
                if path.suffix in (".tar", ".lmdb", ".h5") and describe(path)["kind"] in PICTURED:
                    keys = [str(row["key"]) for row in entries(path, 0, 2 * SHOWN)]
                    drawn = (_card(artifact, f"{shard.name}/{key}") for key in keys)
                    return cards(islice(filter(None, drawn), SHOWN))
    except UserError as error:
        return notice(f"No samples can be shown: {error}", kind="error")
    return Markup("")


def _card(artifact: Artifact, place: str) -> Markup | None:
    """One record; None where it has no picture."""
    view = look(artifact.path, place)
    pictures = list(pictures_of(view, letter=1 / 30))
    if not pictures:
        return None
    captions = captions_of(view)
    first: dict[str, Markup] = {}
    for lang, caption in captions:
        first.setdefault(lang, caption)
    others = [caption for lang, caption in captions if caption is not first[lang]]
    folded = details(f"{len(others)} more captions", join(others)) if others else Markup("")
    return join([*pictures, *first.values(), folded, command(f"babelscene inspect {view.address}")])
