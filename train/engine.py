"""DeepSpeed behind four verbs: step, and get or set the whole state by parameter name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from train.config import Recipe
from train.loader import Batches
from train.schedule import factor
from train.task import Stream

MOMENTS = ("exp_avg", "exp_avg_sq")


def prepare_environment() -> None:
    """Set what DeepSpeed reads when it is imported; call before the first import in a process."""
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "warning")


def _import_deepspeed() -> Any:
    prepare_environment()
    import deepspeed

    # Without this the first start on a CPU compiles a shared-memory transport for half a minute; gloo does.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Optimiser groups: matrices decay; biases, norms and the temperature do not."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]


class Summed(nn.Module):
    """The losses of every stream and their weighted sum: one forward, hence one backward, for all of them."""

    def __init__(self, model: nn.Module, streams: Sequence[Stream]) -> None:
        super().__init__()
        self.model = model
        self.weights = {stream.name: stream.weight for stream in streams}

    def forward(self, batches: Batches) -> dict[str, Tensor]:
        """Losses by name, `<stream>/<loss>` where there are several streams, and `total`."""
        found = {name: self.model(batch) for name, batch in batches.items()}
        total = torch.stack([self.weights[name] * losses["total"] for name, losses in found.items()]).sum()
        if len(found) == 1:
            return {**next(iter(found.values())), "total": total}
        named = {f"{name}/{loss}": value for name, losses in found.items() for loss, value in losses.items()}
        return {**named, "total": total}


class Engine:
    """A model under DeepSpeed with AdamW, in float32 (or computing in bfloat16), at any ZeRO stage.

    Torch's AdamW, since DeepSpeed's own is compiled at first use and does not resume bit for bit.

    Args:
        model: whose forward maps a batch to losses with a `total`.
        streams: whose batches it will see.
        ranks: processes that share each step.
        device: `cpu` or `cuda:N`.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, streams: Sequence[Stream], ranks: int, device: str
    ) -> None:
        deepspeed = _import_deepspeed()
        self.recipe = recipe
        self.device = device
        self._model = model
        self._names = {name: p for name, p in model.named_parameters() if p.requires_grad}
        settings = recipe.optimiser
        optimiser = torch.optim.AdamW(
            decay_groups(model, settings.weight_decay), lr=settings.lr, betas=settings.betas, eps=settings.eps
        )
        self._stage = recipe.run.zero_stage
        self._engine, *_ = deepspeed.initialize(
            model=Summed(model, streams).to(device),
            optimizer=optimiser,
            dist_init_required=False,
            config={
                "train_batch_size": ranks * recipe.data.accumulation,  # only their ratios mean anything
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": recipe.data.accumulation,
                "gradient_clipping": settings.clip,
                "zero_optimization": {"stage": self._stage, "reduce_bucket_size": self._bucket()},
                "zero_allow_untested_optimizer": True,
                "steps_per_print": 2**62,
            },
        )
        self._make_moments()

    def step(self, step: int, batches: Sequence[Batches]) -> dict[str, Tensor]:
        """Train on the micro batches one after another, then update once.

        One backward per micro batch, of the one summed loss: DeepSpeed keeps only the last of several.

        Args:
            step: of the optimiser, from 0; decides the learning rate.

        Returns:
            the losses of this rank, means over the micro batches, and `grad_norm` before clipping.
        """
        self._set_learning_rate(self.learning_rate(step))
        self._engine.train()
        summed: dict[str, Tensor] = {}
        for batch in batches:
            with self._precision():
                losses = self._engine({name: each.to(self.device) for name, each in batch.items()})
            self._engine.backward(losses["total"])
            norm = None if self._stage else self._gradient_norm()
            self._engine.step()
            for name, loss in losses.items():
                summed[name] = summed.get(name, torch.zeros_like(loss.detach())) + loss.detach() / len(
                    batches
                )
        norm = self._engine.get_global_grad_norm() if norm is None else norm
        return {**summed, "grad_norm": torch.as_tensor(norm, device=self.device)}

    def _gradient_norm(self) -> Tensor:
        """The norm over all gradients, which DeepSpeed without ZeRO does not tell."""
        gradients = [p.grad for p in self._names.values() if p.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)

    def learning_rate(self, step: int) -> float:
        """The learning rate of optimiser step `step`."""
        return self.recipe.optimiser.lr * factor(self.recipe.schedule, step, self.recipe.run.steps)

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter, whole, on the CPU. All ranks call it together."""
        deepspeed = _import_deepspeed()
        model = self._model
        if self._stage < 3:
            return {name: p.detach().cpu().clone() for name, p in model.named_parameters()}
        whole = {}
        for name, parameter in model.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter]):
                whole[name] = parameter.detach().cpu().clone()
        return whole

    def moments(self) -> dict[str, Tensor]:
        """AdamW's moments by `<moment>.<parameter>`, whole, on the CPU. All ranks call it together."""
        deepspeed = _import_deepspeed()
        whole = {}
        for name, parameter in self._names.items():
            for moment in MOMENTS:
                if self._stage:
                    value = deepspeed.utils.safe_get_full_optimizer_state(parameter, moment)
                else:
                    value = self._inner.state[parameter][moment]
                whole[f"{moment}.{name}"] = value.detach().cpu().clone().view(_shape(parameter))
        return whole

    def load_moments(self, moments: Mapping[str, Tensor], steps: int) -> None:
        """Set AdamW's moments and its count of steps. All ranks call it together, before the first step.

        The parameters themselves are loaded into the model before it comes here.
        """
        deepspeed = _import_deepspeed()
        for tensor in self._held():
            self._inner.state[tensor]["step"].fill_(float(steps))
        for name, parameter in self._names.items():
            for moment in MOMENTS:
                value = moments[f"{moment}.{name}"].to(self.device)
                if self._stage:
                    deepspeed.utils.safe_set_full_optimizer_state(parameter, value, moment)
                else:
                    self._inner.state[parameter][moment].copy_(value)

    def _bucket(self) -> int:
        """Elements of the gradient buffer, which by DeepSpeed's default takes two gigabytes for any model."""
        return min(50_000_000, sum(parameter.numel() for parameter in self._names.values()))

    def _make_moments(self) -> None:
        """Make the state that AdamW would make at its first step.

        DeepSpeed waits for that step, and then links the states of the first parameter group alone.
        """
        for tensor in self._held():
            self._inner.state[tensor] = {
                "step": torch.tensor(0.0),
                **{moment: torch.zeros_like(tensor) for moment in MOMENTS},
            }
        if self._stage in (1, 2):
            self._engine.optimizer._lazy_init_hp_params_optimizer_state()

    @property
    def _inner(self) -> torch.optim.Optimizer:
        """AdamW itself, which ZeRO wraps."""
        outer = self._engine.optimizer
        return outer.optimizer if self._stage else outer

    def _held(self) -> list[Tensor]:
        """The tensors that this rank's AdamW updates: parameters, or flat parts of many."""
        if self._stage == 3:
            return list(self._engine.optimizer.fp32_partitioned_groups_flat)
        if self._stage:
            return list(self._engine.optimizer.single_partition_of_fp32_groups)
        return list(self._names.values())

    def _set_learning_rate(self, rate: float) -> None:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.recipe.run.dtype == "bf16":
            return torch.autocast(self.device.partition(":")[0], torch.bfloat16)
        return contextlib.nullcontext()


def _shape(parameter: nn.Parameter) -> torch.Size:
    """The whole shape, which ZeRO 3 keeps beside an emptied parameter."""
    return torch.Size(getattr(parameter, "ds_shape", parameter.shape))
