"""The demo's data: drawn scenes with captions in four languages and everything that is true of them.

Scene `i` of a seed is a function of the seed and `i` alone: more scenes change no earlier one.

`truth` of a sample, words in English:

- `objects`: {box, name, attributes: [colour, texture, size]}, as `store.records.Sample` has them;
- `relations`: [subject index, "left of" | "right of" | "above" | "below", object index], every clear one;
- `graphs`: English caption id -> the phrases it states, by the rules of `crawl.scenes.english`;
- `mentions`: caption id -> [object index, [start, end]], character spans without the article, all languages;
- `questions`: {question, answer, lang, type}, see `crawl.scenes.questions`;
- `entailments`: {text, label}, see `crawl.scenes.entailments`;
- `expressions`: {text, object}, each true of that object alone;
- `choices`, where they are asked for: {id, type, question, answers, answer, rationales, rationale}, in the
  form of `crawl.sources.vcr`, see `crawl.scenes.choices`;
- `words`, where they are asked for: {id, word, sentence, lang, translations}, see `crawl.scenes.words`.

Captions `#en0`, `#de0`, `#fr0`, `#cs0` say the same; the last three translate the first. Numbers 1 to 5 of
each language are independent of it and of each other.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from crawl.scenes.captions import say
from crawl.scenes.choices import make_choices
from crawl.scenes.entailments import make_entailments
from crawl.scenes.expressions import make_expressions
from crawl.scenes.questions import make_questions
from crawl.scenes.text import Said
from crawl.scenes.words import make_words
from crawl.scenes.world import Scene, make_scene
from crawl.source import Chunk, Row, Source
from pipeline.stage import Params
from store.records import Caption

Maker = Callable[[random.Random, Scene], Sequence[Any]]
"""Draws questions and the like about a scene."""
OPTIONAL: Mapping[str, Maker] = {"choices": make_choices, "words": make_words}
"""What is drawn only where it is asked for, by its name in `ScenesParams`."""


class ScenesParams(Params):
    """Which scenes."""

    count: int = Field(ge=1, json_schema_extra={"keyed": False})
    """How many. No part of a key, as each shard has its own range: more scenes keep the shards there are."""
    seed: int = Field(0, ge=0)
    """Scenes of two seeds have nothing in common."""
    fewest: int = Field(2, ge=2, le=6)
    """Objects in a scene at the least."""
    most: int = Field(6, ge=2, le=6)
    """Objects in a scene at the most."""
    rounds: int = Field(1, ge=1, json_schema_extra={"keyed": False})
    """How often questions, statements and expressions are drawn for a scene; equal ones stand once. Like
    `count`, a matter of each shard's own arguments."""
    choices: bool = Field(False, json_schema_extra={"keyed": False})
    """Draw questions with tagged objects, answers and rationales, too, as often; like `rounds`."""
    words: bool = Field(False, json_schema_extra={"keyed": False})
    """Draw ambiguous words, too, as often; like `rounds`."""

    @model_validator(mode="after")
    def _in_order(self) -> ScenesParams:
        if self.fewest > self.most:
            raise ValueError(f"fewest ({self.fewest}) is more than most ({self.most})")
        return self


class Scenes(Source[ScenesParams]):
    """Draws scenes."""

    Params = ScenesParams
    version = 2

    @property
    def dataset(self) -> str:
        """`scenes`."""
        return "scenes"

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        """Cut the numbers of the scenes into ranges."""
        common: dict[str, Any] = {
            "seed": self.params.seed,
            "fewest": self.params.fewest,
            "most": self.params.most,
        }
        if self.params.rounds > 1:  # else left out, so that shards keep the keys that they had
            common["rounds"] = self.params.rounds
        for name in OPTIONAL:
            if getattr(self.params, name):
                common[name] = True
        for start in range(0, self.params.count, size):
            stop = min(start + size, self.params.count)
            yield Chunk(args={**common, "start": start, "stop": stop})

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Draw one range."""
        for index in range(args["start"], args["stop"]):
            asked = {name: args[name] for name in args if name not in ("seed", "start", "stop")}
            yield make_row(args["seed"], index, **asked)


def make_row(seed: int, index: int, *, fewest: int = 2, most: int = 6, rounds: int = 1, **asked: bool) -> Row:
    """Draw one scene and say everything about it.

    Args:
        asked: which of `OPTIONAL` are wanted.
    """
    import numpy as np

    from crawl.scenes.draw import draw, encode

    def stream(name: str) -> random.Random:
        return random.Random(f"scenes/{seed}/{index}/{name}")

    scene = make_scene(stream("world"), fewest=fewest, most=most)
    image = draw(stream("picture"), np.random.default_rng([seed, index]), scene)
    row_id = f"{seed}-{index:06d}"
    said = {
        f"scenes/{row_id}#{lang}{number}": (lang, caption)
        for lang, numbered in say(stream, scene).items()
        for number, caption in numbered.items()
    }
    captions = tuple(
        Caption(id=name, lang=lang, text=caption.text, translates=_original(name, lang))
        for name, (lang, caption) in said.items()
    )
    truth = {
        **scene_truth(scene),
        **caption_truth({name: caption for name, (_, caption) in said.items()}),
        **task_truth(stream, scene, rounds),
    }
    for name, make in OPTIONAL.items():
        if asked.get(name):
            drawn = distinct(make, name, stream, scene, rounds)
            truth[name] = [{"id": f"{row_id}-{number}", **one} for number, one in enumerate(drawn)]
    return Row(id=row_id, image=encode(image), captions=captions, licence="CC0-1.0", truth=truth)


def task_truth(stream: Callable[[str], random.Random], scene: Scene, rounds: int) -> dict[str, Any]:
    """Questions, statements and expressions; the first round's are the same for any number of rounds."""
    makers: dict[str, Maker] = {
        "questions": make_questions,
        "entailments": make_entailments,
        "expressions": make_expressions,
    }
    return {name: distinct(make, name, stream, scene, rounds) for name, make in makers.items()}


def distinct(
    make: Maker, name: str, stream: Callable[[str], random.Random], scene: Scene, rounds: int
) -> list[Any]:
    """What is drawn for a scene in so many rounds, equal ones once."""
    drawn = [one for i in range(rounds) for one in make(stream(f"{name}/{i}" if i else name), scene)]
    return list({json.dumps(one, sort_keys=True): one for one in drawn}.values())


def scene_truth(scene: Scene) -> dict[str, Any]:
    """Objects and relations."""
    return {
        "objects": [
            {
                "box": list(thing.box),
                "name": thing.shape,
                "attributes": [thing.colour, thing.texture, thing.size],
            }
            for thing in scene.things
        ],
        "relations": [list(relation) for relation in scene.relations()],
    }


def caption_truth(said: Mapping[str, Said]) -> dict[str, Any]:
    """Phrases of the English captions, and which words of any caption mean which object."""
    return {
        "graphs": {name: [list(phrase) for phrase in one.graph] for name, one in said.items() if one.graph},
        "mentions": {
            name: [[thing, [start, end]] for thing, start, end in one.mentions] for name, one in said.items()
        },
    }


def _original(name: str, lang: str) -> str | None:
    """The English caption that number 0 of another language translates."""
    translated = lang != "en" and name.endswith(f"#{lang}0")
    return name.replace(f"#{lang}0", "#en0") if translated else None
