"""Named-key importers: what published weights of C4 detectors call their tensors, and how these are laid out.

Our own names are detectron2's. Each family also has its own order of classes, anchors and logits; importing
brings them to one: the background and `none` last, anchors by side and then by ratio, one logit an anchor,
deltas divided by the shape's `delta_weights`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from extract.detectors.c4_shape import C4Shape
from extract.detectors.fitting import Naming
from store.errors import UserError

Tensor = torch.Tensor
Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family of files.

    Attributes:
        name: for people.
        mark: pattern of a name that no other family has.
        rules: patterns and replacements from our names to theirs; the first that fits a name is taken.
        absent: pattern of our names that they have no tensor for.
        shape: fields of the shape that come with the weights, whatever the architecture.
        background_first: classes begin with the background, attributes with `none`.
        by_ratio: anchors go by ratio, then by side.
        two_logits: the objectness is a pair of logits: every anchor's `no`, then every anchor's `yes`.
        unit_deltas: the box head's deltas are not divided.
        aliases: see extract.detectors.fitting.py.
    """

    name: str
    mark: str
    rules: Rules = ()
    absent: str = r"(?!)"
    shape: Mapping[str, Any]
    background_first: bool = False
    by_ratio: bool = False
    two_logits: bool = False
    unit_deltas: bool = False
    aliases: Rules = ()

    def naming(self, shape: C4Shape) -> Naming:
        """How this family calls and lays out the tensors of a detector of `shape`."""

        def rename(name: str) -> str | None:
            if re.fullmatch(self.absent, name):
                return None
            for pattern, replacement in self.rules:
                renamed, count = re.subn(rf"^{pattern}", replacement, name)
                if count:
                    return renamed
            return name

        def convert(name: str, tensor: Tensor) -> Tensor:
            return self._converted(name, tensor, shape)

        return Naming(name=self.name, rename=rename, convert=convert, aliases=self.aliases)

    def _converted(self, name: str, tensor: Tensor, shape: C4Shape) -> Tensor:
        """A tensor in our order. One whose size is not as expected comes back as it is."""
        if tensor.ndim == 0:
            return tensor
        layer, size = name.split(".")[-2], len(tensor)
        classes, sides, ratios = shape.classes + 1, len(shape.anchors), len(shape.ratios)
        if layer == "objectness_logits" and self.two_logits and size == 2 * sides * ratios:
            no, yes = tensor.chunk(2)
            tensor = yes - no  # ranks like the softmax of the pair
            size //= 2
        if layer in ("objectness_logits", "anchor_deltas") and self.by_ratio and not size % (sides * ratios):
            tensor = tensor.unflatten(0, (ratios, sides, -1)).transpose(0, 1).flatten(0, 2)
        if self.background_first:
            if layer == "bbox_pred" and size == 4 * classes:
                tensor = tensor[4:]
            if layer == "cls_embedding":
                tensor = tensor[:classes]  # one family has a row that nothing refers to
            if layer in ("cls_score", "cls_embedding", "attr_score"):
                tensor = tensor.roll(-1, 0)
        if layer == "bbox_pred" and self.unit_deltas and len(tensor) % 4 == 0:
            weights = tensor.new_tensor(shape.delta_weights).repeat(len(tensor) // 4)
            tensor = tensor * weights.view(-1, *[1] * (tensor.ndim - 1))
        return tensor


_CONV = r"(\d+)\.conv(\d)"
_RPN, _BOX = r"proposal_generator\.rpn_head\.", r"roi_heads\.box_predictor\."


def _maskrcnn(ours: str, theirs: str) -> Rules:
    """Rules for one stage of blocks."""
    return (
        (rf"{ours}\.{_CONV}\.norm\.", rf"{theirs}.\1.bn\2."),
        (rf"{ours}\.(\d+)\.shortcut\.norm\.", rf"{theirs}.\1.downsample.1."),
        (rf"{ours}\.(\d+)\.shortcut\.", rf"{theirs}.\1.downsample.0."),
        (rf"{ours}\.(\d+)\.", rf"{theirs}.\1."),
    )


def _caffe2(ours: str, theirs: str) -> Rules:
    """Rules for one stage of blocks."""
    letters = zip("123", "abc", strict=True)
    return tuple(
        rule
        for layer, branch in [*((f"conv{n}", f"branch2{a}") for n, a in letters), ("shortcut", "branch1")]
        for rule in (
            (rf"{ours}\.(\d+)\.{layer}\.norm\.weight", rf"{theirs}_\1_{branch}_bn_s"),
            (rf"{ours}\.(\d+)\.{layer}\.norm\.bias", rf"{theirs}_\1_{branch}_bn_b"),
            (rf"{ours}\.(\d+)\.{layer}\.weight", rf"{theirs}_\1_{branch}_w"),
        )
    )


FAMILIES = (
    Family(
        name="maskrcnn-benchmark",
        mark=r"backbone\.body\..*",
        rules=(
            (r"backbone\.stem\.conv1\.norm\.", "backbone.body.stem.bn1."),
            (r"backbone\.stem\.", "backbone.body.stem."),
            *(
                rule
                for n in (2, 3, 4)
                for rule in _maskrcnn(rf"backbone\.res{n}", f"backbone.body.layer{n - 1}")
            ),
            *_maskrcnn(r"roi_heads\.res5", "roi_heads.box.feature_extractor.head.layer4"),
            (rf"{_RPN}objectness_logits\.", "rpn.head.cls_logits."),
            (rf"{_RPN}anchor_deltas\.", "rpn.head.bbox_pred."),
            (rf"{_RPN}", "rpn.head."),
            (rf"{_BOX}(cls_score|bbox_pred)\.", r"roi_heads.box.predictor.\1."),
            (rf"{_BOX}", "attribute.predictor."),
        ),
        shape={"convention": "maskrcnn-benchmark"},
        background_first=True,
        by_ratio=True,
        aliases=((r"^attribute\.feature_extractor\.", "roi_heads.box.feature_extractor."),),
    ),
    Family(
        name="caffe2",
        mark=r"res2_0_branch2a_w",
        rules=(
            (r"backbone\.stem\.conv1\.norm\.weight", "res_conv1_bn_s"),
            (r"backbone\.stem\.conv1\.norm\.bias", "res_conv1_bn_b"),
            (r"backbone\.stem\.conv1\.weight", "conv1_w"),
            *(rule for n in (2, 3, 4) for rule in _caffe2(rf"backbone\.res{n}", f"res{n}")),
            *_caffe2(r"roi_heads\.res5", "res5"),
            (rf"{_RPN}conv\.(w|b)\w+", r"conv_rpn_\1"),
            (rf"{_RPN}objectness_logits\.(w|b)\w+", r"rpn_cls_logits_\1"),
            (rf"{_RPN}anchor_deltas\.(w|b)\w+", r"rpn_bbox_pred_\1"),
            (rf"{_BOX}(\w+)\.(w|b)\w+", r"\1_\2"),
        ),
        absent=r".*\.norm\.running_(mean|var)",  # folded into scale and bias
        shape={"convention": "maskrcnn-benchmark", "epsilon": 0.0},
        background_first=True,
        by_ratio=True,
    ),
    Family(
        name="bottom-up-attention.pytorch",
        mark=r"roi_heads\.box_predictor\.(cls_embed|attr_linear1)\..*",
        rules=(
            (rf"{_BOX}cls_embedding\.", "roi_heads.box_predictor.cls_embed."),
            (rf"{_BOX}fc_attr\.", "roi_heads.box_predictor.attr_linear1."),
            (rf"{_BOX}attr_score\.", "roi_heads.box_predictor.attr_linear2."),
        ),
        shape={"convention": "caffe", "min_side": 16.0},  # of the original image, where the code is Caffe
        background_first=True,
        by_ratio=True,
        two_logits=True,
        unit_deltas=True,
    ),
    Family(name="detectron2", mark=r"backbone\.stem\.conv1\.weight", shape={"convention": "detectron2"}),
)


def family_of(names: Iterable[str], file: str) -> Family:
    """The family whose mark is among the names of a file's tensors.

    Raises:
        UserError: it is none of them.
    """
    names = sorted(names)
    for family in FAMILIES:
        if any(re.fullmatch(family.mark, name) for name in names):
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise UserError(
        f"{file}: no weights of a C4 detector: it begins with {', '.join(names[:3]) or 'nothing'}",
        f"names as in these are understood: {known}",
    )
