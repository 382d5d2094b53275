"""Write a feature store in another project's format; what was imported goes out as it came."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extract.formats.find import FORMATS, open_writer
from extract.importing import ORIGINS
from store.errors import ConfigError, CorruptError, UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an image goes: its key here, its id there, and what the record has no place for."""

    key: str
    image_id: str
    extra: dict[str, str]


def export_store(
    store_path: Path,
    target: Path,
    format: str = "",  # noqa: A002  the word that the option has
    progress: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Write all regions of an artifact, or of one store file; return the number of images.

    Imported regions go out in the order, under the ids and in the form of their source; others in the order
    of their keys, under what follows the key's first slash. Features leave in float32, exact where they are
    stored so.

    Args:
        format: one of FORMATS; empty for that of the source.
        progress: is told the images written and all of them.

    Raises:
        CorruptError: no feature store, or a damaged one.
        ConfigError: no such format, or none is said and the regions were not imported.
        UserError: the format cannot hold the regions, or the target is there already.
    """
    from store.features import open_store

    store = open_store(store_path)
    note = _note(store_path)
    format = format or str(note.get("format", ""))  # noqa: A001
    if not format:
        what = f"{store_path} was not imported, so that nothing says its format"
        raise ConfigError(what, f"--format is one of: {', '.join(FORMATS)}")
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UserError(f"{target} is there already", "give another name, or delete it")
    target.parent.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {**store.meta, "details": note["details"] if note.get("format") == format else {}}
    total, count = len(store), 0
    with open_writer(format, target, about) as writer:
        for count, origin in enumerate(_origins(store_path, store.keys()), 1):
            writer.write(origin.image_id, store[origin.key], origin.extra)
            progress(count, total)
    if count != total:
        raise CorruptError(f"{store_path} lists {count:,} images and holds {total:,}", "import it again")
    return count


def _note(path: Path) -> dict[str, Any]:
    """What the import has noted of its source; empty for other regions."""
    file = path / "all.json"
    if not path.is_dir() or not file.exists():
        return {}
    try:
        note = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise CorruptError(f"{file} is no JSON: {error}", "import it again") from error
    return note if isinstance(note, dict) and "details" in note else {}


def _origins(path: Path, keys: Iterator[str]) -> Iterator[Origin]:
    """In the order of the source, or of the keys where there is none."""
    from store.tables import iter_table

    tables = sorted(path.glob(f"*{ORIGINS}")) if path.is_dir() else []
    if not tables:
        for key in keys:
            yield Origin(key=key, image_id=key.split("/", 1)[-1], extra={})
    for table in tables:
        for row in iter_table(table, batch=256):
            yield Origin(key=row["key"], image_id=row["image_id"], extra=json.loads(row["extra"]))
