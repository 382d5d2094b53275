"""States on disk: exact, whole or absent."""

from __future__ import annotations

import math
import multiprocessing
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from store import faults, states
from store.atomic import is_temporary
from store.errors import CorruptError, DataError

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda child: (
        st.lists(child, max_size=3)
        | st.tuples(child, child)
        | st.dictionaries(st.integers() | st.text(st.sampled_from("$ab.~"), max_size=3), child, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None)
@given(PLAIN)
def test_plain_values_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    folder = tmp_path_factory.mktemp("states") / "step-000001"
    states.save_state(folder, tree)
    found = states.load_state(folder)
    assert repr(found) == repr(tree)  # types, signs of zero and the order of keys, too


@pytest.mark.parametrize(
    "dtype",
    [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool],
    ids=str,
)
def test_tensors_keep_type_shape_and_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = [torch.randn(3, 4).to(dtype), torch.zeros(0, 5, dtype=dtype), torch.ones((), dtype=dtype)]
    states.save_state(tmp_path / "s", tensors)
    for wanted, found in zip(tensors, states.load_state(tmp_path / "s"), strict=True):
        assert found.dtype == dtype
        assert found.shape == wanted.shape
        assert torch.equal(found, wanted)


def test_a_training_state_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def start() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 3)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1)

    def step(model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        optimiser.step()

    model, optimiser = start()
    step(model, optimiser)
    tree = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "random": torch.get_rng_state()}
    states.save_state(tmp_path / "step-000001", {**tree, "python": random.getstate()})
    step(model, optimiser)

    again, other = start()
    found = states.load_state(tmp_path / "step-000001")
    again.load_state_dict(found["model"])
    other.load_state_dict(found["optimiser"])
    torch.set_rng_state(found["random"])
    random.setstate(found["python"])
    step(again, other)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_arrays_scalars_views_and_shared_memory(tmp_path: Path) -> None:
    whole = torch.arange(10.0, requires_grad=True)
    tree = {
        "tied": [whole, whole],
        "view": whole[2:4],
        "turned": torch.arange(6).reshape(2, 3).T,
        "array": np.arange(4, dtype=np.uint32)[::-1],
        "scalar": np.float32(0.1),
        "special": [math.nan, math.inf, -math.inf, -0.0, 2**200],
        "generator": np.random.default_rng(5).bit_generator.state,
    }
    states.save_state(tmp_path / "s", tree)
    found = states.load_state(tmp_path / "s")
    assert torch.equal(found["tied"][1], whole)
    assert found["view"].tolist() == [2, 3]
    assert found["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["array"].dtype == np.uint32
    assert found["array"].tolist() == [3, 2, 1, 0]
    assert type(found["scalar"]) is np.float32
    assert found["scalar"] == np.float32(0.1)
    assert repr(found["special"]) == repr(tree["special"])
    assert found["generator"] == tree["generator"]


@pytest.mark.parametrize("bad", [object(), {1, 2}, b"x", np.array(["a"]), torch.zeros(2).to_sparse(), 1j])
def test_what_cannot_be_held_is_said_where(bad: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"state\.a\.1"):
        states.save_state(tmp_path / "s", {"a": [0, bad]})
    assert list(tmp_path.iterdir()) == []


def test_equal_states_are_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        states.save_state(tmp_path / name, {"x": torch.ones(3), "y": [1.5, "z"]})
    for file in (states.JSON, states.TENSORS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_latest_passes_over_damage_and_prune_keeps_the_newest(tmp_path: Path) -> None:
    assert states.latest(tmp_path) is None
    for step in (9, 10, 1_000_000):
        states.save_state(states.step_folder(tmp_path, step), {"step": step, "x": torch.ones(4)})
    (tmp_path / ".step-000011.tmp-1-1").mkdir()
    newest = states.latest(tmp_path)
    assert newest == tmp_path / "step-1000000"
    for file in (states.TENSORS, states.JSON):
        data = bytearray((newest / file).read_bytes())
        data[-3] ^= 1
        (newest / file).write_bytes(data)
        with pytest.raises(CorruptError):
            states.load_state(newest)
        assert states.latest(tmp_path) == tmp_path / "step-000010"
        data[-3] ^= 1
        (newest / file).write_bytes(data)
    states.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-1000000"]


def test_saving_again_replaces(tmp_path: Path) -> None:
    states.save_state(tmp_path / "step-000001", 1)
    states.save_state(tmp_path / "step-000001", 2)
    assert states.load_state(tmp_path / "step-000001") == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_state(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="step-000001"):
        states.load_state(tmp_path / "step-000001")


def _save_and_die(folder: Path, point: str) -> None:
    faults.arm(point)
    states.save_state(folder, {"step": 2})


@pytest.mark.parametrize("point", [name for name in faults.POINTS if name.startswith("checkpoint.")])
def test_killed_anywhere_there_is_a_whole_state(point: str, tmp_path: Path) -> None:
    states.save_state(tmp_path / "step-000001", {"step": 1})
    context: Any = multiprocessing.get_context("fork")
    child = context.Process(target=_save_and_die, args=(tmp_path / "step-000002", point))
    child.start()
    child.join(100)
    assert child.exitcode == -signal.SIGKILL
    newest = states.latest(tmp_path)
    assert newest is not None
    after = point.startswith("checkpoint.parent") or point == "checkpoint.rename.after"
    assert states.load_state(newest) == {"step": 2 if after else 1}
    states.prune(tmp_path, 1)
    assert not any(is_temporary(path) for path in tmp_path.iterdir())
