"""Look into anything that a stage writes, by path or by `stage/data set/shard/key`, without scanning it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import MANIFEST, Artifact, ShardRecord
from pipeline.inspect_page import page_of
from pipeline.inspect_view import Listing, View, has_picture, plain, print_view
from pipeline.workspace import KEY_DIGITS
from store.atomic import temporary_name
from store.errors import CorruptError, DataError, UserError, did_you_mean

LOG_WIDTH = 160
"""Columns of what is piped or logged, where no terminal says."""
Resolve = Callable[[str], tuple[Path, str]]
"""From an address to the artifact's folder and what follows in the address."""


def inspect(
    target: str,
    key: str = "",
    *,
    resolve: Resolve | None = None,
    html: Path | None = None,
    start: int = 0,
    count: int = 10,
    as_json: bool = False,
) -> View:
    """Show a file, an artifact, a shard or one record on the terminal, as JSON, or as a page with pictures.

    Args:
        target: a path, or an address such as `regions/train/00003/scenes/000012`; after the path of a file or
            an artifact's folder a key may follow.
        key: a record in it, where the target does not say.
        resolve: finds the folder of an address's artifact; without it only paths are understood.
        html: write a page here; equal content makes equal bytes.
        start, count: which records to list.
        as_json: print JSON in place of tables.

    Returns:
        What was shown.

    Raises:
        UserError: there is no such file, stage, shard or record, or it cannot be read.
    """
    path, rest = locate(target, resolve)
    rest = "/".join(part for part in (rest, key) if part)
    view = look(path, rest, start=start, count=count)
    if html is not None:
        temporary = temporary_name(html)
        html.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page_of(view), "utf-8", newline="\n")
        temporary.replace(html)
    _show(view, html, as_json)
    return view


def locate(target: str, resolve: Resolve | None = None) -> tuple[Path, str]:
    """The file or folder that a target names, and the part of the target that lies inside it.

    Raises:
        UserError: neither a path nor an address.
    """
    given = Path(target)
    for path in (given, *given.parents):
        if path.is_file() or (path == given and path.is_dir()) or (path / MANIFEST).is_file():
            return path, "" if path == given else given.relative_to(path).as_posix()
    if resolve is None:
        raise DataError(f"there is no file {target}", "give a path, or stage/data set/shard/key")
    return resolve(target)


def look(path: Path, rest: str = "", *, start: int = 0, count: int = 10) -> View:
    """What there is to see at a place.

    Args:
        path: a file, an artifact's folder, or a checkpoint's folder.
        rest: a shard and a key in an artifact, a key in a file; empty for the whole.

    Raises:
        UserError: it cannot be read, or there is no such shard or record.
    """
    if not (path / MANIFEST).is_file():
        return _look_file(path, rest, start, count)
    artifact = Artifact.open(path)
    if not rest:
        return _look_artifact(artifact, start, count)
    shard, key = _shard_and_key(artifact, rest)
    if not key:
        return _look_shard(artifact, shard, start, count)
    return _look_record(artifact, shard, key)


def _look_file(path: Path, key: str, start: int, count: int) -> View:
    from store.listing import describe, entries, entry

    if key:
        return View(
            title=f"{path.name} · {key}", address=f"{path}/{key}", records={str(path): entry(path, key)}
        )
    facts = {"file": str(path), **describe(path)}
    listing = Listing("records", entries(path, start, count), start)
    return View(title=path.name, address=str(path), facts=facts, listings=[listing])


def _look_artifact(artifact: Artifact, start: int, count: int) -> View:
    manifest = artifact.manifest
    stats = dict(manifest.stats)
    facts = {
        "stage": f"{manifest.stage}, version {manifest.version}",
        "folder": str(artifact.path),
        "key": manifest.key,
        "digest": manifest.digest,
        "rows in": stats["n_in"],
        "rows ok": stats["n_ok"],
        "failed": stats["failed"] or 0,
        **stats["totals"],
        "inputs": dict(manifest.inputs),
        "params": dict(manifest.params),
    }
    rows = [
        {
            "shard": shard.name,
            "in": shard.stats["n_in"],
            "ok": shard.stats["n_ok"],
            "failed": sum(shard.stats["failed"].values()),
            "files": ", ".join(file.name.removeprefix(shard.name) for file in shard.files),
            "bytes": sum(file.size for file in shard.files),
            "digest": shard.digest[:12],
        }
        for shard in manifest.shards[start : start + count]
    ]
    listing = Listing("shards", rows, start, len(manifest.shards))
    return View(title=manifest.node, address=manifest.node, facts=facts, listings=[listing])


