"""The command line: `babelscene run | plan | status | explain | verify | inspect | report | gc`.

Stage packages add verbs of their own (pipeline/verbs.py).

Exit codes: 0 done; 1 some shards could not be made; 2 the configuration or the command is wrong;
3 `verify` found damage; 4 another process holds a lock; 130 interrupted, everything committed is kept.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pipeline.config import Config, load_config
from pipeline.graph import Node, build_graph, nodes_of, select
from pipeline.lock import LockedError, owner_of
from pipeline.named import open_pipeline, pipelines_beside, require_stages
from pipeline.plan import NodePlan, plan_all
from pipeline.verbs import Verbs
from pipeline.workspace import Workspace
from store.errors import ConfigError, UserError, did_you_mean

if TYPE_CHECKING:
    from pipeline.executors.base import Executor

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="One pipeline and trainer for multilingual vision-language pre-training.",
    epilog="Exit codes: 0 done; 1 some shards failed; 2 wrong configuration or command; 3 damage found; "
    "4 locked by another process; 130 interrupted.",
)
_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PAGE = 140
"""Columns of a table where no terminal says how wide it is: a log, a pipe."""
out = Console(highlight=False, width=None if sys.stdout.isatty() else _PAGE)

Words = Annotated[
    list[str] | None,
    typer.Argument(help="stages (regions, regions/train) and overrides (detector.steps=300)"),
]
File = Annotated[Path, typer.Option("--file", "-f", help="the pipeline", envvar="BABELSCENE_FILE")]
Profile = Annotated[str, typer.Option("--profile", "-p", help="which profile of it", envvar="PROFILE")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for machines")]
STAGES = Path("stages.yaml")


@app.command()
def run(
    words: Words = None,
    file: File = STAGES,
    profile: Profile = "demo",
    force: Annotated[bool, typer.Option(help="make the named stages again although they are fresh")] = False,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="try failed rows again")] = False,
    failure: Annotated[str, typer.Option("--class", help="with --only-failed: this class only")] = "",
    as_json: AsJson = False,
) -> None:
    """Make what is not fresh, of everything or of the named stages and what they need."""
    from pipeline.outcome import exit_code, failure_lines, made_rows
    from pipeline.progress import make_reporter
    from pipeline.retry import Retry
    from pipeline.run import Run
    from pipeline.view import plan_summary

    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    config, targets = _read(file, profile, words)
    nodes = build_graph(config)
    workspace = Workspace(config.workspace)
    named = frozenset(nodes_of(nodes, targets))
    if (force or only_failed) and not targets:
        raise ConfigError("--force and --only-failed need a stage", "babelscene run regions --force")
    chosen = select(nodes, targets)
    plans = plan_all(chosen, workspace)
    workspace.digests.save()
    if all(plan.fresh for plan in plans.values()) and not (force or only_failed):
        _print_json([]) if as_json else out.print(plan_summary(plans))
        _print_results(chosen, workspace, as_json)
        return
    _require_unlocked(plans, workspace)
    executor = _executor(config)
    try:
        for each in plans.values():
            if not each.fresh:
                executor.require(each.node.name, each.node.cpus, each.node.gpus)
        with make_reporter() as reporter:
            runner = Run(
                nodes=chosen,
                workspace=workspace,
                executor=executor,
                reporter=reporter,
                workers=config.workers or os.cpu_count() or 1,
                force=named if force else frozenset(),
                retry=Retry(named, failure) if only_failed else None,
            )
            made = runner.go()
    finally:
        executor.close()
    if as_json:
        _print_json(made_rows(made))
    else:
        for line in failure_lines(made):
            out.print(line, markup=False, soft_wrap=True)
        _print_results(chosen, workspace, as_json)
    if code := exit_code(made):
        raise typer.Exit(code)


@app.command()
def plan(
    words: Words = None, file: File = STAGES, profile: Profile = "demo", as_json: AsJson = False
) -> None:
    """Say for every shard whether it is fresh, missing or stale, and why; make nothing."""
    from pipeline.view import plan_rows, plan_summary, plan_table

    plans = _plans(file, profile, words)
    if as_json:
        _print_json(plan_rows(plans))
    else:
        out.print(plan_table(plans))
        out.print(plan_summary(plans))


@app.command()
def status(
    words: Words = None, file: File = STAGES, profile: Profile = "demo", as_json: AsJson = False
) -> None:
    """One line a stage: state, shards, rows, size, when it was made."""
    from pipeline.view import status_rows, status_table

    plans = _plans(file, profile, words)
    if as_json:
        _print_json(status_rows(plans))
    else:
        out.print(status_table(plans))


@app.command()
def explain(
    target: Annotated[str, typer.Argument(help="stage, stage/data set, or one of its shards")],
    words: Annotated[list[str] | None, typer.Argument(help="overrides")] = None,
    file: File = STAGES,
    profile: Profile = "demo",
    as_json: AsJson = False,
) -> None:
    """Why a stage or a shard is fresh or not: its key, what went into it, what changed."""
    from pipeline.view import explain_node

    plans = _plans(file, profile, words)
    name, _, shard = _split_address(target, plans)
    found = explain_node(plans[name], _shard_of(plans[name], shard)) if shard else explain_node(plans[name])
    if as_json:
        _print_json(found)
    else:
        _print_fields(found)


@app.command()
def verify(
    level: Annotated[str, typer.Option(help="stat (sizes), digest (every byte) or deep (every record)")] = (
        "digest"
    ),
    words: Annotated[list[str] | None, typer.Argument(help="overrides")] = None,
    file: File = STAGES,
    profile: Profile = "demo",
    as_json: AsJson = False,
) -> None:
    """Check every artifact against its manifest; what is damaged is rebuilt by the next run."""
    from pipeline.verify import Level
    from pipeline.verify import verify as find_damage
    from pipeline.view import damage_rows

    if level not in list(Level):
        raise ConfigError(f"no level '{level}'", did_you_mean(level, list(Level)))
    config, _ = _read(file, profile, words)
    found = list(find_damage(Workspace(config.workspace), Level(level)))
    if as_json:
        _print_json(damage_rows(found))
    else:
        for each in found:
            out.print(f"{each.path}: {each.what}", markup=False, soft_wrap=True)
        what = (
            f"{len(found)} damaged; `babelscene run` rebuilds what is in use, `babelscene gc` drops the rest"
        )
        out.print(what if found else "everything is whole", soft_wrap=True)
    if found:
        raise typer.Exit(3)


@app.command()
def inspect(
    target: Annotated[str, typer.Argument(help="a path, or stage/data set/shard/key")],
    key: Annotated[str, typer.Argument(help="a record in it")] = "",
    file: File = STAGES,
    profile: Profile = "demo",
    html: Annotated[Path | None, typer.Option(help="write a page with pictures")] = None,
    count: Annotated[int, typer.Option(help="how many records to list")] = 10,
    as_json: AsJson = False,
) -> None:
    """Look into a tar, Parquet, LMDB, HDF5, manifest or checkpoint, whole or one record of it."""
    from pipeline.inspect import inspect as look

    look(
        target,
        key,
        resolve=lambda address: _resolve(address, file, profile),
        html=html,
        count=count,
        as_json=as_json,
    )


@app.command()
def report(
    words: Words = None,
    file: File = STAGES,
    profile: Profile = "demo",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="where to write it")] = None,
) -> None:
    """Write one self-contained HTML page: results, pictures, provenance, what failed."""
    from pipeline.publish import publish

    config, targets = _read(file, profile, words)
    plans = plan_all(select(build_graph(config), targets), Workspace(config.workspace))
    path = publish(
        config, load_config(file, profile="demo"), plans, output or config.workspace / "report.html"
    )
    out.print(f"report: {_relative(path)}", soft_wrap=True)


@app.command()
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="delete; without it only list")] = False,
    words: Words = None,
    file: File = STAGES,
    profile: Profile = "demo",
    as_json: AsJson = False,
) -> None:
    """List, or delete, artifacts that neither stages.yaml nor a file of the folder `stages` names."""
    from pipeline.garbage import collect, find_garbage
    from pipeline.view import garbage_table

    config, _ = _read(file, profile, words)
    workspace = Workspace(config.workspace)
    every = pipelines_beside(config, _overrides(words))
    found = find_garbage(workspace, [plan_all(build_graph(each), workspace) for each in every])
    if as_json:
        _print_json([{"path": str(g.path), "why": g.why, "size": g.size} for g in found])
    elif found:
        out.print(garbage_table(found))
    if delete:
        out.print(f"{collect(workspace, found) / 1e6:,.1f} MB deleted")
    elif not as_json:
        out.print(
            f"{len(found)} folders could go; `babelscene gc --delete` does it"
            if found
            else "nothing to delete"
        )


def main() -> None:
    """Entry point: user errors are one line and a hint, never a traceback."""
    try:
        code = app(standalone_mode=False) or 0  # what `typer.Exit` carries; 130 for Ctrl-C
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(4 if isinstance(error, LockedError) else 2)
    except Exception as error:
        show = getattr(error, "show", None)  # a usage error of the command line itself
        if show is None:
            raise
        show()
        sys.exit(getattr(error, "exit_code", 2))
    if code == _INTERRUPTED:
        what = "interrupted; everything committed is kept, the same command goes on from there"
        print(what, file=sys.stderr)
    sys.exit(code)


def _read(file: Path, profile: str, words: list[str] | None) -> tuple[Config, list[str]]:
    """Sort the words of a command into overrides and targets."""
    targets = [word for word in words or [] if "=" not in word]
    config = open_pipeline(file, profile, _overrides(words))
    require_stages(config, targets)
    return config, targets


def _overrides(words: list[str] | None) -> list[str]:
    return [word for word in words or [] if "=" in word]


def _plans(file: Path, profile: str, words: list[str] | None) -> dict[str, NodePlan]:
    config, targets = _read(file, profile, words)
    workspace = Workspace(config.workspace)
    nodes = build_graph(config)
    plans = plan_all(select(nodes, targets), workspace)
    workspace.digests.save()
    return plans


def _require_unlocked(plans: dict[str, NodePlan], workspace: Workspace) -> None:
    """Say at once, before Ray starts, that all there is to begin with is being made by another process."""
    ready = [plan for plan in plans.values() if not plan.fresh and not plan.pending]
    locks = [workspace.lock_file(plan.node.name, plan.key) for plan in ready]
    owners = [(path, owner) for path in locks if (owner := owner_of(path)) is not None]
    if owners and len(owners) == len(ready):
        raise LockedError.of(*owners[0])


def _executor(config: Config) -> Executor:
    if config.executor == "inline":
        from pipeline.executors.inline import InlineExecutor

        return InlineExecutor()
    from pipeline.executors.ray import RayExecutor

    return RayExecutor(config.address, config.workers)


def _split_address(address: str, nodes: dict[str, Any]) -> tuple[str, str, str]:
    """`regions/train/00003/scenes/7` -> node, slash, rest."""
    for name in sorted(nodes, key=len, reverse=True):
        if address == name or address.startswith(f"{name}/"):
            return name, "/", address[len(name) + 1 :]
    raise ConfigError(f"no stage '{address}'", did_you_mean(address, nodes))


def _shard_of(plan: NodePlan, name: str) -> str:
    known = [each.shard.name for each in plan.shards]
    if name not in known:
        raise ConfigError(f"{plan.node.name} has no shard '{name}'", did_you_mean(name, known))
    return name


def _resolve(address: str, file: Path, profile: str) -> tuple[Path, str]:
    """Folder of the artifact that an address names, and what follows in the address."""
    plans = _plans(file, profile, None)
    name, _, rest = _split_address(address, plans)
    if not plans[name].folder.exists():
        raise ConfigError(f"{name} is not made yet", f"babelscene run {name}")
    return plans[name].folder, rest


def _print_results(nodes: dict[str, Node], workspace: Workspace, as_json: bool) -> None:
    from pipeline.report_results import chief, read_results, terminal_table

    if as_json:
        return
    plans = plan_all(nodes, workspace)
    results = [r for name, plan in plans.items() if plan.fresh for r in read_results(name, plan.artifact)]
    if results:
        shown = chief(results)
        out.print(terminal_table(shown))
        if len(results) > len(shown):
            out.print(f"{len(results) - len(shown)} more numbers are in the report")


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=1, ensure_ascii=False))


def _print_fields(fields: dict[str, Any], indent: str = "") -> None:
    for name, value in fields.items():
        if isinstance(value, dict):
            out.print(f"{indent}{name}:", markup=False)
            _print_fields(value, indent + "  ")
        else:
            shown = value if not isinstance(value, list) else ", ".join(str(v) for v in value)
            out.print(f"{indent}{name}: {shown}", markup=False, soft_wrap=True)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _interrupt(*_: object) -> None:
    """End in good order; at a second signal at once, which loses nothing either."""
    for each in _SIGNALS:
        signal.signal(each, _end)
    raise KeyboardInterrupt


def _end(*_: object) -> None:
    if os.isatty(2):
        os.write(2, b"\x1b[?25h\n")  # the cursor, which the bars have hidden
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
