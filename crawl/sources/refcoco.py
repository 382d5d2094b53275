"""RefCOCO, RefCOCO+ and RefCOCOg: expressions that each mean one object in an image of COCO's train2014.

    train: {source: crawl.sources.refcoco:RefCoco, release: refcoco_plus_unc, refs: refcoco+/refs(unc).p,
            instances: refcoco+/instances.json, images: [train2014.zip], splits: [train]}

`refs(unc).p` is a pickle. It is opened by an unpickler that knows containers, text and numbers alone and
stops at anything else (`crawl.plain`), so that no file can run code; the same list as `.json` is read, too.
`truth` of a sample has

    objects: {box, name, attributes}, all of COCO's in that image, and `crowds`, as the source `coco` has them
    expressions: {id, text, object, ref, split}, as the demo's; `object` is an index into `objects`
    detections: {box, name, score}, with `detections`: MAttNet's file of detected boxes, the best one first

Boxes are corners within the image. What cannot be used is a failed row: `no_object` (the object is not in the
instances), `duplicate` and `bad_row`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from crawl.annotated import Annotated, Fault
from crawl.captions import is_utf8
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_json
from crawl.listed import DatasetName, IndexedParams
from crawl.sources.coco import corners, is_box, read_annotations
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError, did_you_mean

Release = Literal["", "refcoco_unc", "refcoco_google", "refcoco_plus_unc", "refcocog_umd", "refcocog_google"]
STATED: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "refcoco_unc": {
        "train": (42_404, 16_994),
        "val": (3_811, 1_500),
        "testA": (1_975, 750),
        "testB": (1_810, 750),
    },
    "refcoco_google": {"train": (40_000, 19_213), "val": (5_000, 4_559), "test": (5_000, 4_527)},
    "refcoco_plus_unc": {
        "train": (42_278, 16_992),
        "val": (3_805, 1_500),
        "testA": (1_975, 750),
        "testB": (1_798, 750),
    },
    "refcocog_umd": {"train": (42_226, 21_899), "val": (2_573, 1_300), "test": (5_023, 2_600)},
    "refcocog_google": {"train": (44_822, 24_698), "val": (5_000, 4_650)},
}
"""Objects that are referred to, and images, of each split: the table of TensorFlow Datasets' `ref_coco`."""


class RefCocoParams(IndexedParams):
    """Where expressions, objects and images are, and which splits are taken."""

    refs: Path = unkeyed()
    """`refs(unc).p`, `refs(umd).p` or `refs(google).p`, or its list as `.json`."""
    instances: Path = unkeyed()
    """`instances.json`, which lies beside it."""
    detections: Path | None = unkeyed(None)
    """MAttNet's `res101_coco_minus_refer_notime_dets.json`, or a file in its form."""
    release: Release = unkeyed("")
    """Whose numbers are asserted."""
    name: DatasetName = "refcoco"
    splits: tuple[str, ...] = ()
    """Of train, val, testA, testB, test; by default all that the file has."""
    counts: Counts = unkeyed(True)
    """Assert the release's objects and images of each split."""


class RefCoco(Annotated[RefCocoParams]):
    """Images in the order in which the expressions' file names them first."""

    Params = RefCocoParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """The splits have the objects and images that were published."""
        there = Counter(str(ref.get("split")) for ref in self._refs)
        for split in self.params.splits:
            if split not in there:
                raise ConfigError(f"{self.params.refs} has no split '{split}'", did_you_mean(split, there))
        found: dict[str, int] = {}
        stated: dict[str, int] = {}
        for split in self.params.splits or there:
            found[f"objects of {split}"] = there[split]
            of_split = (ref.get("image_id") for ref in self._refs if ref.get("split") == split)
            found[f"images of {split}"] = len({image for image in of_split if isinstance(image, int)})
        for split, (refs, images) in STATED.get(self.params.release, {}).items():
            if not self.params.splits or split in self.params.splits:
                stated |= {f"objects of {split}": refs, f"images of {split}": images}
        require_counts(self.dataset, found, stated, self.params.counts)

    @property
    def groups(self) -> Mapping[int, list[Mapping[str, Any]]]:
        """Image id -> its refs, each one object with its expressions."""
        return self._joined[0]

    @property
    def faults(self) -> Sequence[Fault]:
        """Refs that cannot be used."""
        return self._joined[1]

    def image(self, name: int) -> Entry:
        """One image with its objects and expressions."""
        image, objects = self._objects.images[name], self._objects.of[name]
        index = {number: place for place, number in enumerate(objects)}
        expressions = [
            {
                "id": sentence["sent_id"],
                "text": sentence["sent"],
                "object": index[ref["ann_id"]],
                "ref": ref["ref_id"],
                "split": ref["split"],
            }
            for ref in self.groups[name]
            for sentence in ref["sentences"]
        ]
        truth: dict[str, Any] = {"objects": list(objects.values()), "expressions": expressions}
        if crowds := self._objects.crowds.get(name):
            truth["crowds"] = crowds
        if self._detections is not None:
            truth["detections"] = self._detections.get(name, [])
        splits = sorted({ref["split"] for ref in self.groups[name]})
        file = str(image["file_name"])
        return Entry(
            where=f"image {name}",
            id=str(name),
            image=self.files.find(file, f"train2014/{file}", f"{name:012d}.jpg") if self.files else file,
            source_ids={"coco": str(name), "file_name": file},
            split="+".join(splits),
            truth=truth,
        )

    @cached_property
    def _joined(self) -> tuple[dict[int, list[Mapping[str, Any]]], list[Fault]]:
        """Refs of the splits by image, and those that cannot be used."""
        images: dict[int, list[Mapping[str, Any]]] = {}
        faults: list[Fault] = []
        seen: set[int] = set()
        for number, ref in enumerate(self._refs, start=1):
            if self.params.splits and ref.get("split") not in self.params.splits:
                continue
            where = f"ref {number}"
            if fault := _fault(ref):
                faults.append(Fault(where, "bad_row", fault))
                continue
            if ref["ref_id"] in seen:
                faults.append(Fault(where, "duplicate", f"ref id {ref['ref_id']} was there before"))
            elif ref["ann_id"] not in self._objects.of.get(ref["image_id"], {}):
                what = f"object {ref['ann_id']} of image {ref['image_id']}"
                faults.append(Fault(where, "no_object", f"{what} is not in {self.params.instances.name}"))
            else:
                images.setdefault(ref["image_id"], []).append(ref)
            seen.add(ref["ref_id"])
        return images, faults

    @cached_property
    def _refs(self) -> list[dict[str, Any]]:
        path = self.params.refs
        if path.suffix.lower() == ".json":
            data = read_json(path)
        else:
            from crawl.plain import read_plain

            data = read_plain(path)
        if not isinstance(data, list) or not data or not all(isinstance(ref, dict) for ref in data):
            raise DataError(f"{path} is no list of refs", "such as refs(unc).p of RefCOCO+")
        return data

    @cached_property
    def _objects(self) -> _Objects:
        return _Objects(self.params.instances)

    @cached_property
    def _detections(self) -> dict[int, list[dict[str, Any]]] | None:
        path = self.params.detections
        return read_detections(path, self._objects) if path else None


