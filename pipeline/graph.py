"""The nodes to make, each a stage over a data set, in an order in which every input comes first."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import Config
from pipeline.stage import Stage
from pipeline.validate import validate
from pipeline.workspace import OURS
from pipeline.yamlfile import KeyPath
from store.errors import ConfigError, did_you_mean

_NAME = re.compile(r"\w[\w-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One artifact to make.

    Attributes:
        name: `<stage>` or `<stage>/<data set>`; also its folder in the workspace.
        entry: the stage's entry point.
        stage: the stage, with its parameters.
        keyed: those of them that enter the key, as plain JSON.
        inputs: names of the nodes behind each input.
        workers: shards worked on at once; 0 means as many as there are CPUs.
        cpus, gpus: what one worker takes.
        where: file and line of its block.
    """

    name: str
    entry: str
    stage: Stage[Any]
    keyed: Mapping[str, Any]
    inputs: Mapping[str, tuple[str, ...]]
    workers: int
    cpus: float
    gpus: float
    where: str

    @property
    def upstream(self) -> tuple[str, ...]:
        """Every node that it reads."""
        return tuple(dict.fromkeys(name for names in self.inputs.values() for name in names))

    @property
    def folds(self) -> bool:
        """Whether the stage folds its shards into one more."""
        return type(self.stage).reduce is not Stage.reduce


def build_graph(config: Config) -> dict[str, Node]:
    """Make the nodes of a configuration, inputs before their readers.

    Raises:
        ConfigError: an unknown stage class, input, data set or parameter, or a cycle.
    """
    nodes: dict[str, Node] = {}
    for kind, names in (("stages", config.stages), ("datasets", config.datasets)):
        for name in names:
            if not _NAME.fullmatch(name) or name in OURS:
                where = config.where((kind, name))
                raise ConfigError(
                    f"{where}: '{name}' cannot name a folder here", "take letters, digits, _ and -"
                )
    for name, block in config.stages.items():
        for dataset in block.over:
            if dataset not in config.datasets:
                raise ConfigError(
                    f"{config.where(('stages', name, 'over'))}: no data set '{dataset}'",
                    did_you_mean(dataset, config.datasets),
                )
        for dataset in block.over or [""]:
            node = _node(config, name, dataset)
            nodes[node.name] = node
    return _ordered(nodes)


def select(nodes: Mapping[str, Node], targets: Iterable[str]) -> dict[str, Node]:
    """The targets (a stage, or stage/data set) with everything upstream of them; all nodes for no target.

    Raises:
        ConfigError: no such stage.
    """
    wanted = set(nodes_of(nodes, targets))
    for name in reversed(list(nodes)):
        if name in wanted:
            wanted.update(nodes[name].upstream)
    return {name: node for name, node in nodes.items() if name in wanted}


def nodes_of(nodes: Mapping[str, Node], targets: Iterable[str]) -> list[str]:
    """The nodes that the targets name, without what is upstream; all for no target."""
    named: list[str] = []
    for target in targets:
        found = [name for name in nodes if name == target or name.split("/")[0] == target]
        if not found:
            known = [*nodes, *(name.split("/")[0] for name in nodes)]
            raise ConfigError(f"no stage '{target}'", did_you_mean(target, known))
        named += found
    return named or list(nodes)


def load_entry(entry: str, where: str, base: type) -> type[Any]:
    """Import `module:Class` and check that it is a `base`.

    Raises:
        ConfigError: it cannot be imported, or is something else.
    """
    module_name, _, class_name = entry.partition(":")
    if not module_name or not class_name:
        raise ConfigError(f"{where}: '{entry}' names no class", "write module:Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        hint = f"module '{error.name}' is not installed" if error.name != module_name else ""
        raise ConfigError(f"{where}: no module '{module_name}' ({entry})", hint) from error
    except ImportError as error:
        raise ConfigError(f"{where}: {entry} cannot be imported: {error}") from error
    known = {
        name: found
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, base) and found is not base
    }
    if class_name not in known:
        what = f"{where}: no {base.__name__} '{class_name}' in {module_name}"
        raise ConfigError(what, did_you_mean(class_name, known))
    return known[class_name]


