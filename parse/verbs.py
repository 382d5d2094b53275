"""Commands that parsing adds to `babelscene`: `parse`, `score-parser`, `train-parser`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from parse.graph import SceneGraph
    from parse.languages.parser import CaptionParser
    from parse.metrics import Score


class Style(StrEnum):
    """Conventions of scene graphs."""

    SPICE = "spice"
    FACTUAL = "factual"


InStyle = Annotated[Style, typer.Option("--style", help="conventions of the graphs")]
Weights = Annotated[Path | None, typer.Option("--weights", help="folder that train-parser wrote")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for machines")]


def parse(
    captions: Annotated[list[str] | None, typer.Argument(help="captions, each in quotes")] = None,
    style: InStyle = Style.SPICE,
    lang: Annotated[str, typer.Option(help="language of the captions: en, fr, cs")] = "en",
    input: Annotated[Path | None, typer.Option("--input", "-i", help="file, a caption a line")] = None,  # noqa: A002
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON lines, one a caption")] = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Print the scene graph and the phrases of captions, or write those of a file."""
    from parse.languages.parser import load_parser

    if bool(captions) == bool(input):
        raise ConfigError("give captions or a file of captions", 'babelscene parse "a man on a horse"')
    if output is not None and input is None:
        raise ConfigError(
            "--output needs --input", "babelscene parse --input captions.txt --output graphs.jsonl"
        )
    texts = read_captions(input) if input else list(captions or ())
    parser = load_parser(lang, style=style.value, weights=weights)
    if output is not None:
        _write(output, texts, parser)
    elif input or as_json:
        for text, graph in zip(texts, parser.pipe(texts), strict=True):
            typer.echo(json_line(text, graph))
    else:
        for number, (text, graph) in enumerate(zip(texts, parser.pipe(texts), strict=True)):
            typer.echo("\n" * (number > 0) + "\n".join(shown(text, graph)))


