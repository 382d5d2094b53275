"""Fisher vectors: what the patches inside a box are like, learned from images without labels or weights.

Two kinds of patches are described on a dense lattice at two sizes: texture by half-wave rectified gradients
in eight directions (Tola et al. 2010), normalised as RootSIFT (Arandjelovic and Zisserman 2012), and colour
by means and deviations (Clinchant et al. 2007). A box is described by how its patches differ from a mixture
of Gaussians: the improved Fisher vector of Perronnin, Sanchez and Mensink (2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

Tensor = torch.Tensor

CELLS = (4, 8)
"""Sides in pixels of a patch's cells, of which it has `ACROSS` in each direction."""
ACROSS = 4
STEP = 8
"""Pixels between neighbouring patches."""
DIRECTIONS = 8
LARGEST = 0.2
"""Of a normalised histogram of gradients, as in SIFT."""
PRINCIPAL = 48
"""Components of a patch's description that the mixture models."""
ROUNDS = 12
"""Of expectation maximisation."""
LEAST_VARIANCE = 0.02
FAINT = 1e-3
"""Shares of a patch below this are left out."""


def texture(images: Tensor, cell: int) -> Tensor:
    """Describe patches by their gradients.

    Args:
        images: float32 [B, 3, H, W].

    Returns:
        float32 [B, DIRECTIONS * ACROSS ** 2, h, w].
    """
    angles = torch.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
    across = torch.tensor([[0.0, 0.0, 0.0], [-0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])
    kernels = torch.stack([a.cos() * across + a.sin() * across.T for a in angles]).unsqueeze(1)
    grey = nn.functional.pad(images.mean(dim=1, keepdim=True), [1] * 4, mode="replicate")
    found = _patches(nn.functional.conv2d(grey, kernels.to(images)).relu_(), cell)
    found = nn.functional.normalize(found + 1e-6, dim=1).clamp(max=LARGEST)
    return nn.functional.normalize(found, p=1, dim=1).sqrt()


def colour(images: Tensor, cell: int) -> Tensor:
    """Describe patches by the mean and the deviation of each channel; [B, 6 * ACROSS ** 2, h, w]."""
    mean = nn.functional.avg_pool2d(images, cell)
    square = nn.functional.avg_pool2d(images * images, cell)
    deviation = (square - mean * mean).clamp(min=1e-6).sqrt()
    return _joined(torch.cat([mean, deviation], dim=1), cell)


def _patches(maps: Tensor, cell: int) -> Tensor:
    return _joined(nn.functional.avg_pool2d(maps, cell), cell)


def _joined(cells: Tensor, cell: int) -> Tensor:
    """Cells beside one another as one description, `STEP` pixels apart."""
    windows = cells.unfold(2, ACROSS, STEP // cell).unfold(3, ACROSS, STEP // cell)  # [B, C, h, w, 4, 4]
    return windows.permute(0, 4, 5, 1, 2, 3).flatten(1, 3)


KINDS: Mapping[str, Callable[[Tensor, int], Tensor]] = {"texture": texture, "colour": colour}


def centres(shape: Sequence[int], cell: int) -> Tensor:
    """Where patches lie: float32 [h * w, 2], x and y in pixels of the middle."""
    y, x = (torch.arange(side) * STEP + ACROSS * cell / 2 for side in shape)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1).float()


class Mixture(nn.Module):
    """Principal components of one kind of patches, and Gaussians over these.

    Attributes:
        mean, axes: [D] and [D, P], which make components of unit variance.
        means, variances, shares: [K, P], [K, P] and [K], of the Gaussians.
    """

    mean: Tensor
    axes: Tensor
    means: Tensor
    variances: Tensor
    shares: Tensor

    def __init__(self, size: int, gaussians: int) -> None:
        super().__init__()
        for name, shape in {
            "mean": (size,),
            "axes": (size, PRINCIPAL),
            "means": (gaussians, PRINCIPAL),
            "variances": (gaussians, PRINCIPAL),
            "shares": (gaussians,),
        }.items():
            self.register_buffer(name, torch.ones(shape))

    @property
    def dimension(self) -> int:
        """Length of a Fisher vector."""
        return 2 * self.means.numel()

    def fit(self, patches: Tensor) -> None:
        """Learn from patches [N, D], N >= K, of which K by chance are the first means."""
        self.mean = patches.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov(patches.T.double()))
        widest = values[-PRINCIPAL:].clamp(min=1e-8).sqrt()
        self.axes = (vectors[:, -PRINCIPAL:] / widest).float()
        parts = (patches - self.mean) @ self.axes
        first = torch.randperm(len(parts))[: len(self.shares)]
        self.means, self.variances = parts[first].clone(), torch.ones_like(self.variances)
        self.shares = torch.full_like(self.shares, 1 / len(first))
        for _ in range(ROUNDS):
            owned = self.belonging(parts)
            counts = owned.sum(dim=0) + 1e-3
            self.means = owned.T @ parts / counts[:, None]
            spread = owned.T @ parts.square() / counts[:, None] - self.means.square()
            self.variances = spread.clamp(min=LEAST_VARIANCE)
            self.shares = counts / counts.sum()

    def belonging(self, parts: Tensor) -> Tensor:
        """Share [N, K] of each patch [N, P] that each Gaussian explains."""
        precise = 1 / self.variances
        distance = parts.square() @ precise.T - 2 * parts @ (self.means * precise).T
        constant = (self.means.square() * precise + self.variances.log()).sum(dim=1)
        return (self.shares.log() - (distance + constant) / 2).softmax(dim=1)

    def describe(self, patches: Tensor, inside: Tensor) -> Tensor:
        """Fisher vectors of sets of patches.

        Args:
            patches: [N, D] of one image.
            inside: float32 [R, N], 1 where a patch belongs to a set.

        Returns:
            float32 [R, dimension], of unit length; zeros for a set without patches.
        """
        parts = (patches - self.mean) @ self.axes
        owned = self.belonging(parts)
        owned = owned * (owned > FAINT)
        both = torch.cat([parts, parts.square()], dim=1)
        sums = torch.einsum("rn,nk,np->rkp", inside, owned, both)
        count = (inside @ owned).unsqueeze(2)
        first, second = sums.split(PRINCIPAL, dim=2)
        by_mean = (first - count * self.means) / (self.variances * self.shares[:, None]).sqrt()
        by_spread = second - 2 * first * self.means + count * (self.means.square() - self.variances)
        by_spread = by_spread / (self.variances * (2 * self.shares[:, None]).sqrt())
        found = torch.cat([by_mean, by_spread], dim=2).flatten(1)
        found = found / inside.sum(dim=1, keepdim=True).clamp(min=1)
        return nn.functional.normalize(found.sign() * found.abs().sqrt(), dim=1)


