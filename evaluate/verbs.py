"""The commands that evaluation adds to `babelscene`: `predict` and `attention`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from store.errors import ConfigError

if TYPE_CHECKING:
    from evaluate.predict import Prediction

EXAMPLE = 'babelscene predict photo.jpg "two [MASK] are playing on a ground"'


def predict(
    picture: Annotated[Path, typer.Argument(help="a file: JPEG, PNG, WebP ...")],
    text: Annotated[str, typer.Argument(help="in quotes, with [MASK] where a word is to be found")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, as for run")] = None,
    model: Annotated[str, typer.Option(help="stage that trained it, or its folder")] = "pretrain",
    regions: Annotated[
        str, typer.Option(help="regions (stage or folder) whose detector to use; default: the model's")
    ] = "",
    phrases: Annotated[
        str, typer.Option(help="phrases (stage or folder) whose parser to use; default: the model's")
    ] = "",
    lang: Annotated[str, typer.Option(help="language of the text")] = "en",
    top: Annotated[int, typer.Option(min=1, help="words for each [MASK]")] = 5,
    embeddings: Annotated[
        Path | None, typer.Option(help="write those of words, phrases and regions (.safetensors)")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(help="draw phrases and their regions (.png, or .html that lights up)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for machines")] = False,
    file: Annotated[Path, typer.Option("--file", "-f", help="the pipeline that the model is of")] = Path(
        "stages.yaml"
    ),
    profile: Annotated[str, typer.Option("--profile", "-p", help="which profile of it")] = "demo",
) -> None:
    """Fill [MASK] in a text about a picture; embeddings of both; phrases drawn on their regions."""
    if "[MASK]" not in text and embeddings is None and draw is None:
        hint = "it is written in capitals" if "[mask]" in text.lower() else EXAMPLE
        raise ConfigError("the text has no [MASK], and neither --embeddings nor --draw asks for more", hint)
    if not picture.is_file():  # before a model is loaded for it
        raise ConfigError(f"there is no picture {picture}")
    import torch

    from evaluate.predict import Predictor, write_embeddings
    from evaluate.predict_draw import draw as draw_on
    from evaluate.predict_draw import require_ending
    from pipeline.named import artifact_at

    if draw is not None:
        require_ending(draw)
    torch.set_num_threads(1)
    model_at, regions_at, phrases_at = (
        artifact_at(address, file, profile, overrides or []) if address else None
        for address in (model, regions, phrases)
    )
    assert model_at is not None
    predictor = Predictor(model_at, regions=regions_at, phrases=phrases_at)
    found = predictor.read(picture, text, lang=lang, top=top, align=draw is not None)
    written = []
    if embeddings is not None:
        write_embeddings(found, embeddings)
        written.append(embeddings)
    if draw is not None:
        draw_on(found, draw)
        written.append(draw)
    if as_json:
        typer.echo(json.dumps(plain(found), ensure_ascii=False))
    else:
        for line in [*shown(found), *(f"{path} written" for path in written)]:
            typer.echo(line)


def attention(
    picture: Annotated[Path, typer.Argument(help="a file: JPEG, PNG, WebP ...")],
    text: Annotated[str, typer.Argument(help="in quotes")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, as for run")] = None,
    model: Annotated[
        str, typer.Option(help="stage that trained it, of the family vlbert, or its folder")
    ] = "pretrain",
    regions: Annotated[
        str, typer.Option(help="regions (stage or folder) whose detector to use; default: the model's")
    ] = "",
    lang: Annotated[str, typer.Option(help="language of the text")] = "en",
    layer: Annotated[int | None, typer.Option(min=1, help="which layer, from 1; default: the last")] = None,
    head: Annotated[int | None, typer.Option(min=1, help="which head, from 1; default: their mean")] = None,
    draw: Annotated[
        Path | None, typer.Option(help="draw it (.png, or .html with a map for every layer)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for machines")] = False,
    file: Annotated[Path, typer.Option("--file", "-f", help="the pipeline that the model is of")] = Path(
        "stages/mmbert.yaml"
    ),
    profile: Annotated[str, typer.Option("--profile", "-p", help="which profile of it")] = "demo",
) -> None:
    """Show which region of a picture each word of a text attends to (VL-BERT, MM-BERT)."""
    if not picture.is_file():
        raise ConfigError(f"there is no picture {picture}")
    import torch

    from evaluate.attention import look
    from evaluate.attention_draw import draw as draw_on
    from evaluate.predict_draw import require_ending
    from pipeline.markup import visible
    from pipeline.named import artifact_at

    if draw is not None:
        require_ending(draw)
    torch.set_num_threads(1)
    model_at = artifact_at(model, file, profile, overrides or [])
    seen = artifact_at(regions, file, profile, overrides or []) if regions else None
    found = look(
        model_at,
        picture,
        text,
        lang=lang,
        regions=seen,
        layer=-1 if layer is None else layer - 1,
        head=None if head is None else head - 1,
    )
    rows = [(found.attention.pieces[word], found.named(at), share) for word, at, share in found.best()]
    if draw is not None:
        draw_on(found, draw)
    if as_json:
        named = [{"word": word, "region": name, "share": round(share, 6)} for word, name, share in rows]
        typer.echo(json.dumps({"text": text, "shown": found.shown, "words": named}, ensure_ascii=False))
        return
    typer.echo(f"{visible(text)}  ({found.shown})")
    for word, name, share in rows:
        typer.echo(f"  {visible(word)}: {visible(name)} {share:.2f}")
    if draw is not None:
        typer.echo(f"{draw} written")


def shown(found: Prediction) -> list[str]:
    """What was found as lines for a terminal."""
    from pipeline.markup import visible
    from train.models.alignment import in_words

    lines = [visible(found.text)]
    for number, words in enumerate(found.masked, 1):
        named = "[MASK]" if len(found.masked) == 1 else f"[MASK] {number}"
        lines.append(f"  {named}  " + "  ".join(f"{visible(word)} {chance:.2f}" for word, chance in words))
    lines += [
        f"  {visible(in_words(each.words))}: region {each.region}, {visible(found.named(each.region))},"
        f" cosine {each.cosine:.2f}"
        for each in found.aligned
    ]
    lines.append(
        f"  {len(found.regions)} regions, {len(found.phrases)} phrases;"
        f" text and picture match by {found.reading.match:.2f}, cosine {found.reading.similarity:.2f}"
    )
    return lines


def plain(found: Prediction) -> dict[str, Any]:
    """What was found as plain JSON, states left out."""
    return {
        "text": found.text,
        "masked": [
            [{"word": word, "chance": round(chance, 6)} for word, chance in words] for words in found.masked
        ],
        "match": round(found.reading.match, 6),
        "similarity": round(found.reading.similarity, 6),
        "phrases": [{"words": each.words, "spans": each.spans} for each in found.phrases],
        "aligned": [
            {"words": each.words, "spans": each.spans, "region": each.region, "cosine": round(each.cosine, 6)}
            for each in found.aligned
        ],
        "regions": [
            {
                "box": [round(float(v), 2) for v in found.regions.boxes[i]],
                "name": found.named(i),
                "score": round(float(found.regions.score[i]), 4),
            }
            for i in range(len(found.regions))
        ],
    }
