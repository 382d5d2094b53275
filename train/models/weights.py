"""Foreign tensors into a model: what fits is loaded, and everything that does not is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from store.errors import DataError


@dataclass(frozen=True, slots=True)
class Match:
    """How a file's tensors fit a model, by the model's names.

    Attributes:
        loaded: in both, of one shape.
        missing: in the model alone; left as they were.
        unexpected: in the file alone.
        mismatched: in both, of different shapes; left as they were.
        notes: what was changed to make a tensor fit.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every parameter of the model was loaded."""
        return not self.missing and not self.mismatched

    def lines(self) -> list[str]:
        """One line for each name that does not fit, and for each note."""
        found = [f"missing in the file: {name}" for name in self.missing]
        found += [f"of another shape: {name}" for name in self.mismatched]
        found += [f"no place in the model: {name}" for name in self.unexpected]
        return found + list(self.notes)

    def require(self, source: Path) -> Match:
        """Refuse a model with parameters that are still random.

        Raises:
            DataError: naming all of them.
        """
        if self.complete:
            return self
        raise DataError(
            f"{source} does not fill the model:\n  " + "\n  ".join(self.lines()),
            "check the recipe's sizes and switches against the checkpoint's config",
        )


def load_matching(model: nn.Module, tensors: Mapping[str, Tensor], notes: tuple[str, ...] = ()) -> Match:
    """Load every tensor whose name and shape the model has."""
    own = model.state_dict()
    common = [name for name in own if name in tensors]
    fitting = [name for name in common if own[name].shape == tensors[name].shape]
    model.load_state_dict({name: tensors[name] for name in fitting}, strict=False)
    return Match(
        loaded=tuple(fitting),
        missing=tuple(name for name in own if name not in tensors),
        unexpected=tuple(name for name in tensors if name not in own),
        mismatched=tuple(
            f"{name} ({list(tensors[name].shape)} in the file, {list(own[name].shape)} in the model)"
            for name in common
            if name not in fitting
        ),
        notes=notes,
    )


def also_named(tensors: Mapping[str, Tensor], parts: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors, and those of some parts under a second name as well, where nothing else has it.

    Args:
        parts: second name of a part -> its name.
    """
    more = {
        second + name.removeprefix(part): tensor
        for second, part in parts.items()
        for name, tensor in tensors.items()
        if name.startswith(f"{part}.")
    }
    return {**more, **tensors}
