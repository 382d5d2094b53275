"""Extraction recipes as data: how images are resized and normalised, and which boxes are kept.

Sources: the published configurations of bottom-up attention (fixed 36 and adaptive 10-100 boxes), VinVL and
VL-BERT, torchvision's and detectron2's defaults (with no fewer than 10 boxes), and our own for drawn scenes,
for photographs and for grids. A recipe's whole content enters the key and is written into the store.

Regions are always sorted by the score that selection went by. Bottom-up attention sorts them only where it
had to choose; it also resizes without an antialiasing filter, which matters where images shrink.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from store.errors import ConfigError, did_you_mean


class Preprocessing(BaseModel):
    """What happens to pixels before the network.

    Attributes:
        short, long: the image is scaled (bilinear, antialiased, in uint8) so that its short side is `short`,
            or less where its long side would exceed `long`. None leaves the size as it is.
        sides: how lengths become whole. `nearest` scales both sides and rounds them; `short-first` rounds the
            short side, and the long one keeps its ratio to that and is rounded down.
        channels: order in which the network takes them.
        mean, std: per channel in that order, on the scale 0-255.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    short: int | None = None
    long: int | None = None
    sides: Literal["nearest", "short-first"] = "nearest"
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (63.75, 63.75, 63.75)


class Selection(BaseModel):
    """Which of a detector's proposals become regions.

    Attributes:
        boxes: the box that a region reports: regressed by its class, or the proposal as it stands.
        suppression: `class-wise` suppresses within each class, and a box survives with its best surviving
            class; `class-agnostic` suppresses among boxes with their best class.
        iou: boxes that overlap a better one by more than this are suppressed.
        last_pixel: overlaps are those of whole pixels of the original image, the last of a box included.
        threshold: keep boxes whose surviving score reaches it ...
        min_boxes, max_boxes: ... but at least so many, and at most so many, best first.
        label: of a region: the class with which it survived, or the likeliest whether it survived or not.
        whole_image: always keep one region that covers the whole image, counted in `max_boxes`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    boxes: Literal["regressed", "proposals"] = "regressed"
    suppression: Literal["class-wise", "class-agnostic"] = "class-wise"
    iou: float = 0.3
    last_pixel: bool = False
    threshold: float = 0.2
    min_boxes: int = 10
    max_boxes: int = 100
    label: Literal["surviving", "likeliest"] = "surviving"
    whole_image: bool = False


class Recipe(BaseModel):
    """Everything about extraction that is not in the weights.

    Attributes:
        name: how stages.yaml calls it.
        proposals: region proposals that enter the box head, for one image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    preprocessing: Preprocessing
    selection: Selection
    proposals: int


_CAFFE = Preprocessing(
    short=600, long=1000, channels="bgr", mean=(102.9801, 115.9465, 122.7717), std=(1.0, 1.0, 1.0)
)
_VINVL = Preprocessing(
    short=600,
    long=1000,
    sides="short-first",
    channels="bgr",
    mean=(103.53, 116.28, 123.675),
    std=(1.0, 1.0, 1.0),
)
_DETECTRON2 = Preprocessing(
    short=800, long=1333, channels="bgr", mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0)
)
_TORCHVISION = Preprocessing(
    short=800, long=1333, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)
_BUTD = Selection(boxes="proposals", last_pixel=True, label="likeliest")

_CELLS = Selection(
    boxes="proposals", suppression="class-agnostic", iou=1.0, threshold=0.0, min_boxes=1, max_boxes=256
)
"""Every cell of a grid, as it stands."""

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="demo",
            preprocessing=Preprocessing(),
            selection=Selection(
                suppression="class-agnostic", iou=0.5, threshold=0.05, min_boxes=2, max_boxes=12
            ),
            proposals=24,
        ),
        Recipe(
            name="photos",
            preprocessing=Preprocessing(short=224, long=320),
            selection=Selection(
                suppression="class-agnostic",
                iou=0.7,
                threshold=0.1,
                min_boxes=16,
                max_boxes=36,
                whole_image=True,
            ),
            proposals=100,
        ),
        Recipe(
            name="torchvision",
            preprocessing=_TORCHVISION,
            selection=Selection(iou=0.5, threshold=0.05),
            proposals=1000,
        ),
        Recipe(
            name="detectron2",
            preprocessing=_DETECTRON2,
            selection=Selection(iou=0.5, threshold=0.05),
            proposals=1000,
        ),
        Recipe(
            name="butd-36",
            preprocessing=_CAFFE,
            selection=_BUTD.model_copy(update={"min_boxes": 36, "max_boxes": 36}),
            proposals=300,
        ),
        Recipe(name="butd-10-100", preprocessing=_CAFFE, selection=_BUTD, proposals=300),
        Recipe(
            name="vinvl",
            preprocessing=_VINVL,
            selection=Selection(boxes="proposals"),
            proposals=300,
        ),
        Recipe(
            name="vl-bert",
            preprocessing=_CAFFE,
            selection=_BUTD.model_copy(update={"threshold": 0.5}),
            proposals=300,
        ),
        Recipe(
            name="grid", preprocessing=Preprocessing(short=224, long=320), selection=_CELLS, proposals=256
        ),
        Recipe(
            name="grid-imagenet",
            preprocessing=_TORCHVISION.model_copy(update={"short": 320, "long": 480}),
            selection=_CELLS,
            proposals=256,
        ),
        Recipe(
            name="grid-unit",
            preprocessing=Preprocessing(short=320, long=480, mean=(0, 0, 0), std=(255, 255, 255)),
            selection=_CELLS,
            proposals=256,
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Look a recipe up by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in RECIPES:
        raise ConfigError(f"no extraction recipe is called '{name}'", did_you_mean(name, RECIPES))
    return RECIPES[name]
