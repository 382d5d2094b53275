"""Image-text retrieval of a trained model on held-out samples, in every language, also re-ranked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from evaluate.heldout import open_regions, parsed_phrases, samples, whole
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats

if TYPE_CHECKING:
    from evaluate.scoring import Result, Words
    from pipeline.artifacts import Artifact
    from store.records import Sample

NOTHING = Metric(
    name="R@1",
    value=None,
    unit="fraction",
    protocol="retrieval/t2i/aligned",
    n=0,
    reason="no image has both a caption and regions",
)


class Rerank(Params):
    """How long short lists are; the defaults are MVPTR's."""

    texts: PositiveInt = 128
    """Captions of each image that are ordered anew."""
    images: PositiveInt = 64
    """Images of each caption that are ordered anew."""
    similarity: bool = False
    """Add the contrastive logit to the matching head's log-odds, so that all three stacks have a say. MVPTR:
    the head alone."""
    pools: tuple[Literal["aligned", "all"], ...] = ("aligned",)
    """Which pools: `all`, every caption of a language, is what published figures are of, and costs more."""

    def length(self, direction: str) -> int:
        """Of the short list of a query."""
        return self.images if direction == "t2i" else self.texts


class RetrievalParams(Params):
    """What is scored, and how."""

    rerank: Rerank | None = None
    """How many of the best answers the matching head orders anew: `{texts: 128, images: 64}` as MVPTR; null:
    none. Worth it for a model that was fine-tuned for retrieval (recipe mvptr-retrieval)."""
    keep_scores: bool = True
    """Whether the score matrices are kept (float32 [images, captions] for each pool)."""


class Retrieval(Stage[RetrievalParams]):
    """R@1, R@5, R@10 and median rank in both directions for each language, beside what chance reaches.

    Protocols: `aligned` has one caption an image, the same sentence in every language; `all` has every
    caption of the language. Coarse scores are the cosine of both stacks' embeddings. `rerank<k>` orders the k
    best by the matching head, `+similarity` by both; what is not among them ranks last. Phrases that were
    carried over from a translation are never used: at test time the model sees one caption, not its English
    original.
    """

    Params = RetrievalParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "the held-out samples",
        "regions": "their regions",
        "phrases?": "their phrases, for a model that uses them",
        "concepts?": "their vocabulary, which the model brings itself: named here for people",
        "model": "a checkpoint",
    }
    unit = "images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: every image competes with every other."""
        yield whole("retrieval", inputs)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Encode once, score every pool, write metrics, predictions and score matrices."""
        import torch

        from evaluate.pools import pools
        from evaluate.predictions import write_predictions
        from evaluate.scoring import metrics, score_pool
        from train.models.api import load_model

        torch.set_num_threads(1)
        model = load_model(inputs["model"].path)
        stats = Stats()
        store = open_regions(inputs["regions"])
        usable: list[Sample] = []
        for sample in samples(inputs["shards"]):
            stats.n_in += 1
            if not sample.captions:
                out.fail(sample.key, "no_caption", "an image without captions cannot be retrieved")
            elif sample.key not in store:
                out.fail(sample.key, "no_regions", f"no regions in {inputs['regions'].manifest.node}")
            else:
                usable.append(sample)
        stats.failed.update(row["class"] for row in out.failures)
        stats.n_ok = len(usable)
        images = model.encode_images([store[sample.key] for sample in usable])
        phrases = own_phrases(inputs) if model.uses_phrases else {}
        results: list[Result] = []
        competing = pools(usable)
        for done, pool in enumerate(competing):
            out.progress(done, len(competing))
            results += score_pool(model, images, pool, phrases, self.params.rerank)
        write_metrics(out.path(EXTENSION), [m for result in results for m in metrics(result)] or [NOTHING])
        write_predictions(
            out,
            results,
            lambda pool: [usable[i].key for i in pool.images],
            keep_scores=self.params.keep_scores,
        )
        stats.totals.update(captions=sum(len(p.captions) for p in competing), phrases=len(phrases))
        return stats

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """Sample cards, then the best and the worst retrievals of each language."""
        from evaluate.showcase import illustrate_retrieval

        return illustrate_retrieval(artifact, inputs)


def own_phrases(inputs: Inputs) -> dict[str, list[Words]]:
    """Phrases by caption id, only those that were parsed from that very caption."""
    return {
        row.caption: [phrase.words for phrase in row.phrases]
        for artifact in inputs.all("phrases")
        for row in parsed_phrases(artifact)
    }
