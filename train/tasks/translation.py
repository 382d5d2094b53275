"""Translation of captions, with their pictures or without: MM-BERT's methods 1 and 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from store.errors import DataError
from store.records import Regions
from train.batch import IGNORE
from train.captions import Captions
from train.config import Recipe
from train.draws import generator, held_out
from train.inputs import RegionStores
from train.job import Job
from train.models.translator import Translator
from train.models.vlbert_pretrained import Pretrained
from train.order import Place
from train.padding import pad_ids
from train.recipe import task_settings
from train.tasks.multilingual import check_readings
from train.tasks.streams import StreamTask, open_tuning
from train.vlbert.batch import JointBatch, TargetBatch
from train.vlbert.collate import JointExample, collate_joint
from train.vlbert.settings import Reading, TranslationSettings
from train.vlbert.targets import TargetExample, collate_targets
from train.vlbert.translations import Bilingual, Translation, read_translations

VALIDATION_BATCH = 64


class Translations:
    """Captions with their translations: the `Examples` of the loader.

    Args:
        store: of regions; None where pictures are left out.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: TranslationSettings,
        bilingual: Bilingual,
        rows: Sequence[Translation],
        store: RegionStores | None,
    ) -> None:
        self._seed, self._settings, self._bilingual = recipe.run.seed, settings, bilingual
        self._store = store
        self.rows = [each for each in rows if store is None or each.image in store]
        self.unusable: list[tuple[str, str, str]] = [
            (each.key, "no_regions", "the region store does not hold its image")
            for each in rows
            if store is not None and each.image not in store
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, row: int) -> str:
        """The caption's id."""
        return self.rows[row].key

    def example(self, place: Place) -> TargetExample | JointExample:
        """A whole translation, or one of its words, drawn from (seed, epoch, key, copy)."""
        each, seen = self.rows[place.row], self._seen(place.row)
        if self._settings.method == "encoder_decoder":
            return self._bilingual.whole(each, seen)
        draws = generator(self._seed, place.epoch, each.key, "example", place.copy)
        return self._bilingual.masked(each, seen, draws)

    def _seen(self, row: int) -> Regions | None:
        return None if self._store is None else self._store[self.rows[row].image]


class TranslationTask(StreamTask):
    """A task whose decoder begins as the encoder."""

    def build_model(self) -> nn.Module:
        """The pre-trained stream as a translator."""
        model = super().build_model()
        if isinstance(model, Translator):
            model.start_decoder()
        return model


def prepare(job: Job, recipe: Recipe) -> StreamTask:
    """Open a job's inputs.

    Raises:
        ConfigError: captions with their translations have more positions than the table.
        DataError: no caption has a translation, or translations say what they translate.
        UserError: inputs are missing, damaged or do not belong together.
    """
    opened = open_tuning(job, recipe)
    settings = task_settings(recipe)
    assert isinstance(settings, TranslationSettings)
    check_readings(opened.start.recipe, {"translations": Reading(sentences=2)}, 2)
    blind = settings.without == "regions"
    if not blind and opened.store is None:
        raise DataError("there are no regions to translate with", "name `regions`, or say without: regions")
    found = read_translations(Captions(opened.shards), settings.source, settings.target)
    out = [held_out(each.image, recipe.data.held_out) for each in found]
    bilingual, store = Bilingual(opened.reader, blind=blind), None if blind else opened.store
    rows, kept = (
        Translations(
            recipe, settings, bilingual, [e for e, o in zip(found, out, strict=True) if o == side], store
        )
        for side in (False, True)
    )
    if not len(rows):
        raise DataError(
            f"none of {len(found)} captions with translations has a picture with regions",
            "do regions and shards belong together?",
        )
    dimension = opened.reader.detector.feature_dim

    def collate(examples: Sequence[Any], draws: np.random.Generator | None = None) -> JointBatch:
        if settings.method == "masked":
            return collate_joint(examples, dimension)
        return collate_targets(examples, dimension, lambda targets: pad_ids(targets, IGNORE)[0])

    def judge(model: nn.Module, device: str) -> Mapping[str, float]:
        assert isinstance(model, Pretrained)
        right, asked, loss = 0, 0, 0.0
        for first in range(0, len(kept), VALIDATION_BATCH):
            places = range(first, min(first + VALIDATION_BATCH, len(kept)))
            batch = collate([kept.example(Place(0, row)) for row in places]).to(device)
            logits, wanted = words_of(model, batch)
            right += int((logits.argmax(dim=1) == wanted).sum())
            asked += len(wanted)
            loss += float(nn.functional.cross_entropy(logits, wanted, reduction="sum"))
        return {"words": right / asked, "loss": loss / asked} if asked else {}

    return TranslationTask(
        recipe=recipe,
        start=opened.start,
        examples=rows,
        collate=collate,
        judge=judge,
        sizes=np.array([len(each.source) for each in rows.rows], np.float64),
    )


def words_of(model: Pretrained, batch: JointBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [n, words] of the words that a batch asks for, and these words, int64 [n]."""
    if isinstance(batch, TargetBatch):
        assert isinstance(model, Translator)
        wanted = batch.target[:, 1:]
        there = wanted != IGNORE
        return model.logits(batch, there), wanted[there]
    there = batch.labels != IGNORE
    return model.word_logits(model.trunk.encode(batch).text[there]), batch.labels[there]
