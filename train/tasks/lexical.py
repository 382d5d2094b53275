"""Multimodal lexical translation: what an ambiguous word of a caption is in another language.

After Lala and Specia, "Multimodal Lexical Translation", LREC 2018. MM-BERT reads `[CLS] word [SEP] caption
[SEP]` and the image; its list of translations was made of the test words too, ours is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from store.errors import DataError
from store.records import Regions
from train.config import Recipe
from train.job import Job
from train.recipe import task_settings
from train.tasks.items import Item, read_items, word_and_sentence
from train.tasks.stream_items import ItemRows, item_task, split_items
from train.tasks.streams import StreamTask, open_tuning
from train.vlbert.collate import JointExample
from train.vlbert.reader import Reader
from train.vlbert.settings import LexicalSettings
from train.vlbert.targets import TargetExample, numbers

UNKNOWN = -1
"""The number of a held-out word that training does not know: no answer is right."""


def prepare(job: Job, recipe: Recipe) -> StreamTask:
    """Open a job's inputs; translations are ordered as in the file that lists them, else by their letters.

    Raises:
        DataError: training words have translations that the file lacks.
        UserError: inputs are missing, damaged or do not belong together.
    """
    opened = open_tuning(job, recipe)
    settings = task_settings(recipe)
    assert isinstance(settings, LexicalSettings)
    reading = Lexical(opened.reader, blind=settings.without == "regions")
    training, held_out = split_items(read_items("lexical", opened.shards), opened, recipe)
    names = translations_of(training, Path(settings.vocabulary) if settings.vocabulary else None)
    number = {name: i for i, name in enumerate(names)}

    def example(item: Item, seen: Regions) -> TargetExample:
        return TargetExample((reading.row(item.key, item.text, seen),), number.get(item.target[0], UNKNOWN))

    rows, kept = (ItemRows(items, opened.store, example) for items in (training, held_out))
    sizes = [len(item.text) for item in rows.items]
    return item_task(recipe, opened, rows, kept, padded=numbers, right=right, names=names, sizes=sizes)


class Lexical:
    """Words, their sentences and pictures as a model reads them.

    Args:
        blind: leave the pictures out.
    """

    def __init__(self, reader: Reader, *, blind: bool) -> None:
        self._reader, self._blind = reader, blind

    def row(self, key: str, text: str, seen: Regions) -> JointExample:
        """`[CLS] word [SEP] sentence [SEP]`, and the image."""
        parts = [self._reader.pieces(part)[0] for part in word_and_sentence(text)]
        scene = None if self._blind else self._reader.scene(seen, key)
        return self._reader.row(key, self._reader.text(parts), scene)


def translations_of(items: Sequence[Item], file: Path | None = None) -> tuple[str, ...]:
    """The translations that can be told: those of training words, or of a file with one a line.

    Of several that are right the first one is trained.

    Raises:
        DataError: the file lacks some of training, or says one twice.
    """
    counts = Counter(item.target[0] for item in items)
    if file is None:
        return tuple(sorted(counts))
    try:
        names = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is no list of translations: {error}", "see settings.vocabulary") from error
    names = [name.strip() for name in names if name.strip()]
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise DataError(f"{file} has {len(twice)} lines twice, '{twice[0]}' among them")
    if lacking := sorted(set(counts) - set(names)):
        share = sum(counts[name] for name in lacking)
        raise DataError(
            f"{file} lacks {len(lacking)} translations of {share} of {counts.total()} training words:"
            f" {', '.join(lacking[:5])}",
            "add them, or leave settings.vocabulary out",
        )
    return tuple(names)


def right(scores: Tensor, target: Tensor) -> Tensor:
    """The best translation is the one."""
    return scores.argmax(dim=1) == target
