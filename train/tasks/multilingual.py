"""Pre-training of VL-BERT and MM-BERT: masked words of one or several languages, masked regions.

MM-BERT's tasks are ways of reading: A a caption and its translation with regions, B one caption in any
language with regions, C parallel text alone. A stream of text alone beside A or B is masked words without
visual clues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from store.errors import ConfigError, DataError, did_you_mean
from train.batch import IGNORE
from train.captions import Captions
from train.config import Recipe
from train.inputs import RegionStores
from train.job import Job
from train.models.build import build_vlbert
from train.models.vlbert_backbone import EndToEnd, backbone_dim
from train.models.vlbert_pretrained import Pretrained
from train.models.vlbert_start import StreamStart, open_stream, require_same_words, start_from
from train.order import Place
from train.recipe import task_settings
from train.task import Stream
from train.vlbert.batch import JointBatch
from train.vlbert.collate import JointExample, collate_joint
from train.vlbert.data import Sentences
from train.vlbert.pixels import Pictures
from train.vlbert.reader import Reader
from train.vlbert.regions import BACKGROUND, Detector
from train.vlbert.settings import MultilingualSettings, Reading
from train.vlbert.texts import lower_and_strip
from train.vocabulary import Vocabulary

ALL = "all"
"""The name of the stream where the recipe names none."""
VALIDATION_BATCH = 64


@dataclass(frozen=True, slots=True)
class Multilingual:
    """The task.

    Attributes:
        rows: by stream.
        starts: models to start from, the later laid over the earlier.
        pictures: of the samples, where the model has a backbone.
        told: what of these did not fit, after `build_model`.
    """

    recipe: Recipe
    settings: MultilingualSettings
    vocabulary: Vocabulary
    detector: Detector
    attributes: tuple[str, ...]
    rows: Mapping[str, Sentences]
    starts: Sequence[StreamStart]
    pictures: Pictures | None = None
    told: list[str] = field(default_factory=list)

    @property
    def streams(self) -> Sequence[Stream]:
        """The recipe's, or one of all samples."""
        return [self._stream(name, rows) for name, rows in self.rows.items()]

    def build_model(self) -> nn.Module:
        """A model with fresh parameters, laid over by whatever it starts from."""
        detector = self.detector
        model = build_vlbert(self.recipe, self.vocabulary.words, detector.feature_dim, len(detector.classes))
        if all(rows.reading.source != "pictures" for rows in self.rows.values()):
            model.trunk.learn(regions=False)
        if isinstance(model, EndToEnd) and model.backbone.settings.weights:
            model.backbone.load(Path(model.backbone.settings.weights))
        self.told[:] = start_from(model, self.recipe, self.settings, self.starts)
        return model

    def about(self) -> Mapping[str, Any]:
        """What `train.models.vlbert_start.open_stream` needs to open the model."""
        languages = sorted({language for rows in self.rows.values() for language in rows.languages()})
        return {
            "feature_dim": self._feature_dim(),
            "classes": list(self.detector.classes),
            "attributes": list(self.attributes),
            "languages": languages,
            "concepts": [],
            "start": list(self.told),
            "cut": {name: rows.cut_share() for name, rows in self.rows.items()},
        }

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Share of the held-out masked words that come out right, in the first stream; then its losses."""
        assert isinstance(model, Pretrained)
        rows = next(iter(self.rows.values())).held_out()
        device = str(next(model.parameters()).device)
        right, asked, losses = 0, 0, dict[str, float]()
        for first in range(0, len(rows), VALIDATION_BATCH):
            places = range(first, min(first + VALIDATION_BATCH, len(rows)))
            batch = self._collate([rows.example(Place(0, row)) for row in places]).to(device)
            for name, value in model(batch).items():
                losses[name] = losses.get(name, 0.0) + float(value.detach()) * len(places) / len(rows)
            if model.word_head is not None:
                labelled = batch.labels != IGNORE
                states = model.trunk.encode(model.sighted(batch))
                found = model.word_logits(states.text[labelled]).argmax(dim=1)
                right += int((found == batch.labels[labelled]).sum())
                asked += int(labelled.sum())
        if not losses:
            return {}
        return {"words": right / asked, **losses} if asked else {"less": -losses["total"], **losses}

    def _feature_dim(self) -> int:
        backbone = self.settings.backbone
        return self.detector.feature_dim if backbone is None else backbone_dim(backbone)

    def _stream(self, name: str, rows: Sentences) -> Stream:
        def collated(examples: Sequence[JointExample], draws: np.random.Generator) -> JointBatch:
            return self._collate(examples)

        data = self.recipe.data
        own = data.streams.get(name)
        return Stream(
            name=name,
            examples=rows,
            collate=collated,
            batch=own.batch if own else data.batch,
            weight=own.weight if own else 1.0,
            sizes=rows.sizes,
            window=data.bucket,
            repeats=rows.repeats,
        )

    def _collate(self, examples: Sequence[JointExample]) -> JointBatch:
        batch = collate_joint(examples, self.detector.feature_dim, len(self.detector.classes))
        return batch if self.pictures is None else self.pictures.beside(batch, examples)


def prepare(job: Job, recipe: Recipe) -> Multilingual:
    """Open a job's inputs.

    Raises:
        ConfigError: settings of a stream that there is not, one that has nothing to learn, or texts longer
            than the table of positions.
        CorruptError: a file is missing or damaged.
        DataError: nothing to train on, regions without names, or translations that translate nothing.
    """
    settings = task_settings(recipe)
    assert isinstance(settings, MultilingualSettings)
    vocabulary = Vocabulary(Path(job.tokenizer) / "tokenizer.json")
    if recipe.vlbert.compatibility.tokenizer_lowercase_strip:
        lower_and_strip(vocabulary)
    captions = Captions([Path(path) for path in job.shards])
    store = RegionStores([Path(path) for path in job.regions]) if job.regions else None
    names = list(recipe.data.streams) or [ALL]
    for name in settings.readings:
        if name not in names:
            raise ConfigError(f"settings.readings.{name}: no such stream", did_you_mean(name, names))
    readings = {name: settings.readings.get(name, Reading()) for name in names}
    check_readings(recipe, readings, len(captions.languages))
    starts = [open_stream(Path(folder)) for folder in job.extra.get("starts", ())]
    require_same_words(starts, Path(job.tokenizer) / "tokenizer.json")
    detector = detector_of(store, job) if store or not starts else starts[-1].detector
    reader = Reader(recipe, vocabulary, detector, settings.scale)
    rows = {
        name: Sentences(_speaking(recipe, name), reader, reading, captions, store, settings.mirror)
        for name, reading in readings.items()
    }
    named = store.meta if store else starts[-1].about if starts else {}
    attributes = tuple(named.get("attributes") or ())
    backbone = settings.backbone
    pictures = Pictures([Path(path) for path in job.shards], backbone) if backbone else None
    return Multilingual(recipe, settings, vocabulary, detector, attributes, rows, starts, pictures)


def check_readings(recipe: Recipe, readings: Mapping[str, Reading], languages: int) -> None:
    """Refuse streams without a loss, and sequences that have more positions than the table.

    Raises:
        ConfigError: naming the settings.
    """
    for name, reading in readings.items():
        if reading.source != "pictures" and not recipe.vlbert.objectives.masked_words.weight:
            raise ConfigError(
                f"the stream '{name}' has nothing to learn: text alone, and masked words are off",
                "set vlbert.objectives.masked_words.weight, or drop the stream",
            )
    if recipe.vlbert.objectives.contrastive.weight and not any(
        r.source == "pictures" for r in readings.values()
    ):
        raise ConfigError(
            "vlbert.objectives.contrastive tells captions and images apart, and no stream has images",
            "set its weight to 0, or read a stream with source: pictures",
        )
    compatibility, lengths = recipe.vlbert.compatibility, recipe.lengths
    if compatibility.seq_len_policy == "joint64":
        return
    most = max(reading.sentences or languages for reading in readings.values())
    longest = 1 + most * (lengths.words + 1) + 2
    if compatibility.region_position == "increasing":
        longest += lengths.regions
    if longest > recipe.vlbert.model.positions:
        raise ConfigError(
            f"{most} sentences of {lengths.words} word pieces need {longest} positions,"
            f" vlbert.model.positions has {recipe.vlbert.model.positions}",
            "lower lengths.words, or raise vlbert.model.positions",
        )


def detector_of(store: RegionStores | None, job: Job) -> Detector:
    """What the stores say of their detector; nothing where there are no stores.

    Raises:
        DataError: the classes have no names, so that nobody knows how many there are.
    """
    if store is None:
        return Detector(0, (), background=False)
    classes = tuple(store.meta.get("classes") or ())
    if not classes:
        raise DataError(f"{job.regions[0]} does not name its classes", "import it with a list of names")
    return Detector(int(store.meta["dim"]), classes, background=classes[0] == BACKGROUND)


def _speaking(recipe: Recipe, stream: str) -> Recipe:
    """The recipe with the languages of one of its streams, where it names any."""
    own = recipe.data.streams.get(stream)
    if own is None or not own.languages:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"languages": own.languages})})
