"""stages.yaml, what extends it, a profile and the command line's key=value -> one typed configuration."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt

from pipeline.validate import validate
from pipeline.yamlfile import KeyPath, YamlFile, read_yaml
from store.errors import ConfigError, did_you_mean

TOP = ("extends", "data", "workspace", "executor", "workers", "notes", "datasets", "stages", "profiles")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class StageBlock(BaseModel):
    """One entry of `stages`."""

    model_config = ConfigDict(extra="forbid")

    run: str
    """Entry point `module:Class`, such as extract.regions:RegionFeatures."""
    over: list[str] = []
    """Data sets to run over, one artifact each; without it the stage makes one artifact."""
    inputs: dict[str, str | list[str]] = {}
    """Input name -> stage, stage/data set, or a list of these."""
    params: dict[str, Any] = {}
    """The stage's own parameters."""
    workers: PositiveInt | None = None
    """Shards worked on at once; default: as many as there are CPUs."""
    cpus: NonNegativeFloat = 1
    """CPUs that one worker takes."""
    gpus: NonNegativeFloat = 0
    """GPUs that one worker takes."""


@dataclass(slots=True)
class Config:
    """The configuration in force.

    Attributes:
        file: stages.yaml with its line numbers, or a file that extends it.
        root: folder of stages.yaml, from which paths in it are meant.
        profile: name of the profile.
        data: absolute folder of raw data sets.
        workspace: absolute folder of the profile's artifacts.
        executor: `ray` or `inline`.
        address: Ray cluster to join, or an empty string for one of our own.
        workers: shards worked on at once by default; 0 means as many as there are CPUs.
        notes: sentences that whoever reads the report should know.
        datasets: blocks by name.
        stages: blocks by name.
        origins: where an overridden key was set, by path.
    """

    file: YamlFile
    root: Path
    profile: str
    data: Path
    workspace: Path
    executor: str
    address: str
    workers: int
    notes: list[str]
    datasets: dict[str, dict[str, Any]]
    stages: dict[str, StageBlock]
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """File and line (or the override) that a key comes from, and its dotted name."""
        return _where(self.file, self.origins, path)

    def names(self, override: str) -> bool:
        """Whether the key of `key=value` is one of this configuration."""
        first, *rest = override.partition("=")[0].split(".")
        if first in ("stages", "datasets"):
            return bool(rest) and rest[0] in getattr(self, first)
        return first in TOP or first in self.stages

    def expand(self, value: Any, **names: Any) -> Any:
        """Replace ${data} and the given names in every string of `value`.

        A string that is one variable alone becomes that variable's value, a mapping included.
        """
        return _expand(value, {"data": str(self.data), **names})


def load_config(path: Path, profile: str = "demo", overrides: Iterable[str] = ()) -> Config:
    """Read stages.yaml and lay the profile, then the overrides, over it.

    A file may say `extends: ../stages.yaml` and hold what it adds or changes: key by key, null takes away.

    Args:
        path: stages.yaml, or a file that extends it.
        profile: a key of its `profiles`.
        overrides: `key=value`, value in YAML. Keys: `stages.detector.params.steps`, in short
            `detector.steps`; `datasets.train.count`; `workspace`. A null value removes the key.

    Raises:
        ConfigError: names file, line, key and remedy.
    """
    *_, root = chain = _extended(path)
    taken = {name for each in chain for name in _names(each.data, "stages")}
    file = functools.reduce(lambda base, over: over.over(base), reversed(chain))
    data: dict[str, Any] = file.data
    taken -= _names(data, "stages")
    origins: dict[KeyPath, str] = {}
    profiles = data.pop("profiles", None) or {"demo": {}}
    if not isinstance(profiles, dict) or not isinstance(profiles.get(profile) or {}, dict):
        raise ConfigError(f"{file.where(('profiles', profile))}: expected keys and values")
    if profile not in profiles:
        raise ConfigError(f"{path.name}: no profile '{profile}'", did_you_mean(profile, profiles))
    for key, value in (profiles[profile] or {}).items():
        if key.startswith("stages.") and key.split(".")[1] in taken:
            continue  # what the profile says of a stage that this file does without
        _set(data, key, value, origins, file.where(("profiles", profile, key)))
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise ConfigError(f"'{override}' is no override", "write key=value, such as detector.steps=300")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{override}: the value is not YAML", "quote it") from error
        _set(data, key, value, origins, override)
    return _typed(file, root.path.resolve().parent, data, profile, origins)


def _names(data: Mapping[str, Any], key: str) -> set[str]:
    """What stands under a key that should hold names and blocks; `_typed` refuses one that does not."""
    return set(data[key]) if isinstance(data.get(key), dict) else set()


