"""Retrieval of images by captions and of captions by images, by a fine-tuned single stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from evaluate.heldout import open_regions, samples
from evaluate.seeking import Contest, Seek, SeekParams, seek
from pipeline.stage import Inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluate.scoring import Result
    from evaluate.seeking import Scored
    from store.records import Sample


class CaptionParams(SeekParams):
    """What competes."""

    pools: tuple[Literal["aligned", "all"], ...] = ("aligned",)
    """`aligned` has one caption an image, the same sentence in every language; `all` every caption."""


class CaptionRetrieval(Seek):
    """R@1, R@5, R@10 and median rank in both directions for each language.

    Protocols are those of `evaluate.retrieval:Retrieval`: scores of pairs, beside them `embeddings`.
    """

    Params = CaptionParams
    params: CaptionParams
    task = "retrieval"
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "the held-out samples",
        "regions": "their regions",
        "model": "one fine-tuned for `caption_retrieval`",
    }

    def usable(self, inputs: Inputs) -> Iterator[tuple[Sample, tuple[str, str] | None]]:
        """Samples with captions and regions."""
        store = open_regions(inputs["regions"])
        for sample in samples(inputs["shards"]):
            if not sample.captions:
                yield sample, ("no_caption", "an image without captions cannot be retrieved")
            elif sample.key not in store:
                yield sample, ("no_regions", f"no regions in {inputs['regions'].manifest.node}")
            else:
                yield sample, None

    def contests(self, inputs: Inputs, usable: Sequence[Sample]) -> list[Contest]:
        """The pools of every language."""
        from evaluate.pools import pools

        return [Contest(pool) for pool in pools(usable) if pool.choice in self.params.pools]

    def scorer(
        self, inputs: Inputs, usable: Sequence[Sample]
    ) -> Callable[[Contest, NDArray[np.int64]], Scored]:
        """Images are read and embedded once for all languages."""
        from evaluate.scoring import similarity
        from train.models.vlbert_seeker import Seeker
        from train.models.vlbert_tuned import open_tuned

        seeker, store = Seeker(open_tuned(inputs["model"].path)), open_regions(inputs["regions"])
        images = seeker.images([store[sample.key] for sample in usable])
        embedded = seeker.embeddings(1, images) if seeker.embeds else None

        def score(contest: Contest, rows: NDArray[np.int64]) -> Scored:
            pool, coarse = contest.pool, None
            captions = seeker.texts([(caption.text,) for caption in pool.captions])
            if embedded is not None:
                coarse = similarity(embedded[pool.images], seeker.embeddings(0, captions)).astype("float32")
            return seek(seeker, captions, images.part(pool.images), coarse, rows, self.params)

        return score

    def results(self, contest: Contest, found: Scored) -> Iterator[Result]:
        """Both directions, by pairs and by embeddings."""
        from evaluate.metrics import ranks
        from evaluate.scoring import Result

        pool = contest.pool
        for direction in ("t2i", "i2t_caption"):
            for by, scores, length in self.ranked(found, direction):
                yield Result(
                    pool=pool,
                    direction=direction,
                    scores=scores,
                    ranks=ranks(scores, pool.owner, direction),
                    reranked=length,
                    similarity=self.params.similarity and by == "",
                    by=by,
                )
