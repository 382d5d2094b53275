"""COCO: images in a folder or an official zip, with boxes of instances JSON and captions of captions JSON.

    boxes: {source: crawl.sources.coco:Coco, images: coco/train2017.zip, split: train,
            instances: coco/annotations/instances_train2017.json}

Objects become `truth["objects"]` with corner boxes. Crowds are boxes around many objects at once; they are no
training targets, yet evaluation must not punish what is found in them, so they stand in `truth["crowds"]`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.files import ImageFiles
from crawl.source import UNREAD, Chunk, Row, RowError, Source
from pipeline.stage import Params, unkeyed
from store.errors import ConfigError, DataError

STATED = {
    "train2014": {"images": 82_783, "captions": 414_113, "instances": 604_907},
    "val2014": {"images": 40_504, "captions": 202_654, "instances": 291_875},
    "train2017": {"images": 118_287, "captions": 591_753, "instances": 860_001},
    "val2017": {"images": 5_000, "captions": 25_014, "instances": 36_781},
}
"""Images and annotations of the published files."""
_LISTED: dict[str, dict[str, type]] = {
    "images": {"id": int, "file_name": str},
    "categories": {"id": int, "name": str},
    "licenses": {"id": int},
}
_OBJECT: dict[str, type] = {"id": int, "image_id": int, "category_id": int, "bbox": list}
_CAPTION: dict[str, type] = {"id": int, "image_id": int, "caption": str}


class CocoParams(Params):
    """Where images and annotations are."""

    images: Path | None = unkeyed(None)
    """Folder of images, or a zip or tar of it, read in place; without it, samples are text alone."""
    instances: Path | None = unkeyed(None)
    """JSON with boxes, such as instances_train2017.json."""
    captions: Path | None = unkeyed(None)
    """JSON with captions, such as captions_train2017.json."""
    name: str = Field("coco", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the data set: the first part of every key."""
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""
    lang: str = "en"
    """Language of the captions."""
    release: Literal["", "train2014", "val2014", "train2017", "val2017"] = unkeyed("")
    """Which of COCO's own files these are: their numbers are asserted."""
    counts: Counts = unkeyed(True)
    """Assert the release's numbers, or these: `{images: 5000, captions: 25014, instances: 36781}`."""

    @model_validator(mode="after")
    def _any_annotation(self) -> CocoParams:
        if self.instances is None and self.captions is None:
            raise ValueError("give `instances`, `captions` or both")
        if self.images is None and self.captions is None:
            raise ValueError("give `images`: without captions there is nothing else")
        return self


class Coco(Source[CocoParams]):
    """Images of COCO-format annotations, by ascending image id."""

    Params = CocoParams
    version: ClassVar[int] = 1

    @property
    def dataset(self) -> str:
        """`coco` unless named otherwise."""
        return self.params.name

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        """Cut the images, sorted by id, so that equal annotations in another order are the same shards."""
        self._require()
        for start in range(0, len(self._records), size):
            part = self._records[start : start + size]
            annotations = json.dumps(
                [_digested(record) for record in part], sort_keys=True, separators=(",", ":")
            )
            uses = {"annotations": hashlib.sha256(annotations.encode()).hexdigest()}
            if self._files is not None:
                uses["images"] = self._files.digest((str(record["file_name"]) for record in part), digest)
            yield Chunk(args={"rows": [start, start + len(part)]}, uses=uses)

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Rows of a range; each image is read when its row is asked for."""
        return self._rows(args, None)

    def again(self, args: Mapping[str, Any], ids: frozenset[str]) -> Iterator[Row]:
        """The same rows, with the images of `ids` alone."""
        return self._rows(args, ids)

    def _rows(self, args: Mapping[str, Any], ids: Container[str] | None) -> Iterator[Row]:
        for record in self._records[slice(*args["rows"])]:
            name = str(record["id"])
            captions = CaptionList(f"{self.dataset}/{name}")
            for text in record["captions"]:
                captions.add(self.params.lang, text)
            image: bytes | Exception | None
            if record["repeats"]:
                image = RowError("duplicate", f"image {name} is listed {record['repeats'] + 1} times")
            elif self._files is None:
                image = None
            elif ids is not None and name not in ids:
                image = UNREAD
            else:
                image = self._files.read(record["file_name"])
            yield Row(
                id=name,
                image=image,
                captions=captions.done(),
                extension=PurePosixPath(record["file_name"]).suffix.lstrip(".").lower() or "jpg",
                url=record["url"],
                split=self.params.split,
                licence=record["licence"],
                source_ids={"coco": name, "file_name": record["file_name"]},
                truth=record["truth"],
            )

    @cached_property
    def _files(self) -> ImageFiles | None:
        return ImageFiles(self.params.images) if self.params.images else None

    def _require(self) -> None:
        """The files hold what the release, or `counts`, states."""
        stated = STATED.get(self.params.release, {})
        found = {"images": len(self._records)}
        found["captions"] = sum(len(record["captions"]) for record in self._records)
        found["instances"] = sum(record["instances"] for record in self._records)
        lacking = [("captions", self.params.captions), ("instances", self.params.instances)]
        stated = {k: v for k, v in stated.items() if (k, None) not in lacking}
        if stated or self.params.counts is not True:
            require_counts(self.dataset, found, stated, self.params.counts)

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        """One plain record for each image, by ascending id: all that a row holds but the image's bytes."""
        boxes = read_annotations(self.params.instances)
        texts = read_annotations(self.params.captions)
        images = _images(boxes, texts)
        licences = {x["id"]: x.get("name", "") for x in [*boxes["licenses"], *texts["licenses"]]}
        truth = _truth(self.params.instances, boxes, {image["id"]: image for image in images})
        captions: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for caption in texts["annotations"]:
            captions[caption["image_id"]].append((caption["id"], caption["caption"]))
        records: list[dict[str, Any]] = []
        for image in sorted(images, key=lambda image: image["id"]):
            same = bool(records) and records[-1]["id"] == image["id"]
            records.append(
                {
                    "id": image["id"],
                    "file_name": image["file_name"],
                    "url": image.get("coco_url", ""),
                    "licence": licences.get(image.get("license"), ""),
                    "captions": [text for _, text in sorted(captions[image["id"]])],
                    "truth": (about := truth.get(image["id"], {})),
                    "instances": sum(len(about.get(kind, ())) for kind in ("objects", "crowds"))
                    + about.get("boxes_without_area", 0),
                    "repeats": records[-1]["repeats"] + 1 if same else 0,
                }
            )
        if not records:
            raise DataError(f"{self.params.instances or self.params.captions} lists no images")
        return records


