"""How a vocabulary cuts the captions of a data set, and what of them a model would not get to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveInt

from evaluate.heldout import samples, whole
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats

if TYPE_CHECKING:
    from train.vocabulary import Vocabulary

NAME = "tokenisation"
QUANTILES = {"median": 0.5, "p95": 0.95, "longest": 1.0}


class TokenisationParams(Params):
    """What would be read."""

    words: PositiveInt = 40
    """Word pieces of a sentence that a model reads: `lengths.words` of its recipe."""
    regions: PositiveInt = 36
    """Regions of an image, for the published rule by which words and regions share 64 places."""


@dataclass(slots=True)
class Counted:
    """The texts of one language, or pairs of a sentence and its translation.

    Attributes:
        pieces: of each text, without special tokens.
        words: of each text; unknown: pieces of all texts that are [UNK].
        cut: texts of which a sentence is longer than what is read.
        joint: texts that lose their end where words and regions share 64 places.
        accented: texts with accents.
    """

    pieces: list[int] = field(default_factory=list)
    words: int = 0
    unknown: int = 0
    cut: int = 0
    joint: int = 0
    accented: int = 0


class Tokenisation(Stage[TokenisationParams]):
    """Pieces a word and a text, unknown pieces, and shares of texts that lose their end.

    For each language; and for each pair of languages a sentence with its translation, read as one text
    (`de-en`). `joint64` is VL-BERT's published rule for what is read; accents are what MM-BERT's code strips
    before a vocabulary that has them.
    """

    Params = TokenisationParams
    inputs: ClassVar[Mapping[str, str]] = {"shards*": "samples with captions", "tokenizer": "word pieces"}
    unit = "samples"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One."""
        yield whole(NAME, inputs)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Cut every caption."""
        from train.vocabulary import Vocabulary

        vocabulary = Vocabulary(inputs["tokenizer"].path / "tokenizer.json")
        stats = Stats()
        counted: dict[str, Counted] = {}
        for artifact in inputs.all("shards"):
            for sample in samples(artifact):
                stats.n_in += 1
                lengths: dict[str, dict[str, int]] = {}
                for caption in sample.captions:
                    one = counted.setdefault(caption.lang, Counted())
                    length = self._count(one, vocabulary, caption.text)
                    lengths.setdefault(caption.translates or caption.id, {})[caption.lang] = length
                for said in lengths.values():
                    for a, b in combinations(sorted(said), 2):
                        self._add(counted.setdefault(f"{a}-{b}", Counted()), [said[a], said[b]])
        stats.n_ok = stats.n_in
        found = [metric for name in sorted(counted) for metric in self._metrics(name, counted[name])]
        write_metrics(out.path(EXTENSION), found)
        return stats

    def _count(self, one: Counted, vocabulary: Vocabulary, text: str) -> int:
        """Count a caption; its pieces."""
        from train.vlbert.texts import LOWER_AND_STRIP

        encoding = vocabulary.tokenizer.encode(text, add_special_tokens=False)
        one.words += len(set(encoding.word_ids))
        one.unknown += encoding.ids.count(vocabulary.unknown)
        one.accented += LOWER_AND_STRIP.normalize_str(text) != text.lower()
        self._add(one, [len(encoding.ids)])
        return len(encoding.ids)

    def _add(self, one: Counted, parts: Sequence[int]) -> None:
        from train.vlbert.reader import JOINT_LIMIT
        from train.vlbert.texts import kept_together

        length = 1 + sum(parts) + len(parts)
        one.pieces.append(sum(parts))
        one.cut += max(parts) > self.params.words
        one.joint += kept_together(length, self.params.regions + 1, JOINT_LIMIT)[0] < length

    def _metrics(self, name: str, one: Counted) -> Iterator[Metric]:
        import numpy as np

        n = len(one.pieces)

        def metric(of: str, value: float, unit: str = "fraction") -> Metric:
            return Metric(name=of, value=value, unit=unit, protocol=NAME, n=n, language=name)

        yield metric("pieces, mean", float(np.mean(one.pieces)), "pieces")
        for label, share in QUANTILES.items():
            yield metric(f"pieces, {label}", float(np.quantile(one.pieces, share)), "pieces")
        yield metric(f"cut at {self.params.words} pieces a sentence", one.cut / n)
        yield metric(f"cut by joint64 with {self.params.regions} regions", one.joint / n)
        if one.words:
            yield metric("pieces a word", sum(one.pieces) / one.words, "pieces")
            yield metric("unknown pieces", one.unknown / max(1, sum(one.pieces)))
            yield metric("with accents", one.accented / n)
