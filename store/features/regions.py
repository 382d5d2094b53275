"""Regions as arrays of a store, in half precision, in full precision or in 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import ConfigError, DataError
from store.features.layout import Arrays, Field, Layout
from store.records import Regions

KIND = "regions"


def region_layout(
    dim: int, posteriors: int = 0, quantised: bool = False, exact: bool = False, top: int | None = None
) -> Layout:
    """The layout of region records.

    Args:
        dim: width D of the features.
        posteriors: number C of class posteriors, 0 for none.
        quantised: features as int8 with one float32 scale a row, half the size; a value is off by at most
            1/254 of the largest magnitude in its row (0.4 %), besides the rounding to float16.
        exact: features and posteriors in float32, twice the size, for features that come in float32 and must
            go out as they came; float16 is off by at most 1/2048 of a value (0.05 %).
        top: of the posteriors only so many of the largest, scaled to the sum of all; the others read as 0.

    Raises:
        ConfigError: both quantised and exact.
    """
    if quantised and exact:
        raise ConfigError("features are either quantised or exact", "give one of the two")
    wide = "<f4" if exact else "<f2"
    fields = [
        Field("boxes", "<f4", (4,)),
        Field("score", "<f4"),
        Field("attribute_score", "<f4"),
        Field("class_id", "<i4"),
        Field("attribute_id", "<i4"),
        Field("image_size", "<i4", (2,), ragged=False),
    ]
    if posteriors and top is not None and top < posteriors:
        fields += [
            Field("posterior", wide, (top,)),
            Field("posterior_class", "<i4", (top,)),
            Field("classes", "<i4", ragged=False),
        ]
    elif posteriors:
        fields.append(Field("posteriors", wide, (posteriors,)))
    if quantised:
        fields.append(Field("feature_scale", "<f4"))
    fields.append(Field("features", "|i1" if quantised else wide, (dim,)))
    return Layout(KIND, tuple(fields))


def to_arrays(regions: Regions, layout: Layout) -> Arrays:
    """The arrays that are stored.

    Raises:
        DataError: an array has another type or shape than `Regions` documents or the store holds, or features
            that are not finite (a float16 ends at 65,504).
    """
    types = {field.name: field.dtype for field in layout.fields}
    arrays: Arrays = {name: getattr(regions, name) for name in Regions.__slots__}
    if regions.posteriors is None:
        del arrays["posteriors"]
    elif "posterior" in types:
        dense, (largest,) = arrays.pop("posteriors"), layout.shape("posterior")
        arrays["classes"] = np.array(dense.shape[1], np.int32)
        arrays["posterior"], arrays["posterior_class"] = _largest(dense, largest)
    elif "posteriors" not in types:
        raise DataError("regions with posteriors for a store without", "open the writer with posteriors=C")
    features = regions.features
    wanted = np.dtype("<f4" if types["features"] == "<f4" else "<f2")
    if features.dtype != wanted or features.ndim != 2:
        raise DataError(f"features must be {wanted} [n, D], not {features.dtype} {list(features.shape)}")
    if not _finite(features):
        raise DataError(f"features that are not finite in {wanted}")
    if "feature_scale" in types:
        arrays["features"], arrays["feature_scale"] = _quantise(features)
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Regions:
    """The inverse of `to_arrays`, up to the rounding of quantised features and to posteriors left out."""
    plain = dict(arrays)
    if "posterior" in plain:
        largest, where, classes = (plain.pop(name) for name in ("posterior", "posterior_class", "classes"))
        plain["posteriors"] = np.zeros((len(largest), int(classes)), largest.dtype)
        np.put_along_axis(plain["posteriors"], where.astype(np.int64), largest, axis=1)
    if "feature_scale" in plain:
        scale = plain.pop("feature_scale")
        plain["features"] = (plain["features"] * scale[:, None]).astype(np.float16)
    return Regions(**plain)


def _finite(features: NDArray[Any]) -> bool:
    """Whether no exponent has all of its bits set, as in infinities and NaN; faster than `isfinite`."""
    half = features.itemsize == 2
    exponent = np.array(0x7C00 if half else 0x7F800000, np.uint16 if half else np.uint32)
    return not ((np.ascontiguousarray(features).view(exponent.dtype) & exponent) == exponent).any()


def _largest(posteriors: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """The largest of each row [n, C], scaled to the sum of all, and their classes, [n, count] each."""
    classes = np.argsort(-posteriors, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(posteriors, classes, axis=1).astype(np.float32)
    total, rest = (each.sum(axis=1, keepdims=True, dtype=np.float32) for each in (posteriors, kept))
    scaled = kept * (total / np.where(rest > 0, rest, 1))
    return scaled.astype(posteriors.dtype), classes.astype(np.int32)


def _quantise(features: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 [n, D] and float32 [n]: the row's largest magnitude is 127 steps of its scale."""
    wide = features.astype(np.float32)
    scale = np.abs(wide).max(axis=1, initial=0.0) / np.float32(127)
    steps = wide / np.where(scale > 0, scale, np.float32(1))[:, None]
    return np.rint(steps).astype(np.int8), scale.astype(np.float32)
