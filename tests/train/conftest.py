import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train.toys import make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty toy scenes with regions, phrases, concepts and a tokenizer."""
    return make_world(tmp_path_factory.mktemp("world"), 60)


@pytest.fixture(scope="session")
def alone() -> Iterator[None]:
    """This process as the only rank."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    told = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    os.environ.update(told)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()
    for name in told:
        del os.environ[name]
