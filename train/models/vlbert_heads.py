"""Heads on VL-BERT's stream after pre-training: matches, words, answers, regions, choices.

Every head has `trunk`, `scores(batch)`, and maps a batch to losses with a `total`. `begins_as` names parts
that begin as parts of pre-training's heads, as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.layers import LAYER_NORM_EPS, initialise, mean_state
from train.models.geometry import relative_boxes
from train.models.heads import choice_loss
from train.models.joint import pick
from train.models.related import Related
from train.models.vlbert import SIDES, States, VlBert
from train.models.vlbert_pretrained import MatchHead
from train.vlbert.batch import JointBatch, TargetBatch

AnswerForm = Literal["linear", "mlp", "words"]
ChoiceForm = Literal["linear", "mlp"]
"""On the pooled state."""
UNSEEN = -1.0
"""The overlap of a row that holds no region."""
OVERLAP = 0.5
"""From which intersection over union on a region is the one."""


class Retrieved(nn.Module):
    """Match scores of a text with an image, or of two sentences with each other."""

    def __init__(self, trunk: VlBert) -> None:
        super().__init__()
        self.trunk = trunk
        self.match_head = MatchHead(trunk.sizes.hidden, trunk.compatibility.itm_outputs)
        self.match_head.apply(initialise)
        trunk.learn(pooled=True)

    def scores(self, batch: JointBatch, without: Literal["regions", "text"] | None = None) -> Tensor:
        """Logits [B]."""
        logits: Tensor = self.match_head(self.trunk.encode(batch, without).pooled)
        return logits

    def forward(self, batch: TargetBatch) -> dict[str, Tensor]:
        """Binary cross entropy as `total`."""
        return {"total": functional.binary_cross_entropy_with_logits(self.scores(batch), batch.target)}


class Translated(nn.Module):
    """One word of a closed vocabulary for a text and its image (lexical translation).

    Args:
        pooling: what stands for both: the state of [CLS], as published, or the mean of all.
    """

    def __init__(self, trunk: VlBert, words: int, pooling: Literal["first", "mean"] = "first") -> None:
        super().__init__()
        self.trunk, self.pooling = trunk, pooling
        self.head = nn.Linear(trunk.sizes.hidden, words)
        self.head.apply(initialise)
        trunk.learn(pooled=True)

    def scores(self, batch: JointBatch) -> Tensor:
        """Logits [B, words]."""
        pooled = torch.tanh(self.trunk.pooler(self.trunk.summary(batch, over=self.pooling)))
        logits: Tensor = self.head(pooled)
        return logits.float()

    def forward(self, batch: TargetBatch) -> dict[str, Tensor]:
        """Cross entropy as `total`."""
        return {"total": functional.cross_entropy(self.scores(batch), batch.target)}


class Answered(nn.Module):
    """One of many answers, from the state of the [MASK] that stands for it (VQA).

    Args:
        form: `words`, `linear` or `mlp`: VL-BERT's mlm, 1fc and 2fc.
        wide: hidden width of `mlp`.
        soft: whether each answer is right or wrong by itself; else one of them is.
    """

    def __init__(
        self, trunk: VlBert, answers: int, form: AnswerForm, wide: int = 1024, *, soft: bool = True
    ) -> None:
        super().__init__()
        self.trunk, self.soft = trunk, soft
        self.begins_as = (
            {"head.0.dense": "word_head.transform", "head.0.norm": "word_head.norm"}
            if form == "words"
            else {}
        )
        h, drop = trunk.sizes.hidden, trunk.sizes.dropout
        self.head = (
            nn.Sequential(Transform(h, norm=True), nn.Dropout(drop), nn.Linear(h, answers))
            if form == "words"
            else classifier(h, answers, form, drop, wide)
        )
        self.head.apply(initialise)
        trunk.learn()

    def scores(self, batch: JointBatch) -> Tensor:
        """Logits [B, answers]; the texts end in `[MASK] [SEP]` (train/vlbert/texts.py)."""
        at = batch.text_mask.sum(dim=1, keepdim=True) - 2
        logits: Tensor = self.head(pick(self.trunk.encode(batch).text, at)[:, 0])
        return logits.float()

    def forward(self, batch: TargetBatch) -> dict[str, Tensor]:
        """The loss as `total`: see `train.models.heads.choice_loss`."""
        return {"total": choice_loss(self.scores(batch), batch.target, soft=self.soft)}


class Referred(nn.Module):
    """How well a text fits each region (RefCOCO+)."""

    begins_as: ClassVar[Mapping[str, str]] = {"head.0.dense": "region_head.0"}

    def __init__(self, trunk: VlBert) -> None:
        super().__init__()
        self.trunk = trunk
        h = trunk.sizes.hidden
        self.head = nn.Sequential(Transform(h, norm=False), nn.Dropout(trunk.sizes.dropout), nn.Linear(h, 1))
        self.head.apply(initialise)
        trunk.learn()

    def scores(self, batch: JointBatch) -> Tensor:
        """Logits [B, K]; minus infinity where there is no region, so that none of these is ever the best."""
        logits: Tensor = self.head(self.trunk.encode(batch).regions)
        return logits[:, :, 0].float().masked_fill(~batch.region_mask, -torch.inf)

    def forward(self, batch: TargetBatch) -> dict[str, Tensor]:
        """Binary cross entropy as `total`, mean over regions; right are those with an IoU above one half."""
        there = batch.target > UNSEEN
        wanted = (batch.target[there] > OVERLAP).float()
        return {"total": functional.binary_cross_entropy_with_logits(self.scores(batch)[there], wanted)}


class Chosen(nn.Module):
    """One of several answers or rationales (VCR); the choices of a question are rows one after another.

    Args:
        choices: rows of a question.
        classes: of the regions, which an auxiliary head tells from all their states; 0 leaves it out.
        positive: weight of the right choice in the loss.
        soft: whether each choice is right or wrong by itself, as published; else one of them is.
        named: read, beside the pooled state, the mean of the words that name an object, that of the regions
            which these words see, and whether these lie where the text says (`Related`). Ours: a narrow
            stream, tuned on expressions, says at a region whether a text fits it, and takes long to carry
            that to [CLS]; where things are it hardly carries at all.
    """

    def __init__(
        self,
        trunk: VlBert,
        form: ChoiceForm,
        *,
        choices: int = 4,
        classes: int = 0,
        class_weight: float = 1.0,
        positive: float = 1.0,
        wide: int = 1024,
        soft: bool = True,
        named: bool = False,
    ) -> None:
        super().__init__()
        self.trunk, self.choices, self.positive, self.class_weight = trunk, choices, positive, class_weight
        h, drop = trunk.sizes.hidden, trunk.sizes.dropout
        self.soft = soft
        self.head = classifier(3 * h if named else h, 1, form, drop, wide)
        self.related = Related(h, 1) if named else None
        self.class_head = (
            nn.Sequential(Transform(h, norm=False), nn.Identity(), nn.Linear(h, classes)) if classes else None
        )
        for head in (self.head, self.class_head, self.related):
            if head is not None:
                head.apply(initialise)
        if self.related is not None:
            self.related.last.weight.data.mul_(0.1)
        trunk.learn(pooled=True)

    def scores(self, batch: JointBatch) -> Tensor:
        """Logits [B / choices, choices]."""
        return self.choose(batch, self.trunk.encode(batch))

    def choose(self, batch: JointBatch, states: States) -> Tensor:
        """Logits [B / choices, choices] of states."""
        if self.related is None:
            logits: Tensor = self.head(states.pooled)
        else:
            naming = batch.text_mask & (batch.seen > 0)
            regions = pick(states.regions, batch.seen) if states.regions.shape[1] else states.text
            named = [mean_state(each, naming) for each in (states.text, regions)]
            where = 4 * relative_boxes(batch.boxes, batch.sizes[:, None, :]) - 2
            where = pick(where, batch.seen) if where.shape[1] else states.text[:, :, :SIDES]
            lies = self.related(states.text, batch.text_mask, mean_state(where, naming))
            logits = self.head(torch.cat([states.pooled, *named], dim=1)) + lies
        return logits.float().view(-1, self.choices)

    def forward(self, batch: TargetBatch, seen: Tensor | None = None) -> dict[str, Tensor]:
        """Losses `answer` and `classes`, and their sum as `total`.

        Args:
            batch: its `target`, int64 [B / choices], is the right choice, and its `posteriors` say the class.
            seen: see `VlBert.forward`.
        """
        states = self.trunk.encode(batch, seen=seen)
        found = {"answer": self._right(self.choose(batch, states), batch.target)}
        if self.class_head is not None:
            there = batch.region_mask
            names = batch.posteriors[there].argmax(dim=-1)
            found["classes"] = functional.cross_entropy(self.class_head(states.regions[there]).float(), names)
        total = found["answer"] + self.class_weight * found.get("classes", found["answer"].new_zeros(()))
        return {**found, "total": total}

    def _right(self, logits: Tensor, target: Tensor) -> Tensor:
        if not self.soft:
            return functional.cross_entropy(logits, target)
        right = functional.one_hot(target, self.choices).to(logits.dtype)
        loss = functional.binary_cross_entropy_with_logits(logits, right, 1 + (self.positive - 1) * right)
        return loss * (self.positive + 1) / (2 * self.positive)


class Transform(nn.Module):
    """BERT's transform before a prediction: linear, GELU, and layer norm where wanted."""

    def __init__(self, hidden: int, *, norm: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[..., h] -> [..., h]."""
        out: Tensor = self.norm(functional.gelu(self.dense(x)))
        return out


def classifier(hidden: int, classes: int, form: ChoiceForm, drop: float, wide: int) -> nn.Sequential:
    """VL-BERT's 1fc (`linear`) and 2fc (`mlp`)."""
    if form == "linear":
        return nn.Sequential(nn.Dropout(drop), nn.Linear(hidden, classes))
    return nn.Sequential(
        nn.Dropout(drop), nn.Linear(hidden, wide), nn.ReLU(), nn.Dropout(drop), nn.Linear(wide, classes)
    )
