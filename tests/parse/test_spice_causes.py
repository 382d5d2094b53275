"""Causes of differences from SPICE: its slips are set aside, our own faults and matters of taste are not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from parse.lemmas import Lemmatizer
from parse.metrics import closed

_PATH = Path(__file__).parents[2] / "benchmarks" / "spice_causes.py"
_LEMMAS = Lemmatizer(index={"noun": frozenset(("boys",)), "verb": frozenset()})

SLIPS = {
    "participle of its object": ("man holding silver spoon", "spoon holding; spoon man", "man hold spoon"),
    "participle as a noun": (
        "small bird standing in grass",
        "standing in grass; standing bird; standing small",
        "bird stand+in grass; bird small",
    ),
    "noun as a verb": (
        "train tracks on the ground",
        "train track+on ground",
        "track on ground; track train",
    ),
    "noun as an attribute of another": (
        "the table under the banana stand",
        "table stand; table under banana",
        "table under stand; stand banana",
    ),
    "`of` over its noun": (
        "butter on tine of fork",
        "butter on tine; butter of fork",
        "butter on tine; tine of fork",
    ),
    "clothes that act": (
        "a man in pants walking in park",
        "man in pants; pants walk+in park",
        "man in pants; man walk+in park",
    ),
    "modifier described": ("a red stop sign", "stop red; sign tall", "sign red; sign stop; sign tall"),
    "preposition lost": (
        "cupcake with brown frosting",
        "frosting brown",
        "frosting brown; cupcake with frosting",
    ),
    "coordination": (
        "chain and tall pole",
        "pole chain; pole old; chain old",
        "pole tall; pole old; chain old",
    ),
    "gap": ("shirt the man is wearing", "shirt wear; shirt blue", "man wear shirt; shirt blue"),
    "an object that the record leaves out": ("a red door and bench", "door red", "door red; bench"),
}
NO_SLIPS = {
    "an object of ours that is none": (
        "television inside a built in shelf",
        "television inside shelf",
        "television inside built; built in shelf",
    ),
    "attachment": (
        "leaves of the tree on the branch",
        "tree on branch; leaf of tree",
        "leaf on branch; leaf of tree",
    ),
    "what we lack": ("a woman with hair and a shirt", "woman with hair; woman with shirt", "woman with hair"),
    "form": ("well defined legs", "leg define", "leg defined"),
    "what we add far from its noun": ("a man sees a dog that is red", "man see dog", "man see dog; man red"),
}


@pytest.fixture(scope="module")
def spice_causes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("spice_causes", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _case(module: ModuleType, caption: str, stated: str, found: str) -> Any:
    def root(phrase: str) -> str:
        return " ".join(_LEMMAS(_LEMMAS(word, "VBZ"), "NNS") for word in phrase.split())

    words = caption.split()
    participles = frozenset(word for word in words if word.endswith(("ing", "ed", "built")) and word != "red")
    return module.Case(
        caption=caption,
        stated=_graph(stated),
        found=_graph(found),
        alone=frozenset(map(root, participles)),
        passive=frozenset(),
        sentences=frozenset(),
        participles=participles,
        verbs=frozenset(map(root, participles)),
        nouns=frozenset(map(root, words)) - frozenset(map(root, participles)),
        words=tuple(map(root, words)),
        root=root,
    )


def _graph(text: str) -> frozenset[tuple[str, ...]]:
    return closed(tuple(part.replace("+", " ") for part in fact.split()) for fact in text.split("; "))


@pytest.mark.parametrize("name", SLIPS)
def test_slips_are_set_aside(name: str, spice_causes: ModuleType) -> None:
    case = _case(spice_causes, *SLIPS[name])
    assert case.lost | case.new
    assert spice_causes.set_aside(case) == case.lost | case.new


@pytest.mark.parametrize("name", NO_SLIPS)
def test_our_faults_stay(name: str, spice_causes: ModuleType) -> None:
    case = _case(spice_causes, *NO_SLIPS[name])
    assert case.lost | case.new
    assert not spice_causes.set_aside(case)


def test_each_difference_has_one_cause(spice_causes: ModuleType) -> None:
    for example in (*SLIPS.values(), *NO_SLIPS.values()):
        case = _case(spice_causes, *example)
        names = [name for name, _ in spice_causes.CAUSES]
        found = list(spice_causes.causes(case))
        assert {words for _, words in found} == case.lost | case.new
        assert len(found) == len(case.lost | case.new)
        assert {cause for cause, _ in found} <= {*names, spice_causes.CONSEQUENCE}
