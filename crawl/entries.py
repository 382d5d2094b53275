"""Rows before their images are read: out of a table's columns, or out of images with a .txt beside each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from crawl.captions import CaptionList, is_tag, is_utf8
from crawl.files import SUFFIXES
from crawl.source import RowError
from crawl.tables import Record, read_table
from store.errors import ConfigError, UserError, did_you_mean
from store.records import Caption

ALIGNED = "aligned"
"""Instead of a language: the column holds one sentence in several languages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row, its image still unread.

    Attributes:
        where: what people call it: `line 17`, or a file name.
        id: of the image; `where` again when the row has none.
        image: file name of the image; empty for a row of text alone.
        split, url, truth: as in `crawl.source.Row`.
        raw: bytes that change whenever anything above or below does; empty where these fields say all.
        error: why the row fails whatever its image holds.
    """

    where: str
    id: str
    image: str = ""
    captions: tuple[Caption, ...] = ()
    source_ids: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    url: str = ""
    truth: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes = b""
    error: RowError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column of a table means what.

    Attributes:
        dataset: first part of the captions' ids.
        image: column of the file name.
        id: column of the id, or empty where the image's name says it.
        identify: the id that an image's name says: by default the file name without its ending.
        captions: column -> language or `aligned`; None for `caption` and `captions`, whichever exist.
        lang: language where nothing else says it, and of the originals of translations.
        source_ids: columns kept as they are.
    """

    dataset: str
    image: str = "image"
    id: str = ""
    captions: Mapping[str, str] | None = None
    lang: str = "en"
    source_ids: tuple[str, ...] = ()
    identify: Callable[[str], str] = lambda image: PurePosixPath(image).stem

    def entries(
        self, table: Path, header: tuple[str, ...] = (), *, with_captions: bool = True
    ) -> Iterator[Entry]:
        """Yield a table's rows in order, readable or not.

        Args:
            table: `.jsonl`, `.ndjson`, `.csv` or `.tsv`.
            header: names of the columns where the table has no header line.
            with_captions: whether captions are wanted; a plan does without, and takes a third of the time.

        Raises:
            ConfigError: at the end, when a column was asked for that no row has.
        """
        seen: dict[str, None] = {}
        for record in read_table(table, header):
            seen.update(dict.fromkeys(record.values or ()))
            yield self.entry(record, with_captions=with_captions)
        asked = (self.image, self.id or self.image, *self.source_ids, *(self.captions or ()))
        for column in asked if seen else ():
            if column not in seen:
                raise ConfigError(f"{table}: no row has a column '{column}'", did_you_mean(column, seen))
        if seen and self.captions is None and not seen.keys() & {"caption", "captions"}:
            raise ConfigError(
                f"{table}: no row has a column 'caption' or 'captions'",
                f"name one: captions: {{COLUMN: {self.lang}}}; there are {', '.join(seen)}",
            )

    def entry(self, record: Record, *, with_captions: bool = True) -> Entry:
        """One row of a table, readable or not."""
        where = f"line {record.line}"
        try:
            values, image, name = self._identity(record)
        except ValueError as fault:
            # The line stands in the failure, so it is part of what the row is.
            raw = record.raw + f"\n{where}".encode()
            return Entry(where=where, id=where, raw=raw, error=RowError("bad_row", f"{where}: {fault}"))
        captions: tuple[Caption, ...] = ()
        error = None
        if with_captions:
            try:
                captions = self._captions(values, f"{self.dataset}/{name}")
            except ValueError as fault:
                error = RowError("bad_caption", str(fault))
        return Entry(
            where=where,
            id=name,
            image=image,
            captions=captions,
            source_ids={c: str(values[c]) for c in self.source_ids if c in values},
            raw=record.raw,
            error=error,
        )

    def _identity(self, record: Record) -> tuple[Mapping[str, Any], str, str]:
        """Values, image and id of a row that has them."""
        if record.values is None:
            raise ValueError(record.fault)
        image = _name(record.values, self.image)
        name = _name(record.values, self.id) if self.id else self.identify(image)
        return record.values, image, name

    def _captions(self, values: Mapping[str, Any], key: str) -> tuple[Caption, ...]:
        mapping = self.captions
        if mapping is None:
            mapping = {column: self.lang for column in ("caption", "captions") if column in values}
        found = CaptionList(key)
        for column, meaning in mapping.items():
            self._collect(found, values.get(column), meaning, column)
        captions = found.done()
        if not captions and self.captions != {}:
            raise ValueError("no caption")
        return captions

    def _collect(self, captions: CaptionList, value: Any, meaning: str, column: str) -> None:
        """Add what one column holds: nothing, a text, a list of texts, or an object of languages."""
        if meaning == ALIGNED and value is not None:
            if not isinstance(value, dict) or not all(isinstance(t, str | None) for t in value.values()):
                raise ValueError(f"'{column}' is not an object of language: text")
            captions.add_aligned({k: t for k, t in value.items() if t is not None}, self.lang)
            return
        by_language = value if isinstance(value, dict) else {meaning: value}
        for lang, texts in by_language.items():
            for text in texts if isinstance(texts, list) else [texts]:
                if isinstance(text, str):
                    captions.add(lang, text)
                elif text is not None:
                    raise ValueError(f"'{column}' holds {type(text).__name__}, not text")


