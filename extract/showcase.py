"""What the report shows of a region store: pictures with their boxes, and how often each class was found."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from pipeline import html
from pipeline.artifacts import Artifact
from pipeline.html import Box, Markup
from store.features import open_store
from store.pictures import upright
from store.records import Regions, Sample
from store.shards import read_shard

SHOWN = 12
MOST_SHARDS = 8
MOST_BOXES = 10
SIDE = 280
MOST_CLASSES = 20


def region_cards(regions: Artifact, shards: Artifact) -> list[tuple[str, str]]:
    """The first samples with their best boxes, and the classes of the shards that these are from."""
    store = open_store(regions.path)
    classes, attributes = store.meta["classes"], store.meta["attributes"]
    found: Counter[str] = Counter()
    cards: list[Markup] = []
    for record in shards.shards[:MOST_SHARDS]:  # published features may lack the samples of the first ones
        if len(cards) == SHOWN:
            break
        for sample in read_shard(shards.file(record.name, ".tar")):
            if sample.key not in store:
                continue
            described = store[sample.key]
            found.update(_named(classes, i) for i in described.class_id.tolist() if i >= 0)
            if len(cards) < SHOWN:
                boxes = labelled(described, classes, attributes)
                cards.append(_card(sample, boxes, len(described)))
    rows = [(name, count) for name, count in found.most_common(MOST_CLASSES)]
    sections: list[tuple[str, str]] = [("Regions", html.cards(cards))]
    if rows:
        heading = f"class (the {MOST_CLASSES} most frequent where these are from)"
        sections.append(("Classes", html.table((heading, "regions"), rows)))
    return sections


def labelled(regions: Regions, classes: Sequence[str], attributes: Sequence[str]) -> list[Box]:
    """The best regions with `attribute class score` as their label."""
    boxes = []
    for i in range(min(len(regions), MOST_BOXES)):
        attribute = _named(attributes, int(regions.attribute_id[i]))
        name, score = _named(classes, int(regions.class_id[i])), float(regions.score[i])
        x1, y1, x2, y2 = (float(v) for v in regions.boxes[i])
        tip = f"{name} {score:.2f}"
        if attribute:
            tip += f", {attribute} {float(regions.attribute_score[i]):.2f}"
        boxes.append(
            Box(
                xyxy=(x1, y1, x2, y2),
                label=f"{attribute} {name} {score:.2f}".strip(),
                tip=tip,
                kind="main" if score >= 0.5 else "faint",
            )
        )
    return boxes


def _named(names: Sequence[str], i: int) -> str:
    """Published features need not say what their regions are, nor the names of what they say."""
    if i < 0:
        return ""
    return names[i] if i < len(names) else f"#{i}"


def _card(sample: Sample, boxes: Sequence[Box], count: int) -> Markup:
    about = html.paragraph(f"{count} regions", kind="quiet")
    image = thumbnail(sample.image or b"")
    size = (sample.width, sample.height)
    drawn = html.picture(image, size=size, alt=sample.key, mime="image/jpeg", boxes=boxes)
    return html.join([drawn, html.paragraph(html.code(sample.key), kind="quiet"), about])


def thumbnail(data: bytes) -> bytes:
    """A small JPEG, upright by its EXIF orientation."""
    from PIL import Image

    image = upright(data)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    small = io.BytesIO()
    image.save(small, "JPEG", quality=82)
    return small.getvalue()


def box_cards(regions: Artifact) -> list[tuple[str, str]]:
    """The first images of a store that has no pictures, as their best boxes alone."""
    store = open_store(regions.path)
    cards = []
    for key in islice(store.keys(), SHOWN):
        described = store[key]
        height, width = described.image_size.tolist()
        boxes = labelled(described, store.meta["classes"], store.meta["attributes"])
        drawn = html.picture(_grey(), size=(width, height), alt=key, mime="image/png", boxes=boxes)
        about = html.paragraph(f"{len(described)} regions", kind="quiet")
        cards.append(html.join([drawn, html.paragraph(html.code(key), kind="quiet"), about]))
    return [("Regions", html.cards(cards))]


def _grey() -> bytes:
    """One pixel."""
    from PIL import Image

    pixel = io.BytesIO()
    Image.new("RGB", (1, 1), (226, 226, 226)).save(pixel, "PNG")
    return pixel.getvalue()
