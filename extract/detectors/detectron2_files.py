"""Where detectron2's configurations lie, without importing it: stages name them long before they are read."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import yaml

from store.errors import ConfigError, UserError

INSTALL = "pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2"


def require_detectron2() -> Path:
    """The folder of the installed package.

    Raises:
        UserError: it is not installed.
    """
    spec = find_spec("detectron2")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("this detector needs detectron2, which is not installed", INSTALL)
    return Path(next(iter(spec.submodule_search_locations)))


def config_files(name: str) -> list[Path]:
    """A configuration and the files that it builds on (`_BASE_`), in that order.

    Args:
        name: a path, or a name of detectron2's model zoo such as COCO-Detection/faster_rcnn_R_50_C4_1x.yaml.

    Raises:
        ConfigError: one of them does not exist, or is no YAML mapping.
        UserError: the name is of the zoo, and detectron2 is not installed.
    """
    file = Path(name).absolute()
    if not file.is_file():
        file = require_detectron2() / "model_zoo" / "configs" / name
    files: list[Path] = []
    while file not in files:
        try:
            content = yaml.safe_load(file.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(
                f"{file}: not a configuration that can be read: {' '.join(str(error).split())}",
                "give a YAML file, or a name of detectron2's model zoo",
            ) from error
        if not isinstance(content, dict):
            raise ConfigError(f"{file}: not a configuration: it holds no options by name")
        files.append(file)
        if "_BASE_" not in content:
            break
        file = (file.parent / Path(str(content["_BASE_"])).expanduser()).resolve()
    return files
