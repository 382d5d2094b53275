"""Small files in the formats of other projects, written as those projects write them, not by our code."""

from __future__ import annotations

import base64
import csv
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.importing import ImportRegions, ImportRegionsParams
from pipeline.artifacts import Artifact
from pipeline.executors.inline import InlineExecutor
from pipeline.graph import Node
from pipeline.outcome import Made
from pipeline.progress import Reporter
from pipeline.run import Run
from pipeline.workspace import Workspace
from store.tables import read_table

CLASSES = ("dog", "cat", "traffic light")
ATTRIBUTES = ("red", "tall")


@dataclass(frozen=True, slots=True)
class Toy:
    """One image as its source knows it."""

    id: str
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    features: NDArray[np.float32]
    posteriors: NDArray[np.float32]
    class_id: NDArray[np.int64]
    score: NDArray[np.float32]
    attribute_id: NDArray[np.int64]
    attribute_score: NDArray[np.float32]


def toy(image_id: str, seed: int, *, n: int = 3, dim: int = 8) -> Toy:
    make = np.random.default_rng(seed)
    height, width = (int(side) for side in make.integers(20, 700, 2))
    corners = np.sort(make.uniform(0, 1, (n, 2, 2)), axis=1) * [width, height]
    return Toy(
        id=image_id,
        size=(height, width),
        boxes=corners.reshape(n, 4).astype(np.float32),
        features=np.abs(make.normal(0, 3, (n, dim))).astype(np.float32),
        posteriors=make.dirichlet(np.ones(len(CLASSES) + 1), n).astype(np.float32),
        class_id=make.integers(0, len(CLASSES), n),
        score=make.uniform(0, 1, n).astype(np.float32),
        attribute_id=make.integers(0, len(ATTRIBUTES), n),
        attribute_score=make.uniform(0, 1, n).astype(np.float32),
    )


def toys(count: int = 5, *, dim: int = 8) -> list[Toy]:
    """Numbers of regions differ, as with adaptive selection."""
    return [toy(f"{i * 7:012d}", i, n=1 + i % 4, dim=dim) for i in range(count)]


