"""Look into feature stores, key indices and tensors."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from math import hypot, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import DataError
from store.listing.words import like

if TYPE_CHECKING:
    from store.features.layout import Layout


class Store:
    """A feature store in LMDB or HDF5."""

    def __init__(self, path: Path) -> None:
        from store.features.backends import open_file

        self._path = path
        self._file = open_file(path)

    def describe(self) -> dict[str, Any]:
        fields = {f.name: f"{f.dtype} {list(f.shape)}" for f in self._file.layout.fields}
        kind = self._file.layout.kind
        return {"kind": kind, "records": len(self._file), "about": self._file.meta["about"], "fields": fields}

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        keys = islice(self._file.keys(), start, start + count)
        return [{"key": key, **_summary(self._file.layout, self._arrays(key))} for key in keys]

    def entry(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = {"key": key, **self._arrays(key)}
        for ids, names in (("class_id", "classes"), ("attribute_id", "attributes")):
            known = self._file.meta["about"].get(names)
            if known and ids in found:
                inside = range(len(known))
                words = [str(known[i]) if i in inside else "" for i in found[ids].tolist()]
                found[ids.removesuffix("_id")] = words
        return found

    def _arrays(self, key: str) -> dict[str, Any]:
        row = self._file.find(key)
        arrays = None if row is None else self._file.read(key, row)
        if arrays is None:
            raise DataError(f"{self._path.name} has no record '{key}'", like(key, self._file.keys()))
        return arrays


def _summary(layout: Layout, arrays: dict[str, Any]) -> dict[str, Any]:
    """What a line says of a record: a vector by its norm, where one value says little."""
    if layout.kind != "embeddings":
        return {"rows": layout.rows(arrays)}
    told: dict[str, Any] = {}
    if "pooled" in arrays:
        told["norm"] = hypot(*arrays["pooled"].tolist())
    if "tokens" in arrays:
        told["tokens"] = len(arrays["tokens"])
    if "grid" in arrays:
        told["grid"] = " × ".join(map(str, arrays["grid"].tolist()))
    return told


class Index:
    """The key index of an artifact, or its folder."""

    def __init__(self, path: Path) -> None:
        from store.features.index import Index

        self._path = path
        self._index = Index(path)

    def describe(self) -> dict[str, Any]:
        about = self._index.meta.get("about", {})
        return {
            "kind": "key index",
            "keys": len(self._index),
            "files": len(self._index.files),
            "about": about,
        }

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        pairs = list(zip(self._index.files, self._index.counts, strict=True))
        return [{"file": name, "records": records} for name, records in pairs[start : start + count]]

    def entry(self, key: str) -> dict[str, Any]:
        place = self._index.find(key)
        if place is None:
            raise DataError(f"{self._path.name} has no key '{key}'", "keys look like <dataset>/<image id>")
        return Store(self._path.parent / self._index.files[place[0]]).entry(key)


class Tensors:
    """A safetensors file."""

    def __init__(self, path: Path) -> None:
        from store.tensors import read_header

        self._path = path
        self._tensors, self._metadata = read_header(path)

    def describe(self) -> dict[str, Any]:
        numbers = sum(prod(tensor.shape) for tensor in self._tensors.values())
        types = Counter(tensor.dtype for tensor in self._tensors.values())
        counts = {"tensors": len(self._tensors), "numbers": numbers, "types": dict(sorted(types.items()))}
        return {"kind": "tensors", **counts, "metadata": self._metadata}

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        found = islice(self._tensors.items(), start, start + count)
        return [{"name": name, "type": t.dtype, "shape": list(t.shape)} for name, t in found]

    def entry(self, key: str) -> dict[str, Any]:
        from store.tensors import read_tensor

        values = read_tensor(self._path, key)
        return {"name": key, "type": self._tensors[key].dtype, "values": values}