class FisherVectors(nn.Module):
    """The describer of boxes: one mixture for each kind of patches, beside one another."""

    def __init__(self, gaussians: int = 64) -> None:
        super().__init__()
        sizes = {"texture": DIRECTIONS * ACROSS**2, "colour": 6 * ACROSS**2}
        mixtures = {name: Mixture(size, gaussians) for name, size in sizes.items()}
        self.mixtures: Mapping[str, Mixture] = nn.ModuleDict(mixtures)  # type: ignore[assignment]
        self.blocks = [mixture.dimension for mixture in mixtures.values()]

    def patches(self, images: Tensor, kind: str) -> tuple[Tensor, Tensor]:
        """Patches [B, N, D] of images [B, 3, H, W] and their middles [N, 2] in pixels."""
        maps = [KINDS[kind](images, cell) for cell in CELLS]
        where = [centres(each.shape[2:], cell) for each, cell in zip(maps, CELLS, strict=True)]
        return torch.cat([each.flatten(2) for each in maps], dim=2).transpose(1, 2), torch.cat(where)

    def forward(self, images: Tensor, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Describe boxes, [R, 4] in pixels for each image, as [R, dimension]."""
        found: list[list[Tensor]] = [[] for _ in boxes]
        for kind, mixture in self.mixtures.items():
            patches, where = self.patches(images, kind)
            for row, each in enumerate(boxes):
                x, y = where.to(each).T
                inside = (x >= each[:, :1]) & (x < each[:, 2:3]) & (y >= each[:, 1:2]) & (y < each[:, 3:])
                found[row].append(mixture.describe(patches[row], inside.float()))
        return [torch.cat(parts, dim=1) for parts in found]
