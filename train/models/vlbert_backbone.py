"""The visual backbone of VL-BERT end to end: a ResNet, RoIAlign, and the last stage on every region.

After Su et al. 2020: the first three stages see the whole image, at a stride of 16; regions are cut out of
that by RoIAlign in its first form (no half-pixel shift, one sample a cell), and go through the fourth stage,
dilated instead of strided, and an average. Batch norms are frozen, and so are the first stages.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FrozenBatchNorm2d, roi_align

from store.errors import DataError
from store.foreign import read_foreign
from train.models.vlbert import VlBert
from train.models.vlbert_pretrained import Pretrained
from train.models.weights import load_matching
from train.vlbert.batch import JointBatch
from train.vlbert.config import StreamObjectives
from train.vlbert.pixels import PixelBatch
from train.vlbert.settings import BackboneSettings

STRIDE = 16
"""Pixels of the image to one of the map that regions are cut out of."""
STEM = ("conv1", "bn1")


def backbone_dim(settings: BackboneSettings) -> int:
    """D of the features."""
    return 8 * Bottleneck.expansion * settings.width


class Backbone(nn.Module):
    """Features of regions from pixels; parameters have torchvision's names."""

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        self.settings, self.dim = settings, backbone_dim(settings)
        width = settings.width
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = FrozenBatchNorm2d(width)
        self.layer1, self.layer2, self.layer3, self.layer4 = (self._stage(number) for number in range(4))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.freeze()

    def freeze(self) -> None:
        """Let only the later stages learn."""
        frozen = self.settings.frozen
        for name, parameter in self.named_parameters():
            stage = 1 if name.split(".")[0] in STEM else int(name.removeprefix("layer")[0])
            parameter.requires_grad_(stage > frozen)

    def forward(self, pixels: Tensor, boxes: Tensor, region_mask: Tensor) -> Tensor:
        """Features [B, K, D] of boxes [B, K, 4] in the images [B, 3, H, W]; zeros where there is none."""
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(pixels))), 3, stride=2, padding=1)
        x = self.layer3(self.layer2(self.layer1(x)))
        row = region_mask.nonzero()[:, :1].to(boxes.dtype)
        cut = roi_align(
            x,
            torch.cat([row, boxes[region_mask]], dim=1),
            self.settings.cells,
            spatial_scale=1 / STRIDE,
            sampling_ratio=1,
            aligned=False,
        )
        features = torch.zeros(*region_mask.shape, self.dim, dtype=x.dtype, device=x.device)
        features[region_mask] = self.layer4(cut).mean(dim=(2, 3))
        return features

    def load(self, path: Path) -> None:
        """Take a ResNet's parameters and the statistics of its batch norms.

        Raises:
            DataError: naming what is missing.
        """
        match = load_matching(
            self, {name.removeprefix("module."): t for name, t in read_foreign(path).items()}
        )
        lacking = [name for name in (*match.missing, *match.mismatched) if "num_batches" not in name]
        if lacking:
            raise DataError(
                f"{path} is no ResNet of {self.settings.blocks} blocks: it lacks {', '.join(lacking[:5])}",
                "name the weights that settings.backbone describes",
            )

    def _stage(self, number: int) -> nn.Sequential:
        """A stage of bottlenecks: the second and third halve the map, the last is dilated instead."""
        planes = self.settings.width * 2**number
        own = planes * Bottleneck.expansion
        given = self.settings.width if number == 0 else own // 2
        stride, dilation = (2 if number in (1, 2) else 1), (2 if number == 3 else 1)
        blocks = []
        for block in range(self.settings.blocks[number]):
            first = block == 0
            shortcut = None
            if first:
                shortcut = nn.Sequential(
                    nn.Conv2d(given, own, 1, stride=stride, bias=False), FrozenBatchNorm2d(own)
                )
            made = Bottleneck(
                given if first else own,
                planes,
                stride=stride if first else 1,
                downsample=shortcut,
                dilation=dilation,
                norm_layer=FrozenBatchNorm2d,
            )
            if first and self.settings.form == "caffe":
                made.conv1.stride, made.conv2.stride = made.conv2.stride, made.conv1.stride
            blocks.append(made)
        return nn.Sequential(*blocks)


class EndToEnd(Pretrained):
    """VL-BERT in pre-training, with its backbone."""

    def __init__(
        self, trunk: VlBert, objectives: StreamObjectives, classes: int, settings: BackboneSettings
    ) -> None:
        super().__init__(trunk, objectives, classes)
        self.backbone = Backbone(settings)

    def sighted(self, batch: JointBatch) -> JointBatch:
        """The batch with features of its regions."""
        if not isinstance(batch, PixelBatch):  # of text alone
            return batch
        return replace(batch, features=self.backbone(batch.pixels, batch.boxes, batch.region_mask))
