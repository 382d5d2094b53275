"""Commands that training adds to `babelscene`: `export-model`, `import-weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_model(
    model: Annotated[Path, typer.Argument(help="folder of a trained model (an artifact of pretrain)")],
    output: Annotated[Path, typer.Argument(help="new folder, which from_pretrained opens")],
) -> None:
    """Write a trained model as a Hugging Face folder: safetensors, config, tokenizer."""
    from train.models.huggingface import export

    export(model, output)
    typer.echo(f"{output}: open it with train.models.huggingface.MvptrForPairs.from_pretrained")


def import_weights(
    weights: Annotated[Path, typer.Argument(help="the published file: pytorch_model.bin or safetensors")],
    output: Annotated[Path, typer.Argument(help="new folder for the model")],
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="tokenizer.json of the published model")],
    id2phrase: Annotated[Path, typer.Option("--id2phrase", help="MVPTR's file of phrases")],
    regions: Annotated[Path, typer.Option("--regions", help="feature store that the model will read")],
    recipe: Annotated[str, typer.Option("--recipe", help="with the published sizes")] = "mvptr-published",
    partial: Annotated[bool, typer.Option("--partial", help="accept parameters that stay random")] = False,
) -> None:
    """Turn published MVPTR weights into a model of ours, naming every key that does not fit."""
    from train.models.published import published_model

    match = published_model(weights, output, tokenizer, id2phrase, regions, recipe, partial=partial)
    for line in match.lines():
        typer.echo(line)
    typer.echo(f"{output}: {len(match.loaded)} tensors loaded")
