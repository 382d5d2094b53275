"""All captions of a scene: one content in four languages, and five independent ones in each."""

from __future__ import annotations

import random
from collections.abc import Callable

from crawl.scenes.czech import Czech
from crawl.scenes.english import English
from crawl.scenes.french import French
from crawl.scenes.german import German
from crawl.scenes.grammar import Grammar
from crawl.scenes.plan import FREE, FULL, make_plan
from crawl.scenes.text import Said
from crawl.scenes.world import Scene

GRAMMARS: dict[str, type[Grammar]] = {"en": English, "de": German, "fr": French, "cs": Czech}
INDEPENDENT = 5


def say(stream: Callable[[str], random.Random], scene: Scene) -> dict[str, dict[int, Said]]:
    """Caption a scene.

    Args:
        stream: a random generator of its own for every name.

    Returns:
        language -> number -> caption. Number 0 says the same in every language; 1 to 5 are independent.
    """
    aligned = make_plan(stream("aligned"), scene, FULL)
    said: dict[str, dict[int, Said]] = {}
    for lang, grammar in GRAMMARS.items():
        said[lang] = {0: grammar(stream(f"{lang}0"), scene).realise(aligned)}
        for number in range(1, INDEPENDENT + 1):
            rng = stream(f"{lang}{number}")
            said[lang][number] = grammar(rng, scene).realise(make_plan(rng, scene, FREE))
    return said
