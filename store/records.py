"""What one sample and one image's regions are, whatever file they lie in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `babelscene status` imports every stage, and none needs numpy to be known by name
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """One sentence about one image.

    Attributes:
        id: `<sample key>#<lang><n>`, such as `scenes/000012#en0`.
        lang: BCP-47 tag.
        text: the sentence as its source has it.
        translates: id of the caption that this one translates, or None.
    """

    id: str
    lang: str
    text: str
    translates: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image with its captions.

    Attributes:
        key: `<dataset>/<image id>`, stable for ever, never a running number of a run.
        captions: any number, in any language.
        image: the encoded bytes as they were found, or None when only the metadata was read, or when the
            sample is text alone.
        extension: the image's file ending without the dot (`jpg`, `png`); empty for text alone.
        url: where the image came from, or an empty string.
        sha256: hex digest of `image`; empty for text alone.
        width, height: pixels, after the EXIF orientation is applied; 0 for text alone.
        split: `train`, `val`, `test` or the source's own word.
        licence: as the source states it, or an empty string.
        source_ids: identifiers in the source's own terms.
        truth: ground truth where the source has it. `objects`: a list of
            {`box`: [x1, y1, x2, y2] in pixels, `name`: str, `attributes`: [str]};
            `relations`: a list of [subject index, relation, object index]; further keys are the source's own.
    """

    key: str
    captions: tuple[Caption, ...]
    image: bytes | None
    extension: str = "jpg"
    url: str = ""
    sha256: str
    width: int
    height: int
    split: str = ""
    licence: str = ""
    source_ids: Mapping[str, str] = field(default_factory=dict)
    truth: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """The part of the key before the first slash."""
        return self.key.split("/", 1)[0]

    @property
    def id(self) -> str:
        """The part of the key after the first slash."""
        return self.key.split("/", 1)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The detected regions of one image, sorted by descending score; imported ones as their source has them.

    Attributes:
        boxes: float32 [n, 4], x1 y1 x2 y2 in pixels of the original image.
        features: float16 [n, D], pooled features; float32 from a store that keeps them exact.
        class_id: int32 [n].
        score: float32 [n], probability of `class_id`.
        attribute_id: int32 [n], -1 where the detector has no attributes.
        attribute_score: float32 [n].
        image_size: int32 [2], height and width in pixels.
        posteriors: float16 [n, C] class posteriors, or None; float32 like the features.
    """

    boxes: NDArray[np.float32]
    features: NDArray[np.float16] | NDArray[np.float32]
    class_id: NDArray[np.int32]
    score: NDArray[np.float32]
    attribute_id: NDArray[np.int32]
    attribute_score: NDArray[np.float32]
    image_size: NDArray[np.int32]
    posteriors: NDArray[np.float16] | NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def geometry(self) -> NDArray[np.float32]:
        """float32 [n, 6]: x1/W, y1/H, x2/W, y2/H, w/W, h/H, the form of VinVL."""
        import numpy as np

        height, width = (float(side) for side in self.image_size)
        corners = self.boxes / np.asarray([width, height, width, height], np.float32)
        return np.concatenate([corners, corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float32)
