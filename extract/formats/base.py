"""What every format gives and takes: entries with regions in float32, or what is wrong with an entry."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.records import Regions

Size = tuple[int, int]
"""Height and width of an image in pixels."""
OUTSIDE = 1.0
"""Pixels that a box may lie outside of its image: boxes are scaled back from a resized image and rounded."""
_MOST_NAMES = 1 << 20
PROBED = 64
"""Entries of which one must be readable to tell the dimension of the features."""


class BadEntryError(Exception):
    """What is wrong with an entry: the class under which it is counted, and one line for people."""

    def __init__(self, failure: str, detail: str) -> None:
        super().__init__(failure, detail)
        self.failure = failure
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One image.

    Attributes:
        where: its place in the source, for people (`line 12`, `00000012.json`).
        image_id: in the source's own terms; empty where it cannot be told.
        regions: in the order of the source, features and posteriors in float32; None for a bad entry.
        extra: what `Regions` has no place for and an export gives back, as plain JSON.
        error: what is wrong with it.
    """

    where: str
    image_id: str
    regions: Regions | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    error: BadEntryError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What all entries of a source share.

    Attributes:
        dim: width D of the features.
        posteriors: number C of class posteriors, 0 for none.
        classes, attributes: names by id, empty where nothing names them.
        details: what an export needs to write the same form again, as plain JSON.
    """

    dim: int
    posteriors: int = 0
    classes: Sequence[str] = ()
    attributes: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a reader may be given besides its file.

    Attributes:
        labels: Oscar's table of classes and boxes.
        hw: Oscar's table of image sizes.
        lineidx: whether a line index beside the file must fit.
        classes, attributes: names by id.
        sizes: size of an image by its id, None for an image of no sample; None without samples.
    """

    labels: Path | None = None
    hw: Path | None = None
    lineidx: bool = True
    classes: Sequence[str] = ()
    attributes: Sequence[str] = ()
    sizes: Callable[[str], Size | None] | None = None


class Reader(Protocol):
    """A source, opened."""

    def facts(self) -> Facts:
        """Look at the first entries.

        Raises:
            DataError: none of them can be read.
        """

    def read(self, args: Mapping[str, Any]) -> Iterator[Entry]:
        """Every entry of a part, good or bad, one in memory at a time.

        Raises:
            DataError: the source as a whole is not what it should be.
        """


class Writer:
    """A target; its files appear at the end of the `with` block, or never."""

    def __init__(self) -> None:
        self._files = ExitStack()

    def open(self, files: ExitStack) -> None:
        """Enter every file into `files`, which closes them at the end of the `with` block."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        with ExitStack() as files:
            self.open(files)
            self._files = files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def write(self, image_id: str, regions: Regions, extra: Mapping[str, str]) -> None:
        """Add one image.

        Raises:
            DataError: the format cannot hold it.
        """
        raise NotImplementedError


def decoded(text: bytes | str, name: str, dtype: str, rows: int, width: int = 0) -> NDArray[Any]:
    """An array [rows, width] from base64, or [rows] for no width.

    Args:
        width: 0 for none, -1 for whatever the length gives.

    Raises:
        BadEntryError: no base64, or of another length.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadEntryError("bad_base64", f"{name}: {error}; {len(text):,} characters") from error
    item = np.dtype(dtype).itemsize
    unit = item * rows * max(1, width)
    if len(data) != unit if width >= 0 else not data or len(data) % unit:
        wanted = f"{rows} × {item}" if not width else f"{rows} × {'D' if width < 0 else width} × {item}"
        raise BadEntryError("wrong_length", f"{name}: {len(data):,} bytes, not {wanted}")
    array = np.frombuffer(data, dtype)
    return array.reshape(rows, -1) if width else array


def encoded(array: NDArray[Any], dtype: str) -> str:
    """Base64 of an array's bytes."""
    return base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")


def count_of(value: Any, name: str = "num_boxes") -> int:
    """A positive whole number.

    Raises:
        BadEntryError: it is none.
    """
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise BadEntryError("bad_entry", f"{name} is {str(value)[:40]!r}, not a whole number") from None
    if number < 1 or number > 1 << 30:
        raise BadEntryError("no_regions" if number == 0 else "bad_entry", f"{name} is {number}")
    return number


