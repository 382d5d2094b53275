"""The verbs `babelscene import` and `babelscene export`: region features of other projects, in and out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extract.formats.find import FORMATS
from store.errors import ConfigError

if TYPE_CHECKING:
    from extract.importing import ImportRegions
    from pipeline.artifacts import Artifact
    from pipeline.executors.base import Executor
    from pipeline.graph import Node
    from pipeline.outcome import Made

ENTRY = "extract.importing:ImportRegions"
_KINDS = ("regions",)


def import_features(
    source: Annotated[Path, typer.Argument(help="a table, a folder, a zip (x.zip@/val), or VinVL's .yaml")],
    name: Annotated[
        str, typer.Option("--as", help="regions, or regions/DATA SET: the artifact's name in the folder")
    ] = "regions",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="folder of the artifact; a pipeline's workspace will do")
    ] = Path("work/imported"),
    format: Annotated[str, typer.Option(help=f"auto, {', '.join(FORMATS)}")] = "auto",  # noqa: A002
    store: Annotated[str, typer.Option(help="lmdb or hdf5")] = "lmdb",
    precision: Annotated[
        str, typer.Option(help="float16 (0.05 % off, as all features here), float32 (as they came) or int8")
    ] = "float16",
    posteriors: Annotated[
        int | None, typer.Option(help="of VL-BERT's class posteriors, keep the largest so many; else all")
    ] = None,
    shards: Annotated[
        str, typer.Option(help="the samples to join: a stage of stages.yaml (shards/train), or an artifact")
    ] = "",
    key: Annotated[str, typer.Option(help="key of an image's sample: 'coco/{id}'")] = "images/{id}",
    image_id: Annotated[
        str, typer.Option(help="regular expression of the ids; its groups fill the key")
    ] = "(?P<id>.+)",
    labels: Annotated[Path | None, typer.Option(help="Oscar's table of labels")] = None,
    hw: Annotated[Path | None, typer.Option(help="Oscar's table of image sizes")] = None,
    classes: Annotated[Path | None, typer.Option(help="names of the classes, one a line or JSON")] = None,
    attributes: Annotated[Path | None, typer.Option(help="names of the attributes, likewise")] = None,
    lineidx: Annotated[bool, typer.Option(help="refuse a table whose line index does not fit")] = True,
    detector: Annotated[str, typer.Option(help="what made the features, for people")] = "",
    images_per_shard: Annotated[int, typer.Option(help="about as many")] = 1000,
    workers: Annotated[int, typer.Option(help="shards at once, through Ray; 1 needs none")] = 1,
    file: Annotated[Path, typer.Option("--file", "-f", help="the pipeline that --shards is of")] = Path(
        "stages.yaml"
    ),
    profile: Annotated[str, typer.Option("--profile", "-p", help="which profile of it")] = "demo",
) -> None:
    """Make a feature store of published region features; the same command again goes on, or finds it made."""
    from pipeline.named import artifact_at
    from pipeline.outcome import exit_code, failure_lines
    from pipeline.plan import FRESH

    kind, _, dataset = name.partition("/")
    if kind not in _KINDS or name.endswith("/") or "/" in dataset:
        raise ConfigError(f"--as {name}: only regions can be imported", "--as regions, or regions/train")
    given = {"shards": artifact_at(shards, file, profile)} if shards else {}
    stage = _stage(
        path=source,
        format=format,
        store=store,
        precision=precision,
        posteriors=posteriors,
        key=key,
        image_id=image_id,
        labels=labels,
        hw=hw,
        classes=classes,
        attributes=attributes,
        lineidx=lineidx,
        detector=detector,
        images_per_shard=images_per_shard,
    )
    made = _run(_node(name, stage, given), output, {a.manifest.node: a for a in given.values()}, workers)
    for line in failure_lines({name: made}):
        typer.echo(line)
    if made.artifact is not None:
        typer.echo(f"{name}: {'made before' if made.state == FRESH else 'made'}: {made.artifact.path}")
        for line in _accounts(made.artifact):
            typer.echo(f"  {line}")
    if code := exit_code({name: made}):
        raise typer.Exit(code)


def export_features(
    regions: Annotated[Path, typer.Argument(help="folder of a regions artifact, or one store file")],
    target: Annotated[Path, typer.Argument(help="a .tsv, or a folder or .zip for vlbert and npz")],
    format: Annotated[str, typer.Option(help=f"{', '.join(FORMATS)}; default: as imported")] = "",  # noqa: A002
) -> None:
    """Write a feature store in another project's format; what was imported goes out as it came."""
    from extract.exporting import export_store

    count = export_store(regions, target, format)
    typer.echo(f"{count:,} images: {target}")


def _stage(**params: Any) -> ImportRegions:
    from extract.importing import ImportRegions, ImportRegionsParams
    from pipeline.validate import validate

    plain = {name: str(value) if isinstance(value, Path) else value for name, value in params.items()}
    typed = validate(ImportRegionsParams, plain, lambda at: f"--{'.'.join(at)}".replace("_", "-"))
    return ImportRegions(typed)


def _node(name: str, stage: ImportRegions, given: Mapping[str, Artifact]) -> Node:
    from pipeline.graph import Node

    return Node(
        name=name,
        entry=ENTRY,
        stage=stage,
        keyed=stage.params.keyed(),
        inputs={role: (artifact.manifest.node,) for role, artifact in given.items()},
        workers=0,
        cpus=1,
        gpus=0,
        where="babelscene import",
    )


def _run(node: Node, output: Path, given: Mapping[str, Artifact], workers: int) -> Made:
    """Make the artifact as `babelscene run` would."""
    from pipeline.progress import make_reporter
    from pipeline.run import Run
    from pipeline.workspace import Workspace

    executor = _executor(workers)
    try:
        with make_reporter() as reporter:
            run = Run(
                nodes={node.name: node},
                workspace=Workspace(output.resolve()),
                executor=executor,
                reporter=reporter,
                workers=workers or os.cpu_count() or 1,
                given=given,
            )
            return run.go()[node.name]
    finally:
        executor.close()


def _executor(workers: int) -> Executor:
    if workers == 1:
        from pipeline.executors.inline import InlineExecutor

        return InlineExecutor()
    from pipeline.executors.ray import RayExecutor

    return RayExecutor("", workers)


def _accounts(artifact: Artifact) -> list[str]:
    """Images, boxes, what failed."""
    from pipeline.stats import Stats

    stats = Stats.from_json(dict(artifact.manifest.stats))
    totals = [f"{count:,} {name}" for name, count in sorted(stats.totals.items())]
    failed = [f"{count:,} failed: {name}" for name, count in sorted(stats.failed.items())]
    return [", ".join([f"{stats.n_ok:,} of {stats.n_in:,} images", *totals]), *failed]
