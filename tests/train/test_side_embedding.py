"""Embeddings of two sides: what they are in training and after, which rows are rivals, and what they teach."""

from pathlib import Path
from typing import Any

import pytest
import torch

from store.errors import ConfigError
from tests.train.vlbert_toys import stream_job
from train.config import Recipe
from train.models.embedding import SideEmbedding, TwoSides
from train.models.vlbert_pretrained import Pretrained
from train.order import Place
from train.tasks.multilingual import Multilingual, prepare
from train.vlbert.batch import JointBatch
from train.vlbert.collate import collate_joint
from train.vlbert.config import StreamObjectives


def batch_of(task: Multilingual, rows: int = 6) -> JointBatch:
    examples = [task.rows["pairs"].example(Place(0, row)) for row in range(rows)]
    return collate_joint(examples, task.detector.feature_dim, len(task.detector.classes))


def opened(world: Path, folder: Path, **overrides: Any) -> tuple[Multilingual, Pretrained]:
    job = stream_job(world, folder, "mmbert-b-tiny", **overrides)
    task = prepare(job, Recipe.model_validate(job.recipe))
    torch.manual_seed(0)
    model = task.build_model()
    assert isinstance(model, Pretrained)
    return task, model


def test_states_that_are_nearly_alike_are_told_apart_while_training() -> None:
    torch.manual_seed(0)
    states = torch.randn(1, 16) + 0.01 * torch.randn(8, 16)
    embedding = SideEmbedding(16)
    found = embedding(states)
    assert torch.allclose(found.norm(dim=1), torch.ones(8))
    alike = found @ found.T
    assert (alike - alike.diag().diag()).abs().max() < 0.9
    plain = torch.nn.functional.normalize(embedding.projection(states), dim=1)
    assert (plain @ plain.T).min() > 0.99


def test_after_training_no_row_depends_on_its_company() -> None:
    torch.manual_seed(0)
    embedding = SideEmbedding(16)
    for _ in range(5):
        embedding(torch.randn(8, 16) + 3)
    embedding.eval()
    states = torch.randn(8, 16) + 3
    assert torch.allclose(embedding(states)[:1], embedding(states[:1]), atol=1e-6)
    assert set(embedding.state_dict()) == {"mean", "variance", "projection.weight"}
    assert (embedding.mean > 0.5).all()


def test_a_batch_of_one_row_is_no_error() -> None:
    embedding = SideEmbedding(16)
    assert torch.isfinite(embedding(torch.randn(1, 16))).all()


def test_rows_of_one_group_are_no_rivals() -> None:
    torch.manual_seed(0)
    sides = TwoSides(8)
    one = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
    other = one.clone()
    other[1], one[1] = other[0], one[0]  # the same picture twice
    apart, together = (sides.loss(one, other, torch.tensor(group)) for group in ([0, 1, 2, 3], [0, 0, 2, 3]))
    assert apart - together > 0.3


def test_pretraining_tells_captions_and_images_apart(world: Path, tmp_path: Path) -> None:
    only = {f"vlbert__objectives__{name}__weight": 0.0 for name in ("masked_words", "masked_regions")}
    with pytest.raises(ConfigError, match="nothing to learn"):
        opened(world, tmp_path / "a", **only)
    task, model = opened(world, tmp_path / "b")
    batch = batch_of(task)
    rule = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    first = last = float("inf")
    for step in range(60):
        losses = model(batch)
        rule.zero_grad()
        losses["contrastive"].backward()
        rule.step()
        first, last = (
            (float(losses["contrastive"].detach()) if step == 0 else first),
            float(losses["contrastive"].detach()),
        )
    assert last < first / 2
    assert "contrastive" not in model(batch.without_regions())


def test_two_rows_that_show_one_picture_know_it(world: Path, tmp_path: Path) -> None:
    task, _ = opened(world, tmp_path)
    batch = batch_of(task)
    assert batch.picture.tolist() == [task.rows["pairs"].image(row) for row in range(len(batch))]
    assert batch.rows(torch.tensor([2, 0])).picture.tolist() == batch.picture[[2, 0]].tolist()


def test_what_cannot_be_contrasted_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="drop one"):
        StreamObjectives.model_validate({"matching": {"weight": 1.0}, "contrastive": {"weight": 1.0}})
    with pytest.raises(ConfigError, match="no stream has images"):
        opened(
            world,
            tmp_path,
            settings__readings={"pairs": {"source": "captions"}, "text": {"source": "captions"}},
        )