def make_regions(
    *,
    boxes: NDArray[Any],
    features: NDArray[Any],
    size: Size,
    class_id: NDArray[Any] | None = None,
    score: NDArray[Any] | None = None,
    attribute_id: NDArray[Any] | None = None,
    attribute_score: NDArray[Any] | None = None,
    posteriors: NDArray[Any] | None = None,
) -> Regions:
    """Regions of checked values; classes and attributes that are not known get the id -1 and the score 0.

    Raises:
        BadEntryError: values that are not finite, boxes that are inside out or out of the image.
    """
    n = len(boxes)
    unknown, zero = np.full(n, -1, np.int32), np.zeros(n, np.float32)
    regions = Regions(
        boxes=_plain(boxes, np.float32),
        features=_plain(features, np.float32),
        class_id=unknown if class_id is None else _ids(class_id, "class"),
        score=zero if score is None else _plain(score, np.float32),
        attribute_id=unknown if attribute_id is None else _ids(attribute_id, "attribute"),
        attribute_score=zero if attribute_score is None else _plain(attribute_score, np.float32),
        image_size=np.asarray(size, np.int32),
        posteriors=None if posteriors is None else _plain(posteriors, np.float32),
    )
    for name in ("boxes", "features", "score", "attribute_score", "posteriors"):
        values = getattr(regions, name)
        if values is not None and not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values.reshape(n, -1)).all(axis=1)))
            raise BadEntryError("not_finite", f"{name} of region {row} hold NaN or an infinity")
    _require_inside(regions.boxes, size)
    return regions


def _plain(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # an infinity is found afterwards
        return np.ascontiguousarray(array, dtype)


def _ids(array: NDArray[Any], what: str) -> NDArray[np.int32]:
    wrong = np.flatnonzero((array < -1) | (array >= _MOST_NAMES))
    if len(wrong):
        raise BadEntryError("bad_entry", f"the {what} of region {wrong[0]} has the id {array[wrong[0]]}")
    return np.ascontiguousarray(array, np.int32)


def _require_inside(boxes: NDArray[np.float32], size: Size) -> None:
    height, width = size
    if height < 1 or width < 1:
        raise BadEntryError("bad_entry", f"an image of {width} × {height} pixels")
    low, high = boxes[:, :2], boxes[:, 2:]
    bad = (low < -OUTSIDE) | (high > np.asarray([width, height]) + OUTSIDE) | (high < low)
    rows = np.flatnonzero(bad.any(axis=1))
    if len(rows):
        box = ", ".join(f"{value:.1f}" for value in boxes[rows[0]].tolist())
        raise BadEntryError("bad_boxes", f"region {rows[0]} is [{box}] in an image of {width} × {height}")


def probe(entries: Iterator[Entry], what: str) -> Entry:
    """The first entry that can be read.

    Raises:
        DataError: none of the first ones can.
    """
    first: Entry | None = None
    for _, entry in zip(range(PROBED), entries, strict=False):
        if entry.regions is not None:
            return entry
        first = first or entry
    if first is None:
        raise DataError(f"{what} holds no region features")
    assert first.error is not None
    raise unreadable(what, first.where, first.error)


def unreadable(what: str, where: str, error: BadEntryError) -> DataError:
    """The error of a source of which no entry can be read, with what is wrong with the first one."""
    return DataError(
        f"{what}: none of its first entries can be read; {where}: {error.detail}",
        "is it in another format? --format says which",
    )


def require_dim(regions: Regions, dim: int, posteriors: int) -> None:
    """All entries of a source must be alike.

    Raises:
        BadEntryError: this one is not.
    """
    found = 0 if regions.posteriors is None else regions.posteriors.shape[1]
    if regions.features.shape[1] != dim or found != posteriors:
        what = f"features of {regions.features.shape[1]} numbers and {found} posteriors"
        raise BadEntryError("wrong_length", f"{what}, where the first entry has {dim} and {posteriors}")
