"""Commands that training adds to `babelscene`: `export-model`, `import-weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from store.errors import ConfigError


def export_model(
    model: Annotated[Path, typer.Argument(help="folder of a trained model (an artifact of pretrain)")],
    output: Annotated[Path, typer.Argument(help="new folder, which from_pretrained opens")],
) -> None:
    """Write a trained model as a Hugging Face folder: safetensors, config, tokenizer."""
    from train.models.huggingface import export

    export(model, output)
    typer.echo(f"{output}: open it with train.models.huggingface.MvptrForPairs.from_pretrained")


def import_weights(
    weights: Annotated[Path, typer.Argument(help="the published file: .bin, .pth or .safetensors")],
    output: Annotated[Path, typer.Argument(help="new folder for the model")],
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="tokenizer.json of the published model")],
    id2phrase: Annotated[Path | None, typer.Option("--id2phrase", help="MVPTR's file of phrases")] = None,
    regions: Annotated[
        Path | None, typer.Option("--regions", help="feature store that the model will read")
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="with the published sizes")] = "mvptr-published",
    bert: Annotated[
        str, typer.Option("--bert", help="of VL-BERT: a BERT below, a folder or a name on the hub")
    ] = "",
    revision: Annotated[str, typer.Option("--revision", help="the hub's commit, for --bert by name")] = "",
    partial: Annotated[bool, typer.Option("--partial", help="accept parameters that stay random")] = False,
) -> None:
    """Turn published weights (MVPTR, VL-BERT, MM-BERT) into a model of ours; what does not fit is named."""
    from train.recipe import load_recipe

    if load_recipe(recipe).family == "vlbert":
        from train.models.vlbert_published import published_stream

        match = published_stream(
            output,
            tokenizer,
            recipe,
            bert=bert,
            revision=revision,
            checkpoint=weights,
            regions=regions,
            partial=partial,
        )
    else:
        from train.models.published import published_model

        if id2phrase is None or regions is None:
            raise ConfigError("MVPTR's weights need --id2phrase and --regions")
        match = published_model(weights, output, tokenizer, id2phrase, regions, recipe, partial=partial)
    for line in match.lines():
        typer.echo(line)
    typer.echo(f"{output}: {len(match.loaded)} tensors loaded")