def images_beside_texts(
    root: Path, dataset: str, lang: str, *, captions: bool, digest: Callable[[Path], str] | None
) -> Iterator[Entry]:
    """Yield every image below `root` by its path, with the captions in `<stem>.txt` and `<stem>.<lang>.txt`.

    Args:
        root: the folder.
        lang: language of `<stem>.txt`.
        captions: whether an image needs one.
        digest: given, the texts are not read: their digests go into `raw` instead.
    """
    paths = sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix())
    texts = _texts(paths, lang) if captions else {}
    for path in paths:
        if path.suffix.lower() in SUFFIXES and path.is_file():
            beside = texts.get(path.with_suffix(""), {})
            yield _pair(path.relative_to(root), beside, dataset, captions=captions, digest=digest)


def _pair(
    path: Path,
    texts: Mapping[str, Path],
    dataset: str,
    *,
    captions: bool,
    digest: Callable[[Path], str] | None,
) -> Entry:
    where, name = path.as_posix(), path.with_suffix("").as_posix()
    if digest is not None:
        parts = [where, *(f"{lang} {_digest(text, digest)}" for lang, text in texts.items())]
        return Entry(where=where, id=name, image=where, raw="\n".join(parts).encode("utf-8", "surrogatepass"))
    found = CaptionList(f"{dataset}/{name}")
    error = None
    for lang, text in texts.items():
        try:
            lines = text.read_text("utf-8-sig", "surrogateescape").split("\n")
        except OSError as fault:
            error = RowError("unreadable", f"{text.name}: {fault.strerror}")
            continue
        for line in filter(None, map(str.strip, lines)):
            found.add(lang, line)
    if captions and error is None and not found.done():
        error = RowError("bad_caption", f"no caption in {path.stem}.txt")
    return Entry(where=where, id=name, image=where, captions=found.done(), raw=b"", error=error)


def _texts(paths: list[Path], lang: str) -> dict[Path, dict[str, Path]]:
    """Path without ending -> language -> text file, the file without a language first."""
    found: dict[Path, dict[str, Path]] = {}
    for path in (path for path in paths if path.suffix == ".txt"):
        found.setdefault(path.with_suffix(""), {})[lang] = path
    for path in (path for path in paths if path.suffix == ".txt"):
        stem, _, tag = path.stem.rpartition(".")
        if stem and is_tag(tag):
            found.setdefault(path.with_name(stem), {}).setdefault(tag, path)
    return found


def _name(values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no '{column}'")
    if not is_utf8(value):
        raise ValueError(f"'{column}' holds bytes that are not UTF-8")
    return value.strip()


def _digest(path: Path, digest: Callable[[Path], str]) -> str:
    try:
        return digest(path)
    except (UserError, OSError):
        return "absent"