class _Objects:
    """COCO's objects by image.

    Attributes:
        images: image id -> its entry.
        names: category id -> name.
        of: image id -> annotation id -> the object, in the order of the ids.
        crowds: image id -> boxes around many objects at once.
    """

    def __init__(self, path: Path) -> None:
        data = read_annotations(path)
        self.images: dict[int, dict[str, Any]] = {image["id"]: image for image in data["images"]}
        self.names: dict[int, str] = {each["id"]: each["name"] for each in data["categories"]}
        self.of: dict[int, dict[int, dict[str, Any]]] = {}
        self.crowds: dict[int, list[dict[str, Any]]] = {}
        for each in sorted(data["annotations"], key=lambda each: each["id"]):
            image, name = self.images.get(each["image_id"]), self.names.get(each.get("category_id", -1))
            if image is None or name is None:
                raise DataError(
                    f"{path}: annotation {each['id']} names an image or category that is not listed"
                )
            box = corners(each["bbox"], image)
            if box[2] <= box[0] or box[3] <= box[1]:
                continue
            made = {"box": box, "name": name}
            if each.get("iscrowd"):
                self.crowds.setdefault(image["id"], []).append(made)
            else:
                self.of.setdefault(image["id"], {})[each["id"]] = {**made, "attributes": []}


def read_detections(path: Path, objects: _Objects) -> dict[int, list[dict[str, Any]]]:
    """Detected boxes by image, the best one first, in corners.

    Raises:
        ConfigError: no such file.
        DataError: it is not in MAttNet's form.
    """
    data = read_json(path)
    if not isinstance(data, list):
        raise DataError(f"{path} is no list of detections", "MAttNet's: image_id, box, category_name, score")
    found: dict[int, list[dict[str, Any]]] = {}
    for number, each in enumerate(data, start=1):
        box = each.get("box") if isinstance(each, dict) else None
        numbers = [each.get("image_id"), each.get("category_id", 0), each.get("score", 0)] if box else []
        if (
            not isinstance(box, list)
            or not is_box(box)
            or not all(isinstance(n, int | float) for n in numbers)
        ):
            raise DataError(
                f"{path}: detection {number} has no `image_id`, `box` and `score` of numbers: {each!r:.200}"
            )
        image = objects.images.get(each["image_id"])
        if image is None:
            continue  # of another release: the file of one serves all that share its images
        name, score = each.get("category_name"), each.get("score", 0.0)
        if not isinstance(name, str):
            name = objects.names.get(each.get("category_id"), "")
        made = {"box": corners(box, image), "name": name, "score": float(score)}
        found.setdefault(each["image_id"], []).append(made)
    return {image: sorted(boxes, key=lambda box: -box["score"]) for image, boxes in found.items()}


def _fault(ref: Mapping[str, Any]) -> str:
    """Why a ref cannot be used, or an empty string."""
    lacking = [name for name in ("ref_id", "ann_id", "image_id") if not isinstance(ref.get(name), int)]
    if lacking:
        return f"no `{'`, `'.join(lacking)}`"
    if not isinstance(ref.get("split"), str):
        return "no `split`"
    sentences = ref.get("sentences")
    if not isinstance(sentences, list) or not sentences:
        return "no `sentences`"
    for each in sentences:
        if not isinstance(each, dict) or not isinstance(each.get("sent_id"), int):
            return "a sentence without `sent_id`"
        if not isinstance(each.get("sent"), str) or not each["sent"].strip() or not is_utf8(each["sent"]):
            return f"no text in sentence {each['sent_id']}"
    return ""
