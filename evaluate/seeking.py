"""Retrieval by a single stream: score matrices in shards, side by side, and what they say together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveInt

from evaluate.heldout import whole
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluate.metrics import Scores
    from evaluate.pools import Pool
    from evaluate.scoring import Result
    from pipeline.artifacts import ShardRecord
    from store.records import Caption, Sample
    from train.models.vlbert_seeker import Seeker, Side

    Scored = Mapping[str, NDArray[np.float32]]

PART = ".scores.safetensors"
PAIRS = "pairs"
EMBEDDINGS = "embeddings"


class SeekParams(Params):
    """How pairs are scored."""

    parts: PositiveInt = 4
    """Shards, each of which scores a share of every matrix's rows: as many can work at once."""
    shortlist: PositiveInt | None = None
    """Score only the pairs that are among so many of either side's best by embeddings; null: every pair. A
    model without embeddings scores every pair."""
    similarity: bool = False
    """Add the contrastive logit to a pair's own, so that both have a say."""
    keep_scores: bool = True
    """Whether the score matrices are kept (float32 [images or sentences, captions] for each pool)."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Who competes in one matrix.

    Attributes:
        pool: captions as columns, and for each row the number of its sample.
        rows: the sentences that are rows; empty where these are images.
    """

    pool: Pool
    rows: tuple[Caption, ...] = ()


class Seek(Stage[SeekParams]):
    """Base of the stages that retrieve by the family `vlbert`.

    Each shard writes its rows of every matrix; folded, they give recalls and median ranks, the first answers
    to every query, and whole matrices.
    """

    Params = SeekParams
    unit = "images"
    task: ClassVar[str]
    """Before the protocol's name."""

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """Parts of the rows."""
        uses = whole("", inputs).uses
        for part in range(self.params.parts):
            yield Shard(name=f"{part:05d}", uses=uses, args={"part": part, "of": self.params.parts})

    def usable(self, inputs: Inputs) -> Iterator[tuple[Sample, tuple[str, str] | None]]:
        """Every held-out sample, with class and detail of what is wrong with it."""
        raise NotImplementedError

    def contests(self, inputs: Inputs, usable: Sequence[Sample]) -> list[Contest]:
        """Who competes."""
        raise NotImplementedError

    def scorer(
        self, inputs: Inputs, usable: Sequence[Sample]
    ) -> Callable[[Contest, NDArray[np.int64]], Scored]:
        """What makes some rows of a contest's matrices, each float32 [rows, captions] by kind of score."""
        raise NotImplementedError

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Score a share of the rows of every matrix."""
        import numpy as np
        import torch
        from safetensors.numpy import save_file

        torch.set_num_threads(1)
        stats, part, of = Stats(), shard.args["part"], shard.args["of"]
        judged = list(self.usable(inputs))
        for number in share(len(judged), part, of):
            sample, fault = judged[number]
            stats.n_in += 1
            if fault:
                out.fail(sample.key, *fault)
        stats.failed.update(row["class"] for row in out.failures)
        stats.n_ok = stats.n_in - len(out.failures)
        usable = [sample for sample, fault in judged if not fault]
        score, contests = self.scorer(inputs, usable), self.contests(inputs, usable)
        matrices = {}
        for done, contest in enumerate(contests):
            out.progress(done, len(contests))
            rows = np.array(share(len(contest.pool.images), part, of), np.int64)
            for kind, scores in score(contest, rows).items():
                matrices[f"{kind}/{contest.pool.name}"] = np.ascontiguousarray(scores, np.float32)
                stats.totals["scores"] = stats.totals.get("scores", 0) + int(np.isfinite(scores).sum())
        save_file(matrices, out.path(PART))
        return stats

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats | None:
        """Put matrices together; write metrics, predictions, and the matrices where wanted."""
        import numpy as np
        from safetensors.numpy import load_file

        from evaluate.predictions import write_predictions
        from evaluate.scoring import metrics

        usable = [sample for sample, fault in self.usable(inputs) if not fault]
        parts = [load_file(folder / f"{record.name}{PART}") for record in records]
        results: list[Result] = []
        names: dict[str, list[str]] = {}
        for contest in self.contests(inputs, usable):
            pool = contest.pool
            found = {
                kind.removesuffix(f"/{pool.name}"): np.concatenate([part[kind] for part in parts])
                for kind in parts[0]
                if kind.endswith(f"/{pool.name}")
            }
            for result in self.results(contest, found):
                results.append(result)
                names[result.pool.name] = self.row_names(contest, result, usable)
        nothing = Metric(
            name="R@1", value=None, unit="fraction", protocol=self.task, n=0, reason="nothing can be matched"
        )
        write_metrics(out.path(EXTENSION), [m for each in results for m in metrics(each)] or [nothing])
        write_predictions(out, results, lambda pool: names[pool.name], keep_scores=self.params.keep_scores)
        return None

    def results(self, contest: Contest, found: Scored) -> Iterator[Result]:
        """Ranks of a contest, by kind of score and direction."""
        raise NotImplementedError

    def row_names(self, contest: Contest, result: Result, usable: Sequence[Sample]) -> list[str]:
        """What the captions of a result are matched with."""
        return [usable[i].key for i in contest.pool.images]

    def ranked(self, found: Scored, direction: str) -> Iterator[tuple[str, Scores, int]]:
        """Kind of score, the matrix as ranked in a direction, and the length of the short list or 0."""
        from evaluate.metrics import reranked, shortlist

        for kind, scores in found.items():
            if kind != PAIRS:
                yield kind, scores, 0
            elif self.params.shortlist is None or EMBEDDINGS not in found:
                yield "", scores, 0
            else:
                import numpy as np

                axis = 0 if direction == "t2i" else 1
                listed = shortlist(found[EMBEDDINGS], self.params.shortlist, axis=axis)
                fine = np.take_along_axis(scores.T if axis == 0 else scores, listed, axis=1)
                yield "", reranked(listed, fine, scores.shape, axis=axis), self.params.shortlist


def share(n: int, part: int, of: int) -> range:
    """One of so many parts of n rows, nearly equal."""
    return range(n * part // of, n * (part + 1) // of)


def seek(
    seeker: Seeker,
    firsts: Side,
    seconds: Side,
    coarse: NDArray[np.float32] | None,
    rows: NDArray[np.int64],
    settings: SeekParams,
) -> Scored:
    """Some rows of the matrices [seconds, firsts] of a model that was fine-tuned for retrieval.

    Args:
        coarse: cosines of all embeddings, where the model has any.
        rows: of `seconds`.

    Returns:
        logits of pairs, -inf where no short list asks for one; and the cosines.
    """
    import numpy as np

    from evaluate.metrics import shortlist

    if coarse is not None and not seeker.matches:
        return {EMBEDDINGS: coarse[rows]}
    asked = np.ones((len(seconds), len(firsts)), np.bool_)
    if coarse is not None and settings.shortlist is not None:
        asked[:] = False
        np.put_along_axis(asked, shortlist(coarse, settings.shortlist, axis=1), True, axis=1)
        np.put_along_axis(asked, shortlist(coarse, settings.shortlist, axis=0).T, True, axis=0)
    row, column = np.nonzero(asked[rows])
    scores = np.full((len(rows), len(firsts)), -np.inf, np.float32)
    scores[row, column] = seeker.scores(firsts, seconds, np.stack([column, rows[row]], axis=1))
    if coarse is None:
        return {PAIRS: scores}
    if settings.similarity:
        scores += np.float32(seeker.scale) * coarse[rows]
    return {PAIRS: scores, EMBEDDINGS: coarse[rows]}
