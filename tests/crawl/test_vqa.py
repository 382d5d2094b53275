"""VQA v2 in its published layout: questions and annotations joined to COCO's images, soft scores, what is broken."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl.answers import read_answers, soft_scores, spelled
from store.errors import ConfigError, DataError
from store.shards import read_metadata
from tests.crawl.bench import classes, contents, picture, plan, run, stage

VQA = "crawl.sources.vqa:Vqa"


def question(number: int, image: int, text: str = "What is it?") -> dict[str, Any]:
    return {"question_id": number, "image_id": image, "question": text}


def annotation(number: int, image: int, *answers: str, kind: str = "other") -> dict[str, Any]:
    listed = [
        {"answer": answer, "answer_confidence": "yes", "answer_id": n} for n, answer in enumerate(answers, 1)
    ]
    about = {"question_id": number, "image_id": image, "question_type": "what is", "answer_type": kind}
    best = Counter(answers).most_common(1)[0][0] if answers else ""
    return {**about, "multiple_choice_answer": best, "answers": listed}


def files(
    folder: Path, questions: list[Any], annotations: list[Any] | None = None, subset: str = "val2014"
) -> dict[str, Any]:
    """The block of a data set over files written here."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": subset}
    (folder / "q.json").write_text(json.dumps({**about, "task_type": "Open-Ended", "questions": questions}))
    block = {"source": VQA, "questions": folder / "q.json", "counts": False}
    if annotations is not None:
        (folder / "a.json").write_text(json.dumps({**about, "annotations": annotations}))
        block["annotations"] = folder / "a.json"
    return block


def truth(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        s.key: s.truth["questions"] for p in sorted(folder.glob("0????.parquet")) for s in read_metadata(p)
    }


def test_questions_stand_in_the_truth_of_their_image_with_soft_answers(tmp_path: Path) -> None:
    block = files(
        tmp_path,
        [question(12, 7, "What colour?"), question(30, 9), question(11, 7, "How many?")],
        [
            annotation(11, 7, *["2"] * 5, *["two"] * 3, "3", "a lot", kind="number"),
            annotation(12, 7, *["red"] * 2, *["dark red"] * 8),
            annotation(30, 9, *["dog"] * 10),
        ],
    )
    (tmp_path / "i").mkdir()
    for number, name in enumerate(("COCO_val2014_000000000007.jpg", "COCO_val2014_000000000009.jpg")):
        (tmp_path / "i" / name).write_bytes(picture(shade=number))
    stats, failures = run(stage({**block, "images": [str(tmp_path / "i")]}), tmp_path / "out")
    assert failures == []
    found = truth(tmp_path / "out")
    assert list(found) == ["vqa/7", "vqa/9"]
    about, count = found["vqa/7"]
    assert (about["id"], about["question"], about["answer"], about["type"]) == (
        12,
        "What colour?",
        "dark red",
        "other",
    )
    assert about["answers"] == {"dark red": 1.0, "red": 0.666667}
    assert count["answers"] == {"2": 1.0, "3": 0.333333, "lot": 0.333333}  # "two" is "2", "a" is an article
    assert count["type"] == "number"
    assert stats.totals["questions"] == 3
    run(stage({**block, "soft": "leave_one_out", "images": [str(tmp_path / "i")]}), tmp_path / "official")
    assert truth(tmp_path / "official")["vqa/7"][0]["answers"] == {"dark red": 1.0, "red": 0.6}
    (sample, _) = read_metadata(tmp_path / "out/00000.parquet")
    assert (sample.split, sample.source_ids["coco"], sample.width) == ("val", "7", 40)


def test_what_is_broken_fails_alone(tmp_path: Path) -> None:
    block = files(
        tmp_path,
        [
            question(1, 7),
            question(1, 7, "Again?"),
            question(2, 7),
            question(3, 8, "bad \ud800"),
            {"question": "No ids?"},
            question(4, 8),
            question(5, 8),
        ],
        [
            annotation(1, 7, "yes"),
            annotation(1, 7, "no"),
            annotation(4, 9, "yes"),
            annotation(5, 8, "no"),
            annotation(6, 8),
            annotation(77, 7, "lost"),
        ],
    )
    _, failures = run(stage(block), tmp_path / "out")
    assert {key: [q["answer"] for q in asked] for key, asked in truth(tmp_path / "out").items()} == {
        "vqa/7": ["yes"],
        "vqa/8": ["no"],
    }
    assert classes(failures) == {
        "vqa/annotation 2": "duplicate",
        "vqa/annotation 5": "bad_row",
        "vqa/question 2": "duplicate",
        "vqa/question 3": "no_annotation",
        "vqa/question 4": "bad_row",
        "vqa/question 5": "bad_row",
        "vqa/question 6": "bad_row",
        "vqa/annotation of question id 77": "no_question",
    }
    details = {row["key"]: row["detail"] for row in failures}
    assert "question id 4 is of image 8, its answers of 9" in details["vqa/question 6"]


def test_a_missing_image_is_a_failed_row_and_found_by_its_several_names(tmp_path: Path) -> None:
    block = files(tmp_path, [question(1, 7), question(2, 8)], [annotation(1, 7, "a"), annotation(2, 8, "b")])
    (tmp_path / "i/val2014").mkdir(parents=True)
    (tmp_path / "i/val2014/COCO_val2014_000000000008.jpg").write_bytes(picture())
    _, failures = run(stage({**block, "images": [str(tmp_path / "i")]}), tmp_path / "out")
    assert classes(failures) == {"vqa/7": "missing"}
    assert list(truth(tmp_path / "out")) == ["vqa/8"]


