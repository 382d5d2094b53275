"""The learned part of the parser on disk: `factual.safetensors` and `factual.json` side by side.

The JSON file holds labels, lexicon, sizes and provenance, the other the tables of features and the network.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parse.features import Codes, Ints
from parse.gold import Lexicon
from parse.network import Network, Sizes
from store.errors import CorruptError, UserError

SHIPPED = Path(__file__).parent / "data"
"""Where the weights that come with the package lie."""
STEM = "factual"


@dataclass(slots=True)
class Weights:
    """All that is learned.

    Attributes:
        token_keys, pair_keys: known features; key k has row k + 1 of its table, all others row 0.
        relations: labels of pairs of objects; the first is no relation.
        words: those of training, for repairing others.
        provenance: what it was learned from and how.
    """

    network: Network
    token_keys: Codes
    pair_keys: Codes
    relations: list[str]
    lexicon: Lexicon
    words: dict[str, int]
    provenance: dict[str, Any]
    token_rows: Rows = field(init=False)
    pair_rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.token_rows, self.pair_rows = Rows(self.token_keys), Rows(self.pair_keys)


class Rows:
    """Rows of a table by digest: open addressing, all queries at once (bisection costs four times as much).

    Args:
        keys: known digests, none twice; key k has row k + 1, all others row 0.
    """

    def __init__(self, keys: Codes) -> None:
        self._keys = np.concatenate([np.zeros(1, np.uint64), keys])
        bits = max(4, (8 * len(keys)).bit_length())
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self._slots = np.zeros(1 << bits, np.int32)
        rows, slots = np.arange(1, len(keys) + 1, dtype=np.int32), self._first(keys)
        while len(rows):
            free = self._slots[slots] == 0
            self._slots[slots[free]] = rows[free]
            homeless = self._slots[slots] != rows
            rows, slots = rows[homeless], (slots[homeless] + 1) & self._mask

    def __call__(self, features: Codes) -> Ints:
        """Return the rows of digests of any shape."""
        slots = self._first(features)
        rows = self._slots[slots]
        wrong = (rows != 0) & (self._keys[rows] != features)
        if wrong.any():
            place = np.nonzero(wrong)
            rows[place] = self._probe(features[place], slots[place])
        return rows.astype(np.int64)

    def _probe(self, features: Codes, slots: Ints) -> npt.NDArray[np.int32]:
        rows = self._slots[slots]
        wrong = (rows != 0) & (self._keys[rows] != features)
        while wrong.any():
            slots[wrong] = (slots[wrong] + 1) & self._mask
            rows = self._slots[slots]
            wrong = (rows != 0) & (self._keys[rows] != features)
        return rows

    def _first(self, features: Codes) -> Ints:
        return (features >> self._shift).astype(np.int64)


def save(weights: Weights, folder: Path) -> None:
    """Write both files; half precision, which costs no match."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"network.{name}": value.half() for name, value in weights.network.state_dict().items()}
    tensors["token_keys"] = torch.from_numpy(weights.token_keys.view(np.int64))
    tensors["pair_keys"] = torch.from_numpy(weights.pair_keys.view(np.int64))
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / f"{STEM}.safetensors")
    told = {
        "provenance": weights.provenance,
        "sizes": asdict(weights.network.sizes),
        "relations": weights.relations,
        "lexicon": asdict(weights.lexicon),
        "words": weights.words,
    }
    text = json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / f"{STEM}.json").write_text(text + "\n", "utf-8")


def load(folder: Path = SHIPPED) -> Weights:
    """Read what `save` wrote.

    Raises:
        UserError: there are no such files.
        CorruptError: they do not belong together.
    """
    from safetensors.torch import load_file

    try:
        told = json.loads((folder / f"{STEM}.json").read_text("utf-8"))
        tensors = load_file(folder / f"{STEM}.safetensors")
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} has no learned parser: {STEM}.json and {STEM}.safetensors", "babelscene train-parser"
        ) from error
    try:
        network = Network(Sizes(**told["sizes"]))
        state = {
            k.removeprefix("network."): v.float() for k, v in tensors.items() if k.startswith("network.")
        }
        network.load_state_dict(state)
        network.silence_unknown()
        return Weights(
            network=network.eval(),
            token_keys=tensors["token_keys"].numpy().view(np.uint64),
            pair_keys=tensors["pair_keys"].numpy().view(np.uint64),
            relations=told["relations"],
            lexicon=Lexicon(**told["lexicon"]),
            words=told["words"],
            provenance=told["provenance"],
        )
    except (KeyError, TypeError, RuntimeError) as error:
        raise CorruptError(f"{folder}: {STEM}.json and {STEM}.safetensors do not fit: {error}") from error
