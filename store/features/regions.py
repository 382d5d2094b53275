"""Regions as arrays of a store, in half precision or in 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.features.layout import Arrays, Field, Layout
from store.records import Regions

KIND = "regions"
_EXPONENT = np.uint16(0x7C00)
"""Exponent bits of a float16; all set in infinities and NaN."""


def region_layout(dim: int, posteriors: int = 0, quantised: bool = False) -> Layout:
    """The layout of region records.

    Args:
        dim: width D of the features.
        posteriors: number C of class posteriors, 0 for none.
        quantised: features as int8 with one float32 scale a row, half the size; a value is off by at most
            1/254 of the largest magnitude in its row (0.4 %), besides the rounding to float16.
    """
    fields = [
        Field("boxes", "<f4", (4,)),
        Field("score", "<f4"),
        Field("attribute_score", "<f4"),
        Field("class_id", "<i4"),
        Field("attribute_id", "<i4"),
        Field("image_size", "<i4", (2,), ragged=False),
    ]
    if posteriors:
        fields.append(Field("posteriors", "<f2", (posteriors,)))
    if quantised:
        fields.append(Field("feature_scale", "<f4"))
    fields.append(Field("features", "|i1" if quantised else "<f2", (dim,)))
    return Layout(KIND, tuple(fields))


def to_arrays(regions: Regions, layout: Layout) -> Arrays:
    """The arrays that are stored.

    Raises:
        DataError: an array has another type or shape than `Regions` documents or the store holds, or features
            that are not finite (a float16 ends at 65,504).
    """
    names = {field.name for field in layout.fields}
    arrays: Arrays = {name: getattr(regions, name) for name in Regions.__slots__}
    if regions.posteriors is None:
        del arrays["posteriors"]
    elif "posteriors" not in names:
        raise DataError("regions with posteriors for a store without", "open the writer with posteriors=C")
    features = regions.features
    if features.dtype != np.float16 or features.ndim != 2:
        raise DataError(f"features must be float16 [n, D], not {features.dtype} {list(features.shape)}")
    if ((np.ascontiguousarray(features).view(np.uint16) & _EXPONENT) == _EXPONENT).any():
        raise DataError("features that are not finite in float16")
    if "feature_scale" in names:
        arrays["features"], arrays["feature_scale"] = _quantise(features)
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Regions:
    """The inverse of `to_arrays`, up to the rounding of quantised features."""
    plain = dict(arrays)
    if "feature_scale" in plain:
        scale = plain.pop("feature_scale")
        plain["features"] = (plain["features"] * scale[:, None]).astype(np.float16)
    return Regions(**plain)


def _quantise(features: NDArray[np.float16]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 [n, D] and float32 [n]: the row's largest magnitude is 127 steps of its scale."""
    wide = features.astype(np.float32)
    scale = np.abs(wide).max(axis=1, initial=0.0) / np.float32(127)
    steps = wide / np.where(scale > 0, scale, np.float32(1))[:, None]
    return np.rint(steps).astype(np.int8), scale.astype(np.float32)
