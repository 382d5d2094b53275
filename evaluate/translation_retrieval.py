"""Retrieval of translations by a single stream: fine-tuned, or by the cosine of its states as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, Literal

from evaluate.heldout import open_regions, samples
from evaluate.seeking import Contest, Seek, SeekParams, seek
from pipeline.stage import Inputs
from store.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluate.scoring import Result
    from evaluate.seeking import Scored
    from pipeline.stage import Shard
    from store.records import Caption, Sample

CONDITIONS = {"": "with_image", "regions": "text", "text": "image"}
"""What a model was left with, by what it was left without."""
COSINE = "cosine"


class TranslationParams(SeekParams):
    """Which sentences compete, and how a model is asked that was not fine-tuned."""

    languages: tuple[str, ...] = ()
    """Whose sentences compete, each pair of languages by itself; empty: all that there are."""
    zero_shot: Literal["", "first", "mean"] = ""
    """Take the cosine of a pre-trained model's states: of [CLS], as published, or of words' mean. Both
    sentences come with the image, so that it alone can tell them apart: see `without`."""
    without: Literal["", "regions", "text"] = ""
    """Of `zero_shot`: a modality that is taken out. Without `text` only the images are left, the control."""


class TranslationRetrieval(Seek):
    """R@1, R@5, R@10 and median rank for each pair of languages, both ways.

    Protocols say what the model had: `translation/with_image` (the first sentence's), `translation/text`,
    `translation/image`; then `embeddings`, or `cosine` where nothing was fine-tuned. A sample has one
    sentence of each language, translations of each other.
    """

    Params = TranslationParams
    params: TranslationParams
    task = "translation"
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "the held-out samples",
        "regions?": "regions of their images; a model of text alone needs none",
        "model": "one fine-tuned for `translation_retrieval`, or a pre-trained one",
    }

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """Parts of the rows."""
        if self.params.without and not self.params.zero_shot:
            raise ConfigError(
                "`without` is of models that were not fine-tuned",
                "set zero_shot, or settings.without in a recipe",
            )
        yield from super().shards(inputs)

    def usable(self, inputs: Inputs) -> Iterator[tuple[Sample, tuple[str, str] | None]]:
        """Samples with translations, and regions where there are any."""
        store = open_regions(inputs["regions"]) if "regions" in inputs else None
        for sample in samples(inputs["shards"]):
            if len(self._sentences(sample)) < 2:
                yield sample, ("no_translation", "no two languages say the same")
            elif store is not None and sample.key not in store:
                yield sample, ("no_regions", f"no regions in {inputs['regions'].manifest.node}")
            else:
                yield sample, None

    def contests(self, inputs: Inputs, usable: Sequence[Sample]) -> list[Contest]:
        """Every pair of languages: sentences of the first as columns, of the second as rows.

        Raises:
            DataError: two languages say the same: anything finds such translations.
        """
        import numpy as np

        from evaluate.pools import Pool
        from train.vlbert.drawing import refuse_same

        sentences, condition = [self._sentences(sample) for sample in usable], self._condition(inputs)
        made = []
        for a, b in combinations(sorted({language for each in sentences for language in each}), 2):
            both = [i for i, each in enumerate(sentences) if a in each and b in each]
            pairs = [(sentences[i][a], sentences[i][b].text) for i in both]
            same = [f"{one.id}: '{text}'" for one, text in pairs if one.text.strip() == text.strip()]
            refuse_same([a, b], same, len(both))
            pool = Pool(
                language=f"{a}>{b}",
                choice=condition,
                images=np.asarray(both, np.int64),
                captions=tuple(sentences[i][a] for i in both),
                owner=np.arange(len(both)),
            )
            made.append(Contest(pool, tuple(sentences[i][b] for i in both)))
        return [contest for contest in made if contest.rows]

    def scorer(
        self, inputs: Inputs, usable: Sequence[Sample]
    ) -> Callable[[Contest, NDArray[np.int64]], Scored]:
        """Fine-tuned, pairs and embeddings; else cosines."""
        return self._cosine(inputs, usable) if self.params.zero_shot else self._tuned(inputs, usable)

    def results(self, contest: Contest, found: Scored) -> Iterator[Result]:
        """Both ways as searches of their own, by kind of score."""
        from evaluate.metrics import ranks
        from evaluate.scoring import Result

        pool = contest.pool
        a, b = pool.language.split(">")
        back = replace(pool, language=f"{b}>{a}", captions=contest.rows)
        for direction, asked in (("t2i", pool), ("i2t_caption", back)):
            for by, scores, length in self.ranked(found, direction):
                matrix = scores if asked is pool else scores.T
                yield Result(
                    pool=asked,
                    direction="t2i",
                    scores=matrix,
                    ranks=ranks(matrix, pool.owner, "t2i"),
                    reranked=length,
                    similarity=self.params.similarity and by == "",
                    task=self.task,
                    by=by,
                )

    def row_names(self, contest: Contest, result: Result, usable: Sequence[Sample]) -> list[str]:
        """The sentences on the other side."""
        there = result.pool.captions is contest.pool.captions
        return [caption.id for caption in (contest.rows if there else contest.pool.captions)]

    def _tuned(
        self, inputs: Inputs, usable: Sequence[Sample]
    ) -> Callable[[Contest, NDArray[np.int64]], Scored]:
        from evaluate.scoring import similarity
        from train.models.vlbert_seeker import Seeker
        from train.models.vlbert_tuned import open_tuned

        model = open_tuned(inputs["model"].path)
        seeker, without = Seeker(model), model.settings.without
        store = None if without == "regions" else open_regions(inputs["regions"])

        def score(contest: Contest, rows: NDArray[np.int64]) -> Scored:
            pool, coarse = contest.pool, None
            texts = [("" if without == "text" else caption.text,) for caption in pool.captions]
            seen = None if store is None else [store[usable[i].key] for i in pool.images]
            firsts, seconds = seeker.texts(texts, seen), seeker.texts([(each.text,) for each in contest.rows])
            if seeker.embeds:
                coarse = similarity(seeker.embeddings(1, seconds), seeker.embeddings(0, firsts)).astype(
                    "float32"
                )
            return seek(seeker, firsts, seconds, coarse, rows, self.params)

        return score

    def _cosine(
        self, inputs: Inputs, usable: Sequence[Sample]
    ) -> Callable[[Contest, NDArray[np.int64]], Scored]:
        from evaluate.scoring import similarity
        from train.models.vlbert_seeker import sentence_states
        from train.models.vlbert_start import open_stream

        start, params = open_stream(inputs["model"].path), self.params
        assert params.zero_shot
        state, without = params.zero_shot, params.without
        store = None if without == "regions" else open_regions(inputs["regions"])

        def score(contest: Contest, rows: NDArray[np.int64]) -> Scored:
            pool = contest.pool
            seen = None if store is None else [store[usable[i].key] for i in pool.images]
            sides = (
                sentence_states(start, [each.text for each in side], seen, state=state, without=without)
                for side in (pool.captions, contest.rows)
            )
            firsts, seconds = sides
            return {COSINE: similarity(seconds[rows], firsts).astype("float32")}

        return score

    def _condition(self, inputs: Inputs) -> str:
        from train.models.start import open_start

        if self.params.zero_shot:
            return CONDITIONS[self.params.without]
        about = open_start(inputs["model"].path).about
        return CONDITIONS[about["recipe"]["settings"].get("without", "")]

    def _sentences(self, sample: Sample) -> dict[str, Caption]:
        """By language one sentence, all translations of each other."""
        from evaluate.pools import aligned_captions

        chosen = [
            c
            for c in aligned_captions(sample)
            if not self.params.languages or c.lang in self.params.languages
        ]
        sources = Counter(caption.translates or caption.id for caption in chosen)
        source = max(sources, key=lambda name: sources[name], default=None)
        return {c.lang: c for c in chosen if source in (c.id, c.translates)}
