"""Retrieval of translations: which sentence of another language says the same, with the image or without?"""

from __future__ import annotations

from store.errors import ConfigError
from train.captions import Captions
from train.config import Recipe
from train.job import Job
from train.recipe import task_settings
from train.tasks.caption_retrieval import seeking, unmasked
from train.tasks.streams import StreamTask, open_tuning
from train.vlbert.data import Sentences
from train.vlbert.settings import Reading, SeekSettings
from train.vlbert.sides import both_sentences


def prepare(job: Job, recipe: Recipe) -> StreamTask:
    """Open a job's inputs.

    Raises:
        ConfigError: there are no regions, and `settings.without` does not leave them out.
        UserError: they are missing, damaged or do not belong together.
    """
    opened = open_tuning(job, recipe)
    settings = task_settings(recipe)
    assert isinstance(settings, SeekSettings)
    if opened.store is None and settings.without != "regions":
        raise ConfigError(
            "translations are to be found with the images, and there are no regions",
            "give the stage `regions`, or set settings.without: regions in the recipe",
        )
    reading = Reading(source="captions" if settings.without == "regions" else "pictures", sentences=2)
    rows = Sentences(unmasked(recipe), opened.reader, reading, Captions(opened.shards), opened.store)
    cls, sep = opened.start.vocabulary.cls, opened.start.vocabulary.sep
    return seeking(opened, recipe, rows, lambda each: both_sentences(each, cls, sep, settings.without))