def _digested(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "instances"}  # the objects say it


def read_annotations(path: Path | None) -> dict[str, list[dict[str, Any]]]:
    """The lists of an annotation file that are used, checked for the fields that are used."""
    lists: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("images", "annotations", "categories", "licenses")
    }
    if path is None:
        return lists
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "check the path in stages.yaml") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}", "was the download cut off?") from error
    if not isinstance(data, dict) or "images" not in data or "annotations" not in data:
        raise DataError(f"{path} has no `images` and `annotations`: not COCO's format")
    for name in lists:
        if not isinstance(found := data.get(name, []), list) or not all(isinstance(x, dict) for x in found):
            raise DataError(f"{path}: `{name}` is no list of objects: not COCO's format")
        lists[name] = found
    about = _OBJECT if lists["categories"] else _CAPTION
    for name, fields in {**_LISTED, "annotations": about}.items():
        for item in lists[name]:
            lacking = [f for f, kind in fields.items() if not isinstance(item.get(f), kind)]
            if lacking or ("bbox" in fields and not is_box(item["bbox"])):
                wrong = ", ".join(lacking) or "four numbers in bbox"
                raise DataError(f"{path}: an entry of `{name}` lacks {wrong}: {item!r:.200}")
    return lists


def _images(*files: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Images of the first file, then those that only the second lists; repeats within one file stay."""
    images: list[dict[str, Any]] = []
    for file in files:
        known = {image["id"] for image in images}
        images += [image for image in file["images"] if image["id"] not in known]
    return images


def _truth(
    path: Path | None, file: Mapping[str, list[dict[str, Any]]], images: Mapping[int, Mapping[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Image id -> objects and crowds; boxes without area are counted, not kept."""
    names = {category["id"]: category["name"] for category in file["categories"]}
    truth: dict[int, dict[str, Any]] = {
        image["id"]: {"objects": [], "relations": []} for image in file["images"]
    }
    for annotation in sorted(file["annotations"], key=lambda annotation: annotation["id"]):
        at = annotation["image_id"]
        if at not in truth or annotation["category_id"] not in names:
            raise DataError(
                f"{path}: annotation {annotation['id']} names an image or category that is not listed"
            )
        box = corners(annotation["bbox"], images[at])
        if box[2] <= box[0] or box[3] <= box[1]:
            truth[at]["boxes_without_area"] = truth[at].get("boxes_without_area", 0) + 1
        elif annotation.get("iscrowd"):
            truth[at].setdefault("crowds", []).append({"box": box, "name": names[annotation["category_id"]]})
        else:
            item = {"box": box, "name": names[annotation["category_id"]], "attributes": []}
            truth[at]["objects"].append(item)
    return truth


def is_box(box: list[Any]) -> bool:
    """Whether `box` is four finite numbers."""
    return len(box) == 4 and all(isinstance(side, int | float) and math.isfinite(side) for side in box)


def corners(box: list[float], image: Mapping[str, Any]) -> list[float]:
    """[x, y, w, h] -> [x1, y1, x2, y2] within the image, to the hundredth of a pixel that COCO states."""
    x, y, width, height = box
    right, bottom = image.get("width", float("inf")), image.get("height", float("inf"))
    corners = (max(x, 0), max(y, 0), min(x + width, right), min(y + height, bottom))
    return [round(float(value), 2) for value in corners]