def score_parser(
    file: Annotated[Path, typer.Argument(help="CSV with the columns caption and scene_graph")],
    style: InStyle = Style.FACTUAL,
    weights: Weights = None,
    wordnet: Annotated[Path | None, typer.Option(help="folder of WordNet's files")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the parser with scene graphs that people wrote, by metric, tuple and length of caption.

    Twice: word by word as they stand, and after FACTUAL's lemmatizer (`lemmas`), as published figures are.
    """
    from parse.metrics import read_graphs, score
    from parse.parser import Parser
    from parse.wordnet import find_synsets

    stated = read_graphs(file)
    if not stated:
        raise DataError(f"{file} holds no caption")
    synsets = find_synsets(wordnet)
    parser = Parser(style=style.value, weights=weights)
    graphs = parser.pipe([caption for caption, _ in stated])
    pairs = [(truth, frozenset(graph.tuples())) for (_, truth), graph in zip(stated, graphs, strict=True)]
    lengths = [len(caption.split()) for caption, _ in stated]
    groups = {
        name: [pair for pair, n in zip(pairs, lengths, strict=True) if n in words] for name, words in LENGTHS
    }
    scores = {
        name: [*score(members), *score(members, lemma=parser.lemmatizer.noun, synsets=synsets)]
        for name, members in groups.items()
        if members
    }
    if as_json:
        typer.echo(json.dumps({name: [_plain(each) for each in found] for name, found in scores.items()}))
    else:
        _print_scores(f"{file.name}, {style} style", scores)
        if synsets is None:
            typer.echo(
                "without synonyms: WordNet (Debian's wordnet-base) is not installed; or --wordnet FOLDER"
            )


def train_parser(
    file: Annotated[Path, typer.Argument(help="CSV with the columns caption and scene_graph")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for the model and its provenance")],
    epochs: Annotated[int | None, typer.Option(min=1, help="passes over the file")] = None,
    seed: Annotated[int, typer.Option(help="of the order of captions and the start")] = 0,
    width: Annotated[int | None, typer.Option(min=8, help="of the network")] = None,
    teacher: Annotated[list[Path] | None, typer.Option(help="folder of a network to imitate; repeat")] = None,
    captions: Annotated[Path | None, typer.Option(help="captions that the teachers read, one a line")] = None,
) -> None:
    """Learn what grammar leaves open in FACTUAL's conventions from captions with their scene graphs.

    With teachers, learned from the same file before, it also learns what these say of other captions.
    """
    from parse.training import Recipe, train
    from parse.weights import load

    if bool(teacher) != bool(captions):
        raise ConfigError("teachers need captions to read, and these teachers", "--teacher and --captions")
    chosen = {"epochs": epochs, "width": width}
    train(
        file,
        output,
        recipe=Recipe(**{name: value for name, value in chosen.items() if value is not None}),
        seed=seed,
        teachers=[load(folder) for folder in teacher or ()],
        captions=read_captions(captions) if captions else [],
        report=typer.echo,
    )
    typer.echo(f'{output}: babelscene score-parser FILE.csv --style factual --weights "{output}"')


LENGTHS = (
    ("all", range(1 << 30)),
    ("up to 4 words", range(5)),
    ("5 to 9 words", range(5, 10)),
    ("10 words and more", range(10, 1 << 30)),
)
"""Groups of captions by their words; those of ten and more are rare where parsers learn."""


def read_captions(path: Path) -> list[str]:
    """Captions of a UTF-8 file, one a line; empty lines are captions too, so that line numbers stay.

    Raises:
        DataError: the file is missing, or a line is no UTF-8.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if lines[-1] == b"":
        lines.pop()
    captions = []
    for number, line in enumerate(lines, 1):
        try:
            captions.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {number}: byte {error.start + 1} is no UTF-8",
                f"iconv -f LATIN1 -t UTF-8 {path.name}, if that is what it is",
            ) from error
    return captions


def shown(text: str, graph: SceneGraph) -> list[str]:
    """A caption's graph and phrases as lines for a terminal."""
    from pipeline.markup import visible
    from pipeline.scene_graphs import text_lines

    phrases = " · ".join(" ".join(words) for words in graph.tuples())
    lines = [text or "(empty)", "", *text_lines(graph.tuples()), "", f"phrases: {phrases or 'none'}"]
    return [visible(line) for line in lines]


def json_line(text: str, graph: SceneGraph) -> str:
    """One caption's graph as a line of JSON; spans are characters of the caption."""
    from parse.metrics import format_facts

    content = {
        "caption": text,
        "graph": format_facts(graph.tuples()),
        "objects": [{"name": each.name, "spans": each.spans} for each in graph.objects],
        "attributes": [
            {"object": each.object, "value": each.value, "spans": each.spans} for each in graph.attributes
        ],
        "relations": [
            {"subject": each.subject, "name": each.name, "object": each.object, "spans": each.spans}
            for each in graph.relations
        ],
        "phrases": [{"words": each.words, "spans": each.spans} for each in graph.phrases()],
    }
    return json.dumps(content, ensure_ascii=False)


def _write(path: Path, texts: list[str], parser: CaptionParser) -> None:
    from rich.console import Console
    from rich.progress import track

    from store.atomic import staged

    errors = Console(stderr=True)
    graphs = track(
        parser.pipe(texts),
        "parsing",
        len(texts),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    phrases = 0
    with staged(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for text, graph in zip(texts, graphs, strict=True):
            phrases += len(graph.phrases())
            file.write(json_line(text, graph) + "\n")
    errors.print(f"{path}: {len(texts):,} captions, {phrases:,} phrases", markup=False, soft_wrap=True)


def _print_scores(title: str, scores: dict[str, list[Score]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for name in ("metric", "tuples"):
        table.add_column(name)
    for name, found in scores.items():
        table.add_column(f"{name}\n{found[0].n:,} captions", justify="right")
    table.add_column("protocol", style="dim")
    for row in zip(*scores.values(), strict=True):
        values = [f"{100 * each.value:.1f}" for each in row]
        table.add_row(row[0].name, row[0].kind or "all", *values, row[0].protocol)
    console.print(table)


def _plain(each: Score) -> dict[str, Any]:
    kind = each.kind or "all"
    return {"name": each.name, "tuples": kind, "value": each.value, "n": each.n, "protocol": each.protocol}
