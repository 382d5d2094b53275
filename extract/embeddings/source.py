"""Where a tower comes from, and which of its files determine what it makes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.stage import Inputs
from store.errors import ConfigError, UserError

WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
OLD_WEIGHTS = ("pytorch_model*.bin", "pytorch_model*.bin.index.json")
"""Used where there are no others."""
IMAGE_FILES = ("config.json", "preprocessor_config.json", "processor_config.json")
TEXT_FILES = (
    "config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.model",
    "special_tokens_map.json",
    "added_tokens.json",
)


def identity(
    tower: str, revision: str, files: Sequence[str], inputs: Inputs
) -> tuple[dict[str, str], dict[str, Any]]:
    """What tells one tower from another in the key of a shard: `uses` and `args`.

    Args:
        tower: a local folder, or a name on the Hugging Face hub.
        revision: the hub's commit, tag or branch.
        files: patterns of the files that matter beside the weights.

    Returns:
        For a folder the digests of its files, wherever it lies; for a hub name that and the revision.

    Raises:
        ConfigError: neither a folder nor a name, or a revision of a folder.
        UserError: a folder without weights or configuration.
    """
    folder = Path(tower).absolute()
    if folder.is_dir():
        if revision:
            raise ConfigError(f"tower {tower} is a folder, and those have no revision", "leave it out")
        return {f"tower/{file.name}": inputs.digest(file) for file in _relevant(folder, files)}, {}
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", tower):
        raise ConfigError(
            f"tower {tower} is no folder here, nor a name on the Hugging Face hub",
            "give the folder that save_pretrained wrote, or a name such as openai/clip-vit-base-patch32",
        )
    return {}, {"tower": tower, "revision": revision or "main"}


def resolve(tower: str, revision: str, files: Sequence[str]) -> tuple[Path, str]:
    """The folder of a tower, fetched from the hub where it is not a folder, and the hub's commit (or "").

    Raises:
        UserError: it cannot be fetched, or has no weights.
    """
    folder = Path(tower).absolute()
    if folder.is_dir():
        _relevant(folder, files)
        return folder, ""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        for weights in (WEIGHTS, OLD_WEIGHTS):
            patterns = [*files, *weights]
            folder = Path(snapshot_download(tower, revision=revision or None, allow_patterns=patterns))
            if _match(folder, weights):
                break
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise UserError(
            f"tower '{tower}' ({revision or 'main'}) is neither here nor can it be fetched:"
            f" {' '.join(str(error).split())[:120]}",
            f"where there is a network: hf download {tower} --local-dir FOLDER; here: tower=FOLDER",
        ) from error
    _relevant(folder, files)
    return folder, folder.name


def _relevant(folder: Path, files: Sequence[str]) -> list[Path]:
    weights = _match(folder, WEIGHTS) or _match(folder, OLD_WEIGHTS)
    for what, found in (("weights", weights), ("config.json", _match(folder, ("config.json",)))):
        if not found:
            raise UserError(
                f"{folder} holds no {what}", "give the folder that save_pretrained wrote, or a whole download"
            )
    return sorted({*weights, *_match(folder, files)})


def _match(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [file for pattern in patterns for file in sorted(folder.glob(pattern)) if file.is_file()]
