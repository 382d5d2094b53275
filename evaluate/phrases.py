"""Score parsed phrases against the scene graphs that a data set states for its English captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from evaluate.heldout import parsed_phrases, samples, whole
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats

if TYPE_CHECKING:
    from pipeline.artifacts import Artifact

Words = tuple[str, ...]

PROTOCOL = "phrases/exact_tuples/micro"
KINDS = {1: "object", 2: "attribute", 3: "relation"}


@dataclass(slots=True)
class Counts:
    """Tuples right, found and stated; adds over captions."""

    right: int = 0
    found: int = 0
    stated: int = 0

    def add(self, found: Collection[Words], stated: Collection[Words]) -> None:
        """Count one caption; a tuple said twice counts once."""
        self.right += len(set(found) & set(stated))
        self.found += len(set(found))
        self.stated += len(set(stated))

    def scores(self) -> tuple[float, float, float]:
        """Precision, recall and F1; 0 where nothing was found or stated."""
        precision = self.right / self.found if self.found else 0.0
        recall = self.right / self.stated if self.stated else 0.0
        return precision, recall, 2 * self.right / (self.found + self.stated) if self.right else 0.0


class ScorePhrases(Stage[Params]):
    """Precision, recall and F1 of the phrase table, micro-averaged over the tuples of English captions.

    A caption counts when the data set states its graph: `truth["graphs"][caption id]`, a list of tuples of
    lemmas. A tuple is right when all its words are; case and blanks do not matter. A caption without any
    parsed phrase counts as one of which nothing was found.
    """

    Params = Params
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with ground truth",
        "phrases": "their phrase table",
    }
    unit = "captions"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: the score is of the data set as a whole."""
        yield whole("phrases", inputs)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Compare and write the metrics, with a table of the tuples most often missed or made up."""
        stated = stated_phrases(inputs["shards"])
        found: dict[str, set[Words]] = {name: set() for name in stated}
        for row in parsed_phrases(inputs["phrases"]):
            if row.caption in found:
                found[row.caption] = {normal(phrase.words) for phrase in row.phrases}
        write_metrics(out.path(EXTENSION), score(stated, found))
        _write_faults(out.path(".faults.parquet"), stated, found)
        return Stats(n_in=len(stated), n_ok=len(stated))

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """The tuples most often missed and made up, each with a caption."""
        from pipeline import html
        from store.tables import read_table

        rows = read_table(artifact.file("phrases", ".faults.parquet"))[:20]
        if not rows:
            return []
        cells = [(r["fault"], " · ".join(r["words"]), r["count"], html.code(r["example"])) for r in rows]
        return [("Phrases: commonest faults", html.table(("fault", "phrase", "captions", "example"), cells))]


def stated_phrases(shards: Artifact) -> dict[str, set[Words]]:
    """The phrases that the data set states, by id of English caption."""
    stated: dict[str, set[Words]] = {}
    for sample in samples(shards):
        graphs = sample.truth.get("graphs", {})
        for caption in sample.captions:
            if caption.id in graphs and caption.lang.split("-")[0] == "en":
                stated[caption.id] = {normal(words) for words in graphs[caption.id]}
    return stated


def score(stated: Mapping[str, set[Words]], found: Mapping[str, set[Words]]) -> list[Metric]:
    """F1, precision and recall over all tuples and over those of each kind.

    Args:
        stated: tuples by caption; none at all where the data set has no ground truth, and then one metric
            says so instead of a value.
        found: parsed tuples by caption.
    """
    if not stated:
        return [_metric("F1", None, "", 0, "the data set states no scene graphs for its captions")]
    metrics = []
    for kind in ("", *KINDS.values()):
        counts = Counts()
        for caption, truth in stated.items():
            counts.add(_of_kind(found.get(caption, ()), kind), _of_kind(truth, kind))
        precision, recall, f1 = counts.scores()
        reason = "" if counts.stated else f"no caption states any {kind or 'phrase'}"
        for name, value in (("F1", f1), ("precision", precision), ("recall", recall)):
            metrics.append(_metric(name, None if reason else value, kind, counts.stated, reason))
    return metrics


def _metric(name: str, value: float | None, kind: str, n: int, reason: str) -> Metric:
    return Metric(
        name=name,
        value=value,
        unit="fraction",
        protocol=f"{PROTOCOL}/{kind}" if kind else PROTOCOL,
        n=n,
        language="en",
        reason=reason,
    )


def normal(words: Iterable[str]) -> Words:
    """Words in lower case with single blanks."""
    return tuple(" ".join(word.lower().split()) for word in words)


def _of_kind(phrases: Collection[Words], kind: str) -> list[Words]:
    return [words for words in phrases if not kind or KINDS.get(len(words)) == kind]


def _write_faults(path: Path, stated: Mapping[str, set[Words]], found: Mapping[str, set[Words]]) -> None:
    """Tuples missed and made up, the commonest first, each with one caption that shows it."""
    import pyarrow as pa

    from store.tables import write_table

    counts: Counter[tuple[str, Words]] = Counter()
    example: dict[tuple[str, Words], str] = {}
    for caption, truth in stated.items():
        for fault, phrases in (("missed", truth - found[caption]), ("made up", found[caption] - truth)):
            for words in phrases:
                counts[fault, words] += 1
                example.setdefault((fault, words), caption)
    order = sorted(counts, key=lambda entry: (-counts[entry], entry))
    schema = pa.schema(
        [
            ("fault", pa.string()),
            ("words", pa.list_(pa.string())),
            ("count", pa.int64()),
            ("example", pa.string()),
        ]
    )
    rows = [
        {"fault": fault, "words": words, "count": counts[fault, words], "example": example[fault, words]}
        for fault, words in order
    ]
    write_table(path, rows, schema)
