"""A source that yields what it is told to, for what no source of ours does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from crawl.source import Chunk, Row, Source
from pipeline.stage import Params
from store.records import Caption
from tests.crawl.bench import picture


class ToyParams(Params):
    """Ids of the rows, and what is wrong with each."""

    ids: list[str] = []
    faults: dict[str, str] = {}
    truth: dict[str, Any] = {}
    url: str = ""


class Toy(Source[ToyParams]):
    """One row for each id, all alike but for their ids and faults."""

    Params = ToyParams
    dataset = "toy"

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        ids = self.params.ids
        for start in range(0, len(ids), size):
            yield Chunk(args={"ids": ids[start : start + size]})

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        for name in args["ids"]:
            fault = self.params.faults.get(name, "")
            image: bytes | Exception = picture(shade=len(name))
            if fault == "gone":
                image = FileNotFoundError(2, "No such file", f"/secret/place/{name}.jpg")
            elif fault == "refused":
                image = PermissionError(13, "Permission denied")
            caption = Caption(id=f"toy/{name}#en0", lang="en", text=f"This is {name}.")
            captions = () if fault == "silent" else (caption,)
            yield Row(id=name, image=image, captions=captions, truth=self.params.truth, url=self.params.url)
