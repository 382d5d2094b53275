"""Open a published model as a frozen tower: all of its weights, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from store.errors import UserError


@contextmanager
def quiet() -> Iterator[None]:
    """Let transformers say nothing: what is wrong with weights is said by our own errors."""
    from transformers import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()


def load_model(folder: Path, *, pooler: bool) -> nn.Module:
    """The model of a folder in the layout of transformers, in float32, in inference mode, on the CPU.

    Args:
        pooler: whether the model's own pooling is needed; many checkpoints come without its weights, which
            transformers would draw at random.

    Raises:
        UserError: it is no such folder, or weights are missing or of another shape.
    """
    import transformers
    from safetensors import SafetensorError

    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            kind = _class_of(config)
            # Random values for missing weights are drawn, and then refused: no draw of ours may move.
            with torch.random.fork_rng(devices=[]):
                model, found = kind.from_pretrained(
                    folder,
                    config=config,
                    local_files_only=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                    use_safetensors=any(folder.glob("*.safetensors")),
                )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{folder} cannot be opened as a model of transformers: {' '.join(str(error).split())}",
            "give the folder that save_pretrained wrote, or a whole download",
        ) from error
    lacking = sorted({str(key) for key in found["missing_keys"]} | _names(found["mismatched_keys"]))
    if not pooler:
        lacking = [name for name in lacking if "pooler" not in name]
    if lacking:
        raise UserError(
            f"{folder} lacks the weights {', '.join(lacking[:4])}{' ...' if len(lacking) > 4 else ''}",
            "pool: cls takes the first token's state as it is"
            if all("pooler" in name for name in lacking)
            else "the weights are not those of its config.json",
        )
    if getattr(config, "is_encoder_decoder", False):  # of T5 and its like, the half that reads
        model = model.get_encoder()
    return model.eval().requires_grad_(False)


def _names(mismatched: Any) -> set[str]:
    return {str(each[0] if isinstance(each, tuple) else each) for each in mismatched}


def _class_of(config: Any) -> Any:
    """transformers' class; a half of CLIP saved with its projection keeps that."""
    import transformers

    name = next(iter(config.architectures or ()), "")
    return getattr(transformers, name) if name.endswith("WithProjection") else transformers.AutoModel