def _extended(path: Path) -> list[YamlFile]:
    """The file, the one that it extends, and so on."""
    chain: list[YamlFile] = []
    while True:
        file = read_yaml(path)
        if not isinstance(file.data, dict):
            raise ConfigError(f"{path.name}:1: expected keys and values", "see docs/architecture.md")
        for key in file.data:
            if key not in TOP:
                raise ConfigError(f"{file.where((key,))}: unknown key '{key}'", did_you_mean(key, TOP))
        if path.resolve() in [each.path.resolve() for each in chain]:
            raise ConfigError(
                f"{chain[-1].where(('extends',))}: extends itself by way of {path.name}", "end it"
            )
        chain.append(file)
        base = file.data.pop("extends", None)
        if base is None:
            return chain
        if not isinstance(base, str) or not (path.parent / base).is_file():
            raise ConfigError(
                f"{file.where(('extends',))}: no file {base}", "name it from this file's folder"
            )
        path = path.parent / base


def _typed(
    file: YamlFile, root: Path, data: dict[str, Any], profile: str, origins: dict[KeyPath, str]
) -> Config:
    def where(path: KeyPath) -> str:
        return _where(file, origins, path)

    for key in ("datasets", "stages"):
        if not isinstance(data.setdefault(key, {}), dict):
            raise ConfigError(f"{where((key,))}: expected names and blocks")
    for name, block in data["datasets"].items():
        if not isinstance(block, dict):
            raise ConfigError(f"{where(('datasets', name))}: expected keys and values, found {block!r}")
    stages = {
        name: validate(StageBlock, block, functools.partial(_below, where, ("stages", name)))
        for name, block in data["stages"].items()
    }
    executor, _, address = str(data.get("executor", "ray")).partition(":")
    if executor not in ("ray", "inline"):
        raise ConfigError(
            f"{where(('executor',))}: no executor '{executor}'", did_you_mean(executor, ("ray", "inline"))
        )
    workers = data.get("workers", 0)
    if type(workers) is not int or workers < 0:
        raise ConfigError(f"{where(('workers',))}: expected a whole number, found {workers!r}")
    notes = data.get("notes") or []
    if not isinstance(notes, list):
        raise ConfigError(f"{where(('notes',))}: expected a list of sentences, found {notes!r}")
    return Config(
        file=file,
        root=root,
        profile=profile,
        data=(root / str(data.get("data", "data"))).resolve(),
        workspace=(root / str(data.get("workspace", "work"))).resolve() / profile,
        executor=executor,
        address=address,
        workers=workers,
        notes=[str(note) for note in notes],
        datasets=data["datasets"],
        stages=stages,
        origins=origins,
    )


def _set(data: dict[str, Any], key: str, value: Any, origins: dict[KeyPath, str], origin: str) -> None:
    """Put one override in place, where the short form `stage.param` means the stage's parameters."""
    parts = tuple(key.split("."))
    stages = data.get("stages") or {}
    if parts[0] in stages and parts[0] not in TOP:
        if len(parts) == 1:
            raise ConfigError(f"{origin}: '{key}' names a stage", f"name a parameter: {key}.steps=300")
        parts = ("stages", parts[0], "params", *parts[1:])
    if parts[0] not in TOP or parts[0] in ("profiles", "extends"):
        known = [*TOP, *stages]
        raise ConfigError(f"{origin}: unknown key '{parts[0]}'", did_you_mean(parts[0], known))
    if parts[0] in ("stages", "datasets") and len(parts) > 2 and parts[1] not in (data.get(parts[0]) or {}):
        hint = did_you_mean(parts[1], data.get(parts[0]) or {})
        raise ConfigError(f"{origin}: no '{parts[1]}' among {parts[0]}", hint)
    at: Any = data
    for part in parts[:-1]:
        at = at.setdefault(part, {}) if isinstance(at, dict) else None
        if not isinstance(at, dict):
            raise ConfigError(f"{origin}: '{part}' holds no keys")
    if value is None:
        at.pop(parts[-1], None)
    else:
        at[parts[-1]] = value
    origins[parts] = origin


def _where(file: YamlFile, origins: Mapping[KeyPath, str], path: KeyPath) -> str:
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return f"{origins[path[:end]]}: {'.'.join(path)}"
    return f"{file.where(path)}: {'.'.join(path)}" if path else file.where(path)


def _below(where: Callable[[KeyPath], str], base: KeyPath, rest: KeyPath) -> str:
    return where((*base, *rest))


def _expand(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, names) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _VARIABLE.fullmatch(value)
    if whole:
        return _lookup(whole[1], names)
    return _VARIABLE.sub(lambda match: str(_lookup(match[1], names)), value)


def _lookup(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        raise ConfigError(f"unknown variable ${{{name}}}", did_you_mean(name, names))
    return names[name]
