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
    """Read stages.yaml; stages of one's own may lie beside it, for this process and for its workers.

    Args:
        overrides: `key=value`, as for `babelscene run`.

    Raises:
        ConfigError: it cannot be read or meant.
    """
    root = str(file.resolve().parent)
    if root not in sys.path:
        sys.path.insert(0, root)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return load_config(file, profile, list(overrides))


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
