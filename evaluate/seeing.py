"""A new picture as a sample, and the detector behind a model that finds its regions."""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path

from evaluate.heldout import Labels
from evaluate.predict_chain import Again, behind
from pipeline.artifacts import Artifact
from store.errors import ConfigError, DataError
from store.records import Caption, Regions, Sample

KEY = "predict/0"


class Seeing:
    """The detector of the regions that a model learned from.

    Args:
        model: an artifact of `Pretrain` or `FineTune`.
        regions: regions whose detector and recipe to use; by default those that the model was trained on.

    Raises:
        ConfigError: no detector of ours made the regions.
        DataError: what made the model's features is no longer there.
    """

    def __init__(self, model: Artifact, regions: Artifact | None = None) -> None:
        name = model.manifest.node
        seen = regions or behind(model, "regions")
        if seen is None or "detector" not in seen.manifest.inputs:
            why = "names no regions" if seen is None else f"learned from {seen.manifest.node}, made elsewhere"
            raise ConfigError(
                f"{name} {why}: no detector is known for a new picture",
                "--regions STAGE: regions that a detector of ours made with the same features",
            )
        self._detect = Again(seen)

    def regions(self, sample: Sample) -> tuple[Regions, Labels]:
        """The regions of a picture, the best first, and their names.

        Raises:
            DataError: nothing is found in it.
        """
        from evaluate.heldout import labels_of
        from store.features import open_store

        with tempfile.TemporaryDirectory(prefix="babelscene-") as folder:
            made = self._detect(sample, Path(folder, "regions"))
            if made.failures:
                (failure, detail), *_ = made.failures
                raise DataError(f"no regions of the picture: {detail} ({failure})")
            store = open_store(made.file)
            return store[sample.key], labels_of(store)


def new_sample(picture: Path | bytes, text: str, lang: str) -> Sample:
    """A picture that can be decoded, with the text as its caption."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = "the picture" if isinstance(picture, bytes) else str(picture)
    try:
        data = picture if isinstance(picture, bytes) else picture.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no picture {name}") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    try:
        with Image.open(io.BytesIO(data)) as opened:
            width, height = ImageOps.exif_transpose(opened).size
            extension = (opened.format or "jpg").lower()
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        what = "it is of no known format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(f"{name} is no picture: {what}", "JPEG, PNG, WebP and the like are read") from error
    return Sample(
        key=KEY,
        captions=(Caption(id=f"{KEY}#{lang}0", lang=lang, text=text),),
        image=data,
        extension=extension,
        sha256=hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
    )
