"""Sentences said word by word: greedy, beams, and translators with and without a memory."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.train.test_vlbert_defects import SIZES
from train.batch import IGNORE
from train.models.masked_generation import Special, translate_masked
from train.models.speech import speak
from train.models.translator import Translator
from train.models.vlbert import VlBert
from train.vlbert.batch import JointBatch, TargetBatch
from train.vlbert.config import Compatibility

STOP, WORDS = 0, 4


@dataclass(frozen=True)
class Table:
    """A speech whose next word depends on the last one alone."""

    chance: Tensor
    last: Tensor

    def __len__(self) -> int:
        return len(self.last)

    def chances(self) -> Tensor:
        return self.chance[self.last]

    def say(self, rows: Tensor, words: Tensor) -> "Table":
        assert rows.max() < len(self.last)
        return Table(self.chance, words)


def table(seed: int) -> Tensor:
    return (2 * torch.randn(WORDS, WORDS, generator=torch.Generator().manual_seed(seed))).log_softmax(dim=1)


def best_of_all(chance: Tensor, first: int, steps: int) -> list[int]:
    """The likeliest sentence that ends within so many words, by trying each."""
    found = []
    for length in range(steps):
        for words in itertools.product(range(1, WORDS), repeat=length):
            path = [first, *words, STOP]
            cost = -sum(float(chance[a, b]) for a, b in itertools.pairwise(path))
            found.append((cost / (length + 1), list(words)))
    return min(found)[1]


@pytest.mark.parametrize("seed", range(6))
def test_wide_beams_find_the_best_sentence(seed: int) -> None:
    chance, starts = table(seed), torch.tensor([1, 2, 3])
    found = speak(Table(chance, starts), stop=STOP, steps=4, beams=WORDS**4 - 1)
    assert found == [best_of_all(chance, int(first), 4) for first in starts]


def test_greedy_takes_the_likeliest_word_until_the_stop() -> None:
    chance = torch.tensor(
        [[0.1, 0.7, 0.1, 0.1], [0.2, 0.1, 0.6, 0.1], [0.1, 0.1, 0.1, 0.7], [0.9, 0.05, 0.03, 0.02]]
    ).log()
    said = Table(chance, torch.tensor([1, 3, 0]))
    assert speak(said, stop=STOP, steps=9) == [[2, 3], [], [1, 2, 3]]
    assert speak(said, stop=STOP, steps=2) == [[2, 3], [], [1, 2]]


def test_the_penalty_prefers_longer_sentences() -> None:
    chance = torch.tensor([[0.25] * 4, [0.4, 0.0, 0.6, 0.0], [0.6, 0.0, 0.4, 0.0], [0.25] * 4]).log()
    said = Table(chance, torch.tensor([1]))
    short, long = (speak(said, stop=STOP, steps=5, beams=3, length_penalty=p)[0] for p in (0.0, 1.0))
    assert short == []
    assert len(long) >= 1


@pytest.fixture(scope="module", params=[True, False], ids=["shared", "own"])
def translator(request: pytest.FixtureRequest) -> Translator:
    torch.manual_seed(3)
    model = Translator(VlBert(SIZES, Compatibility(), words=30, feature_dim=6), shared=request.param)
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            parameter.data.normal_(std=0.7)
    return model.eval().requires_grad_(False)


def batch() -> JointBatch:
    """Sources and regions of several lengths; the last row has no image."""
    draws = torch.Generator().manual_seed(5)
    rows, lengths, seen = 3, torch.tensor([7, 4, 5]), torch.tensor([4, 2, 0])
    mask, there = torch.arange(7) < lengths[:, None], torch.arange(4) < seen[:, None]
    ids = torch.randint(5, 30, (rows, 7), generator=draws) * mask
    corner = 40 * torch.rand(rows, 4, 2, generator=draws)
    return JointBatch(
        keys=("a", "b", "c"),
        ids=ids,
        text_mask=mask,
        segments=torch.zeros_like(ids),
        labels=torch.full_like(ids, IGNORE),
        seen=torch.zeros_like(ids),
        boxes=torch.cat([corner, corner + 10], dim=2),
        sizes=torch.full((rows, 2), 64.0),
        features=torch.randn(rows, 4, 6, generator=draws),
        region_mask=there,
        hidden=torch.zeros_like(there),
        posteriors=torch.zeros(rows, 4, 0),
        matched=torch.ones(rows),
        picture=torch.arange(rows),
    )


@pytest.mark.parametrize("beams", [1, 3])
def test_a_memory_changes_no_word(translator: Translator, beams: int) -> None:
    found = translator.translate(batch(), 3, steps=9, beams=beams)
    assert found == translator.translate(batch(), 3, steps=9, beams=beams, cache=False)
    assert len({tuple(words) for words in found}) > 1
    alone = translator.translate(batch().rows(torch.tensor([0])), 3, steps=9, beams=beams)
    assert alone == found[:1]


def test_one_forward_trains_what_each_step_says(translator: Translator) -> None:
    """The logits of a whole translation are those of its words said one by one, and padding changes none."""
    target = torch.tensor([[3, 9, 8, 7, 3], [3, 5, 3, IGNORE, IGNORE], [3, 6, 11, 3, IGNORE]])
    given, there = as_target(batch(), target), target[:, 1:] != IGNORE
    found = []
    for row, words in enumerate(target):
        memory = translator.remember(batch().rows(torch.tensor([row])))
        for word in words[: int(there[row].sum())].tolist():
            states, memory = translator.follow(torch.tensor([[word]]), memory)
            found.append(translator.word_logits(states[0]))
    whole = translator.logits(given, there)
    torch.testing.assert_close(whole, torch.cat(found), atol=3e-5, rtol=1e-4)
    expected = torch.nn.functional.cross_entropy(whole, target[:, 1:][there])
    torch.testing.assert_close(translator(given)["total"], expected)


def test_a_word_sees_none_after_it_and_the_picture(translator: Translator) -> None:
    target = torch.tensor([[3, 9, 8, 7, 3], [3, 5, 4, 6, 3], [3, 6, 11, 12, 3]])
    there = torch.ones(3, 4, dtype=torch.bool)

    def logits(given: TargetBatch) -> Tensor:
        return translator.logits(given, there).view(3, 4, -1)

    whole = logits(as_target(batch(), target))
    target[:, 3] = 20
    changed = logits(as_target(batch(), target))
    torch.testing.assert_close(whole[:, :3], changed[:, :3])
    assert (whole[:, 3] - changed[:, 3]).abs().max() > 1e-3
    other = as_target(batch(), target)
    other.features[:, 1] += 1.0
    differs = (logits(other) - changed).abs().amax(dim=(1, 2))
    assert (differs > 1e-3).tolist() == [True, True, False]


def as_target(given: JointBatch, target: Tensor) -> TargetBatch:
    fields = {name: getattr(given, name) for name in JointBatch.__dataclass_fields__}
    return TargetBatch(**fields, target=target.clone())


def test_masked_generation_by_beams_is_no_less_likely() -> None:
    """Method 1 through the same search: its greedy words are those of one beam, and a batch changes none."""
    torch.manual_seed(3)
    model = Translator(VlBert(SIZES, Compatibility(), words=30, feature_dim=6), shared=True).eval()
    model.trunk.words.weight.data.normal_()
    special = Special(cls=2, sep=3, mask=4, stop=6)
    given, sources = batch(), [np.array([2, 9, 3]), np.array([2, 8, 7, 3]), np.array([2, 12, 3])]
    for beams in (1, 2):
        found = translate_masked(model, given, sources, special, steps=4, beams=beams)
        alone = [
            translate_masked(
                model, given.rows(torch.tensor([i])), sources[i : i + 1], special, steps=4, beams=beams
            )[0]
            for i in range(3)
        ]
        assert found == alone
