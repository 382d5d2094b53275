"""A detector on its device: what is faster stays right, what is too large goes in halves, what is not there is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from extract.architecture import Architecture
from extract.detectors.base import Proposals
from extract.detectors.compact import CompactDetector
from extract.detectors.torchvision import TorchvisionDetector
from extract.device import Accelerated, Inference, _widened, place
from extract.recipes import find_recipe
from pipeline.stats import Stats
from store.errors import UserError
from tests.extract.toys import SMALL

RECIPE = find_recipe("demo")


def compact(architecture: Architecture = SMALL) -> CompactDetector:
    torch.manual_seed(0)
    return CompactDetector(architecture, ["disc", "square"], ["blue", "red"]).eval()


def pixels(n: int, height: int = 64, width: int = 72) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


class Narrow:
    """A detector whose device holds so many images of 64 x 72 at once; it says which mean each image has."""

    classes = attributes = ("one",)
    dimension = 1

    def __init__(self, holds: float) -> None:
        self.holds = holds
        self.asked: list[int] = []

    def detect(
        self, images: torch.Tensor, proposals: int, given: torch.Tensor | None = None
    ) -> list[Proposals]:
        self.asked.append(len(images))
        if images.numel() > self.holds * 3 * 64 * 72:
            raise torch.OutOfMemoryError("CUDA out of memory")
        nothing = torch.zeros(1, 1)
        return [
            Proposals(
                proposals=torch.zeros(1, 4),
                boxes=torch.zeros(1, 1, 4),
                class_scores=nothing,
                attribute_scores=nothing,
                features=image.mean().view(1, 1),
            )
            for image in images
        ]


def test_a_batch_that_is_too_large_goes_in_halves_and_so_do_later_ones() -> None:
    detector, stats = Narrow(holds=2), Stats()
    inference = Inference(detector=detector, device=torch.device("cpu"))
    everything = Narrow(holds=100)
    whole = Inference(detector=everything, device=torch.device("cpu")).propose(pixels(7), RECIPE, Stats())
    found = inference.propose(pixels(7), RECIPE, stats)
    assert [float(f.features) for f in found if f] == [float(f.features) for f in whole if f]
    assert detector.asked == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert stats.totals["batches_halved_for_memory"] == 2
    detector.asked.clear()
    inference.propose(pixels(2, 32, 36), RECIPE, stats)
    assert detector.asked == [2], "smaller images still go together"
    assert stats.totals["batches_halved_for_memory"] == 2


def test_an_image_that_is_too_large_by_itself_is_given_up_alone() -> None:
    inference = Inference(detector=Narrow(holds=0.5), device=torch.device("cpu"))
    assert inference.propose(pixels(3), RECIPE, Stats()) == [None] * 3
    assert None not in inference.propose(pixels(3, 32, 36), RECIPE, Stats())


@pytest.mark.parametrize(
    ("cuda", "what", "hint"),
    [(None, "built for CPUs alone", "install a build"), ("13.2", "sees no GPU", "gpus: 1")],
)
def test_a_gpu_that_is_not_there_is_said(
    cuda: str | None, what: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=what) as raised:
        place(compact(), "cuda")
    assert hint in raised.value.hint
    assert "device: cpu" in raised.value.hint


def test_a_detector_that_names_no_networks_is_not_made_faster() -> None:
    assert place(Narrow(1)).detector.dimension == 1
    with pytest.raises(UserError, match="Narrow does not say"):
        place(Narrow(1), precision="bfloat16")


def test_detectors_name_their_networks() -> None:
    for detector in (
        compact(),
        TorchvisionDetector("fasterrcnn_mobilenet_v3_large_fpn", ["background", "dog"]),
    ):
        assert isinstance(detector, Accelerated)
        own = list(detector.modules())
        assert all(any(network is each for each in own) for network in detector.networks)


def proposed(**faster: Any) -> Proposals:
    (found,) = place(compact(), **faster).propose(pixels(1), RECIPE, Stats())
    assert found is not None
    return found


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_changes_little_and_no_coordinate_is_in_it(precision: Any) -> None:
    exact, half = proposed(), proposed(precision=precision)
    assert {t.dtype for t in (half.proposals, half.boxes, half.class_scores, half.features)} == {
        torch.float32
    }
    assert not torch.equal(exact.features, half.features)
    best = half.proposals[0]
    assert float((exact.proposals - best).abs().amax(1).min()) < 0.5
    torch.testing.assert_close(half.class_scores.mean(0), exact.class_scores.mean(0), atol=0.02, rtol=0)


def test_channels_last_changes_rounding_alone() -> None:
    exact, other = proposed(), proposed(channels_last=True)
    torch.testing.assert_close(other.boxes, exact.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(other.features, exact.features, atol=1e-4, rtol=1e-4)


def test_every_network_is_compiled_for_fixed_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bool] = []

    def compile_(forward: Callable[..., Any], *, dynamic: bool) -> Callable[..., Any]:
        compiled.append(dynamic)
        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    exact, same = proposed(), proposed(compiled=True)
    assert compiled == [False] * len(compact().networks)
    assert torch.equal(exact.features, same.features)


def test_widened_reaches_into_what_holds_tensors() -> None:
    half = torch.ones(2).half()
    found = _widened({"0": half, "pair": (half, [half.double()])})
    assert found["0"].dtype == found["pair"][0].dtype == found["pair"][1][0].dtype == torch.float32


def test_memory_is_noted_and_peaks_add_as_the_larger_one() -> None:
    stats = Stats()
    place(compact()).note_memory(stats)
    assert stats.peaks["host memory"] > 10_000_000
    other = Stats(peaks={"host memory": 1.0, "device memory": 5.0})
    merged = Stats.from_json((stats + other).to_json())
    assert merged.peaks == {"host memory": stats.peaks["host memory"], "device memory": 5.0}
