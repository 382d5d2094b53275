"""What a rank opens before it trains on captioned images: vocabulary, regions, captions, phrases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from store.concepts import ConceptVocabulary
from store.errors import DataError
from store.features import open_store
from store.records import Regions
from train.captions import Captions, PhraseTable
from train.config import Recipe
from train.data import Data
from train.job import Job
from train.layout import Tags
from train.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job's inputs, opened and joined."""

    vocabulary: Vocabulary
    data: Data
    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    languages: tuple[str, ...]
    uses_phrases: bool


class RegionStores:
    """Several feature stores as one.

    Raises:
        DataError: they differ in detector, dimension or names.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._stores = [open_store(path) for path in paths]
        self.meta = dict(self._stores[0].meta)
        for path, store in zip(paths[1:], self._stores[1:], strict=True):
            differing = [name for name, value in self.meta.items() if store.meta.get(name) != value]
            if set(differing) - {"format"}:
                raise DataError(
                    f"the regions in {path} and {paths[0]} differ in {', '.join(differing)}",
                    "extract both with one detector and one recipe",
                )

    def __getitem__(self, key: str) -> Regions:
        for store in self._stores:
            if key in store:
                return store[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(key in store for store in self._stores)


def open_inputs(job: Job, recipe: Recipe, vocabulary: Vocabulary | None = None) -> Prepared:
    """Open a job's inputs.

    Args:
        vocabulary: of the model that is trained on; by default the job's tokenizer and concepts.

    Raises:
        CorruptError: a file is missing or damaged.
        DataError: they do not belong together.
    """
    if vocabulary is None:
        concepts = ConceptVocabulary.read(Path(job.concepts)).concepts if job.concepts else ()
        vocabulary = Vocabulary(Path(job.tokenizer) / "tokenizer.json", concepts)
    regions = RegionStores([Path(path) for path in job.regions])
    captions = Captions([Path(path) for path in job.shards])
    phrases = PhraseTable([Path(path) for path in job.phrases]) if job.phrases else None
    classes, attributes = (tuple(regions.meta.get(name) or ()) for name in ("classes", "attributes"))
    if recipe.lengths.tags and not classes:
        raise DataError(f"{job.regions[0]} does not name its classes", "set lengths.tags to 0 in the recipe")
    tags = Tags(vocabulary, classes, attributes, recipe.data.tags)
    data = Data(recipe, vocabulary, captions, regions, tags, phrases)
    return Prepared(vocabulary, data, classes, attributes, data.languages(), phrases is not None)
