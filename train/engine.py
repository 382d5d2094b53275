"""DeepSpeed behind a few verbs: step, evaluate, and get or set the whole state by parameter name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from train.config import Optimiser, Recipe
from train.layers import Stack
from train.loader import Batches
from train.optimisers import build_optimiser
from train.schedule import factor
from train.task import Stream

FIRST_SCALE, GROWTH_STEPS = 2.0**10, 1000
"""The loss scale at the start, and the steps without overflow after which it doubles (MVPTR's)."""
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


def parameter_groups(model: nn.Module, settings: Optimiser) -> list[dict[str, Any]]:
    """Optimiser groups: matrices decay; biases, norms and temperatures do not, but under BERT's rule;
    `settings.groups` split both.

    Returns:
        dictionaries for AdamW with `params`, `weight_decay`, and `scale`, the factor on the learning rate.
    """
    patterns = [re.compile(group.match) for group in settings.groups]
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            which = next((i for i, pattern in enumerate(patterns) if pattern.match(name)), len(patterns))
            found.setdefault((which, parameter.ndim < 2), []).append(parameter)
    groups = []
    for (which, spared), parameters in sorted(found.items(), key=lambda item: item[0]):
        own = settings.groups[which] if which < len(patterns) else None
        decay = settings.weight_decay if own is None or own.weight_decay is None else own.weight_decay
        groups.append(
            {
                "params": parameters,
                "weight_decay": 0.0 if spared and settings.rule == "adamw" else decay,
                "scale": 1.0 if own is None else own.scale,
            }
        )
    return groups


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


class SharedScaler(torch.amp.GradScaler):
    """A loss scale whose overflows every rank sees, also where each holds another part of the gradients."""

    def _unscale_grads_(self, *args: Any, **kwargs: Any) -> Any:
        found = super()._unscale_grads_(*args, **kwargs)
        for overflow in found.values():
            distributed.all_reduce(overflow, distributed.ReduceOp.MAX)
        return found


class Engine:
    """A model under DeepSpeed with AdamW, in float32 (or computing in bf16 or fp16), at any ZeRO stage.

    Never DeepSpeed's own AdamW, which is compiled at first use and does not resume bit for bit.

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
        self.scaler: SharedScaler | None = None
        self._model = model
        self._names = {name: p for name, p in model.named_parameters() if p.requires_grad}
        for module in model.modules():
            if isinstance(module, Stack):
                module.recompute = recipe.run.recompute
        settings = recipe.optimiser
        optimiser = build_optimiser(parameter_groups(model, settings), settings, recipe.peak)
        self._stage = recipe.run.zero_stage
        deepspeed.runtime.torch_autocast.TORCH_AUTOCAST_INITIALIZED = False  # by an engine before this one
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
                "torch_autocast": {"enabled": recipe.run.dtype == "fp16", "dtype": "float16"},
                "steps_per_print": 2**62,
            },
        )
        self._make_moments()
        self._averages = {name: p.detach().clone() for name, p in self._names.items() if recipe.run.ema}
        if recipe.run.dtype == "fp16":
            self._share_scaler()

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
        scale = 1.0 if self.scaler is None else self.scaler.get_scale()
        if self.scaler is not None and self._stage:
            self._engine.optimizer.clip_grad = (
                self.recipe.optimiser.clip * scale
            )  # ZeRO clips before unscaling
        summed: dict[str, Tensor] = {}
        for batch in batches:
            with self._precision():
                losses = self._engine({name: each.to(self.device) for name, each in batch.items()})
            self._engine.backward(losses["total"])
            norm = None if self._stage else self._gradient_norm()
            self._engine.step()
            for name, loss in losses.items():
                part = loss.detach() / len(batches)
                summed[name] = summed.get(name, torch.zeros_like(part)) + part
        norm = self._engine.get_global_grad_norm() if norm is None else norm
        if self._stage and self.scaler is not None and self._engine.optimizer.overflow:
            self.load_scale({**self.scale_state(), "scale": scale / 2, "_growth_tracker": 0})  # ZeRO does not
        self._average()
        return {**summed, "grad_norm": torch.as_tensor(norm, device=self.device) / scale}

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[nn.Module]:
        """The model in evaluation mode, with its moving averages where there are any, without gradients."""
        deepspeed = _import_deepspeed()
        self._model.eval()
        live = {name: self._names[name].detach().clone() for name in self._averages}
        whole = list(self._model.parameters()) if self._stage == 3 else []
        with torch.no_grad(), deepspeed.zero.GatheredParameters(whole, enabled=bool(whole)):
            for name, average in self._averages.items():
                self._names[name].copy_(average)
            try:
                yield self._model
            finally:
                for name, value in live.items():
                    self._names[name].copy_(value)
        self._model.train()

    def group_rates(self) -> dict[str, float]:
        """Factor on the learning rate of each group that the recipe names."""
        return {group.match: group.scale for group in self.recipe.optimiser.groups}

    def learning_rate(self, step: int) -> float:
        """The learning rate of optimiser step `step`."""
        return self.recipe.peak * factor(self.recipe.schedule, step, self.recipe.run.steps)

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter and buffer, whole, on the CPU. All ranks call it together."""
        deepspeed = _import_deepspeed()
        whole = {name: buffer.detach().cpu().clone() for name, buffer in self._buffers().items()}
        for name, parameter in self._model.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], enabled=self._stage == 3):
                whole[name] = parameter.detach().cpu().clone()
        return whole

    def averages(self) -> dict[str, Tensor]:
        """The moving averages on the CPU; empty where none are kept."""
        return {name: average.cpu().clone() for name, average in self._averages.items()}

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

    def scale_state(self) -> dict[str, float]:
        """The state of the loss scale; empty where there is none."""
        return {} if self.scaler is None else {k: float(v) for k, v in self.scaler.state_dict().items()}

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

    def load_averages(self, averages: Mapping[str, Tensor]) -> None:
        """Set the moving averages."""
        for name, average in self._averages.items():
            average.copy_(averages[name])

    def load_scale(self, state: Mapping[str, float]) -> None:
        """Set the state of the loss scale."""
        if self.scaler is not None:
            whole = ("growth_interval", "_growth_tracker")
            self.scaler.load_state_dict({k: int(v) if k in whole else v for k, v in state.items()})

    def close(self) -> None:
        """Let go of what DeepSpeed holds; the engine cannot be used any more."""
        self._engine.destroy()

    def _gradient_norm(self) -> Tensor:
        """The norm over all gradients, which DeepSpeed without ZeRO does not tell."""
        gradients = [p.grad for p in self._names.values() if p.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)

    @torch.no_grad()
    def _average(self) -> None:
        if self._averages:
            live: list[Tensor] = [self._names[name] for name in self._averages]
            torch._foreach_lerp_(list(self._averages.values()), live, 1 - self.recipe.run.ema)

    def _buffers(self) -> dict[str, Tensor]:
        """Buffers that belong to the state of the model."""
        kept = self._model.state_dict(keep_vars=True)
        return {name: buffer for name, buffer in self._model.named_buffers() if name in kept}

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

    def _share_scaler(self) -> None:
        """Put our loss scale in the place of DeepSpeed's, whose ranks can disagree on what overflowed."""
        self.scaler = SharedScaler(
            self.device.partition(":")[0], init_scale=FIRST_SCALE, growth_interval=GROWTH_STEPS
        )
        self.scaler._lazy_init_scale_growth_tracker(torch.device(self.device))  # so that its state can be set
        if self._stage:
            self._engine.optimizer.torch_autocast_gradscaler = self.scaler
        else:
            self._engine.torch_autocast_z0_gradscaler = self.scaler

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
            group["lr"] = rate * group["scale"]

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.recipe.run.dtype == "bf16":
            return torch.autocast(self.device.partition(":")[0], torch.bfloat16)
        return contextlib.nullcontext()


def _shape(parameter: nn.Parameter) -> torch.Size:
    """The whole shape, which ZeRO 3 keeps beside an emptied parameter."""
    return torch.Size(getattr(parameter, "ds_shape", parameter.shape))
