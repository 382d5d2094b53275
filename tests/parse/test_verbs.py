"""The commands of parsing, typed as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from parse import verbs
from parse.graph import SceneGraph
from parse.parser import Parser
from store.errors import ConfigError, DataError

CAPTION = "a man in a red shirt is riding a brown horse"


@pytest.fixture(autouse=True)
def loaded(parser: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands use the tests' parser; loading another takes a second."""
    monkeypatch.setattr("parse.languages.parser.load_parser", lambda *args, **options: parser)


def typed(verb: object, *words: object) -> str:
    app = typer.Typer()
    app.command()(verb)  # type: ignore[type-var]
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_parse_prints_graph_and_phrases() -> None:
    shown = typed(verbs.parse, CAPTION)
    assert "man\n├─ in → shirt\n└─ ride → horse\n" in shown
    assert "phrases: man · shirt · shirt red · man in shirt · horse · horse brown · man ride horse" in shown


def test_parse_as_json_tells_where_words_stand() -> None:
    line = json.loads(typed(verbs.parse, CAPTION, "--json"))
    assert (
        line["graph"]
        == "( horse , is , brown ) , ( man , in , shirt ) , ( man , ride , horse ) , ( shirt , is , red )"
    )
    relation = next(each for each in line["relations"] if each["name"] == "ride")
    assert [line["objects"][relation[end]]["name"] for end in ("subject", "object")] == ["man", "horse"]
    assert [CAPTION[a:b] for a, b in relation["spans"]] == ["riding"]
    assert {tuple(phrase["words"]) for phrase in line["phrases"]} >= {
        ("man", "ride", "horse"),
        ("shirt", "red"),
    }


def test_a_file_becomes_a_line_a_caption(tmp_path: Path) -> None:
    source, target = tmp_path / "c.txt", tmp_path / "g.jsonl"
    source.write_bytes("\ufeffa dog\r\n\r\ntwo c\u0301afés\n".encode())
    typed(verbs.parse, "--input", source, "--output", target)
    lines = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert [line["caption"] for line in lines] == ["a dog", "", "two c\u0301afés"]
    assert [line["graph"] for line in lines][:2] == ["( dog )", ""]
    assert typed(verbs.parse, "-i", source).splitlines() == target.read_text("utf-8").splitlines()


def test_a_line_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes(b"a dog\nca\xfa\n")
    with pytest.raises(DataError, match=r"c\.txt, line 2: byte 3"):
        typed(verbs.parse, "-i", tmp_path / "c.txt", "-o", tmp_path / "g.jsonl")
    assert not (tmp_path / "g.jsonl").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        typed(verbs.parse, "-i", tmp_path / "none.txt")


@pytest.mark.parametrize("words", [[], [CAPTION, "-i", "c.txt"], [CAPTION, "-o", "g.jsonl"]])
def test_captions_come_from_one_place(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"captions|--output"):
        typed(verbs.parse, *words)


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in "".join(verbs.shown("a \x1b[31mdog", SceneGraph()))


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    path = tmp_path / "dev.csv"
    path.write_text(
        "caption,scene_graph\n"
        'a brown horse,"( horse , is , brown )"\n'
        'a man riding a horse on the wide and sandy beach today,"( man , ride , dog )"\n'
    )
    return path


def test_scores_are_split_by_length(scored: Path) -> None:
    table = typed(verbs.score_parser, scored, "--style", "spice")
    assert "dev.csv, spice style" in table
    for name in ("up to 4 words", "10 words and more", "set match", "spice_f1", "relation"):
        assert name in table
    assert "5 to 9 words" not in table


def test_scores_as_json(scored: Path) -> None:
    found = json.loads(typed(verbs.score_parser, scored, "--style", "spice", "--json"))
    match = {name: next(s["value"] for s in rows if s["name"] == "set match") for name, rows in found.items()}
    assert match == {"all": 0.5, "up to 4 words": 1.0, "10 words and more": 0.0}
    assert all(score["protocol"] for rows in found.values() for score in rows)


def test_nothing_to_score(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("caption,scene_graph\n")
    with pytest.raises(DataError, match="no caption"):
        typed(verbs.score_parser, tmp_path / "empty.csv")


def test_training_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    monkeypatch.setattr(
        "parse.training.train",
        lambda table, folder, **options: asked.update(options, table=table),
        raising=False,
    )
    typed(verbs.train_parser, tmp_path / "train.csv", "-o", tmp_path / "model", "--epochs", 2)
    assert asked.pop("report") is typer.echo
    assert asked.pop("recipe").epochs == 2
    assert asked == {"table": tmp_path / "train.csv", "seed": 0, "teachers": [], "captions": []}


def test_teachers_need_captions(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="captions"):
        typed(verbs.train_parser, tmp_path / "t.csv", "-o", tmp_path / "model", "--teacher", tmp_path)
