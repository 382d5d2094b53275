import re
from collections import Counter, defaultdict

import pytest

from crawl.scenes.entailments import LABELS, make_entailments
from crawl.scenes.expressions import make_expressions
from crawl.scenes.questions import ASKERS, make_questions
from crawl.sources.scenes import scene_truth
from tests.crawl.scene_reader import answer, fitting, judge
from tests.crawl.scene_toys import scenes, stream

MADE = [(scene, scene_truth(scene)["objects"]) for scene in scenes(600)]


@pytest.fixture(scope="module")
def questions():
    return [
        (objects, q)
        for i, (scene, objects) in enumerate(MADE)
        for q in make_questions(stream(4, i, "q"), scene)
    ]


@pytest.fixture(scope="module")
def entailments():
    return [
        (objects, e)
        for i, (scene, objects) in enumerate(MADE)
        for e in make_entailments(stream(4, i, "e"), scene)
    ]


def test_answers_are_right(questions):
    assert len(questions) > 4000
    for objects, question in questions:
        assert answer(objects, question["question"]) == question["answer"], question


def test_every_type_is_asked_and_guessing_by_type_fails(questions):
    answers = defaultdict(Counter)
    for _, question in questions:
        answers[question["type"]][question["answer"]] += 1
        assert question["lang"] == "en"
    assert set(answers) == set(ASKERS)
    guessed = {kind: max(counts.values()) / counts.total() for kind, counts in answers.items()}
    limits = {
        "exists": 0.55,
        "attribute": 0.55,
        "relation": 0.55,
        "size": 0.58,
        "texture": 0.42,
        "colour": 0.2,
        "shape": 0.25,
        "count": 0.55,
    }
    assert all(guessed[kind] <= limit for kind, limit in limits.items()), guessed


def test_guessing_by_the_words_of_a_question_fails(questions):
    """The best answer to each question with shapes and colours blanked out, learnt from one half."""
    blank = re.compile(
        r"\b(circle|square|triangle|star|heart|cross|crown|ghost)(e?s)?\b|\b(red|blue|green|yellow|purple|pink|black|white)\b"
    )
    half = len(questions) // 2
    learnt = defaultdict(Counter)
    for _, q in questions[:half]:
        learnt[blank.sub("#", q["question"])][q["answer"]] += 1
    right = [
        learnt[words].most_common(1)[0][0] == q["answer"]
        for _, q in questions[half:]
        if learnt[words := blank.sub("#", q["question"])]
    ]
    assert sum(right) / len(right) < 0.55


def test_labels_are_right_and_balanced(entailments):
    assert len(entailments) > 3000
    for objects, entailment in entailments:
        assert judge(objects, entailment["text"]) == entailment["label"], entailment
    counts = Counter(e["label"] for _, e in entailments)
    assert set(counts) == set(LABELS)
    assert max(counts.values()) / counts.total() < 0.35


@pytest.mark.parametrize("part", ["words", "predicate"])
def test_no_word_gives_a_label_away(entailments, part):
    labels = defaultdict(Counter)
    for _, entailment in entailments:
        words = entailment["text"].removesuffix(".").split()
        seen = {" ".join(words[words.index("is") + 1 :][:3])} if part == "predicate" else set(words)
        for word in seen:
            labels[word][entailment["label"]] += 1
    frequent = {word: counts for word, counts in labels.items() if counts.total() >= 150}
    assert len(frequent) >= 5
    for word, counts in frequent.items():
        assert max(counts.values()) / counts.total() < 0.5, (word, counts)


def test_expressions_fit_one_object():
    things = said = placed = 0
    for i, (scene, objects) in enumerate(MADE):
        made = make_expressions(stream(4, i, "x"), scene)
        for expression in made:
            assert fitting(objects, expression["text"]) == {expression["object"]}
            placed += " of the " in expression["text"] or " above " in expression["text"]
        assert len({e["object"] for e in made}) == len(made)
        things, said = things + len(objects), said + len(made)
    assert said / things > 0.95
    assert placed / said > 0.05
