"""Images that training and evaluation share, told by their content: a leak that no score survives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from evaluate.heldout import digests, whole
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats

if TYPE_CHECKING:
    from pipeline.artifacts import Artifact

PROTOCOL = "overlap/sha256"


class Overlap(Stage[Params]):
    """Count images of equal bytes between each training and each evaluation set, and name them.

    Reads the shards' tables, not their pictures. Equal pictures of other bytes (another size, another
    compression) are not found.
    """

    Params = Params
    inputs: ClassVar[Mapping[str, str]] = {
        "train*": "shards that anything was trained on",
        "evaluation*": "shards that score it",
    }
    unit = "evaluation images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: every set meets every other."""
        yield whole("overlap", inputs)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Compare and write counts and keys."""
        import pyarrow as pa

        from store.tables import write_table

        train = {artifact.manifest.node: digests(artifact) for artifact in inputs.all("train")}
        evaluation = {artifact.manifest.node: digests(artifact) for artifact in inputs.all("evaluation")}
        names = ("train", "evaluation", "sha256", "train_key", "evaluation_key")
        rows = [
            dict(zip(names, (one, other, *image), strict=True))
            for other in evaluation
            for one in train
            for image in shared(train[one], evaluation[other])
        ]
        write_table(out.path(".shared.parquet"), rows, pa.schema([(name, pa.string()) for name in names]))
        write_metrics(out.path(EXTENSION), score(train, evaluation))
        n = sum(len(images) for images in evaluation.values())
        return Stats(n_in=n, n_ok=n)

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """The shared images, where there are any."""
        from pipeline import html
        from store.tables import read_table

        rows = read_table(artifact.file("overlap", ".shared.parquet"))
        if not rows:
            return []
        cells = [
            (r["train"], html.code(r["train_key"]), r["evaluation"], html.code(r["evaluation_key"]))
            for r in rows
        ]
        return [
            (
                "Images shared by training and evaluation",
                html.notice(
                    f"{len(rows)} pairs of images are equal: scores on them mean little.", kind="warn"
                )
                + html.table(("training set", "key", "evaluation set", "key"), cells[:50]),
            )
        ]


Digests = Mapping[str, str]
"""sha256 of each image by sample key."""


def shared(train: Digests, evaluation: Digests) -> list[tuple[str, str, str]]:
    """sha256, training key and evaluation key of every pair of equal images, by evaluation key."""
    keys: dict[str, list[str]] = defaultdict(list)
    for key, digest in train.items():
        keys[digest].append(key)
    return sorted(
        ((digest, one, key) for key, digest in evaluation.items() for one in keys.get(digest, ())),
        key=lambda pair: (pair[2], pair[1]),
    )


def score(train: Mapping[str, Digests], evaluation: Mapping[str, Digests]) -> list[Metric]:
    """How many evaluation images lie in any training set, then for each pair of sets."""
    seen = {digest for images in train.values() for digest in images.values()}
    every = [digest for images in evaluation.values() for digest in images.values()]
    metrics = [_images("shared images", sum(digest in seen for digest in every), len(every))]
    for other, images in evaluation.items():
        for one, trained in train.items():
            common = {key for _, _, key in shared(trained, images)}
            metrics.append(_images(f"{other} in {one}", len(common), len(images)))
    return metrics


def _images(name: str, count: int, n: int) -> Metric:
    return Metric(name=name, value=float(count), unit="images", protocol=PROTOCOL, n=n)
