"""Answers of people to one question: in one spelling, as soft scores, and a vocabulary of them.

The rules of spelling are those that the VQA challenge states for its evaluation: lower case, numerals for
number words, no articles, no full stops but in decimals, apostrophes where contractions lack them, a space
for any other mark but an apostrophe and a colon.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from crawl.lines import read_json, read_lines
from store.errors import DataError

Soft = Literal["thirds", "leave_one_out"]
_WORD = re.compile(r"[\w']+")
_NUMERALS = _WORD.findall("zero one two three four five six seven eight nine ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_NUMERALS)}
_ARTICLES = frozenset(("a", "an", "the"))
_CONTRACTIONS = {
    said.replace("'", ""): said
    for said in _WORD.findall(
        "aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't"
        " shouldn't wasn't weren't won't wouldn't could've might've must've should've would've i'm i've"
        " they'd they're they've we've what's where's who's why's you'd you're you've let's it'd that's"
        " there's how's o'clock ma'am y'all somebody's someone's everyone's"
    )
}
"""Those that are no other word without the apostrophe, unlike its, well, shell."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_STOP = re.compile(r"(?<!\d)\.|\.(?!\d)")
_MARK = re.compile(r"[^\w\s':.]|_")


@lru_cache(1 << 17)
def spelled(answer: str) -> str:
    """Spell an answer by the rules of the challenge; one that they leave nothing of, as `a`, stays."""
    text = _STOP.sub("", _THOUSANDS.sub("", answer.lower()))
    words = (_NUMBERS.get(word, word) for word in _MARK.sub(" ", text).split())
    kept = " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
    return kept or answer.lower().strip()


def soft_scores(answers: Iterable[str], soft: Soft) -> dict[str, float]:
    """Score each answer by how many people gave it, the most frequent first.

    Args:
        answers: one for each person.
        soft: `thirds`: min(1, n/3), what models are trained on. `leave_one_out`: the mean over all people of
            min(1, m/3), m the others who gave it, which is the challenge's measure of that answer: with ten
            people 0.3, 0.6, 0.9 and 1.
    """
    votes = Counter(answers)
    people = votes.total()

    def score(n: int) -> float:
        if soft == "thirds":
            return min(1.0, n / 3)
        return (n * min(1.0, (n - 1) / 3) + (people - n) * min(1.0, n / 3)) / people

    scores = (
        (answer, round(score(n), 6)) for answer, n in sorted(votes.items(), key=lambda v: (-v[1], v[0]))
    )
    return {answer: value for answer, value in scores if value > 0}


def read_answers(path: Path) -> Mapping[str, str]:
    """The answers of a vocabulary: a line each, or a JSON list, or a JSON object of answer and number.

    Returns:
        Answer, as the file has it and by the challenge's spelling -> as the file has it.

    Raises:
        ConfigError: no such file.
        DataError: no vocabulary.
    """
    data = read_json(path) if path.suffix.lower() == ".json" else read_lines(path)
    if not isinstance(data, list | dict) or not all(isinstance(answer, str) for answer in data):
        raise DataError(f"{path} is no vocabulary of answers", "a JSON list of texts, or an object of them")
    found = [answer for answer in map(str.strip, data) if answer and answer != "<unk>"]
    if not found:
        raise DataError(f"{path} holds no answers", "one a line, or a JSON list of them")
    known = {answer: answer for answer in found}
    for answer in found:
        known.setdefault(spelled(answer), answer)
    return known
