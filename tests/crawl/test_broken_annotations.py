"""Whatever stands in a field of an annotation: each item goes in or fails under a class, or the plan ends with an
error that names the file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crawl.entries import Entry
from crawl.source import make_source
from store.errors import UserError
from tests.crawl import test_refcoco, test_snli_ve, test_vcr, test_vqa

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 99)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["answer", "sent", "id"]), inner)
    ),
    max_leaves=6,
)


@st.composite
def spoiled(draw: st.DrawFn, row: Mapping[str, Any]) -> Any:
    """A row of which one field, or all of it, is something else or missing."""
    made = dict(deepcopy(row))
    name = draw(st.sampled_from(["", *made]))
    if not name:
        return draw(JUNK)
    if draw(st.booleans()):
        made[name] = draw(JUNK)
    else:
        del made[name]
    return made


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def entries(block: Mapping[str, Any]) -> list[Entry]:
    """All rows, after the plan has looked at them; none where it says what is wrong."""
    source: Any = make_source({key: str(v) if isinstance(v, Path) else v for key, v in block.items()})
    try:
        list(source.chunks(10, lambda path: "0"))
        return list(source.entries(None))
    except UserError:
        return []


def counted(found: list[Entry], kind: str) -> int:
    """Items that went in, and failed rows."""
    assert all(entry.error is None or entry.error.failure for entry in found)
    json.dumps([dict(entry.truth) for entry in found]).encode()
    return sum(1 if entry.error else len(entry.truth[kind]) for entry in found)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_spoiled_questions_and_answers(data: st.DataObject) -> None:
    question, annotation = test_vqa.question(2, 7), test_vqa.annotation(2, 7, "a", "b")
    with folder() as path:
        block = test_vqa.files(
            path,
            [test_vqa.question(1, 7), data.draw(spoiled(question))],
            [test_vqa.annotation(1, 7, "c"), data.draw(spoiled(annotation))],
        )
        found = entries(block)
    assert counted(found, "questions") in (2, 3)  # an annotation without its question is a row, too


@settings(max_examples=30, deadline=None)
@given(spoiled(test_snli_ve.line("b", "20")))
def test_spoiled_statements(line: Any) -> None:
    with folder() as path:
        file = path / "mine.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in (test_snli_ve.line("a", "10"), line)))
        found = entries({"source": test_snli_ve.SNLI_VE, "statements": file, "counts": False})
    assert counted(found, "entailments") == 2


@settings(max_examples=30, deadline=None)
@given(spoiled(test_refcoco.ref(2, 7, 50, "woman")))
def test_spoiled_expressions(ref: Any) -> None:
    with folder() as path:
        found = entries(test_refcoco.files(path, [test_refcoco.ref(1, 7, 40, "the dog"), ref]))
    assert not found or counted(found, "expressions") == 2


@settings(max_examples=30, deadline=None)
@given(spoiled(test_vcr.line(1)))
def test_spoiled_choices(line: Any) -> None:
    with folder() as path:
        (path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (test_vcr.line(0), line)))
        found = entries({"source": test_vcr.VCR, "questions": path / "train.jsonl", "counts": False})
    assert not found or counted(found, "choices") == 2
