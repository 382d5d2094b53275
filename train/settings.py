"""The settings of a run as they work out: absolute learning rates, global batch, epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from train.config import Recipe
from train.schedule import factor
from train.task import Stream


def effective(recipe: Recipe, streams: Sequence[Stream], ranks: int, device: str) -> Mapping[str, str]:
    """What a run does, by name, for people: nothing here has to be multiplied in one's head."""
    run, data, optimiser, schedule = recipe.run, recipe.data, recipe.optimiser, recipe.schedule
    last = min(run.steps, run.max_steps or run.steps)
    found = {
        "task": f"{recipe.task} of {recipe.family}",
        "device": f"{ranks} x {device.partition(':')[0]}, {run.dtype}, ZeRO stage {run.zero_stage}",
        "steps": str(last) if last == run.steps else f"{last} of a schedule of {run.steps}",
    }
    for stream in streams:
        name = "batch" if len(streams) == 1 else f"batch of {stream.name}"
        micro = stream.batch // (ranks * data.accumulation)
        rows = len(stream.examples)
        found[name] = (
            f"{stream.batch} a step = {ranks} ranks x {data.accumulation} accumulated x {micro};"
            f" {rows} samples, {last * stream.batch / rows:.1f} epochs"
        )
    first, peak, end = (
        recipe.peak * factor(schedule, step, run.steps)
        for step in (0, min(schedule.warmup, run.steps - 1), run.steps - 1)
    )
    found["learning rate"] = (
        f"{first:.3g} at the first step, {peak:.3g} after {schedule.warmup} of warm-up,"
        f" {end:.3g} at the last ({schedule.shape})"
    )
    for group in optimiser.groups:
        decay = "" if group.weight_decay is None else f", weight decay {group.weight_decay:g}"
        found[f"learning rate of {group.match}"] = f"{group.scale * peak:.3g} at its peak{decay}"
    found["optimiser"] = (
        f"{'AdamW' if optimiser.rule == 'adamw' else 'AdamW of BERT'},"
        f" betas {optimiser.betas[0]:g} and {optimiser.betas[1]:g},"
        f" weight decay {optimiser.weight_decay:g}, gradients clipped at {optimiser.clip:g}"
    )
    if run.ema:
        found["moving average"] = f"decay {run.ema:g}; it is what is validated and written"
    return found
