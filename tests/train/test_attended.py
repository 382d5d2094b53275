"""The head that looks regions up, and places that reach fusion."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from store.errors import ConfigError
from train.config import ModelSizes
from train.layers import initialise
from train.models.attended import Attended
from train.models.heads import TRUNK, PairBatch, Place, Referred, choice_loss, encode_pairs
from train.models.mvptr import Mvptr
from train.models.related import Related
from train.recipe import load_recipe, task_settings

B, WORDS, REGIONS, DIM = 3, 5, 4, 10


def trunk() -> Mvptr:
    torch.manual_seed(0)
    sizes = ModelSizes(
        hidden=8, heads=2, feed_forward=16, text_layers=1, vision_layers=1, fusion_layers=1, dropout=0.0
    )
    return Mvptr(sizes, TRUNK, words=20, concepts=0, region_dim=DIM, positions=9)


def batch(*, extra: int = 0) -> PairBatch:
    """Three pairs, padded by `extra` more words and regions that mean nothing."""
    draws = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 20, (B, WORDS), generator=draws)
    regions = torch.rand(B, REGIONS, DIM, generator=draws)

    def mask(n: int) -> Tensor:
        return (torch.arange(n + extra) < n).expand(B, -1)

    def wider(x: Tensor, value: float) -> Tensor:
        return torch.cat([x, torch.full((B, extra, *x.shape[2:]), value, dtype=x.dtype)], dim=1)

    return PairBatch(
        keys=("a", "b", "c"),
        text_ids=wider(ids, 0),
        text_mask=mask(WORDS),
        text_segments=torch.zeros(B, WORDS + extra, dtype=torch.int64),
        tag_ids=torch.tensor([[2, 3]] * B),
        tag_mask=torch.ones(B, 2, dtype=torch.bool),
        regions=wider(regions, 7.0),
        region_mask=mask(REGIONS),
        target=torch.eye(B, 6),
    )


def head(*, place: bool = True, soft: bool = False) -> Attended:
    model = Attended(trunk(), 6, soft=soft, place=place).eval()
    for i, last in enumerate((model.head[2], model.related.last)):
        last.weight.data.normal_(generator=torch.Generator().manual_seed(i))  # type: ignore[union-attr,operator]
    return model


def test_words_and_regions_fit_as_in_pre_training_at_first() -> None:
    model, h = head(), 8
    states, words = torch.rand(3, h), torch.rand(2, h)
    asked = model.queries(words).view(2, -1, h)[:, 1]
    answered = model.keys(torch.cat([states, torch.zeros(3, h)], dim=1)).view(3, -1, h)[:, 1]
    expected = model.trunk.text_projection(words) @ model.trunk.vision_projection(states).T
    torch.testing.assert_close(asked @ answered.T, expected)


def test_looks_begin_at_their_end_of_the_text_with_words_that_tell_regions_apart() -> None:
    model, given = head(), batch(extra=2)
    encoded = encode_pairs(model.trunk, given)
    fits = torch.zeros(B, 4, WORDS + 2, REGIONS + 2)
    fits[:, :, 1, 0] = 20.0
    fits[:, :, :, REGIONS:] = torch.linspace(-50, 50, WORDS + 2)[:, None]
    front, back, spare, _ = model._heed(encoded, fits).detach().unbind(dim=1)
    assert (front.argmax(dim=1) == 1).all()
    assert (spare.argmax(dim=1) == 1).all()
    assert (front[:, 3:] < 0.01).all()
    assert (back[:, 0] < back[:, 3]).all()
    assert not any(heeds[:, WORDS:].any() for heeds in (front, back, spare))


def test_a_relation_is_learnt_from_words_and_boxes() -> None:
    """One word of six says which way; the label is whether things lie that way: no side alone tells it."""
    torch.manual_seed(0)
    related = Related(16, 2).apply(initialise)
    table, mask = torch.randn(8, 16), torch.ones(64, 6, dtype=torch.bool)
    optimiser = torch.optim.AdamW(related.parameters(), lr=5e-3)
    for _ in range(160):
        way = torch.randn(64, 2).sign()
        apart = torch.cat([way, way / 2**0.5], dim=1)
        ids, said = torch.randint(2, 8, (64, 6)), torch.randint(0, 2, (64,))
        ids[torch.arange(64), torch.randint(0, 6, (64,))] = said
        right = (way[torch.arange(64), said] > 0).long()
        scores = related(table[ids], mask, apart)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(scores, right).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert (scores.argmax(dim=1) == right).float().mean() > 0.9


def test_padding_changes_no_answer() -> None:
    model = head()
    torch.testing.assert_close(model.scores(batch(extra=2)), model.scores(batch()), atol=1e-5, rtol=1e-4)


def test_the_order_of_regions_changes_no_answer() -> None:
    model, given = head(), batch()
    turned = replace(given, regions=given.regions.flip(1))
    torch.testing.assert_close(model.scores(turned), model.scores(given), atol=1e-5, rtol=1e-4)


def test_answers_depend_on_words_and_on_regions() -> None:
    model, given = head(), batch()
    others = (
        replace(given, text_ids=given.text_ids.roll(1, 0)),
        replace(given, regions=given.regions.roll(1, 0)),
    )
    for other in others:
        assert (model.scores(other) - model.scores(given)).abs().max() > 1e-3


def test_places_reach_fusion() -> None:
    given, stacks = batch(), trunk().eval()
    place = Place(8)
    plain, placed = encode_pairs(stacks, given), encode_pairs(stacks, given, place=place)
    expected = plain.vision + place.projection(4 * given.regions[:, :, -6:] - 2)
    torch.testing.assert_close(placed.vision, expected)
    torch.testing.assert_close(placed.text, plain.text)
    with pytest.raises(ValueError, match="tags must stay out"):
        encode_pairs(stacks, given, cut=0, place=place)


def test_regions_are_scored_with_their_places() -> None:
    given = batch()
    without, with_places = (Referred(trunk(), "linear", place=place).eval() for place in (False, True))
    assert "place.projection.weight" in dict(with_places.named_parameters())
    assert "place.projection.weight" not in dict(without.named_parameters())
    assert (with_places.scores(given) - without.scores(given)).abs().max() > 1e-3


def test_losses_of_a_choice() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    one = torch.tensor([[1.0, 0.0, 0.0]])
    assert float(choice_loss(logits, one, soft=False)) == pytest.approx(
        float(choice_loss(logits, torch.tensor([0]), soft=False))
    )
    each = -(torch.tensor([2.0, 0.0, 1.0]).sigmoid().log()).sum()
    assert float(choice_loss(logits, one, soft=True)) == pytest.approx(float(each))
    assert float(head(soft=True)(batch())["total"].detach()) > float(head()(batch())["total"].detach())


def test_heads_that_read_no_places_refuse_them() -> None:
    recipe = load_recipe("mvptr-vqa-tiny")
    assert task_settings(recipe).model_dump()["place"]
    with pytest.raises(ConfigError, match="head 'words' reads no places"):
        load_recipe("mvptr-vqa-tiny", {"settings.head": "words"})
