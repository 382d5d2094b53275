"""Phrases and their vocabulary from MVPTR's files: three forms, joins, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from parse.published import PublishedConcepts, PublishedPhrases
from parse.published_files import read_published
from pipeline.artifacts import Artifact
from pipeline.stage import Output
from store.concepts import ConceptVocabulary, read_id2phrase, read_phrases, write_id2phrase
from store.errors import ConfigError, DataError, UserError
from store.shards import ShardWriter
from tests.parse.toys import artifact, given, record, run, sample

MAN, RED, RIDE = ("man",), ("horse", "red"), ("man", "ride", "horse")


@pytest.fixture
def shards(tmp_path: Path) -> Artifact:
    """Two images; the first with two English captions and a translation of the first."""
    folder = tmp_path / "shards"
    folder.mkdir()
    with ShardWriter(folder / "s.tar", folder / "s.parquet") as writer:
        writer.write(
            sample("7", ("en0", "A man.", None), ("en1", "A red horse.", None), ("de0", "Ein Mann.", "en0"))
        )
        writer.write(sample("8", ("en0", "He rides.", None)))
    return artifact(folder, [record("s")])


def rows(shards: Artifact, folder: Path, **params: Any) -> dict[str, tuple[str, list[tuple[str, ...]]]]:
    stage = PublishedPhrases(PublishedPhrases.Params(key="toys/{id}", **params))
    stage.setup(given(shards=shards))
    made = run(stage, given(shards=shards), folder)
    return {
        row.caption.removeprefix("toys/"): (row.way, [p.words for p in row.phrases])
        for row in read_phrases(made.file("s", ".parquet"))
    }


WANTED = {"7#en0": ("parsed", [MAN]), "7#en1": ("parsed", [RED]), "7#de0": ("aligned", [MAN])}


@pytest.mark.parametrize("joined", [False, True])
def test_scene_graphs_by_image_and_number(shards: Artifact, tmp_path: Path, joined: bool) -> None:
    graphs: Any = {7: [[MAN], [RED]], 8: [[RIDE, MAN]]}
    if joined:  # as COCO's
        graphs = {
            str(i): [["_".join(p) for p in each] for each in captions] for i, captions in graphs.items()
        }
    torch.save(graphs, tmp_path / "test_sg.pt")
    found = rows(shards, tmp_path / "out", path=tmp_path / "test_sg.pt")
    assert found == {**WANTED, "8#en0": ("parsed", [RIDE, MAN])}


def test_ids_of_a_corpus_line_by_line(shards: Artifact, tmp_path: Path) -> None:
    write_id2phrase(tmp_path / "ids.json", {5: MAN, 30_522: RED, 30_523: RIDE})
    lines = [
        [[5], {"1": [0]}, "toys_7"],
        [[30_523], {}, "gqa_7"],
        [[30_523], {}, "toys_qa_7_99"],
        [[30_523], {}, "toys_8"],
        [[30_522], {}, "toys_7"],
    ]
    (tmp_path / "sg.json").write_text(json.dumps(lines))
    given_ = {"path": tmp_path / "sg.json", "id2phrase": tmp_path / "ids.json"}
    assert rows(shards, tmp_path / "out", **given_, part="toys") == {**WANTED, "8#en0": ("parsed", [RIDE])}
    asked = rows(shards, tmp_path / "asked", **given_, part="toys", questions=True)
    assert asked["7#en1"] == ("parsed", [RIDE])
    with pytest.raises(ConfigError, match="no captions of the part 'coco'") as caught:
        read_published(tmp_path / "sg.json", tmp_path / "ids.json", part="coco", questions=False)
    assert "gqa, toys" in str(caught.value)
    with pytest.raises(ConfigError, match="phrase ids"):
        read_published(tmp_path / "sg.json", None, part="", questions=False)
    write_id2phrase(tmp_path / "few.json", {5: MAN})
    with pytest.raises(DataError, match="phrase id 30523"):
        read_published(tmp_path / "sg.json", tmp_path / "few.json", part="toys", questions=False)


def test_processed_texts_are_joined_by_their_words(shards: Artifact, tmp_path: Path) -> None:
    entries = [
        {"text": "A red horse.", "image_id": "7", "label": "", "phrases": [RED]},
        {"text": "A man.", "image_id": "7", "label": "", "phrases": [MAN]},
        {"text": "A man.", "image_id": "8", "label": "", "phrases": [RIDE]},
    ]
    (tmp_path / "processed_x.json").write_text(json.dumps(entries))
    stage = PublishedPhrases(PublishedPhrases.Params(key="toys/{id}", path=tmp_path / "processed_x.json"))
    stage.setup(given(shards=shards))
    assert stage._published.of("7", 0, " A man. ") == (MAN,)  # whatever its number
    assert stage._published.of("8", 0, "A man.") == (RIDE,)
    assert stage._published.of("8", 0, "He rides.") is None


def test_captions_that_the_file_lacks_are_counted(shards: Artifact, tmp_path: Path) -> None:
    torch.save({"7": [[MAN]]}, tmp_path / "sg.pt")
    stage = PublishedPhrases(PublishedPhrases.Params(key="toys/{id}", path=tmp_path / "sg.pt"))
    inputs = given(shards=shards)
    (shard,) = stage.shards(inputs)
    stage.setup(inputs)
    (tmp_path / "out").mkdir()
    out = Output(shard, tmp_path / "out", tmp_path / "scratch")
    stats = stage.process(shard, inputs, out)
    assert (stats.n_in, stats.n_ok, dict(stats.failed)) == (4, 2, {"no_phrases": 2})
    assert [row["key"] for row in out.failures] == ["toys/7#en1", "toys/8#en0"]
    torch.save({"9": [[MAN]]}, tmp_path / "sg.pt")
    stage.setup(inputs)
    with pytest.raises(DataError, match="knows no caption of the shard s; its images are 9"):
        stage.process(shard, inputs, Output(shard, tmp_path / "out", tmp_path / "scratch"))


class Payload:
    pass


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({7: [[("a", "b", "c", "d")]]}, "one to three words"),
        ({7: ["man"]}, "no list of phrases"),
        ({7: 3}, "no list of captions"),
        ([], "no phrases by image"),
        ({7: Payload()}, "holds more than plain data and tensors"),
    ],
)
def test_what_is_in_another_form_is_refused(tmp_path: Path, content: Any, fault: str) -> None:
    torch.save(content, tmp_path / "sg.pt")
    with pytest.raises(UserError, match=fault):
        read_published(tmp_path / "sg.pt", None, part="", questions=False)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '["a"]', '[{"text": "a"}]'])
def test_json_in_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError):
        read_published(tmp_path / "x.json", None, part="", questions=False)


def test_the_vocabulary_keeps_its_order_and_its_ids(tmp_path: Path) -> None:
    write_id2phrase(tmp_path / "in.json", {30_530: RED, 999: MAN, 40_000: MAN, 30_522: RIDE})
    made = run(
        PublishedConcepts(PublishedConcepts.Params(path=tmp_path / "in.json")), given(), tmp_path / "out"
    )
    assert ConceptVocabulary.read(made.file("all", ".concepts.json")).concepts == (MAN, RIDE, RED)
    assert read_id2phrase(made.file("all", ".id2phrase.json")) == {999: MAN, 30_522: RIDE, 30_530: RED}
    assert made.manifest.stats["failed"] == {"duplicate": 1}
