"""One picture and one text through detector, parser and model: `babelscene predict` for programs.

Example::

    predictor = Predictor(Artifact.open(Path("work/demo/pretrain/0123456789abcdef")))
    found = predictor.read(Path("photo.jpg"), "two [MASK] are playing on a ground")
    found.masked[0]             # (("dogs", 0.61), ("boys", 0.14), ...)
    found.states["cross_modal.regions"]
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluate.heldout import Labels
from evaluate.predict_chain import Again, behind
from evaluate.seeing import Seeing, new_sample
from pipeline.artifacts import Artifact
from store.atomic import staged
from store.errors import ConfigError, DataError
from store.records import Regions, Sample

if TYPE_CHECKING:
    from store.concepts import StoredPhrase
    from train.models.reading import Reading, Word

MODEL = "model"
TASKS = ("pretraining", "retrieval")
HIDDEN = "XXXXXX"
"""What the parser reads for [MASK]: as long, and neither a known noun, verb nor adjective."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """A phrase of the text and the region that fits it best.

    Attributes:
        words: lemmas; spans: characters of the text.
        region: its number; cosine: how well it fits.
    """

    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    region: int
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What was found in one picture for one text.

    Attributes:
        sample: the picture, with the text as its caption.
        regions: of the picture, the best first; labels: their names.
        phrases: of the text, those that hold no [MASK].
        aligned: things and their attributes among them, each with a region; empty unless asked for.
        reading: words at [MASK], states; `phrases` in it are positions in `phrases` here.
    """

    sample: Sample
    regions: Regions
    labels: Labels
    phrases: tuple[StoredPhrase, ...]
    aligned: tuple[Aligned, ...]
    reading: Reading

    def named(self, region: int) -> str:
        """Attribute, class and score of a region."""
        name, attribute = self.labels.of(self.regions, region)
        return f"{attribute} {name} {float(self.regions.score[region]):.2f}".strip()

    @property
    def text(self) -> str:
        """The text as given."""
        return self.sample.captions[0].text

    @property
    def masked(self) -> tuple[tuple[Word, ...], ...]:
        """For each [MASK], word pieces with their chances, the likeliest first."""
        return self.reading.masked

    @property
    def states(self) -> dict[str, NDArray[np.float32]]:
        """Embeddings by name, as in `train.models.reading.Reading`."""
        return self.reading.states


class Predictor:
    """A model with the detector and the parser that made what it learned from.

    Args:
        model: an artifact of `Pretrain`, or of `FineTune` for retrieval.
        regions: regions whose detector and recipe to use; by default those that the model was trained on.
        phrases: phrases whose parser to use; by default those that the model was trained on.

    Raises:
        ConfigError: no such model, or no detector of ours made the regions.
        DataError: what made the model's features is no longer there.
        CorruptError: the model is damaged.
    """

    def __init__(
        self, model: Artifact, *, regions: Artifact | None = None, phrases: Artifact | None = None
    ) -> None:
        from train.models.api import load_model

        if not model.file(MODEL, ".safetensors").is_file():
            raise ConfigError(
                f"{model.manifest.node} is no model: {model.manifest.stage} made it",
                "name a stage that trains one, such as --model pretrain",
            )
        self.name = model.manifest.node
        _require_pairs(model)
        self.model = load_model(model.path)
        self._seeing = Seeing(model, regions)
        parsed = phrases or behind(model, "phrases")
        self._parse = Again(parsed) if parsed is not None else None

    @property
    def parses(self) -> bool:
        """Whether texts are parsed into phrases."""
        return self._parse is not None

    def read(
        self, picture: Path | bytes, text: str, *, lang: str = "en", top: int = 5, align: bool = False
    ) -> Prediction:
        """Detect regions, parse phrases, run the model.

        Args:
            picture: a file, or its bytes.
            text: with any number of [MASK].
            lang: of the text.
            top: word pieces for each [MASK].
            align: whether to find a region for each phrase.

        Raises:
            DataError: there is no such picture, it cannot be decoded, nothing is found in it, a [MASK] cannot
                be filled, or phrases are asked for and there is no parser.
        """
        from train.models.reading import read_pair

        if align and self._parse is None:
            raise DataError(
                f"{self.name} was trained without phrases, so nothing says how to parse the text",
                "--phrases STAGE: phrases whose parser to use, such as phrases/train",
            )
        sample = new_sample(picture, text, lang)
        regions, labels = self._seeing.regions(sample)
        with tempfile.TemporaryDirectory(prefix="babelscene-") as folder:
            phrases = self._phrases(sample, Path(folder, "phrases"))
        reading = read_pair(self.model, text, [p.words for p in phrases], regions, top=top)
        aligned = self._aligned(phrases, regions) if align else ()
        return Prediction(
            sample=sample,
            regions=regions,
            labels=labels,
            phrases=phrases,
            aligned=aligned,
            reading=reading,
        )

    def _phrases(self, sample: Sample, folder: Path) -> tuple[StoredPhrase, ...]:
        """Those of the text that were parsed from it and hold no [MASK]."""
        from store.concepts import read_phrases
        from train.models.reading import MASK, masks_in

        if self._parse is None:
            return ()
        (caption,) = sample.captions
        hidden = masks_in(caption.text)
        shown = replace(sample, captions=(replace(caption, text=caption.text.replace(MASK, HIDDEN)),))
        (row,) = read_phrases(self._parse(shown, folder).file)
        return tuple(
            phrase
            for phrase in row.phrases
            if not any(a < stop and start < b for a, b in phrase.spans for start, stop in hidden)
        )

    def _aligned(self, phrases: Sequence[StoredPhrase], regions: Regions) -> tuple[Aligned, ...]:
        """By embeddings, which grounds better than fused states do; relations name no single region."""
        from train.models.alignment import align_embeddings

        phrases = [phrase for phrase in phrases if len(phrase.words) < 3]
        (found,) = align_embeddings(self.model, [[phrase.words for phrase in phrases]], [regions])
        best = found.cosines.argmax(axis=1) if len(phrases) else []
        return tuple(
            Aligned(
                words=phrase.words,
                spans=phrase.spans,
                region=int(region),
                cosine=float(found.cosines[row, region]),
            )
            for row, (phrase, region) in enumerate(zip(phrases, best, strict=True))
        )


def write_embeddings(found: Prediction, path: Path) -> None:
    """Write every state as safetensors; its metadata says in JSON which word, phrase or region a row is."""
    from safetensors.numpy import save

    reading = found.reading
    about = {
        "text": found.text,
        "words": [[piece, *span] for piece, span in zip(reading.pieces, reading.spans, strict=True)],
        "phrases": [found.phrases[i].words for i in reading.phrases],
        "regions": [
            {"box": [float(v) for v in found.regions.boxes[i]], "name": found.named(i)}
            for i in range(len(found.states["uni_modal.regions"]))
        ],
    }
    metadata = {name: json.dumps(value, ensure_ascii=False) for name, value in about.items()}
    with staged(path) as temporary:
        temporary.write_bytes(save({n: np.ascontiguousarray(v) for n, v in found.states.items()}, metadata))


def _require_pairs(model: Artifact) -> None:
    """Refuse a model that does not read captions and pictures as pre-training does."""
    from train.models.start import open_start

    recipe = open_start(model.path).about["recipe"]
    family, task = recipe["family"], recipe["task"]
    if family != "mvptr" or task not in TASKS:
        raise ConfigError(
            f"{model.manifest.node} is a model of the family '{family}' for the task '{task}'",
            f"predict reads models of the family 'mvptr' for {' and '.join(TASKS)}, such as --model pretrain",
        )
