"""A toy world for detectors: flat shapes of two kinds and two colours, and artifacts made of them by hand."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from extract.architecture import Architecture
from extract.detector import TrainDetector, TrainDetectorParams
from extract.regions import RegionFeatures, RegionFeaturesParams
from pipeline.artifacts import Artifact, FileRecord, Manifest, ShardRecord
from pipeline.stage import Inputs, Output, Shard
from pipeline.stats import Stats
from store.atomic import sha256_file
from store.records import Sample
from store.shards import ShardWriter

SMALL = Architecture(channels=(8, 8, 16), strides=(2, 2, 2), anchors=(16, 28), head=16, pool=5)
COLOURS = {"red": (210, 30, 30), "blue": (30, 60, 220)}


def toy_sample(seed: int, sizes: Sequence[tuple[int, int]] = ((64, 64), (72, 56))) -> Sample:
    """One image with one to three shapes on noise."""
    rng = np.random.default_rng(seed)
    width, height = sizes[seed % len(sizes)]
    image = Image.fromarray(rng.integers(90, 160, (height, width, 3), np.uint8))
    canvas = ImageDraw.Draw(image)
    objects: list[dict[str, object]] = []
    for k in range(int(rng.integers(1, 4))):
        side = int(rng.integers(14, 24))
        x, y = k * (width // 3), int(rng.integers(0, height - side))
        side = min(side, width // 3)
        name, colour = ("disc", "square")[int(rng.integers(2))], sorted(COLOURS)[int(rng.integers(2))]
        draw = canvas.ellipse if name == "disc" else canvas.rectangle
        draw((x, y, x + side - 1, y + side - 1), fill=COLOURS[colour])
        objects.append({"box": [x, y, x + side, y + side], "name": name, "attributes": [colour]})
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return sample_of(f"toy/{seed:04d}", buffer.getvalue(), width, height, objects)


def sample_of(key: str, data: bytes, width: int, height: int, objects: list[dict[str, object]]) -> Sample:
    return Sample(
        key=key,
        captions=(),
        image=data,
        extension="png",
        sha256=hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
        truth={"objects": objects},
    )


def artifact(folder: Path, node: str, shards: dict[str, list[Path]]) -> Artifact:
    """Files that lie in `folder`, by shard, as a committed artifact."""
    records = tuple(
        ShardRecord(
            name=name,
            key=name,
            because={},
            digest=hashlib.sha256("".join(sha256_file(f) for f in files).encode()).hexdigest(),
            files=tuple(FileRecord(name=f.name, sha256=sha256_file(f), size=f.stat().st_size) for f in files),
            stats=Stats().to_json(),
        )
        for name, files in sorted(shards.items())
    )
    digest = hashlib.sha256("".join(r.digest for r in records).encode()).hexdigest()
    manifest = Manifest(
        node=node,
        stage="toy:Toy",
        version=1,
        params={},
        inputs={},
        key=digest,
        digest=digest,
        shards=records,
        stats=Stats().to_json(),
    )
    return Artifact(folder, manifest)


def shards_of(folder: Path, samples: Sequence[Sample], per_shard: int = 8) -> Artifact:
    """Samples as the artifact of a shard stage."""
    folder.mkdir(parents=True)
    files = {}
    for start in range(0, len(samples), per_shard):
        tar = folder / f"{start // per_shard:05d}.tar"
        with ShardWriter(tar, tar.with_suffix(".parquet")) as writer:
            for sample in samples[start : start + per_shard]:
                writer.write(sample)
        files[tar.stem] = [tar, tar.with_suffix(".parquet")]
    return artifact(folder, "shards/toy", files)


def inputs_of(**artifacts: Artifact) -> Inputs:
    return Inputs({name: (each,) for name, each in artifacts.items()}, sha256_file)


def train(folder: Path, shards: Artifact, **params: object) -> Artifact:
    """Run the detector stage by hand."""
    stage = TrainDetector(TrainDetectorParams(**{"architecture": SMALL, "batch": 2, **params}))  # type: ignore[arg-type]
    inputs = inputs_of(shards=shards)
    (shard,) = stage.shards(inputs)
    out = output(shard, folder)
    stats = stage.process(shard, inputs, out)
    assert stats.n_in == stats.n_ok + len(out.failures)
    return artifact(folder, "detector", {"detector": sorted(p for p in folder.iterdir() if p.is_file())})


def extract(
    folder: Path,
    shards: Artifact,
    detector: Artifact,
    *,
    previous: Path | None = None,
    retry: frozenset[str] = frozenset(),
    **params: object,
) -> tuple[Path, Stats, list[dict[str, str]]]:
    """Run the region stage over all shards by hand; the folder, merged statistics and failures."""
    stage = RegionFeatures(RegionFeaturesParams(**params))  # type: ignore[arg-type]
    inputs = inputs_of(shards=shards, detector=detector)
    stage.setup(inputs)
    stats, failures, records = Stats(), [], {}
    for shard in stage.shards(inputs):
        out = output(shard, folder, previous=previous, retry=retry)
        stats += stage.process(shard, inputs, out)
        failures += out.failures
        records[shard.name] = sorted(folder.glob(f"{shard.name}.*"))
    made = artifact(folder, "regions/toy", records)
    stage.reduce(list(made.shards), folder, inputs, output(Shard(name="all"), folder))
    assert stats.n_in == stats.n_ok + len(failures)
    assert stats.failed.total() == len(failures)
    return folder, stats, failures


def output(shard: Shard, folder: Path, **others: object) -> Output:
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder.with_name(f"{folder.name}.scratch")
    return Output(shard, folder, scratch / shard.name, logs=scratch / "logs", **others)  # type: ignore[arg-type]


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def description(folder: Path) -> dict[str, object]:
    """`detector.json`."""
    found: dict[str, object] = json.loads((folder / "detector.json").read_text())
    return found
