"""A detector on its device: precision, layout in memory, compilation, and what to do when memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from extract.clock import peak_memory
from extract.detectors.base import Detector, Proposals
from extract.images import normalise
from extract.recipes import Recipe
from pipeline.stats import Stats
from store.errors import UserError

Tensor = torch.Tensor
DeviceName = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]

SHAPES_COMPILED = 64
"""Shapes of a batch for which code is kept; those that come later run without."""


@runtime_checkable
class Accelerated(Protocol):
    """A detector that says which of its modules may be made faster.

    Attributes:
        networks: modules that take tensors and give tensors (or dicts, lists, tuples of them), none of which
            is a coordinate: 600 pixels in bfloat16 are right to 2 pixels.
    """

    @property
    def networks(self) -> Sequence[nn.Module]: ...


@dataclass(slots=True, kw_only=True)
class Inference:
    """A detector that is ready.

    On a GPU three threads keep it busy: one copies the next batch there, one computes, and one reads what was
    found. Each has a stream of its own.

    Attributes:
        detector: on `device`.
        channels_last: layout of the images that it is given.
        room: bytes of pixels that the device can take at once; None while nothing is known.
        copies, reads: the streams of the first thread and the third; None on a CPU.
    """

    detector: Detector
    device: torch.device
    channels_last: bool = False
    room: int | None = None
    copies: torch.cuda.Stream | None = None
    reads: torch.cuda.Stream | None = None

    def upload(self, pixels: Tensor) -> Tensor:
        """Copy uint8 [B, H, W, 3] to the device; returns when it is there."""
        if self.copies is None:
            return pixels
        with torch.cuda.stream(self.copies):
            there = pixels.to(self.device, non_blocking=True)
        self.copies.synchronize()
        return there

    def propose(self, pixels: Tensor, recipe: Recipe, stats: Stats) -> list[Proposals | None]:
        """What the detector says of each image; None for one that is too large for the device by itself.

        A batch that is too large goes in halves, as do later ones of its size; `stats` counts how often.

        Args:
            pixels: uint8 [B, H, W, 3] on the device.
        """
        if self.copies is not None:  # its memory is not to be used again before this stream is done with it
            pixels.record_stream(torch.cuda.current_stream(self.device))
        found: list[Proposals | None] = []
        while len(found) < len(pixels):
            most = len(pixels) if self.room is None else max(self.room // pixels[0].nbytes, 1)
            part = pixels[len(found) :][:most]
            proposals = self._detect(part, recipe)
            if proposals is not None:
                found += proposals
                continue
            torch.cuda.empty_cache()
            if len(part) == 1:
                found.append(None)
            else:
                self.room = part.nbytes // 2
                stats.totals["batches_halved_for_memory"] += 1
        return found

    def _detect(self, pixels: Tensor, recipe: Recipe) -> list[Proposals] | None:
        """None where the device's memory is too small."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        try:
            images = normalise(pixels, recipe.preprocessing).to(memory_format=layout)
            given = None
            if recipe.selection.whole_image:
                height, width = images.shape[-2:]
                given = torch.tensor([[0.0, 0.0, width, height]], device=images.device)
            return self.detector.detect(images, recipe.proposals, given)
        except torch.OutOfMemoryError:
            return None

    def computed(self) -> torch.cuda.Event | None:
        """What `reading` waits for: that the device has done all that this thread asked of it until now."""
        return None if self.reads is None else torch.cuda.current_stream(self.device).record_event()

    @contextmanager
    def reading(self, computed: torch.cuda.Event | None) -> Iterator[None]:
        """Read from the device beside what it computes next."""
        if self.reads is None or computed is None:
            yield
            return
        with torch.cuda.stream(self.reads):
            self.reads.wait_event(computed)
            yield

    def note_memory(self, stats: Stats) -> None:
        """Record the most bytes in use: of this process so far, and on the device since the last note."""
        stats.peaks["host memory"] = peak_memory()
        if self.device.type == "cuda":
            stats.peaks["device memory"] = torch.cuda.max_memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)


def place(
    detector: Detector,
    device: DeviceName = "cpu",
    *,
    precision: Precision = "float32",
    channels_last: bool = False,
    compiled: bool = False,
) -> Inference:
    """Move a detector to a device and make its networks as fast as asked for. Changes the detector.

    Args:
        precision: in which the networks compute; what is not part of them stays in float32.
        channels_last: keep the channels of a pixel together in memory.
        compiled: compile the networks for every shape of a batch.

    Raises:
        UserError: there is no such device, or the detector does not say what its networks are.
    """
    where = device_of(device)
    if where.type != "cpu":
        if not isinstance(detector, nn.Module):
            raise UserError(f"{type(detector).__name__} runs on the CPU alone", "set the stage's device: cpu")
        detector.to(where)
    networks = detector.networks if isinstance(detector, Accelerated) else ()
    if not networks and (channels_last or compiled or precision != "float32"):
        raise UserError(
            f"{type(detector).__name__} does not say which of its modules may be made faster",
            "leave precision, channels_last and compiled of the stage as they are",
        )
    for network in networks:
        _fold(network)
        if channels_last:
            network.to(memory_format=torch.channels_last)
        network.forward = _faster(network.forward, where, precision, compiled=compiled)
    ready = Inference(detector=detector, device=where, channels_last=channels_last)
    if where.type == "cuda":
        ready.copies, ready.reads = torch.cuda.Stream(where), torch.cuda.Stream(where)
    return ready


def device_of(name: DeviceName) -> torch.device:
    """The device of that name.

    Raises:
        UserError: there is none.
    """
    if name == "cpu":
        return torch.device("cpu")
    if torch.version.cuda is None and torch.version.hip is None:
        raise UserError(
            f"device '{name}' is asked for, but this PyTorch ({torch.__version__}) is built for CPUs alone",
            "install a build of PyTorch for GPUs, or set the stage's device: cpu",
        )
    if not torch.cuda.is_available():
        raise UserError(
            f"device '{name}' is asked for, but PyTorch sees no GPU",
            "give each worker of the stage one (gpus: 1 in stages.yaml), or set its device: cpu",
        )
    return torch.device("cuda", torch.cuda.current_device())


def _fold(network: nn.Module) -> None:
    """Fold a normalisation into the layer before it, wherever a sequence shows what follows what."""
    for child in network.children():
        _fold(child)
    if isinstance(network, nn.Sequential):
        for i, (layer, norm) in enumerate(pairwise(network)):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                network[i], network[i + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                network[i], network[i + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()


def _faster(
    forward: Callable[..., Any], device: torch.device, precision: Precision, *, compiled: bool
) -> Callable[..., Any]:
    if compiled:
        import torch._dynamo as dynamo

        dynamo.config.recompile_limit = SHAPES_COMPILED
        forward = torch.compile(forward, dynamic=False)
    if precision == "float32":
        return forward

    def narrow(*args: Any) -> Any:
        with torch.autocast(device.type, getattr(torch, precision)):
            return _widened(forward(*args))

    return narrow


def _widened(found: Any) -> Any:
    """The same in float32, whatever holds the tensors."""
    if isinstance(found, Tensor):
        return found.float()
    if isinstance(found, Mapping):
        return {name: _widened(each) for name, each in found.items()}
    return type(found)(_widened(each) for each in found)
