"""Reads the demo world's English back, word by word, and answers from the boxes alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

Objects = Sequence[dict[str, Any]]

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "crown", "ghost")
SIDES = {
    "to the left of": (-1, 0),
    "to the right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
    "under": (0, 1),
}
PLACE = re.compile(f" ({'|'.join(SIDES)}) ")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")


def fitting(objects: Objects, words: str) -> set[int]:
    """Which objects `small red circles` or `circle above the red star` fits."""
    parts = PLACE.split(words, maxsplit=1)
    *adjectives, noun = parts[0].removeprefix("the ").removeprefix("a ").split()
    shape = next(s for s in SHAPES if noun in (s, f"{s}s", f"{s}es"))
    found = {
        i
        for i, thing in enumerate(objects)
        if thing["name"] == shape and set(adjectives) <= set(thing["attributes"])
    }
    if len(parts) == 1:
        return found
    anchors = fitting(objects, parts[2])
    return {i for i, j in product(found, anchors) if i != j and lies(objects, i, parts[1], j)}


def lies(objects: Objects, i: int, side: str, j: int) -> bool:
    """Object `i` is apart from `j` on that side, and more to that side than askew."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = objects[i]["box"], objects[j]["box"]
    across, down = SIDES[side]
    dx, dy = (ax1 + ax2 - bx1 - bx2) * across, (ay1 + ay2 - by1 - by2) * down
    apart = {(-1, 0): ax2 <= bx1, (1, 0): bx2 <= ax1, (0, -1): ay2 <= by1, (0, 1): by2 <= ay1}
    off = abs(ay1 + ay2 - by1 - by2) if across else abs(ax1 + ax2 - bx1 - bx2)
    return apart[across, down] and off <= (dx + dy) / 2


def the(objects: Objects, words: str) -> int:
    """The one object that a definite phrase names."""
    (found,) = fitting(objects, words)
    return found


def answer(objects: Objects, question: str) -> str:
    """Answer any question of the demo world."""
    text = question.removesuffix("?")
    if match := re.fullmatch(r"Is there an? (.+)", text):
        return _yes(fitting(objects, match[1]))
    if match := re.fullmatch(r"How many (.+) are there", text):
        return NUMBERS[len(fitting(objects, match[1]))]
    if match := re.fullmatch(r"What colour is (.+)", text):
        return str(objects[the(objects, match[1])]["attributes"][0])
    if match := re.fullmatch(r"Is (.+) solid, striped or dotted", text):
        return str(objects[the(objects, match[1])]["attributes"][1])
    if match := re.fullmatch(r"Is (.+) small or large", text):
        return str(objects[the(objects, match[1])]["attributes"][2])
    if match := re.fullmatch(rf"What is ({'|'.join(SIDES)}) (.+)", text):
        anchor = the(objects, match[2])
        (found,) = [i for i in range(len(objects)) if i != anchor and lies(objects, i, match[1], anchor)]
        return str(objects[found]["name"])
    match = re.fullmatch(rf"Is (the .+?) (?:({'|'.join(SIDES)}) (the .+)|(\w+))", text)
    assert match, question
    subject = the(objects, match[1])
    if match[4]:
        return _yes(match[4] in objects[subject]["attributes"])
    return _yes(lies(objects, subject, match[2], the(objects, match[3])))


def judge(objects: Objects, statement: str) -> str:
    """Label a statement: neutral where it names a thing out of view."""
    match = re.fullmatch(rf"The (.+?) is (?:({'|'.join(SIDES)}) the (.+)|(\w+))\.", statement)
    assert match, statement
    named = [words for words in (match[1], match[3]) if words]
    if any(not fitting(objects, words) for words in named):
        return "neutral"
    question = statement.removeprefix("The ").removesuffix(".").replace(" is ", " ", 1)
    return "entailment" if answer(objects, f"Is the {question}?") == "yes" else "contradiction"


def _yes(truth: object) -> str:
    return "yes" if truth else "no"
