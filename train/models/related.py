"""Whether things lie as a text says. Ours."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from train.layers import LAYER_NORM_EPS


class Related(nn.Module):
    """The product of the words heeded and of where things are, four numbers around zero.

    Positions all but fade in the stacks, so that they are read off the boxes; and one word of many says
    which way, so that it is heeded by itself: from the mean of all words four times the steps learn less.
    """

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.heed = nn.Linear(hidden, 1)
        self.said = nn.Linear(hidden, hidden)
        self.apart = nn.Linear(4, hidden)
        self.wide = nn.Linear(hidden, 2 * hidden)
        self.norm = nn.LayerNorm(2 * hidden, eps=LAYER_NORM_EPS)
        self.last = nn.Linear(2 * hidden, classes)

    def forward(self, words: Tensor, mask: Tensor, where: Tensor) -> Tensor:
        """Logits [B, classes], of words [B, La, h] and numbers [B, 4]."""
        heed = self.heed(words).masked_fill(~mask[:, :, None], -1e4).softmax(dim=1)
        fits = (heed * self.said(words)).sum(dim=1) * self.apart(where)
        logits: Tensor = self.last(self.norm(functional.gelu(self.wide(fits))))
        return logits
