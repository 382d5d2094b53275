"""The stage that scores translations of captions: BLEU and chrF by sacreBLEU, each with its signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PositiveInt

from evaluate.heldout import open_regions, whole, with_regions
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats
from store.errors import DataError, UserError

if TYPE_CHECKING:
    from train.vlbert.translations import Translation

NAME = "translation"
PREDICTIONS = ".predictions.parquet"


class TranslationParams(Params):
    """How the translations are sought."""

    beams: PositiveInt = 1
    """Beginnings of each sentence that are kept; 1 always takes the likeliest word."""
    length_penalty: float = Field(default=1.0, ge=0.0)
    """Sentences are compared by their log probability over length ** this."""

    @property
    def search(self) -> str:
        """In the words of a protocol."""
        return "greedy" if self.beams == 1 else f"beam{self.beams}^{self.length_penalty:g}"


class ScoreTranslation(Stage[TranslationParams]):
    """BLEU and chrF of captions translated by a model, against the translations that the samples have.

    Hypotheses and references are compared as they are, cased and accented; MM-BERT's published numbers are
    not. Numbers without case (`case:lc`) stand beside them, for models whose vocabulary has none, and below
    them those of captions left untranslated. Writes one row per caption.
    """

    version = 1
    Params = TranslationParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with captions and their translations",
        "regions?": "regions of their images",
        "model": "a model fine-tuned to translate",
    }

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: the numbers."""
        yield whole(NAME, inputs)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Translate every caption that has a translation, and regions where the model looks at them."""
        import torch

        from train.captions import Captions
        from train.models.vlbert_translating import Translating
        from train.vlbert.translations import read_translations

        require_sacrebleu()
        torch.set_num_threads(1)
        model = Translating(inputs["model"].path)
        if not model.blind and "regions" not in inputs:
            raise DataError("the model translates with pictures", "name `regions` in stages.yaml")
        tables = [inputs["shards"].file(record.name, ".parquet") for record in inputs["shards"].shards]
        regions, stats = None if model.blind else inputs["regions"], Stats()
        found = read_translations(Captions(tables), model.source, model.target)
        rows = with_regions(found, regions, out, stats)
        if not rows:
            raise DataError("no caption that has a translation has regions", "do regions and shards fit?")
        store = None if regions is None else open_regions(regions)
        seen = [None if store is None else store[each.image] for each in rows]
        sources, references = [each.source for each in rows], [each.target for each in rows]
        hypotheses = model.translate(
            sources, seen, beams=self.params.beams, length_penalty=self.params.length_penalty
        )
        where = f"{NAME}/{model.source}-{model.target}"
        metrics = [
            *score(hypotheses, references, f"{where}/{self.params.search}", model.target),
            *score(sources, references, f"{where}/untranslated", model.target),
        ]
        write_metrics(out.path(EXTENSION), metrics)
        _write_predictions(out, rows, hypotheses)
        return stats


def require_sacrebleu() -> None:
    """Refuse to measure with anything else.

    Raises:
        UserError: it is not installed.
    """
    try:
        import sacrebleu  # noqa: F401
    except ImportError as error:
        raise UserError(
            "translations are scored by sacreBLEU, which is missing", "run `make setup`"
        ) from error


def score(found: Sequence[str], references: Sequence[str], protocol: str, language: str) -> list[Metric]:
    """Corpus BLEU and chrF, from 0 to 100, as written and with case left out; see sacreBLEU's signatures."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    metrics = []
    for metric in (BLEU(), CHRF(), BLEU(lowercase=True), CHRF(lowercase=True)):
        value = metric.corpus_score(list(found), [list(references)]).score
        metrics.append(
            Metric(
                name="BLEU" if isinstance(metric, BLEU) else "chrF",
                value=round(value, 4),
                unit="points",
                protocol=f"{protocol} {metric.get_signature()}",
                n=len(found),
                language=language,
            )
        )
    return metrics


def _write_predictions(out: Output, rows: Sequence[Translation], found: Sequence[str]) -> None:
    import pyarrow as pa

    from store.tables import write_table

    schema = pa.schema(
        [(name, pa.string()) for name in ("key", "image", "source", "reference", "translation")]
    )
    table = [
        {
            "key": each.key,
            "image": each.image,
            "source": each.source,
            "reference": each.target,
            "translation": said,
        }
        for each, said in zip(rows, found, strict=True)
    ]
    write_table(out.path(PREDICTIONS), table, schema)
