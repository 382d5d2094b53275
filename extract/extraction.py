"""The regions of one shard: threads decode and stack, this one computes, another selects and writes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from extract.batching import Picture, Refused, batches, decoded, stack
from extract.clock import timed, waiting
from extract.describe import describe
from extract.detectors.base import Proposals
from extract.determinism import single_thread
from extract.device import Inference
from extract.overlap import Behind, ahead
from extract.recipes import Recipe
from pipeline.stage import Output
from pipeline.stats import Stats
from store.features import StoreWriter, open_store
from store.records import Regions, Sample
from store.shards import read_shard

if TYPE_CHECKING:
    from extract.regions import RegionFeaturesParams

DEPTH = 2
"""Batches that are ready before the network asks for them, and batches that wait to be written."""
COUNT_EDGES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 36.0, 50.0, 100.0)
SCORE_EDGES = tuple(i / 20 for i in range(1, 20))


@dataclass(slots=True)
class Extraction:
    """One shard on its way.

    Three threads add to `stats`, each to names of its own: the reader to `n_in`, "read", "decode" and
    "transfer"; the caller's to "wait" and "compute"; the writer to everything else.
    """

    inference: Inference
    recipe: Recipe
    params: RegionFeaturesParams
    writer: StoreWriter
    out: Output
    total: int
    stats: Stats = field(default_factory=Stats)
    _place: dict[str, int] = field(default_factory=dict)
    _refused: list[Refused] = field(default_factory=list)

    def run(self, tar: Path) -> Stats:
        """Read the images of `tar`, or those that are to be tried again, and write the store."""
        stats = self.stats
        with single_thread(), ExitStack() as written:
            written.enter_context(self.writer)
            if self.out.previous is not None:
                self._carry_over(self.out.previous / self.writer.path.name)
            with Behind(DEPTH) as behind, closing(ahead(self._batches(tar), DEPTH)) as ready:
                for batch, pixels in waiting(ready, stats, "wait"):
                    with timed(stats, "compute"):
                        found = self.inference.propose(pixels, self.recipe, stats)
                    with timed(stats, "wait"):
                        behind.submit(self._finish, batch, found, self.inference.computed())
            with timed(stats, "write"):
                written.close()
        for refused in sorted(self._refused, key=lambda refused: self._place[refused.key]):
            self.out.fail(refused.key, refused.failure, refused.detail)
            stats.failed[refused.failure] += 1
        self.inference.note_memory(stats)
        return stats

    def _carry_over(self, path: Path) -> None:
        """Take the records over that an earlier attempt at this shard already has."""
        store = open_store(path)
        for key in store.keys():  # noqa: SIM118 - no mapping
            self.stats.n_in += 1
            self._write(key, store[key])

    def _batches(self, tar: Path) -> Generator[tuple[list[Picture], torch.Tensor], None, None]:
        """Pictures of one shape, and their pixels on the device."""
        for batch in batches(self._pictures(tar), self.params.batch):
            with timed(self.stats, "transfer"):
                pixels = self.inference.upload(stack(batch, pinned=self.inference.device.type == "cuda"))
            yield batch, pixels

    def _pictures(self, tar: Path) -> Iterator[Picture]:
        decoders = self.params.decoders
        window = self.params.batch + 2 * decoders
        samples = waiting(self._samples(tar), self.stats, "read")
        for each in decoded(samples, self.recipe.preprocessing, decoders, window):
            self.stats.seconds["decode"] += each.seconds  # type: ignore[assignment]
            if isinstance(each.outcome, Refused):
                self._refused.append(each.outcome)
            else:
                yield each.outcome

    def _samples(self, tar: Path) -> Iterator[Sample]:
        for sample in read_shard(tar):
            if not self.out.retry or sample.key in self.out.retry:
                self._place[sample.key] = self.stats.n_in
                self.stats.n_in += 1
                yield sample

    def _finish(
        self, batch: Sequence[Picture], found: Sequence[Proposals | None], computed: torch.cuda.Event | None
    ) -> None:
        """Select, and write what was chosen."""
        for picture, proposals in zip(batch, found, strict=True):
            if proposals is None:
                what = f"an image of {' x '.join(map(str, picture.pixels.shape[:2]))} pixels"
                self._refused.append(
                    Refused(picture.key, "out_of_memory", f"{what} is too large for the device")
                )
                continue
            with timed(self.stats, "select"), self.inference.reading(computed):
                regions = describe(proposals, self.recipe, picture, posteriors=bool(self.params.posteriors))
            if len(regions):
                with timed(self.stats, "write"):
                    self._write(picture.key, regions)
            else:
                self._refused.append(Refused(picture.key, "no_regions", "the detector proposes nothing"))
        self.out.progress(self.stats.n_ok + len(self._refused), self.total)

    def _write(self, key: str, regions: Regions) -> None:
        stats = self.stats
        self.writer.write(key, regions)
        stats.n_ok += 1
        stats.totals["boxes"] += len(regions)
        stats.observe("boxes per image", len(regions), COUNT_EDGES)
        for score in regions.score.tolist():
            stats.observe("class score", score, SCORE_EDGES)
