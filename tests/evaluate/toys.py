"""Hand-made samples and regions that several tests of this package share."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import FOLDED, Artifact, Manifest, ShardRecord
from pipeline.stage import Inputs, Output, Stage
from pipeline.stats import Stats
from store.concepts import PhraseRow, StoredPhrase, phrase_record, phrase_schema
from store.features import StoreWriter
from store.records import Caption, Regions, Sample
from store.shards import ShardWriter
from store.tables import write_table


def picture(width: int = 64, height: int = 48, shade: int = 0) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (width, height), (shade % 256, 80, 120)).save(data, "JPEG")
    return data.getvalue()


def sample(
    name: str,
    captions: Sequence[tuple[str, str]] = (),
    *,
    translates: Mapping[str, str] | None = None,
    truth: Mapping[str, Any] | None = None,
    image: bytes | None = None,
    split: str = "test",
) -> Sample:
    """Captions as (`en0`, text); `translates` maps such a name to another."""
    key = f"toy/{name}"
    data = picture(shade=sum(map(ord, name))) if image is None else image
    return Sample(
        key=key,
        captions=tuple(
            Caption(
                id=f"{key}#{n}",
                lang=n[:-1],
                text=text,
                translates=f"{key}#{translates[n]}" if translates and n in translates else None,
            )
            for n, text in captions
        ),
        image=data,
        sha256=hashlib.sha256(data).hexdigest(),
        width=64,
        height=48,
        split=split,
        truth=truth or {},
    )


def regions(
    boxes: Sequence[Sequence[float]],
    class_id: Sequence[int],
    score: Sequence[float] | None = None,
    attribute_id: Sequence[int] | None = None,
    dim: int = 4,
) -> Regions:
    n = len(boxes)
    return Regions(
        boxes=np.asarray(boxes, np.float32).reshape(n, 4),
        features=np.full((n, dim), 0.5, np.float16),
        class_id=np.asarray(class_id, np.int32),
        score=np.asarray(score if score is not None else [0.9] * n, np.float32),
        attribute_id=np.asarray(attribute_id if attribute_id is not None else [-1] * n, np.int32),
        attribute_score=np.full(n, 0.75, np.float32),
        image_size=np.asarray([48, 64], np.int32),
    )


def artifact(folder: Path, node: str, shards: Sequence[str]) -> Artifact:
    """An artifact whose files the caller has written, with a manifest that is good enough for a stage."""
    records = tuple(
        ShardRecord(name=name, key="", because={}, digest=f"{node}:{name}", files=(), stats={})
        for name in shards
    )
    manifest = Manifest(
        node=node,
        stage="",
        version=1,
        params={},
        inputs={},
        key="",
        digest=f"digest of {node}",
        shards=records,
        stats={},
    )
    return Artifact(folder, manifest)


def shards_artifact(
    folder: Path, samples: Sequence[Sample], *, node: str = "shards/toy", size: int = 2
) -> Artifact:
    """Samples in shards of `size`."""
    folder.mkdir(parents=True)
    names = []
    for start in range(0, len(samples), size):
        names.append(f"{start // size:05d}")
        with ShardWriter(folder / f"{names[-1]}.tar", folder / f"{names[-1]}.parquet") as writer:
            for one in samples[start : start + size]:
                writer.write(one)
    return artifact(folder, node, [*names, FOLDED])  # as the stage's own, which has no table of `all`


def regions_artifact(
    folder: Path, found: Mapping[str, Regions], *, classes: Sequence[str], attributes: Sequence[str] = ()
) -> Artifact:
    folder.mkdir(parents=True)
    meta = {"classes": list(classes), "attributes": list(attributes)}
    with StoreWriter(folder / "00000.lmdb", meta, dim=4) as writer:
        for key, one in found.items():
            writer.write(key, one)
    return artifact(folder, "regions/toy", ["00000"])


def phrases_artifact(folder: Path, rows: Sequence[PhraseRow]) -> Artifact:
    folder.mkdir(parents=True)
    write_table(folder / "00000.parquet", [phrase_record(row) for row in rows], phrase_schema())
    return artifact(folder, "phrases/toy", ["00000"])


def phrase_row(
    caption: str, *phrases: tuple[tuple[str, ...], tuple[tuple[int, int], ...]], way: str = "parsed"
) -> PhraseRow:
    key, _, name = caption.rpartition("#")
    return PhraseRow(
        caption=caption, key=key, lang=name[:2], way=way, phrases=tuple(StoredPhrase(*p) for p in phrases)
    )


def run(
    stage: Stage[Any], folder: Path, **inputs: Artifact | Sequence[Artifact]
) -> tuple[Artifact, Stats, Inputs, Output]:
    """Run a stage of one shard outside the engine."""
    given = Inputs(
        {name: (a,) if isinstance(a, Artifact) else tuple(a) for name, a in inputs.items()}, lambda path: ""
    )
    (shard,) = stage.shards(given)
    folder.mkdir(parents=True)
    out = Output(shard, folder, folder / "scratch")
    stage.setup(given)
    stats = stage.process(shard, given, out)
    assert stats.n_in == stats.n_ok + len(out.failures)
    assert sum(stats.failed.values()) == len(out.failures)
    return artifact(folder, "evaluation", [shard.name]), stats, given, out