def _look_shard(artifact: Artifact, shard: ShardRecord, start: int, count: int) -> View:
    from store.listing import describe, entries

    facts: dict[str, Any] = {"folder": str(artifact.path), "key": shard.key, "digest": shard.digest}
    listings = [
        Listing("files", [{"file": f.name, "bytes": f.size, "sha256": f.sha256[:12]} for f in shard.files], 0)
    ]
    for path in files_of(artifact, shard):
        try:
            facts[path.name] = describe(path)
            listings.append(Listing(path.name, entries(path, start, count), start))
        except UserError as error:  # a file without records, such as a log; the others still show
            facts[path.name] = error.what
    address = f"{artifact.manifest.node}/{shard.name}"
    return View(title=address, address=address, facts=facts, listings=listings)


def _look_record(artifact: Artifact, shard: ShardRecord, key: str) -> View:
    records, faults = _records(artifact, shard, key)
    if not records:
        hint = next((fault.hint for fault in faults if fault.hint), "")
        raise DataError(f"{artifact.manifest.node}/{shard.name} has no record '{key}'", hint)
    address = f"{artifact.manifest.node}/{shard.name}/{key}"
    view = View(title=address, address=address, facts={"folder": str(artifact.path)}, records=records)
    if not any(has_picture(record) for record in records.values()):
        of_sample = next((record["key"] for record in records.values() if "key" in record), key)
        view.backdrop = _picture_upstream(artifact, shard.name, of_sample)
    return view


def _records(artifact: Artifact, shard: ShardRecord, key: str) -> tuple[dict[str, Any], list[UserError]]:
    """The record of a key in each of a shard's files, and why the other files have none."""
    from store.listing import entry

    found: dict[str, Any] = {}
    faults: list[UserError] = []
    for path in files_of(artifact, shard):
        try:
            found[path.name] = entry(path, key)
        except UserError as error:
            faults.append(error)
    return found, faults


def _picture_upstream(artifact: Artifact, shard: str, key: str) -> Mapping[str, Any] | None:
    """The record with a picture, of the same shard and key, in the artifacts that this one was made from."""
    for upstream in _upstream(artifact):
        twin = next((record for record in upstream.shards if record.name == shard), None)
        for record in _records(upstream, twin, key)[0].values() if twin else ():
            if has_picture(record):
                return record
    return None


def _upstream(artifact: Artifact) -> Iterator[Artifact]:
    """The very artifacts that went into one, as far as they still lie in the same workspace."""
    root = artifact.path.resolve().parents[len(Path(artifact.manifest.node).parts)]
    for sources in artifact.manifest.inputs.values():
        for source in sources:
            for folder in sorted((root / source["node"]).glob(f"{source['key'][:KEY_DIGITS]}*/{MANIFEST}")):
                try:
                    found = Artifact.open(folder.parent)
                except CorruptError:
                    continue  # `verify` names it; here the record is shown without its picture
                if found.digest == source["digest"]:
                    yield found
                    break


def files_of(artifact: Artifact, shard: ShardRecord) -> Iterator[Path]:
    """The shard's files, directories once each; the table of a tar is shown as part of the tar."""
    names = dict.fromkeys(Path(file.name).parts[0] for file in shard.files)
    for name in names:
        if not (name.endswith(".parquet") and f"{name.removesuffix('.parquet')}.tar" in names):
            yield artifact.path / name


def _shard_and_key(artifact: Artifact, rest: str) -> tuple[ShardRecord, str]:
    """What `00003/scenes/7` names, or `scenes/7` where the artifact has a key index."""
    name, _, key = rest.partition("/")
    for record in artifact.manifest.shards:
        if record.name == name:
            return record, key
    index = artifact.file("all", ".index")
    if index.exists():
        from store.features.index import Index

        keys = Index(index)
        place = keys.find(rest)
        if place is not None:
            return _shard_and_key(artifact, f"{Path(keys.files[place[0]]).stem}/{rest}")
    known = [record.name for record in artifact.manifest.shards]
    raise DataError(f"{artifact.manifest.node} has no shard '{name}'", did_you_mean(name, known))


def _show(view: View, html: Path | None, as_json: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    if as_json:
        console.out(json.dumps(plain(view), indent=1, ensure_ascii=False), highlight=False)
        return
    if html is None:
        print_view(view, console)
    else:
        console.print(f"page: {html}", markup=False, soft_wrap=True)
