"""One line of Oscar's features: which form it has, and the arrays in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.formats.base import BadEntryError, Size, count_of, decoded

GEOMETRY = 6
"""Numbers of a box after its features: x1/W, y1/H, x2/W, y2/H, w/W, h/H."""
_SLACK = 1e-3


def form_of(line: bytes) -> str:
    """The form of a line; empty for none of them."""
    cells = line.split(b"\t")
    if len(cells) >= 3:
        return "columns"
    forms = {b'"objects"': "predictions", b'"num_boxes"': "captioning", b'"feature"': "tags"}
    if len(cells) == 2 and cells[1].startswith(b"{"):
        return next((form for key, form in forms.items() if key in cells[1]), "")
    return ""


def require_form(line: bytes) -> str:
    """The form of a line.

    Raises:
        BadEntryError: none of them.
    """
    form = form_of(line)
    if not form:
        columns = line.count(b"\t") + 1
        raise BadEntryError("bad_entry", f"{columns} columns: none of the forms of Oscar's features")
    return form


def json_of(text: bytes) -> dict[str, Any]:
    """A cell as a JSON object.

    Raises:
        BadEntryError: it is none.
    """
    try:
        obj = json.loads(text)
    except ValueError as error:
        raise BadEntryError("bad_json", str(error)) from error
    if not isinstance(obj, dict):
        raise BadEntryError("bad_json", "no JSON object")
    return obj


def text_of(obj: Mapping[str, Any], name: str) -> str:
    """The text of that name in an object.

    Raises:
        BadEntryError: there is none.
    """
    text = obj.get(name)
    if not isinstance(text, str):
        raise BadEntryError("bad_entry", f"no text as '{name}'")
    return text


def rows_of(form: str, cells: list[bytes]) -> tuple[NDArray[np.float32], list[str] | None]:
    """Features and geometry, float32 [n, D + 6], and the classes of the form `tags`.

    Raises:
        BadEntryError: a cell cannot be read.
    """
    tags: list[str] | None = None
    if form == "columns":
        n, data = count_of(cells[0].decode("latin-1")), cells[-1].decode("latin-1")
    elif form == "tags":
        obj = json_of(cells[0])
        tags, data = _tags(obj), text_of(obj, "feature")
        n = count_of(len(tags), "number of tags")
    else:
        obj = json_of(cells[0])
        n, data = count_of(obj.get("num_boxes")), text_of(obj, "features")
    rows = decoded(data, "features", "<f4", n, -1)
    if rows.shape[1] <= GEOMETRY:
        raise BadEntryError("wrong_length", f"{rows.shape[1]} numbers a box, 6 of them its geometry")
    return rows, tags


def width_of(line: bytes) -> int:
    """The dimension of a line's features.

    Raises:
        BadEntryError: they cannot be read.
    """
    form, cells = require_form(line), line.split(b"\t")[1:]
    if form != "predictions":
        return rows_of(form, cells)[0].shape[1] - GEOMETRY
    first = objects_of(json_of(cells[0]))[0]
    return decoded(text_of(first, "feature"), "feature", "<f4", 1, -1).shape[1]


def objects_of(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of the form `predictions`.

    Raises:
        BadEntryError: there are none.
    """
    objects = obj.get("objects")
    if not isinstance(objects, list) or not all(isinstance(each, dict) for each in objects):
        raise BadEntryError("bad_entry", "no list of objects")
    count_of(len(objects), "number of objects")
    return objects


def _tags(obj: Mapping[str, Any]) -> list[str]:
    tags = obj.get("predictions")
    if not isinstance(tags, list):
        raise BadEntryError("bad_entry", "no list of tags as 'predictions'")
    return [str(tag) for tag in tags]


def boxes_of(geometry: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Boxes in pixels.

    Raises:
        BadEntryError: the six numbers are no geometry.
    """
    if not np.isfinite(geometry).all():
        raise BadEntryError("not_finite", "NaN or an infinity among the boxes")
    apart = np.abs(geometry[:, 2:4] - geometry[:, :2] - geometry[:, 4:]).max()
    if apart > _SLACK or np.abs(geometry).max() > 2:
        raise BadEntryError("bad_boxes", "the last 6 columns are not x1/W, y1/H, x2/W, y2/H, w/W, h/H")
    height, width = size
    return (geometry[:, :4].astype(np.float64) * [width, height, width, height]).astype(np.float32)
