"""Multi30k: Flickr30k's photographs with translations (task 1) and independent descriptions (task 2).

    train: {source: crawl.sources.multi30k:Multi30k, texts: multi30k, images: [flickr30k-images.tar],
            splits: [train]}

`texts` is a clone of the data set's repository, or a folder with its `task1`, `task2` and `image_splits`.
Without `images`, samples are text alone. Line `i` of every file of a split describes the image that line `i`
of the split's list names. Task 1 has a sentence and its translations (`#en0`, `#de0`, `#fr0`, `#cs0`); task 2
five English and five German descriptions that are no translations of each other.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_lines
from crawl.listed import DatasetName, Indexed, IndexedParams
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError, did_you_mean

STATED = {
    "train": 29_000,
    "val": 1_014,
    "test_2016_flickr": 1_000,
    "test_2017_flickr": 1_000,
    "test_2017_mscoco": 461,
    "test_2018_flickr": 1_071,
}
"""Images of each split: Elliott et al. 2016, 2017, Barrault et al. 2018."""
LANGS = ("en", "de", "fr", "cs")
_OLDER = ("train", "val", "test_2016_flickr")
_NUMBERS = range(1, 6)


class Multi30kParams(IndexedParams):
    """Where the texts and images are, and which of them are taken."""

    texts: Path = unkeyed()
    """Folder with `task1`, `task2` and `image_splits`, files plain or gzipped."""
    name: DatasetName = "multi30k"
    splits: tuple[str, ...] = _OLDER
    """Of train, val, test_2016_flickr, test_2017_flickr, test_2017_mscoco, test_2018_flickr."""
    tasks: tuple[Literal[1, 2], ...] = (1,)
    """1: translations, 2: independent descriptions (of train, val and test_2016_flickr)."""
    langs: tuple[str, ...] = ()
    """Of en, de, fr, cs; by default all that a split has."""
    counts: Counts = unkeyed(True)
    """Assert that every file of every split has the lines that the papers state."""


class Multi30k(Indexed[Multi30kParams]):
    """Images in the order of the splits' lists."""

    Params = Multi30kParams
    version: ClassVar[int] = 1

    def __init__(self, params: Multi30kParams) -> None:
        super().__init__(params)
        for split in params.splits:
            if split not in STATED:
                raise ConfigError(f"Multi30k has no split '{split}'", did_you_mean(split, STATED))
        for lang in params.langs:
            if lang not in LANGS:
                raise ConfigError(f"Multi30k has no texts in '{lang}'", f"it has {', '.join(LANGS)}")

    def require(self) -> None:
        """Every file of a split has as many lines as the papers state, and none is missing."""
        found = {name: len(lines) for texts in self._texts.values() for name, lines in texts.items()}
        stated = {
            name: STATED[split]
            for split in self.params.splits
            for name in ("image_splits/" + split, *self._names(split))
        }
        require_counts(self.dataset, _lines_of(found), _lines_of(stated), self.params.counts)
        for split, texts in self._texts.items():
            if len({len(lines) for lines in texts.values()}) > 1:
                counted = ", ".join(f"{name} {len(lines):,}" for name, lines in texts.items())
                raise DataError(f"the files of Multi30k's {split} are not line-aligned: {counted}")

    def __len__(self) -> int:
        return len(self._lines)

    def entry(self, number: int) -> Entry:
        """What one line of one split says."""
        split, number = self._lines[number]
        texts = self._texts[split]
        # COCO's images are listed with the id of the caption.
        name, _, caption = texts["image_splits/" + split][number].strip().partition("#")
        stem = PurePosixPath(name).stem
        found = CaptionList(f"{self.dataset}/{stem}")
        if 1 in self.params.tasks:
            lines = {lang: texts.get(f"task1/{split}.{lang}") for lang in LANGS}
            found.add_aligned({lang: each[number] for lang, each in lines.items() if each is not None}, "en")
        if 2 in self.params.tasks:
            for lang in ("en", "de"):
                for order in _NUMBERS:
                    if (each := texts.get(f"task2/{_short(split)}.{order}.{lang}")) is not None:
                        found.add(lang, each[number])
        if split == "test_2017_mscoco":
            ids = {"coco": str(int(stem.rpartition("_")[2])), "coco_caption": caption}
        else:
            ids = {"flickr": stem.partition("_")[0]}
        return Entry(
            where=f"{split} line {number + 1}",
            id=stem,
            image=name,
            captions=found.done(),
            source_ids={**ids, "multi30k": f"{split}:{number + 1}"},
            split=split,
        )

    def _names(self, split: str) -> list[str]:
        """The text files of a split that are wanted and were published, such as `task1/train.de`."""
        wanted = self.params.langs or LANGS
        names = []
        if 1 in self.params.tasks:
            lacking = "cs" if split.startswith("test_2017") else ""
            names += [f"task1/{split}.{lang}" for lang in LANGS if lang in wanted and lang != lacking]
        if 2 in self.params.tasks and split in _OLDER:
            described = [lang for lang in ("en", "de") if lang in wanted]
            names += [f"task2/{_short(split)}.{order}.{lang}" for lang in described for order in _NUMBERS]
        if not names:
            raise ConfigError(f"Multi30k has no texts of {split} for the tasks and languages asked for")
        return names

    @cached_property
    def _lines(self) -> list[tuple[str, int]]:
        """Split and line, from 0, of every row."""
        return [(s, n) for s, texts in self._texts.items() for n in range(len(texts["image_splits/" + s]))]

    @cached_property
    def _texts(self) -> dict[str, dict[str, list[str]]]:
        """Split -> name of a file -> its lines; files that are not there are left out."""
        found: dict[str, dict[str, list[str]]] = {}
        for split in self.params.splits:
            lists = self._find("image_splits", f"{split}.txt")
            if lists is None:
                raise ConfigError(
                    f"{self.params.texts} has no image_splits/{split}.txt",
                    "`texts` is the folder that holds task1, task2 and image_splits",
                )
            found[split] = {"image_splits/" + split: read_lines(lists)}
            for name in self._names(split):
                if (path := self._find(*name.split("/"))) is not None:
                    found[split][name] = read_lines(path)
            if len(found[split]) == 1:
                raise ConfigError(f"{self.params.texts} has no texts of {split}", f"such as {name}.gz")
        return found

    def _find(self, folder: str, name: str) -> Path | None:
        """A file, in the repository's layout or a flat one."""
        root = self.params.texts
        places = [root / folder, root / folder / "raw", root / "data" / folder / "raw"]
        if folder == "image_splits":
            places += [root / "task1" / folder, root / "data" / "task1" / folder]
        paths = (place / (name + ending) for place in places for ending in ("", ".gz"))
        return next((path for path in paths if path.is_file()), None)


def _short(split: str) -> str:
    """The name of a split in the files of task 2."""
    return split.removesuffix("_flickr")


def _lines_of(numbers: dict[str, int]) -> dict[str, int]:
    return {f"lines of {name}": number for name, number in numbers.items()}
