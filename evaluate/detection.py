"""Average precision of stored regions against the true boxes of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from evaluate.heldout import labels_of, open_regions, samples, whole
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.average_precision import ClassScore, Image
    from pipeline.artifacts import Artifact

PROTOCOL = "detection/coco"
"""COCO's bounding box protocol, all areas, at most 100 detections an image and class."""
SHOWN = 8


class ScoreDetector(Stage[Params]):
    """AP50 and mAP 50:95 of a region store, for all classes and for each.

    What a region store holds has been selected (a least score, a least and a most number of boxes), and that
    is what is scored: it is what a model will see. Classes that the detector does not know count with AP 0.
    Objects that the source gives as crowds are ignored, as COCO does.
    """

    Params = Params
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with true boxes",
        "regions": "regions of the same samples",
    }
    unit = "images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: average precision is of the data set as a whole."""
        yield whole("detection", inputs)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Match every image, write the metrics, the table of classes and that of images."""
        from evaluate.average_precision import average_precision
        from evaluate.faults import scene

        store = open_regions(inputs["regions"])
        labels = labels_of(store)
        stats, scenes = Stats(), {}
        for sample in samples(inputs["shards"]):
            stats.n_in += 1
            if sample.key not in store:
                out.fail(sample.key, "no_regions", f"no regions in {inputs['regions'].manifest.node}")
                continue
            scenes[sample.key] = scene(sample, store[sample.key], labels)
        stats.n_ok = len(scenes)
        stats.failed.update(row["class"] for row in out.failures)
        classes = average_precision(list(scenes.values()))
        write_metrics(out.path(EXTENSION), metrics(classes))
        _write_classes(out.path(".classes.parquet"), classes)
        _write_images(out.path(".images.parquet"), scenes)
        return stats

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """A table of the classes, and the images with the most faults."""
        from evaluate.gallery import STYLE, sample_card
        from evaluate.heldout import with_images
        from pipeline import html
        from store.tables import read_table

        classes = read_table(artifact.file("detection", ".classes.parquet"))
        images = read_table(artifact.file("detection", ".images.parquet"))
        faulty = [row for row in images if row["missed"] + row["made_up"] > 0]
        worst = sorted(faulty, key=lambda row: (-row["missed"] - row["made_up"], row["key"]))[:SHOWN]
        store = open_regions(inputs["regions"])
        labels = labels_of(store)
        found = with_images(inputs["shards"], [row["key"] for row in worst])
        cells = [
            (row["class"], row["ap50"], row["map"], row["objects"], row["detections"]) for row in classes
        ]
        table = html.table(("class", "AP50", "mAP 50:95", "objects", "detections"), cells)
        cards = [
            html.paragraph(f"{row['missed']} missed, {row['made_up']} made up")
            + sample_card(found[row["key"]], regions=store[row["key"]], labels=labels, captions=())
            for row in worst
        ]
        about = html.paragraph(f"{len(faulty)} of {len(images)} images have a fault at an overlap of 0.5.")
        return [("Classes", table), ("Worst images", html.join([STYLE, about, html.cards(cards)]))]


def metrics(classes: Mapping[str, ClassScore]) -> list[Metric]:
    """AP50 and mAP 50:95 over classes; without a value where there is nothing to find."""
    from evaluate.average_precision import overall

    reason = "" if classes else "the data set has no true boxes"
    n = sum(score.objects for score in classes.values())
    return [
        Metric(
            name=name,
            value=None if reason else value,
            unit="fraction",
            protocol=PROTOCOL,
            n=n,
            reason=reason,
        )
        for name, value in zip(("AP50", "mAP 50:95"), overall(classes), strict=True)
    ]


def _write_classes(path: Path, classes: Mapping[str, ClassScore]) -> None:
    import pyarrow as pa

    from store.tables import write_table

    counts = [(name, pa.int64()) for name in ("objects", "detections")]
    schema = pa.schema([("class", pa.string()), ("ap50", pa.float64()), ("map", pa.float64()), *counts])
    rows = [
        {"class": name, "ap50": s.ap50, "map": s.mean, "objects": s.objects, "detections": s.detections}
        for name, s in classes.items()
    ]
    write_table(path, rows, schema)


def _write_images(path: Path, scenes: Mapping[str, Image]) -> None:
    import pyarrow as pa

    from evaluate.faults import faults
    from store.tables import write_table

    schema = pa.schema([("key", pa.string()), ("missed", pa.int64()), ("made_up", pa.int64())])
    rows: Sequence[tuple[str, tuple[int, int]]] = [(key, faults(image)) for key, image in scenes.items()]
    write_table(path, [{"key": key, "missed": m, "made_up": u} for key, (m, u) in rows], schema)