def _node(config: Config, name: str, dataset: str) -> Node:
    block = config.stages[name]
    at = ("stages", name)
    stage_class = load_entry(block.run, config.where((*at, "run")), Stage)
    names = {}
    if dataset:
        names = {
            "name": dataset,
            "dataset": _expanded(config, config.datasets[dataset], ("datasets", dataset)),
        }
    params = _expanded(config, block.params, (*at, "params"), **names)
    try:
        typed = validate(stage_class.Params, params, lambda rest: config.where((*at, "params", *rest)))
    except ConfigError as error:
        if not dataset or config.file.locates(error.what):
            raise
        where = config.where(("datasets", dataset))  # what a source finds wrong stands in its own block
        raise ConfigError(f"{where}: {error.what}", error.hint) from error
    return Node(
        name=f"{name}/{dataset}" if dataset else name,
        entry=block.run,
        stage=stage_class(typed),
        keyed=typed.keyed(),
        inputs=_inputs(config, name, dataset, stage_class),
        workers=block.workers or config.workers,
        cpus=block.cpus,
        gpus=block.gpus,
        where=config.where(at),
    )


def _expanded(config: Config, value: Any, at: KeyPath, **names: Any) -> Any:
    try:
        return config.expand(value, **names)
    except ConfigError as error:
        raise ConfigError(f"{config.where(at)}: {error.what}", error.hint) from error


def _inputs(
    config: Config, name: str, dataset: str, stage_class: type[Stage[Any]]
) -> dict[str, tuple[str, ...]]:
    block = config.stages[name]
    declared = {key.rstrip("?*"): key for key in stage_class.inputs}
    resolved: dict[str, tuple[str, ...]] = {}
    for key, value in block.inputs.items():
        where = config.where(("stages", name, "inputs", key))
        if key not in declared:
            raise ConfigError(f"{where}: {block.run} takes no input '{key}'", did_you_mean(key, declared))
        references = [value] if isinstance(value, str) else value
        if len(references) != 1 and not declared[key].endswith("*"):
            raise ConfigError(f"{where}: takes one artifact, not {len(references)}")
        resolved[key] = tuple(_reference(config, ref, dataset, where) for ref in references)
    for key, mark in declared.items():
        if key not in resolved and not mark.endswith(("?", "*")):
            where = config.where(("stages", name, "inputs"))
            raise ConfigError(f"{where}: input '{key}' is missing", f"{key}: {stage_class.inputs[mark]}")
    return resolved


def _reference(config: Config, text: str, dataset: str, where: str) -> str:
    """`stage` (over the same data set), `stage/data set` or `stage/${name}` -> a node's name."""
    text = config.expand(text, name=dataset)
    stage, _, other = text.partition("/")
    if stage not in config.stages:
        raise ConfigError(f"{where}: no stage '{stage}'", did_you_mean(stage, config.stages))
    over = config.stages[stage].over
    if not over:
        if other:
            raise ConfigError(f"{where}: '{stage}' does not run over data sets", f"write {stage}")
        return stage
    wanted = other or dataset
    if wanted not in over:
        found = f"no '{stage}' over '{wanted}'" if wanted else f"'{stage}' runs over several data sets"
        raise ConfigError(f"{where}: {found}", did_you_mean(wanted, over) or f"write {stage}/{over[0]}")
    return f"{stage}/{wanted}"


def _ordered(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Inputs first, otherwise in the order of stages.yaml.

    Raises:
        ConfigError: a cycle, spelled out.
    """
    done: dict[str, Node] = {}
    trail: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in trail:
            cycle = " -> ".join([*trail[trail.index(name) :], name])
            raise ConfigError(f"{nodes[name].where}: a cycle of inputs: {cycle}", "drop one of them")
        trail.append(name)
        for upstream in nodes[name].upstream:
            visit(upstream)
        trail.pop()
        done[name] = nodes[name]

    for name in nodes:
        visit(name)
    return done
