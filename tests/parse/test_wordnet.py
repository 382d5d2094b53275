"""WordNet's files, and what synonyms do to a score."""

from __future__ import annotations

from pathlib import Path

import pytest

from parse.metrics import matches, score
from parse.wordnet import find_synsets, read_synsets
from store.errors import UserError

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = {
        "noun": "couch n 2 1 @ 2 1 04256520 04256521\nsofa n 1 1 @ 1 1 04256520\nhot_dog n 1 1 @ 1 0 07676602\n",
        "verb": "sit v 1 1 @ 1 1 01543123\n",
        "adj": "",
        "adv": "",
    }
    for pos, text in lines.items():
        (tmp_path / f"index.{pos}").write_text(LICENCE + text)
        (tmp_path / f"{pos}.exc").write_text("sat sit\n" if pos == "verb" else "")
    return tmp_path


def test_synsets(folder: Path) -> None:
    synsets = read_synsets(folder)
    assert synsets("sofas") == {"noun:04256520"} < synsets("couch")
    assert synsets("sat") == synsets("sitting") | synsets("sit") == {"verb:01543123"}
    assert synsets("hot dogs") == synsets("hot dog") != frozenset()
    assert synsets("thistle") == synsets("") == frozenset()


def test_synonyms_match_once(folder: Path) -> None:
    synsets = read_synsets(folder)
    stated = frozenset({("sofa",), ("sofa", "red"), ("man", "on", "sofa")})
    found = frozenset({("couch",), ("sofas",), ("couch", "red"), ("man", "in", "couch")})
    assert matches(stated, found) == 0
    assert matches(stated, found, synsets) == 2
    values = {s.protocol: s.value for s in score([(stated, found)], synsets=synsets) if s.name == "F1"}
    assert values["graph/spice_f1/exact+synsets/macro"] > values["graph/spice_f1/exact/macro"]


def test_no_wordnet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no index\.noun"):
        find_synsets(tmp_path)