def test_the_tests_questions_have_no_answers(tmp_path: Path) -> None:
    block = files(tmp_path, [question(1, 7)], subset="test-dev2015")
    run(stage(block), tmp_path / "out")
    (sample,) = read_metadata(tmp_path / "out/00000.parquet")
    assert sample.truth["questions"] == [{"id": 1, "question": "What is it?", "lang": "en", "type": ""}]
    assert sample.source_ids["file_name"] == "COCO_test2015_000000000007.jpg"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("answers.txt", "<unk>\nhot dog\nDon't know\n"),
        ("answers.json", '["hot dog", "Don\'t know"]'),
        ("ans2label.json", '{"hot dog": 0, "Don\'t know": 1}'),
    ],
)
def test_a_vocabulary_of_answers_leaves_the_others_out(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    said = [*["a hot dog"] * 2, *["dont know"] * 3, *["cat"] * 5]
    block = files(tmp_path, [question(1, 7)], [annotation(1, 7, *said)])
    block |= {"answers": tmp_path / name, "soft": "leave_one_out"}
    run(stage(block), tmp_path / "out")
    ((found,),) = truth(tmp_path / "out").values()
    assert found["answers"] == {"Don't know": 0.9, "hot dog": 0.6}  # of ten people, cats counted
    assert found["answer"] == "Don't know"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "\n<unk>\n", "holds no answers"),
        ("a.json", "[1, 2]", "no vocabulary of answers"),
        ("a.json", "[", "is not JSON"),
    ],
)
def test_no_vocabulary(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says):
        read_answers(tmp_path / name)


def test_another_vocabulary_makes_other_shards_and_another_place_the_same(tmp_path: Path) -> None:
    asked = ([question(1, 7)], [annotation(1, 7, "cat", "dog")])
    block, moved = files(tmp_path / "one", *asked), files(tmp_path / "two", *asked)
    (tmp_path / "cats.txt").write_text("cat\n")
    uses = [
        plan(stage(each))[0].uses
        for each in (
            block,
            moved,
            {**block, "answers": tmp_path / "cats.txt"},
            {**block, "soft": "leave_one_out"},
        )
    ]
    assert uses[0] == uses[1] != uses[2]
    assert uses[0] != uses[3]
    run(stage(block), tmp_path / "a")
    run(stage(moved), tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no annotation of .*a\.json is of a question in .*q\.json"):
        plan(stage(files(tmp_path, [question(1, 7)], [annotation(2, 7, "a")])))
    swapped = files(tmp_path, [question(1, 7)], [annotation(1, 7, "a")])
    swapped |= {"questions": swapped["annotations"], "annotations": swapped["questions"]}
    with pytest.raises(DataError, match="has no list `annotations`: not VQA's format"):
        plan(stage(swapped))
    (tmp_path / "a.json").write_text('{"annotations": [')
    with pytest.raises(DataError, match="is not JSON"):
        plan(stage({**swapped, "questions": tmp_path / "q.json", "annotations": tmp_path / "a.json"}))


def test_counts(tmp_path: Path) -> None:
    asked = ([question(1, 7)], [annotation(1, 7, "a", "b")])
    block = {**files(tmp_path, *asked), "counts": True}
    with pytest.raises(DataError, match="1 questions, not 214,354; 2 answers, not 2,143,540"):
        plan(stage(block))
    with pytest.raises(DataError, match="1 questions, not 447,793"):
        plan(stage({**files(tmp_path, asked[0], subset="test2015"), "counts": True}))
    with pytest.raises(ConfigError, match="no numbers were published"):
        plan(stage({**files(tmp_path, *asked, subset="mine"), "counts": True}))
    plan(stage({**block, "counts": {"questions": 1, "answers": 2}}))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Two dogs.", "2 dogs"),
        ("the U.S.A.", "usa"),
        ("1,000.50", "1000.50"),
        ("2:30 pm", "2:30 pm"),
        ("black & white", "black white"),
        ("It's a girl's bike", "it's girl's bike"),
        ("dont know", "don't know"),
        ("a", "a"),
        ("red,blue", "red blue"),
    ],
)
def test_spelling(answer: str, said: str) -> None:
    assert spelled(answer) == said


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12))
def test_soft_scores_are_the_challenges_measure(answers: list[str]) -> None:
    """Against the definition: each person left out in turn, the answer compared with the others'."""
    votes = Counter(answers)
    official = soft_scores(answers, "leave_one_out")
    for answer in votes:
        left = [min(1.0, (votes[answer] - (each == answer)) / 3) for each in answers]
        assert official.get(answer, 0.0) == pytest.approx(sum(left) / len(answers), abs=1e-6)
    thirds = soft_scores(answers, "thirds")
    assert thirds == {a: pytest.approx(min(1, n / 3), abs=1e-6) for a, n in votes.items()}
    assert next(iter(thirds)) == min(votes, key=lambda a: (-votes[a], a))


def test_the_answer_is_the_one_that_its_annotation_names(tmp_path: Path) -> None:
    """Of two that equally many people gave; the tasks read it first."""
    from train.tasks.items import read_items

    tied = annotation(1, 7, *["yes"] * 5, *["a car"] * 5)
    run(stage(files(tmp_path, [question(1, 7)], [tied])), tmp_path / "out")
    ((found,),) = truth(tmp_path / "out").values()
    assert found["answer"] == "yes"
    (item,) = read_items("answers", [tmp_path / "out/00000.parquet"])
    assert list(item.target) == ["yes", "car"]
