"""Cards for the report: pictures with their boxes, captions with their phrases, both lighting up together."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

from evaluate.heldout import Labels
from pipeline import html
from pipeline.html import Box, Markup
from store.concepts import StoredPhrase
from store.errors import DataError
from store.pictures import upright
from store.records import Caption, Regions, Sample

MOST_BOXES = 12
LEAST_SCORE = 0.3
"""Boxes below this score are left off a card, lest the picture disappear behind them."""

STYLE = Markup(
    "<style>.card .box.truth{display:none}.card:has(details.truth[open]) .box.truth{display:inline}"
    ".card details.truth{border:0;margin-top:.4rem}"
    ".card details{font-size:.95em}"
    ".card .pair{display:grid;grid-template-columns:1fr 1fr;gap:.6rem;align-items:end}</style>"
)
"""The boxes of the ground truth show while the list of its objects is unfolded."""


def sample_card(
    sample: Sample,
    *,
    regions: Regions | None = None,
    labels: Labels | None = None,
    phrases: Mapping[str, Sequence[StoredPhrase]] | None = None,
    captions: Sequence[Caption] | None = None,
    side: int = 320,
) -> Markup:
    """One picture with its regions, captions and ground truth.

    Args:
        sample: with its image.
        labels: names of the regions' classes and attributes.
        phrases: by caption id.
        captions: those to show at once; all others fold away. All when left out.
        side: longer side of the thumbnail in pixels.
    """
    labels, phrases = labels or Labels(), phrases or {}
    shown = tuple(sample.captions if captions is None else captions)
    others = [caption for caption in sample.captions if caption not in shown]

    def written(caption: Caption) -> Markup:
        marks = marked(phrases.get(caption.id, ()), regions, labels)
        return html.linked(caption.text, marks, lang=caption.lang)

    marks = [mark for caption in shown for mark in marked(phrases.get(caption.id, ()), regions, labels)]
    boxes = [*region_boxes(regions, labels, {link for _, _, link, _ in marks}), *truth_boxes(sample)]
    parts = [photo(sample, boxes, side), html.paragraph(html.code(sample.key), kind="quiet")]
    parts += [written(caption) for caption in shown]
    if others:
        parts.append(html.details(f"{len(others)} more captions", html.join(written(c) for c in others)))
    parts.append(truth_list(sample))
    return html.join(parts)


def photo(sample: Sample, boxes: Sequence[Box] = (), side: int = 320) -> Markup:
    """The thumbnail of a sample with boxes over it, or a line that says why there is none."""
    thumbnail = shrink(sample.image, side) if sample.image else None
    if thumbnail is None:
        return html.notice(f"{sample.key} has no image that can be shown", kind="warn")
    alt = sample.captions[0].text if sample.captions else sample.key
    return html.picture(
        thumbnail, size=(sample.width, sample.height), alt=alt, mime="image/jpeg", boxes=boxes
    )


def shrink(image: bytes, side: int) -> bytes | None:
    """A JPEG of at most `side` pixels, upright by its EXIF orientation; None when it cannot be decoded."""
    from PIL import Image

    try:
        picture = upright(image)
    except DataError:
        return None
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    small = io.BytesIO()
    picture.save(small, "JPEG", quality=82)
    return small.getvalue()


def region_boxes(regions: Regions | None, labels: Labels, linked: Iterable[str] = ()) -> list[Box]:
    """The best regions and those that a phrase points to, with `attribute class score` as their label."""
    wanted, boxes = set(linked), []
    for i in range(0 if regions is None else len(regions)):
        assert regions is not None
        score = float(regions.score[i])
        if (i >= MOST_BOXES or score < LEAST_SCORE) and region_link(i) not in wanted:
            continue
        name, attribute = labels.of(regions, i)
        tip = f"{name} {score:.2f}"
        if attribute:
            tip += f", {attribute} {float(regions.attribute_score[i]):.2f}"
        x1, y1, x2, y2 = (float(v) for v in regions.boxes[i])
        boxes.append(
            Box(
                xyxy=(x1, y1, x2, y2),
                label=f"{attribute} {name} {score:.2f}".strip(),
                tip=tip,
                link=region_link(i),
            )
        )
    return boxes


def truth_boxes(sample: Sample) -> list[Box]:
    """Where the objects are in truth; hidden until the card's list of objects is unfolded."""
    boxes = []
    for thing in sample.truth.get("objects", ()):
        x1, y1, x2, y2 = map(float, thing["box"])
        boxes.append(Box(xyxy=(x1, y1, x2, y2), tip=f"truth: {_described(thing)}", kind="good truth"))
    return boxes


def truth_list(sample: Sample) -> Markup:
    """The objects and relations of the ground truth, folded; nothing where the source has none."""
    things = sample.truth.get("objects", ())
    if not things:
        return Markup("")
    items = [html.element("li", _described(thing)) for thing in things]
    for subject, relation, target in sample.truth.get("relations", ()):
        items.append(html.element("li", f"{things[subject]['name']} {relation} {things[target]['name']}"))
    return html.element(
        "details",
        html.element("summary", "ground truth"),
        html.element("ul", *items),
        class_="truth",
    )


def marked(
    phrases: Sequence[StoredPhrase], regions: Regions | None, labels: Labels
) -> list[tuple[int, int, str, str]]:
    """Spans of a caption to mark: start, end, link to a region's box, tip.

    No word is marked twice: what an object with its attribute says is not said again by the object alone, and
    a relation keeps the words that are its own.
    """
    found: list[tuple[int, int, str, str]] = []
    order = {2: 0, 1: 1, 3: 2}
    for phrase in sorted(phrases, key=lambda p: (order.get(len(p.words), 3), p.spans, p.words)):
        region = linked_region(phrase.words, regions, labels)
        link = "" if region is None else region_link(region)
        for start, end in phrase.spans:
            if all(end <= taken or start >= stop for taken, stop, _, _ in found):
                found.append((start, end, link, " · ".join(phrase.words)))
    return sorted(found)


def linked_region(words: Sequence[str], regions: Regions | None, labels: Labels) -> int | None:
    """The region that a phrase speaks of: its class is the phrase's first noun, or there is none.

    Of several, one with the phrase's attribute comes first, then the one with the highest score.
    """
    if regions is None or not words:
        return None
    named = [i for i in range(len(regions)) if labels.of(regions, i)[0] == words[0]]
    if len(words) == 2:
        named.sort(key=lambda i: labels.of(regions, i)[1] != words[1])
    return named[0] if named else None


def region_link(i: int) -> str:
    """The name that a region's box and its phrases share within a card."""
    return f"r{i}"


def _described(thing: Mapping[str, object]) -> str:
    attributes = thing.get("attributes") or ()
    assert isinstance(attributes, Sequence)
    return " ".join([*map(str, attributes), str(thing["name"])])
