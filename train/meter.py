"""How fast a run goes, how much memory it takes, and what share of the device's arithmetic it uses."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

PEAKS = {
    "H200": (989e12, 67e12),
    "H100": (989e12, 67e12),
    "H800": (989e12, 67e12),
    "A100": (312e12, 19.5e12),
    "A800": (312e12, 19.5e12),
    "A40": (149.7e12, 37.4e12),
    "A10": (125e12, 31.2e12),
    "L40S": (362e12, 91.6e12),
    "L4": (121e12, 30.3e12),
    "V100": (125e12, 15.7e12),
    "T4": (65e12, 8.1e12),
    "4090": (165e12, 82.6e12),
    "3090": (71e12, 35.6e12),
}
"""Dense floating-point operations per second in bf16 or fp16 (tensor cores) and in fp32, from the vendor's
data sheets, by a part of the device's name; a name is looked up in this order."""


def peak(device_name: str, dtype: str) -> float | None:
    """Operations per second that a device can do at the most; None for one that the table does not hold."""
    words = device_name.replace("-", " ").split()
    for name, (half, single) in PEAKS.items():
        if name in words:
            return single if dtype == "fp32" else half
    return None


def memory() -> float:
    """Most bytes in use at once so far: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


@dataclass(slots=True)
class Meter:
    """Rates since the last look.

    Attributes:
        limit: floating-point operations per second of all devices together; None where unknown.
        operations: of a token, forward and backward, counted in the first step; 0 before.
    """

    limit: float | None = None
    operations: float = 0.0
    _since: float = field(default_factory=time.perf_counter)
    _waited: float = 0.0

    @contextlib.contextmanager
    def counting(self, tokens: int) -> Iterator[None]:
        """Count the operations of what is done inside, once, where the device's limit is known."""
        if self.limit is None or self.operations:
            yield
            return
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            yield
        self.operations = counter.get_total_flops() / max(tokens, 1)

    def read(self, *, samples: int, tokens: float, waited: float) -> dict[str, float]:
        """Figures of the steps since the last call.

        Args:
            samples, tokens: done since then, over all ranks.
            waited: seconds that this rank has waited for data since the start.
        """
        now = time.perf_counter()
        spent = max(now - self._since, 1e-9)
        figures = {
            "samples_per_second": samples / spent,
            "tokens_per_second": tokens / spent,
            "data_wait": (waited - self._waited) / spent,
            "memory_gb": memory() / 1e9,
        }
        if self.limit is not None and self.operations:
            figures["mfu"] = self.operations * tokens / spent / self.limit
        self._since, self._waited = now, waited
        return figures
