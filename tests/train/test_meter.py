"""Rates, and the table of what devices can do."""

import pytest
import torch

from train import meter
from train.meter import Meter, peak


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("NVIDIA H200", "bf16", 989e12),
        ("NVIDIA A100-SXM4-80GB", "fp16", 312e12),
        ("NVIDIA A100-SXM4-80GB", "fp32", 19.5e12),
        ("NVIDIA L4", "bf16", 121e12),
        ("NVIDIA GeForce RTX 4090", "bf16", 165e12),
        ("cpu", "fp32", None),
        ("NVIDIA A1000", "bf16", None),
    ],
)
def test_a_device_is_known_or_it_is_not(name: str, dtype: str, expected: float | None) -> None:
    assert peak(name, dtype) == expected


def test_figures_are_rates_since_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(meter.time, "perf_counter", lambda: now[0])
    seen = Meter(limit=1e6, _since=100.0)
    weight = torch.ones(8, 8, requires_grad=True)
    with seen.counting(tokens=4):
        (torch.ones(4, 8) @ weight).sum().backward()
    counted = seen.operations
    assert counted == 2 * (2 * 8 * 8)  # a product forward, and one for the gradient of the weight
    with seen.counting(tokens=4):
        torch.ones(4, 8) @ weight
    assert seen.operations == counted
    now[0] = 102.0
    found = seen.read(samples=32, tokens=1000, waited=0.5)
    assert found["samples_per_second"] == 16
    assert found["tokens_per_second"] == 500
    assert found["data_wait"] == 0.25
    assert found["mfu"] == pytest.approx(counted * 500 / 1e6)
    now[0] = 103.0
    assert seen.read(samples=8, tokens=0, waited=0.5)["data_wait"] == 0
    assert "mfu" not in Meter().read(samples=8, tokens=5, waited=0.0)
