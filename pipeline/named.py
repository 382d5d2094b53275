"""What commands are given by name: a pipeline by its file, an artifact by its stage or its folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts import Artifact
from pipeline.config import Config, load_config
from pipeline.graph import build_graph, select
from pipeline.plan import plan_all
from pipeline.workspace import Workspace
from store.errors import ConfigError


def open_pipeline(file: Path, profile: str, overrides: Sequence[str] = ()) -> Config:
    """Read stages.yaml; modules of one's own may lie beside it, for this process and for its workers.

    Args:
        overrides: `key=value`, as for `babelscene run`.

    Raises:
        ConfigError: it cannot be read or meant.
    """
    config = load_config(file, profile, list(overrides))
    for folder in (str(config.root), str(file.resolve().parent)):
        if folder in sys.path:
            continue
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    return config


def require_stages(config: Config, targets: Sequence[str]) -> None:
    """Tell where a stage stands that this file lacks and another pipeline of the workspace has.

    Raises:
        ConfigError: there is such a target. One that stands nowhere is for `select` to refuse.
    """
    for name in {target.partition("/")[0] for target in targets} - set(config.stages):
        for other in pipelines_beside(config)[1:]:
            if name in other.stages:
                place = os.path.relpath(other.file.path)
                what = f"{config.file.path.name}: no stage '{name}'"
                raise ConfigError(what, f"it stands in {place}: add -f {place}")


def pipelines_beside(config: Config, overrides: Sequence[str] = ()) -> list[Config]:
    """The pipelines of one workspace: stages.yaml and each file of the folder `stages` beside it.

    Args:
        overrides: those that name something in a file hold for it.

    Raises:
        ConfigError: one of them cannot be read or meant.
    """
    files = [config.root / "stages.yaml", *sorted((config.root / "stages").glob("*.yaml"))]
    found = []
    for file in files:
        if file.exists() and not file.samefile(config.file.path):
            plain = load_config(file, config.profile)
            theirs = [each for each in overrides if plain.names(each)]
            found.append(load_config(file, config.profile, theirs))
    return [config, *found]


def artifact_at(address: str, file: Path, profile: str, overrides: Sequence[str] = ()) -> Artifact:
    """The artifact in a folder, or that of a stage in stages.yaml.

    Args:
        address: a folder with a manifest, `pretrain`, or `regions/train`.
        overrides: `key=value`, as for `babelscene run`.

    Raises:
        ConfigError: no such stage, several artifacts, or one that is not made.
    """
    if Path(address).is_dir():
        return Artifact.open(Path(address))
    config = open_pipeline(file, profile, overrides)
    require_stages(config, [address])
    plans = plan_all(select(build_graph(config), [address]), Workspace(config.workspace))
    if address not in plans:
        known = [name for name in plans if name.startswith(f"{address}/")]
        raise ConfigError(f"'{address}' names several artifacts", f"take one: {', '.join(known)}")
    if not plans[address].fresh:
        raise ConfigError(
            f"{address} is not made, or not from what stages.yaml now says",
            f"babelscene run -p {profile} {address}; or give the folder of an earlier one",
        )
    return plans[address].artifact
