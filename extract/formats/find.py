"""Which formats there are, which one a path is in, which files belong to it. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from extract.formats.cut import Digest, Part, cut_files, cut_lines, lineidx_of, read_line, split_zip
from store.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from extract.formats.base import Beside, Reader, Writer

FORMATS = ("oscar", "butd", "vlbert", "npz")
_BUTD_COLUMNS = (6, 10)
_ENDINGS = {"vlbert": ".json", "npz": ".npz"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source and what lies beside it.

    Attributes:
        format: one of FORMATS.
        path: the table, folder or zip; may name a folder in a zip (`x.zip@/val`).
        labels, hw, classes: Oscar's further tables, None where there are none.
    """

    format: str
    path: Path
    labels: Path | None = None
    hw: Path | None = None
    classes: Path | None = None

    def files(self, *, lineidx: bool = True) -> dict[str, Path]:
        """What is read besides the features, by role."""
        index = lineidx_of(self.path) if lineidx and self.format == "oscar" else None
        found = {"labels": self.labels, "hw": self.hw, "classes": self.classes}
        found["lineidx"] = index if index is not None and index.exists() else None
        return {role: path for role, path in found.items() if path is not None}


def find_source(path: Path, format: str = "auto") -> Source:  # noqa: A002  the word that the option has
    """Tell what a path holds, and Oscar's tables beside it by their usual names.

    Those of `x.tsv` or `x.feature.tsv` are `x.hw.tsv`, `x.label.tsv` and `x.labelmap.tsv`, those of
    `features.tsv` also `predictions.tsv`; VinVL's `x.yaml` names them.

    Raises:
        DataError: nothing there, or none of the formats.
        ConfigError: no format of this name.
    """
    if format not in ("auto", *FORMATS):
        raise ConfigError(f"no format '{format}'", did_you_mean(format, ("auto", *FORMATS)))
    archive, _ = split_zip(path)
    if not (archive or path).exists():
        raise DataError(f"{archive or path} is missing", "give a table, a folder or a zip of features")
    if format == "auto":
        format = _guess(path, archive is not None)  # noqa: A001
    if format != "oscar":
        return Source(format=format, path=path)
    return _from_yaml(path) if path.suffix == ".yaml" else _oscar(path)


def cut_source(source: Source, entries: int, digest: Digest) -> Iterator[Part]:
    """Share the entries out."""
    if source.format in _ENDINGS:
        return cut_files(source.path, _ENDINGS[source.format], entries, digest)
    return cut_lines(source.path, entries, digest)


def open_reader(source: Source, beside: Beside) -> Reader:
    """Open a source.

    Raises:
        DataError: a file beside it is missing or no such file.
    """
    if source.format == "oscar":
        from extract.formats.oscar import OscarReader

        return OscarReader(source.path, beside)
    if source.format == "butd":
        from extract.formats.butd import ButdReader

        return ButdReader(source.path, beside)
    if source.format == "vlbert":
        from extract.formats.vlbert import VlBertReader

        return VlBertReader(source.path, beside)
    from extract.formats.npz import NpzReader

    return NpzReader(source.path, beside)


def open_writer(format: str, path: Path, about: Mapping[str, Any]) -> Writer:  # noqa: A002  as above
    """Open a target.

    Args:
        about: metadata of the store, and `details`: what the reader of the source has noted.

    Raises:
        ConfigError: no format of this name.
    """
    if format == "oscar":
        from extract.formats.oscar_writer import OscarWriter

        return OscarWriter(path, about)
    if format == "butd":
        from extract.formats.butd import ButdWriter

        return ButdWriter(path, about)
    if format == "vlbert":
        from extract.formats.vlbert import VlBertWriter

        return VlBertWriter(path, about)
    if format == "npz":
        from extract.formats.npz import NpzWriter

        return NpzWriter(path, about)
    raise ConfigError(f"no format '{format}'", did_you_mean(format, FORMATS))


def _guess(path: Path, zipped: bool) -> str:
    if path.is_dir() or zipped:
        from extract.formats.cut import member_names

        for name, ending in _ENDINGS.items():
            if member_names(path, ending):
                return name
        raise DataError(f"{path} holds neither .json nor .npz", "VL-BERT's files end in .json")
    if path.suffix == ".yaml":
        return "oscar"
    with path.open("rb") as file:
        columns = read_line(file, path).count(b"\t") + 1
    if columns == 1:
        raise DataError(f"{path} is no table of features: its first line has one column")
    return "butd" if columns in _BUTD_COLUMNS else "oscar"


def _oscar(path: Path) -> Source:
    stem = path.name.removesuffix(".tsv").removesuffix(".feature")
    labels = [path.with_name(f"{stem}.label.tsv")]
    if stem == "features":
        labels.append(path.with_name("predictions.tsv"))
    return Source(
        format="oscar",
        path=path,
        labels=next((each for each in labels if each.exists()), None),
        hw=_existing(path.with_name(f"{stem}.hw.tsv")),
        classes=_existing(path.with_name(f"{stem}.labelmap.tsv")),
    )


def _from_yaml(path: Path) -> Source:
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    named = {key: path.parent / str(value) for key, value in data.items()} if isinstance(data, dict) else {}
    if "feature" not in named:
        what = "names images, no features" if "img" in named else "names no features"
        raise DataError(f"{path} {what}", "a line `feature: x.tsv` names their table")
    for role in ("feature", "label", "hw", "labelmap"):
        if role in named and not named[role].exists():
            raise DataError(f"{path}: {role}: {named[role].name} is missing")
    return Source(
        format="oscar",
        path=named["feature"],
        labels=named.get("label"),
        hw=named.get("hw"),
        classes=named.get("labelmap"),
    )


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None
