import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl.scenes.world import GAP, OPPOSITE, SPAN, make_scene, relation_of
from tests.crawl.scene_toys import scenes


@pytest.mark.parametrize(
    ("a", "b", "relation"),
    [
        ((0, 50, 20, 70), (40, 50, 60, 70), "left of"),
        ((40, 50, 60, 70), (0, 50, 20, 70), "right of"),
        ((50, 0, 70, 20), (50, 40, 70, 60), "above"),
        ((50, 40, 70, 60), (50, 0, 70, 20), "below"),
        ((0, 0, 20, 20), (40, 20, 60, 40), "left of"),  # exactly at the limit: 20 down for 40 across
        ((0, 0, 20, 20), (40, 21, 60, 41), None),  # just beyond
        ((0, 0, 20, 20), (30, 30, 50, 50), None),  # askew
        ((0, 0, 20, 20), (10, 5, 30, 25), None),  # overlapping
    ],
)
def test_relations(a, b, relation):
    assert relation_of(a, b) == relation


box = st.tuples(st.integers(0, 150), st.integers(0, 150), st.integers(18, 54), st.integers(18, 54)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(box, box)
@settings(max_examples=200)
def test_a_relation_and_its_opposite_hold_together(a, b):
    relation = relation_of(a, b)
    assert relation_of(b, a) == (OPPOSITE[relation] if relation else None)
    if relation == "left of":
        assert a[2] <= b[0]
    if relation == "above":
        assert a[3] <= b[1]


@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_things_keep_apart_and_inside(seed):
    scene = make_scene(random.Random(seed))
    boxes = [thing.box for thing in scene.things]
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        assert x1 >= GAP
        assert y1 >= GAP
        assert x2 <= scene.width - GAP
        assert y2 <= scene.height - GAP
        for ox1, oy1, ox2, oy2 in boxes[:i]:
            assert x1 - ox2 >= GAP or ox1 - x2 >= GAP or y1 - oy2 >= GAP or oy1 - y2 >= GAP
    assert any(scene.relations())


def test_sizes_cannot_be_mistaken():
    for scene in scenes(100):
        for thing in scene.things:
            x1, y1, x2, y2 = thing.box
            low, high = SPAN[thing.size]
            assert low <= max(x2 - x1, y2 - y1) <= high
    assert SPAN["large"][0] > 1.5 * SPAN["small"][1]


def test_looks_are_spread_evenly_and_repeats_occur():
    made = list(scenes(600))
    things = [thing for scene in made for thing in scene.things]
    for kind, least in (("shape", 0.09), ("colour", 0.09), ("texture", 0.28), ("size", 0.35)):
        shares = [n / len(things) for n in Counter(thing.has(kind) for thing in things).values()]
        assert min(shares) > least
    assert {len(scene.things) for scene in made} == {2, 3, 4, 5, 6}
    twins = sum(len({(t.shape, t.colour) for t in scene.things}) < len(scene.things) for scene in made)
    assert 0.1 < twins / len(made) < 0.6
