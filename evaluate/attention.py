"""Where a model of the family `vlbert` looks in a picture for each word of a text, drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluate.heldout import Labels
from evaluate.seeing import Seeing, new_sample
from pipeline.artifacts import Artifact
from store.errors import ConfigError
from store.records import Regions, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from train.models.vlbert_attention import Attention


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a model attends to in one picture for one text.

    Attributes:
        sample: the picture, with the text as its caption.
        regions: of the picture; labels: their names.
        attention: of every layer and head.
        layer: that is shown, from 0; head: from 0, or None for the mean of all.
    """

    sample: Sample
    regions: Regions
    labels: Labels
    attention: Attention
    layer: int
    head: int | None

    @property
    def text(self) -> str:
        """The text as given."""
        return self.sample.captions[0].text

    @property
    def shares(self) -> NDArray[np.float32]:
        """From each word to each region, float32 [T, K]."""
        return self.attention.words_to_regions(self.layer, self.head)

    @property
    def shown(self) -> str:
        """Which layer and head, for people, counted from 1."""
        layers, heads = self.attention.weights.shape[:2]
        head = "mean of heads" if self.head is None else f"head {self.head + 1} of {heads}"
        return f"layer {self.layer + 1} of {layers}, {head}"

    def best(self) -> list[tuple[int, int, float]]:
        """For each word of the text its place, the place of the region that it attends to most, and how much.

        The whole image is no region here: every word sees it anyway.
        """
        shares, attention = self.shares, self.attention
        words = [place for place, (start, end) in enumerate(attention.spans) if end > start]
        if shares.shape[1] < 2:
            return []
        places = shares[:, 1:].argmax(axis=1) + 1
        return [(word, int(places[word]), float(shares[word, places[word]])) for word in words]

    def named(self, place: int) -> str:
        """Attribute and class of the region at a place."""
        number = self.attention.regions[place]
        return (
            "whole image" if number < 0 else " ".join(reversed(self.labels.of(self.regions, number))).strip()
        )


def look(
    model: Artifact,
    picture: Path | bytes,
    text: str,
    *,
    lang: str = "en",
    regions: Artifact | None = None,
    layer: int = -1,
    head: int | None = None,
) -> Looked:
    """Detect regions and run the model.

    Args:
        model: an artifact of the family `vlbert`, pre-trained or fine-tuned.
        regions: see `evaluate.seeing.Seeing`.
        layer: from 0, or from the end; head: from 0, or None for the mean of all.

    Raises:
        ConfigError: no such layer or head, or no detector is known.
        DataError: the model is of another family, or there is nothing in the picture.
    """
    from train.models.vlbert_attention import attend
    from train.models.vlbert_start import open_stream

    start = open_stream(model.path)
    sizes = start.recipe.vlbert.model
    if not -sizes.layers <= layer < sizes.layers:
        raise ConfigError(f"there is no layer {layer + 1}", f"the model has {sizes.layers}")
    if head is not None and not 0 <= head < sizes.heads:
        raise ConfigError(f"there is no head {head + 1}", f"each layer has {sizes.heads}")
    sample = new_sample(picture, text, lang)
    found, labels = Seeing(model, regions).regions(sample)
    return Looked(
        sample=sample,
        regions=found,
        labels=labels,
        attention=attend(start.trunk(), start.reader(), text, found),
        layer=layer % sizes.layers,
        head=head,
    )
