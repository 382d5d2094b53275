"""BERTs of transformers, VL-BERT and MM-BERT checkpoints into our model, alone or laid over each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from store.errors import UserError
from store.features import open_store
from store.foreign import read_foreign
from train.models.build import build_vlbert
from train.models.vlbert_keys import HYBRID, SKIPPED, our_bert_name, ours
from train.models.weights import Match, load_matching
from train.outputs import write_parameters
from train.recipe import load_recipe
from train.vocabulary import Vocabulary

Init = Literal["hybrid", "skip", "plain"]
FILES = ("model.safetensors", "pytorch_model.bin")
SEGMENTS, POSITIONS = "trunk.segments.weight", "trunk.positions.weight"
HIDDEN = "trunk.hidden_region.weight"
PROJECTION, CLASSES = "trunk.region_projection.weight", "region_head.2.bias"


def bert_file(source: str, revision: str = "") -> Path:
    """The weights of a BERT: of a local folder, or by its name on the hub.

    Raises:
        UserError: there are none.
    """
    folder = Path(source)
    if folder.is_dir():
        for name in FILES:
            if (folder / name).is_file():
                return folder / name
        raise UserError(f"{folder} holds neither {' nor '.join(FILES)}", "give the folder of a BERT")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    problem: Exception | None = None
    for name in FILES:
        try:
            return Path(hf_hub_download(source, name, revision=revision or None))
        except (OSError, ValueError, HfHubHTTPError) as error:
            problem = error
    raise UserError(
        f"no BERT '{source}', neither a folder nor on the hub: {problem}", "check name and network"
    )


def layers_of(checkpoint: Mapping[str, Tensor], init: Init, *, over_bert: bool) -> dict[str, Tensor]:
    """The part of a checkpoint, by its own names, that `init` takes; all where there is no BERT below."""
    if init == "plain" or not over_bert:
        return dict(checkpoint)
    if init == "skip":
        return {name: t for name, t in checkpoint.items() if not any(part in name for part in SKIPPED)}
    return {name: t for name, t in checkpoint.items() if any(part in name for part in HYBRID)}


def import_stream(
    model: nn.Module, bert: Path | None, checkpoint: Path | None, init: Init = "hybrid"
) -> Match:
    """Load a BERT, then a VL-BERT or MM-BERT checkpoint over it; whatever neither holds stays as it was.

    A BERT has two segments, and more positions than a short model; the rows that both have are taken.

    Returns:
        every name that is missing, unexpected or mismatched.

    Raises:
        CorruptError: a file cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    if bert is not None:
        found = read_foreign(bert)
        tensors |= {our_bert_name(name) or name: tensor for name, tensor in found.items()}
        for copy in ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"):
            tensors.pop(copy, None)  # the word table and the bias again
    if checkpoint is not None:
        taken = layers_of(read_foreign(checkpoint), init, over_bert=bert is not None)
        tensors |= ours(taken)
    notes = []
    own = model.state_dict()
    if bert is not None and checkpoint is not None and HIDDEN not in tensors:
        notes.append(f"{HIDDEN} starts as it is, for `{init}` does not take it")
        tensors[HIDDEN] = own[HIDDEN]
    for name in (SEGMENTS, POSITIONS):
        if name in tensors and len(tensors[name]) != len(own[name]):
            rows = min(len(tensors[name]), len(own[name]))
            notes.append(f"{name}: {rows} rows of {len(tensors[name])} taken, the model has {len(own[name])}")
            tensors[name] = torch.cat([tensors[name][:rows], own[name][rows:]])
    return load_matching(model, tensors, tuple(notes))


def published_stream(
    output: Path,
    tokenizer: Path,
    recipe: str,
    *,
    bert: str = "",
    revision: str = "",
    checkpoint: Path | None = None,
    regions: Path | None = None,
    partial: bool = False,
) -> Match:
    """Write a model folder that `open_stream` opens, from a BERT, a checkpoint, or one laid over the other.

    Args:
        recipe: with the sizes; its `vlbert.compatibility.init` says what is laid over a BERT.
        regions: a feature store, for dimension and classes; by default those of the checkpoint, unnamed.
        partial: accept parameters that neither fills.

    Raises:
        CorruptError: a file cannot be read.
        DataError: a parameter would stay random, unless `partial`.
        UserError: nothing to load.
    """
    if not bert and checkpoint is None:
        raise UserError("nothing to import", "give a checkpoint, --bert, or both")
    loaded = load_recipe(recipe)
    vocabulary = Vocabulary(tokenizer)
    dim, classes, attributes = _detector(regions, checkpoint, 8 * loaded.vlbert.model.geometry)
    torch.manual_seed(0)
    model = build_vlbert(loaded, vocabulary.words, dim, len(classes))
    init = loaded.vlbert.compatibility.init
    match = import_stream(model, bert_file(bert, revision) if bert else None, checkpoint, init)
    if not partial:
        match.require(checkpoint or Path(bert))
    output.mkdir(parents=True, exist_ok=True)
    about = {
        "feature_dim": dim,
        "classes": classes,
        "attributes": attributes,
        "languages": [],
        "concepts": [],
    }
    write_parameters(output / "model", loaded, about, model.state_dict(), tokenizer, ranks=1)
    return match


def _detector(
    regions: Path | None, checkpoint: Path | None, geometry: int
) -> tuple[int, list[str], list[str]]:
    """Dimension, classes and attributes of the regions that a model reads."""
    if regions is not None:
        meta = open_store(regions).meta
        return int(meta["dim"]), list(meta.get("classes") or ()), list(meta.get("attributes") or ())
    tensors = {} if checkpoint is None else ours(read_foreign(checkpoint))
    dim = tensors[PROJECTION].shape[1] - geometry if PROJECTION in tensors else 0
    count = len(tensors[CLASSES]) if CLASSES in tensors else 0
    return dim, [f"class {number}" for number in range(count)], []
