"""Negatives from every rank: two processes make the gradients of one."""

from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn import functional

from train.gather import gather_rows
from train.objectives import contrastive


def embed(weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return functional.normalize(rows @ weight, dim=-1)


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    text, image = torch.randn(8, 6, generator=draws), torch.randn(8, 6, generator=draws)
    return torch.randn(6, 4, generator=draws), text, image, torch.tensor([0, 1, 2, 3, 4, 5, 0, 7])


def loss_of(
    weight: torch.Tensor, text: torch.Tensor, image: torch.Tensor, shown: torch.Tensor
) -> torch.Tensor:
    rows = len(text)
    (text, image, shown), offset = gather_rows(embed(weight, text), embed(weight, image), shown)
    same = shown[:, None] == shown[None, :]
    return contrastive(text, image, torch.tensor(5.0), same, torch.arange(offset, offset + rows))


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    weight, text, image, shown = data()
    weight.requires_grad_(True)
    part = slice(4 * rank, 4 * rank + 4)
    loss = loss_of(weight, text[part], image[part], shown[part])
    loss.backward()
    found = torch.stack([loss.detach() / 2, *(weight.grad.flatten() / 2)])  # type: ignore[union-attr]
    distributed.all_reduce(found)
    if rank == 0:
        torch.save(found, f"{folder}/found.pt")
    distributed.destroy_process_group()


def test_two_ranks_make_the_loss_and_the_gradient_of_one(tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    weight, text, image, shown = data()
    weight.requires_grad_(True)
    loss = loss_of(weight, text, image, shown)
    loss.backward()
    assert float(found[0]) == pytest.approx(float(loss.detach()), rel=1e-6)
    torch.testing.assert_close(found[1:], weight.grad.flatten(), rtol=1e-5, atol=1e-7)  # type: ignore[union-attr]
