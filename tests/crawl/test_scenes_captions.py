from collections import Counter

import pytest

from crawl.scenes.captions import say
from crawl.scenes.plan import FREE, FULL, make_plan
from crawl.sources.scenes import make_row
from tests.crawl.scene_claims import Claims
from tests.crawl.scene_reader import NUMBERS, SHAPES, SIDES, lies
from tests.crawl.scene_toys import scenes, stream
from tests.crawl.scene_words import facts

MADE = list(scenes(250))


def plans(name, wordiness):
    return [make_plan(stream(4, i, name), scene, wordiness) for i, scene in enumerate(MADE)]


@pytest.mark.parametrize(
    ("name", "wordiness", "ceiling"), [("aligned", FULL, 0.97), ("en1", FREE, 0.93), ("cs3", FREE, 0.93)]
)
def test_captions_are_true_and_tell_their_scene_from_250(name, wordiness, ceiling):
    chances = []
    for scene, plan in zip(MADE, plans(name, wordiness), strict=True):
        claims = Claims(scene, plan)
        assert claims.hold(scene)
        chances.append(1 / sum(claims.hold(other) for other in MADE))
    assert ceiling <= sum(chances) / len(chances)


def test_independent_captions_are_independent_and_aligned_ones_agree():
    """The same things in the same order in every language for number 0; not so for the others."""
    same = {0: 0, 1: 0}
    for i, scene in enumerate(MADE[:100]):
        said = say(lambda name, i=i: stream(4, i, name), scene)
        for number in same:
            told = {tuple(sorted(thing for thing, _, _ in said[lang][number].mentions)) for lang in said}
            same[number] += len(told) == 1
        assert len({said["en"][n].text for n in range(6)}) >= 4
    assert same[0] == 100
    assert same[1] < 20


def test_aligned_captions_say_the_same_of_the_same_things():
    """Shape, attributes and number of every mention, predicates and relations, read from the words alone."""
    for i, scene in enumerate(MADE):
        said = say(lambda name, i=i: stream(4, i, name), scene)
        told = {}
        for lang, captions in said.items():
            text = captions[0].text
            spans = sorted({(start, end) for _, start, end in captions[0].mentions})
            told[lang] = facts(lang, text, spans)
            assert all(len(shapes) == 1 for shapes, _, _ in told[lang][:-2]), text
        assert all(one == told["en"] for one in told.values()), [said[lang][0].text for lang in said]


def test_constructions_and_facts_vary():
    made = plans("aligned", FULL) + plans("en1", FREE)
    frames = Counter((clause.kind, clause.frame) for plan in made for clause in plan)
    wanted = [("show", f) for f in ("exist", "see", "picture", "bare")]
    wanted += [("relate", f) for f in ("is", "lies", "exist", "inverted", "bare")] + [("describe", "is")]
    assert all(frames[frame] >= 5 for frame in wanted), frames
    assert {clause.relation for plan in made for clause in plan} >= {"left of", "right of", "above", "below"}
    assert {len(plan) for plan in made} == {1, 2, 3}
    assert any(len(mention.things) == 3 for plan in made for clause in plan for mention in clause.mentions)
    assert any(clause.joined for plan in made for clause in plan)


@pytest.fixture(scope="module")
def rows():
    return [make_row(4, i) for i in range(80)]


def test_phrases_of_english_captions_are_true(rows):
    """Read from the tuples alone: every one holds of some objects of the picture."""
    for row in rows:
        objects = row.truth["objects"]
        for phrases in row.truth["graphs"].values():
            assert phrases == sorted(phrases)
            for phrase in phrases:
                assert _true(objects, phrase), (phrase, objects)


def _true(objects, phrase):
    if "picture" in phrase:
        return phrase == ["picture"] or (phrase[:2] == ["picture", "show"] and _named(objects, phrase[2]))
    subjects = _named(objects, phrase[0])
    if len(phrase) == 2 and phrase[1] in NUMBERS:
        return len(subjects) >= NUMBERS.index(phrase[1])
    if len(phrase) == 2:
        value = "large" if phrase[1] == "big" else phrase[1]
        return any(value in objects[i]["attributes"] for i in subjects)
    if len(phrase) == 3:
        side = phrase[1].removeprefix("lie ").removeprefix("sit ")
        assert side in SIDES
        return any(lies(objects, i, side, j) for i in subjects for j in _named(objects, phrase[2]) if i != j)
    return bool(subjects)


def _named(objects, shape):
    assert shape in SHAPES
    return [i for i, thing in enumerate(objects) if thing["name"] == shape]


def test_phrases_are_all_that_the_words_say(rows):
    """Every shape and attribute word of an English caption is in its phrases."""
    for row in rows:
        for caption in row.captions:
            if caption.lang != "en":
                continue
            phrases = row.truth["graphs"][caption.id]
            elements = {word for phrase in phrases for word in phrase}
            words = caption.text.lower().replace(",", "").replace(".", "").split()
            known = {
                *SHAPES,
                "red",
                "blue",
                "striped",
                "dotted",
                "solid",
                "small",
                "large",
                "big",
                "white",
                "two",
            }
            assert {word for word in words if word in known} <= elements
            assert {phrase[0] for phrase in phrases} <= {p[0] for p in phrases if len(p) == 1}


def test_mentions_name_their_objects_in_every_language(rows):
    shapes = {}
    for row in rows:
        for caption in row.captions:
            for thing, (start, end) in row.truth["mentions"][caption.id]:
                words = caption.text[start:end]
                assert words == words.strip()
                shapes.setdefault((caption.lang, row.truth["objects"][thing]["name"]), Counter()).update(
                    word.lower() for word in words.split()
                )
    # over many mentions, a shape is always said with one of a few forms of one noun and no other shape's
    for (lang, shape), counts in shapes.items():
        stem = counts.most_common(1)[0][0][:4]
        for (other_lang, other), others in shapes.items():
            if other_lang == lang and other != shape:
                assert others.most_common(1)[0][0][:4] != stem