def b64(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode()


def geometry(image: Toy) -> NDArray[np.float32]:
    """As the extractors compute it: in double precision, each of the six on its own."""
    height, width = image.size
    scaled = image.boxes.astype(np.float64) / [width, height, width, height]
    return np.concatenate([scaled, scaled[:, 2:] - scaled[:, :2]], axis=1).astype(np.float32)


def _csv(path: Path, rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t").writerows(rows)
    return path


def butd_ten(path: Path, images: Sequence[Toy]) -> Path:
    """img_id, img_h, img_w, objects_id, objects_conf, attrs_id, attrs_conf, num_boxes, boxes, features."""
    return _csv(path, [(*_ten(t), b64(t.boxes), b64(t.features)) for t in images])


def _ten(t: Toy) -> tuple[object, ...]:
    ids: tuple[NDArray[Any], ...] = (t.class_id, t.score, t.attribute_id, t.attribute_score)
    return (t.id, *t.size, *map(b64, ids), len(t.boxes))


def butd_six(path: Path, images: Sequence[Toy]) -> Path:
    """image_id, image_w, image_h, num_boxes, boxes, features."""
    rows = [(t.id, t.size[1], t.size[0], len(t.boxes), b64(t.boxes), b64(t.features)) for t in images]
    return _csv(path, rows)


def tsv(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    """A table and its line index in bytes."""
    lines = [f"{key}\t{cell}\n".encode() for key, cell in rows]
    path.write_bytes(b"".join(lines))
    offsets = np.cumsum([0, *map(len, lines)])[:-1]
    path.with_suffix(".lineidx").write_text("".join(f"{offset}\n" for offset in offsets.tolist()))
    return path


def oscar(path: Path, images: Sequence[Toy], form: str = "columns") -> Path:
    """Features in one of Oscar's forms; beside them what that form needs: sizes, labels, names."""
    stem = path.name.removesuffix(".tsv")
    sides = {t.id: {"height": t.size[0], "width": t.size[1]} for t in images}
    if form == "predictions":
        return tsv(path, [(t.id, predictions(t)) for t in images])
    tsv(path.with_name(f"{stem}.hw.tsv"), [(key, json.dumps([cell])) for key, cell in sides.items()])
    if form == "tags":
        return tsv(path, [(t.id, _tags(t)) for t in images])
    tsv(path.with_name(f"{stem}.label.tsv"), [(t.id, json.dumps(labels(t))) for t in images])
    path.with_name(f"{stem}.labelmap.tsv").write_text("".join(f"{name}\n" for name in CLASSES))
    rows = {t.id: (len(t.boxes), b64(np.concatenate([t.features, geometry(t)], axis=1))) for t in images}
    if form == "captioning":
        cells = [(key, json.dumps({"num_boxes": n, "features": data})) for key, (n, data) in rows.items()]
    else:
        cells = [(key, f"{n}\t{data}") for key, (n, data) in rows.items()]
    return tsv(path, cells)


def labels(image: Toy) -> list[dict[str, object]]:
    """In tenths of pixels, as labels are."""
    rects = np.round(image.boxes.astype(float), 1).tolist()
    names = [CLASSES[i] for i in image.class_id]
    scores = image.score.tolist()
    return [{"class": n, "rect": r, "conf": s} for n, r, s in zip(names, rects, scores, strict=True)]


def predictions(image: Toy) -> str:
    """A line of scene_graph_benchmark's `predictions.tsv`, after the key."""
    objects = [
        {
            "rect": image.boxes[i].tolist(),
            "class": CLASSES[image.class_id[i]],
            "conf": float(image.score[i]),
            "feature": b64(image.features[i]),
            "attributes": [ATTRIBUTES[image.attribute_id[i]]],
            "attr_scores": [float(image.attribute_score[i])],
        }
        for i in range(len(image.boxes))
    ]
    height, width = image.size
    return json.dumps({"objects": objects, "relations": None, "image_h": height, "image_w": width})


def _tags(image: Toy) -> str:
    data = b64(np.concatenate([image.features, geometry(image)], axis=1))
    return json.dumps({"feature": data, "predictions": [CLASSES[i] for i in image.class_id]})


def vlbert_row(image: Toy) -> dict[str, object]:
    return {
        "image_id": int(image.id) if image.id.isdigit() else image.id,
        "image_h": image.size[0],
        "image_w": image.size[1],
        "num_boxes": len(image.boxes),
        "boxes": b64(image.boxes),
        "classes": b64(image.posteriors),
        "features": b64(image.features),
    }


def vlbert(path: Path, images: Sequence[Toy]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for t in images:
                file.writestr(f"{t.id}.json", json.dumps(vlbert_row(t)))
        return path
    path.mkdir()
    for t in images:
        (path / f"{t.id}.json").write_text(json.dumps(vlbert_row(t)))
    return path


def npz(path: Path, images: Sequence[Toy]) -> Path:
    """With the pickled `info` that extractors add."""
    path.mkdir()
    for t in images:
        height, width = t.size
        about = {"image_id": t.id, "objects_id": t.class_id}
        np.savez(
            path / f"{t.id}.npz",
            x=t.features,
            bbox=t.boxes,
            num_bbox=len(t.boxes),
            image_h=height,
            image_w=width,
            info=np.asarray(about, object),
        )
    return path


WRITERS: dict[str, Callable[[Path, Sequence[Toy]], Path]] = {
    "butd, ten columns": lambda folder, images: butd_ten(folder / "butd.tsv", images),
    "butd, six columns": lambda folder, images: butd_six(folder / "six.tsv", images),
    "oscar, columns": lambda folder, images: oscar(folder / "features.tsv", images),
    "oscar, captioning": lambda folder, images: oscar(folder / "x.tsv", images, "captioning"),
    "oscar, tags": lambda folder, images: oscar(folder / "x.tsv", images, "tags"),
    "oscar, predictions": lambda folder, images: oscar(folder / "x.tsv", images, "predictions"),
    "vlbert, folder": lambda folder, images: vlbert(folder / "frcnn", images),
    "vlbert, zip": lambda folder, images: vlbert(folder / "frcnn.zip", images),
    "npz": lambda folder, images: npz(folder / "npz", images),
}


def names(folder: Path) -> dict[str, Any]:
    """Files of class and attribute names, as parameters."""
    files = {"classes": folder / "classes.txt", "attributes": folder / "attributes.txt"}
    for path, known in zip(files.values(), (CLASSES, ATTRIBUTES), strict=True):
        path.write_text("".join(f"{name}\n" for name in known))
    return files


def run_import(folder: Path, source: Path, samples: Artifact | None = None, **params: Any) -> Made:
    """Run the stage in this process; what became of it."""
    stage = ImportRegions(ImportRegionsParams.model_validate({"path": source, **params}))
    node = Node(
        name="regions",
        entry="extract.importing:ImportRegions",
        stage=stage,
        keyed=stage.params.keyed(),
        inputs={"shards": ("shards/toy",)} if samples else {},
        workers=1,
        cpus=1,
        gpus=0,
        where="test",
    )
    run = Run(
        nodes={"regions": node},
        workspace=Workspace(folder),
        executor=InlineExecutor(),
        reporter=Reporter(),
        workers=1,
        given={"shards/toy": samples} if samples else {},
    )
    return run.go()["regions"]


def imported(folder: Path, source: Path, samples: Artifact | None = None, **params: Any) -> Artifact:
    """The artifact of an import that must succeed."""
    made = run_import(folder, source, samples, **params)
    assert made.artifact is not None, made.failures
    return made.artifact


def failures(artifact: Artifact) -> list[tuple[str, str, str]]:
    """Key, class and detail of every failed row, those of the fold last."""
    rows = []
    for record in artifact.manifest.shards:
        if record.failures:
            table = read_table(artifact.path / record.failures)
            rows += [(row["key"], row["class"], row["detail"]) for row in table]
    return rows
