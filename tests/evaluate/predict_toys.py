"""A workspace with a model of random parameters and toy stages that made what it learned from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact, Manifest
from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like
from pipeline.stats import Stats
from store.concepts import PARSED, PhraseRow, StoredPhrase, phrase_record, phrase_schema
from store.features import StoreWriter
from store.shards import read_metadata, read_shard
from store.tables import write_table
from tests.train.toys import COLOURS, DIMENSION, THINGS, make_job, make_world, regions
from tests.train.tuning_toys import pretrained

SCENE = [("red", "ball"), ("blue", "cube")]
"""What the toy detector sees in every picture."""


class ToyParams(Params):
    """None of weight."""

    batch: int = 1


class ToyRegions(Stage[ToyParams]):
    """Sees `SCENE` in every picture; nothing in a narrow one."""

    Params = ToyParams
    inputs = {"shards": "samples", "detector": "a detector"}

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        return sharded_like(inputs, "shards", "detector")

    def setup(self, inputs: Inputs) -> None:
        self.classes = inputs["detector"].file("detector", ".txt").read_text().split()

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        (sample,) = read_shard(inputs["shards"].file(shard.name, ".tar"))
        meta = {"classes": self.classes, "attributes": list(COLOURS)}
        with StoreWriter(out.path(".lmdb"), meta, dim=DIMENSION) as store:
            if sample.width < 8:
                out.fail(sample.key, "no_regions", "the detector proposes nothing")
            else:
                store.write(sample.key, regions(0, SCENE))
        return Stats(n_in=1, n_ok=1 - len(out.failures))


class ToyPhrases(Stage[ToyParams]):
    """Every colour before another word describes it; every other word of three letters and more is a thing."""

    Params = ToyParams
    inputs = {"shards": "samples"}

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        return sharded_like(inputs, "shards")

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        (sample,) = read_metadata(inputs["shards"].file(shard.name, ".parquet"))
        (caption,) = sample.captions
        found: list[StoredPhrase] = []
        at, before = 0, ("", (0, 0))
        for word in caption.text.split():
            start = caption.text.index(word, at)
            at = start + len(word)
            span, lemma = (start, at), word.lower()
            if lemma not in COLOURS and len(lemma) > 3:
                found.append(StoredPhrase((lemma,), (span,)))
                if before[0]:
                    found.append(StoredPhrase((lemma, before[0]), (before[1], span)))
            before = (lemma, span) if lemma in COLOURS else ("", (0, 0))
        if len(found) > 2:
            found.append(StoredPhrase(("ball", "on", "cube"), ((0, 4),)))
        row = PhraseRow(caption=caption.id, key=sample.key, lang="en", way=PARSED, phrases=tuple(found))
        write_table(out.path(".parquet"), [phrase_record(row)], phrase_schema())
        return Stats(n_in=1, n_ok=1)


def made(root: Path, node: str, stage: str, inputs: dict[str, Artifact] | None = None) -> Artifact:
    """An artifact's folder in a workspace, with a manifest and no shards."""
    key = node.encode().hex().ljust(64, "0")
    manifest = Manifest(
        node=node,
        stage=stage,
        version=1,
        params={"batch": 1} if stage.startswith("tests.") else {},
        inputs={
            role: [{"node": a.manifest.node, "key": a.manifest.key, "digest": a.digest}]
            for role, a in (inputs or {}).items()
        },
        key=key,
        digest=f"digest of {node}",
        shards=(),
        stats=Stats().to_json(),
    )
    folder = root / node / key[:16]
    folder.mkdir(parents=True)
    manifest.write(folder)
    return Artifact.open(folder)


def workspace(folder: Path, **overrides: Any) -> dict[str, Artifact]:
    """Detector, regions, phrases, a model with phrases and what it was made from, by node."""
    world = make_world(folder / "world", 8)
    root = folder / "work"
    detector = made(root, "detector", "toy:Detector")
    detector.file("detector", ".txt").write_text(" ".join(THINGS))
    here = "tests.evaluate.predict_toys"
    shards = made(root, "shards/train", "toy:Shards")
    seen = made(root, "regions/train", f"{here}:ToyRegions", {"shards": shards, "detector": detector})
    parsed = made(root, "phrases/train", f"{here}:ToyPhrases", {"shards": shards})
    imported = made(root, "regions/imported", "toy:Import")
    model = made(root, "pretrain", "toy:Pretrain", {"shards": shards, "regions": seen, "phrases": parsed})
    pretrained(world, model.path, make_job(world, folder / "job", **overrides))
    return {a.manifest.node: a for a in (detector, seen, parsed, imported, model)}
