"""Phrase grounding that nobody taught: is the region that fits a phrase best the thing that it means?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evaluate.heldout import open_regions, parsed_phrases, samples, whole
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats

if TYPE_CHECKING:
    from store.concepts import StoredPhrase
    from store.records import Regions
    from train.models.alignment import Aligned

Span = tuple[int, int]
LEAST = 0.5
"""Overlap from which a region is the thing."""


class GroundingParams(Params):
    """Nothing to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captioned:
    """A caption, its phrases, and for each phrase the box of the one thing that it means, or None."""

    text: str
    phrases: tuple[tuple[str, ...], ...]
    boxes: tuple[Sequence[float] | None, ...]
    seen: Regions


class ScoreGrounding(Stage[GroundingParams]):
    """Share of phrases whose most similar region overlaps the thing that they mean by at least one half.

    Phrases of one thing and at most one attribute count, where truth (`mentions`) says which one thing is
    meant. Two ways, see train/models/alignment.py: by embeddings, and by fused states as the grounding loss
    does. Beside the model stand a region at random, and the share of phrases whose thing any region overlaps.
    """

    version = 1
    Params = GroundingParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with truth",
        "regions": "regions of their images",
        "phrases": "phrases of their captions",
        "model": "a pre-trained model",
    }

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: the numbers."""
        yield whole("grounding", inputs)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Align every parsed caption with its own image."""
        import torch

        from train.models.alignment import align_embeddings, align_fused
        from train.models.api import load_model

        torch.set_num_threads(1)
        stats = Stats()
        captions = list(self._captions(inputs, out, stats))
        stats.failed.update(row["class"] for row in out.failures)
        stats.n_ok = stats.n_in - len(out.failures)
        model = load_model(inputs["model"].path)
        phrases, seen = [each.phrases for each in captions], [each.seen for each in captions]
        ways = {
            "embeddings": align_embeddings(model, phrases, seen),
            "fused": align_fused(model, [each.text for each in captions], phrases, seen),
        }
        found = [m for way, aligned in ways.items() for m in metrics(way, list(_hits(captions, aligned)))]
        write_metrics(out.path(EXTENSION), found)
        stats.totals["phrases"] = found[0].n
        return stats

    def _captions(self, inputs: Inputs, out: Output, stats: Stats) -> Iterator[Captioned]:
        store = open_regions(inputs["regions"])
        phrases = {row.caption: row.phrases for a in inputs.all("phrases") for row in parsed_phrases(a)}
        for sample in samples(inputs["shards"]):
            stats.n_in += 1
            if sample.key not in store:
                out.fail(sample.key, "no_regions", f"no regions in {inputs['regions'].manifest.node}")
                continue
            seen, things = store[sample.key], sample.truth.get("objects", ())
            for caption in sample.captions:
                mentions = sample.truth.get("mentions", {}).get(caption.id, ())
                own = phrases.get(caption.id, ())
                if own and mentions:
                    meant = [thing_meant(phrase, mentions) for phrase in own]
                    yield Captioned(
                        text=caption.text,
                        phrases=tuple(phrase.words for phrase in own),
                        boxes=tuple(None if i is None else things[i]["box"] for i in meant),
                        seen=seen,
                    )


def thing_meant(phrase: StoredPhrase, mentions: Sequence[tuple[int, Span]]) -> int | None:
    """The one thing whose mention holds words of the phrase; None for groups, relations, and the unmentioned.

    Args:
        mentions: thing and characters, start and end.
    """
    if len(phrase.words) > 2 or not phrase.spans:
        return None
    found = {
        thing
        for thing, (low, high) in mentions
        if any(low <= start and end <= high for start, end in phrase.spans)
    }
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Hit:
    """One phrase: whether the best region is the thing, the share of regions that are, whether any is."""

    best: bool
    share: float
    any: bool


def metrics(way: str, hits: Sequence[Hit]) -> list[Metric]:
    """Accuracy beside chance, and what the regions allow at the most."""
    n = len(hits)

    def mean(values: Sequence[float]) -> float | None:
        return float(sum(values) / n) if n else None

    def metric(name: str, value: float | None, chance: float | None = None) -> Metric:
        return Metric(
            name=name,
            value=value,
            unit="fraction",
            protocol=f"grounding/{way}",
            n=n,
            chance=chance,
            reason="" if n else "no phrase means one thing that the model knows",
        )

    return [
        metric("accuracy", mean([hit.best for hit in hits]), mean([hit.share for hit in hits])),
        metric("recall of regions", mean([hit.any for hit in hits])),
    ]


def _hits(captions: Sequence[Captioned], found: Sequence[Aligned]) -> Iterator[Hit]:
    import numpy as np

    from evaluate.average_precision import overlaps

    for each, aligned in zip(captions, found, strict=True):
        read = each.seen.boxes[: aligned.cosines.shape[1]].astype(np.float64)
        for row, number in enumerate(aligned.phrases):
            box = each.boxes[number]
            if box is not None and len(read):
                right = overlaps(read, np.asarray([box], np.float64))[:, 0] >= LEAST
                best = bool(right[aligned.cosines[row].argmax()])
                yield Hit(best, float(right.mean()), bool(right.any()))
