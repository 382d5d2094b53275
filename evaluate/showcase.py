"""What the report shows of a retrieval run: sample cards, best and worst retrievals of each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from evaluate.gallery import STYLE, photo, sample_card
from evaluate.heldout import labels_of, open_regions, parsed_phrases, with_images
from evaluate.pools import aligned_captions
from pipeline import html
from pipeline.html import Markup
from store.tables import read_table

if TYPE_CHECKING:
    from pipeline.artifacts import Artifact
    from pipeline.stage import Inputs
    from store.concepts import StoredPhrase
    from store.records import Caption, Sample

SAMPLES, WORST, BEST = 12, 3, 3
THUMBNAIL = 200
SHOWN_ANSWERS = 3
"""Cards in the gallery; retrievals of a kind for each language and direction; pixels; answers on a card."""

T2I, I2T = "retrieval/t2i/aligned", "retrieval/i2t_caption/aligned"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Predictions to show: table rows of `retrieval.predictions.parquet`."""

    worst: list[dict[str, Any]]
    best: list[dict[str, Any]]


def illustrate_retrieval(artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
    """Sections for the report: (title, HTML)."""
    rows = read_table(artifact.file("retrieval", ".predictions.parquet"))
    languages = sorted({row["language"] for row in rows})
    chosen = {
        (language, protocol): choose(
            [r for r in rows if r["language"] == language and r["protocol"] == protocol]
        )
        for language in languages
        for protocol in (T2I, I2T)
    }
    gallery = spread(sorted({row["query"] for row in rows if row["protocol"] == I2T}), SAMPLES)
    wanted = {key for pick in chosen.values() for row in (*pick.worst, *pick.best) for key in _images(row)}
    found = with_images(inputs["shards"], wanted | set(gallery))
    sections: list[tuple[str, str]] = [("Held-out samples", _gallery(gallery, found, inputs))]
    for language in languages:
        parts = [STYLE]
        for protocol, title in ((T2I, "Caption → image"), (I2T, "Image → caption")):
            pick = chosen[language, protocol]
            total = sum(row["protocol"] == protocol and row["language"] == language for row in rows)
            for name, some in (("worst", pick.worst), ("best", pick.best)):
                parts.append(html.element("h4", f"{title}: {name} of {total}"))
                draw = caption_card if protocol == T2I else image_card
                parts.append(html.cards(draw(row, found) for row in some))
        sections.append((f"Retrievals: {language}", html.join(parts)))
    return sections


def choose(rows: Sequence[dict[str, Any]]) -> Chosen:
    """The queries with the lowest ranks (only misses), and the hits that lead by the widest margin."""
    misses = [row for row in rows if row["rank"] > 0]
    hits = [row for row in rows if row["rank"] == 0]
    return Chosen(
        worst=sorted(misses, key=lambda row: (-row["rank"], row["query"]))[:WORST],
        best=sorted(hits, key=lambda row: (-margin(row), row["query"]))[:BEST],
    )


def margin(row: Mapping[str, Any]) -> float:
    """How far the right answer leads the best wrong one among the kept answers."""
    rivals = [
        s for image, s in zip(row["answer_images"], row["scores"], strict=True) if image != row["image"]
    ]
    return float(row["own_score"] - rivals[0]) if rivals else 0.0


def caption_card(row: Mapping[str, Any], found: Mapping[str, Sample]) -> Markup:
    """A caption, its own image, and the image that was ranked first instead."""
    right, first = row["image"], row["answers"][0]
    pictures = [_photo(found[right], f"its own image, rank {row['rank'] + 1}", row["own_score"])]
    if first != right:
        pictures.append(_photo(found[first], "retrieved first", row["scores"][0]))
    pair = html.element("div", *pictures, class_="pair")
    return html.join([_sentence(_caption(row["query"], found[right])), pair])


def image_card(row: Mapping[str, Any], found: Mapping[str, Sample]) -> Markup:
    """An image, the captions ranked first, and where its own came."""
    parts: list[Markup] = [
        _photo(found[row["query"]], f"its own caption: rank {row['rank'] + 1}", row["own_score"])
    ]
    if row["rank"] > 0:
        parts += [_sentence(c) for c in aligned_captions(found[row["query"]]) if c.lang == row["language"]]
        parts.append(html.paragraph("retrieved first", kind="quiet"))
    answers = zip(row["answers"], row["answer_images"], strict=True)
    shown = SHOWN_ANSWERS if row["rank"] else 1
    parts += [_sentence(_caption(name, found[image])) for name, image in islice(answers, shown)]
    return html.join(parts)


def original_first(sample: Sample) -> list[Caption]:
    """One caption of each language, the one that the others translate before them."""
    return sorted(aligned_captions(sample), key=lambda caption: caption.translates is not None)


def spread(items: Sequence[str], n: int) -> list[str]:
    """Up to n items at even distances, the first one among them."""
    return [items[i * len(items) // n] for i in range(n)] if len(items) > n else list(items)


def _gallery(keys: Sequence[str], found: Mapping[str, Sample], inputs: Inputs) -> Markup:
    regions = open_regions(inputs["regions"])
    wanted = set(keys)
    phrases: dict[str, tuple[StoredPhrase, ...]] = {}
    for artifact in inputs.all("phrases"):
        phrases.update({row.caption: row.phrases for row in parsed_phrases(artifact) if row.key in wanted})
    labels = labels_of(regions)
    drawn = []
    for key in keys:
        known = regions[key]  # only images with regions were scored
        drawn.append(
            sample_card(
                found[key],
                regions=known,
                labels=labels,
                phrases=phrases,
                captions=original_first(found[key]),
            )
        )
    about = html.paragraph(
        "Boxes are detections with attribute, class and score. Words that were parsed into a phrase are "
        "marked, and light up with the box of the region they name. Unfold the ground truth for its boxes."
    )
    return html.join([STYLE, about, html.cards(drawn)])


def _images(row: Mapping[str, Any]) -> set[str]:
    """Keys of the samples that a card of this prediction shows."""
    return {row["image"], *row["answer_images"][:SHOWN_ANSWERS]}


def _caption(name: str, sample: Sample) -> Caption:
    return next(caption for caption in sample.captions if caption.id == name)


def _sentence(caption: Caption) -> Markup:
    return html.linked(caption.text, (), lang=caption.lang)


def _photo(sample: Sample, words: str, score: float | None) -> Markup:
    return html.element("div", photo(sample, side=THUMBNAIL), _said(words, score))


def _said(words: str, score: float | None) -> Markup:
    return html.paragraph(words if score is None else f"{words}, score {score:.3f}", kind="quiet")
