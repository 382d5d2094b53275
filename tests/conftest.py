"""What all tests share: one Ray instance, the folders of real data and golden numbers."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", HF_HUB_OFFLINE="1")

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def ray_instance():
    """The one Ray of the whole test session, on two CPUs."""
    import ray

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        logging_level="ERROR",
        log_to_driver=False,
    )
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets; skips the test where it is absent."""
    folder = Path(os.environ.get("BABELSCENE_SHARED", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (BABELSCENE_SHARED)")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden numbers; skips the test where it is absent."""
    folder = Path(os.environ.get("BABELSCENE_GOLDEN", ROOT.parent / "shared" / "golden"))
    if not folder.is_dir():
        pytest.skip(f"no golden numbers at {folder} (BABELSCENE_GOLDEN)")
    return folder
