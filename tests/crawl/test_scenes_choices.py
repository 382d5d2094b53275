"""Questions with tagged objects: exactly one answer and one rationale is true, and no text gives it away."""

import re
from collections import Counter, defaultdict

import pytest

from crawl.scenes.choices import ASKERS, CHOICES, make_choices
from crawl.sources.scenes import Scenes, ScenesParams, make_row, scene_truth
from tests.crawl.scene_toys import scenes, stream

MADE = [
    (scene_truth(scene)["objects"], choice, (scene.width, scene.height))
    for i, scene in enumerate(scenes(400))
    for choice in make_choices(stream(4, i, "c"), scene)
]


def true(objects, text, width, height):
    """Whether a tagged sentence holds, by its tags alone."""
    things = [thing for thing, _ in text["mentions"]]
    a, b = objects[things[0]], objects[things[-1]]
    words = text["text"]
    if match := re.search(r" is on the (top|bottom) (left|right)", words):
        x1, y1, x2, y2 = a["box"]
        place = ("bottom" if y1 + y2 > height else "top", "right" if x1 + x2 > width else "left")
        return place == match.groups()
    claims = re.findall(r"is (\w+)", words)
    if len(claims) == 2:
        return claims[0] in a["attributes"] and claims[1] in b["attributes"]
    return set(re.findall(r"\w+", words.partition(" is ")[2])) - {"and"} <= set(a["attributes"])


def test_one_answer_and_one_rationale_are_true():
    assert len(MADE) > 1000
    for objects, choice, size in MADE:
        answers = [true(objects, each, *size) for each in choice["answers"]]
        if choice["type"] == "which":
            asked = set(re.findall(r"\w+", choice["question"]["text"])) - {"Which", "one", "is", "and"}
            answers = [
                asked <= set(objects[each["mentions"][0][0]]["attributes"]) for each in choice["answers"]
            ]
        rationales = [true(objects, each, *size) for each in choice["rationales"]]
        assert [i for i, so in enumerate(answers) if so] == [choice["answer"]], choice
        assert [i for i, so in enumerate(rationales) if so] == [choice["rationale"]], choice
        for texts in (choice["answers"], choice["rationales"]):
            assert len({(each["text"], str(each["mentions"])) for each in texts}) == CHOICES


def test_tags_are_where_the_names_stand():
    for objects, choice, _ in MADE[:300]:
        for text in (choice["question"], *choice["answers"], *choice["rationales"]):
            for thing, (start, end) in text["mentions"]:
                assert text["text"][start:end] == objects[thing]["name"]


def test_some_tags_say_what_names_do_not():
    alike = sum(
        len({each["text"] for each in choice["answers"]}) < CHOICES
        for _, choice, _ in MADE
        if choice["type"] == "which"
    )
    assert alike > 20


@pytest.mark.parametrize("side", ["answer", "rationale"])
def test_guessing_from_the_texts_fails(side):
    """The place of the right one; its words, as far as they differ, learnt from one half."""
    places = Counter(choice[side] for _, choice, _ in MADE)
    assert max(places.values()) < 0.3 * len(MADE)
    half, wins = len(MADE) // 2, defaultdict(lambda: [0, 0])

    def words(choice, option):
        text = choice[f"{side}s"][option]["text"]
        return choice["type"], " ".join(
            w for w in text.split() if w not in {o["name"] for o in choice["things"]}
        )

    told = [{**choice, "things": objects} for objects, choice, _ in MADE]
    for choice in told[:half]:
        for option in range(CHOICES):
            wins[words(choice, option)][0] += option == choice[side]
            wins[words(choice, option)][1] += 1
    right = 0
    for choice in told[half:]:
        shares = [(wins[words(choice, o)][0] + 1) / (wins[words(choice, o)][1] + 4) for o in range(CHOICES)]
        right += shares.index(max(shares)) == choice[side]
    assert right / (len(told) - half) < 0.33


def test_every_type_is_asked():
    assert set(Counter(choice["type"] for _, choice, _ in MADE)) == set(ASKERS)


def test_they_are_drawn_where_they_are_asked_for_and_change_nothing_else():
    plain, asked = make_row(7, 3, rounds=2), make_row(7, 3, rounds=2, choices=True)
    assert asked.image == plain.image
    assert {name: value for name, value in asked.truth.items() if name != "choices"} == plain.truth
    ids = [choice["id"] for choice in asked.truth["choices"]]
    assert len(ids) == len(set(ids)) > 3
    few, many = (Scenes(ScenesParams(count=5, seed=7, choices=given)) for given in (False, True))
    assert few.params.keyed() == many.params.keyed()
    args = [next(iter(source.chunks(5, lambda path: ""))).args for source in (few, many)]
    assert args[1] == {**args[0], "choices": True}
