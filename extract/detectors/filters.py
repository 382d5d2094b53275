"""Fixed filters that need no training: Gabor energies for texture, soft histograms for colour.

They stand where a detector pre-trained on millions of photographs has its first layers, which a detector
trained on the spot has no time to learn. Gabor energy: Jain and Farrokhnia 1991; histograms of colour: Swain
and Ballard 1991.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from extract.architecture import FIXED

Tensor = torch.Tensor

STRIDE = 4
ORIENTATIONS = 4
WAVELENGTHS = (3.0, 5.0, 8.0)
"""Of the Gabor filters, in pixels."""

COLOURS = (-1.6, 0.0, 1.6)
"""Centres of the histogram's bins on each of the channels, which lie between -2 and 2."""


class FilterBank(nn.Module):
    """float32 [B, 3, H, W], normalised to -2 .. 2, to float32 [B, FIXED, ceil(H / 4), ceil(W / 4)]."""

    kernels: Tensor
    centres: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [gabor(w, math.pi * k / ORIENTATIONS) for w in WAVELENGTHS for k in range(ORIENTATIONS)]
        self.register_buffer("kernels", torch.stack([f for pair in pairs for f in pair]), persistent=False)
        assert len(pairs) + len(COLOURS) ** 3 == FIXED
        self.register_buffer("centres", torch.tensor(COLOURS), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        grey = images.mean(dim=1, keepdim=True)
        margin = self.kernels.shape[-1] // 2
        grey = nn.functional.pad(grey, [margin] * 4, mode="replicate")
        responses = nn.functional.conv2d(grey, self.kernels, stride=2)
        even, odd = responses.mul_(responses).unflatten(1, (-1, 2)).unbind(2)
        energy = (even + odd).add_(1e-6).sqrt_()
        energy = nn.functional.avg_pool2d(energy, STRIDE // 2, ceil_mode=True)
        return torch.cat([energy, self._histogram(images)], dim=1)

    def _histogram(self, images: Tensor) -> Tensor:
        """How much a pixel belongs to each bin of the colour cube: linear between neighbouring centres."""
        small = nn.functional.avg_pool2d(images, STRIDE, ceil_mode=True)
        gap = self.centres[1] - self.centres[0]
        near = 1 - (small.unsqueeze(2) - self.centres.view(1, 1, -1, 1, 1)).abs() / gap
        near = near.clamp(min=0)
        near = near / near.sum(dim=2, keepdim=True).clamp(min=1e-6)  # beyond the outer centres: all theirs
        red, green, blue = near.unbind(1)
        cube = red[:, :, None, None] * green[:, None, :, None] * blue[:, None, None, :]
        return cube.flatten(1, 3)


def gabor(wavelength: float, angle: float, side: int = 9) -> tuple[Tensor, Tensor]:
    """The even and the odd filter of one wavelength and direction, float32 [1, side, side].

    The envelope's deviation is half a wavelength; both have no mean and an absolute sum of 1.
    """
    axis = torch.arange(side, dtype=torch.float64) - side // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    envelope = torch.exp(-(x.square() + y.square()) / (2 * (wavelength / 2) ** 2))
    waves = [torch.cos(math.tau * along / wavelength), torch.sin(math.tau * along / wavelength)]
    filters = [envelope * wave for wave in waves]
    filters = [f - envelope * f.sum() / envelope.sum() for f in filters]
    even, odd = ((f / f.abs().sum()).float().unsqueeze(0) for f in filters)
    return even, odd
