"""A crawl that is killed in the middle of its requests, and goes on, ends in the bytes of one that was not."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.crawl import hostile

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("BABELSCENE_KILLS", "4"))
IMAGES, SHARD = 120, 20
STAGES = """
executor: inline
datasets:
  web: {{source: crawl.sources.urls:Urls, table: {table}, name: web, allow: [127.0.0.1], robots: false, per_host: 4}}
stages:
  shards: {{run: crawl.shards:Shards, over: [web], params: {{dataset: "${{dataset}}", samples_per_shard: {size}}}}}
"""


@pytest.mark.slow
def test_killed_in_mid_crawl_and_resumed(tmp_path):
    victim: list[subprocess.Popen[bytes]] = []
    left = [0]

    async def answer(request: web.Request) -> web.StreamResponse:
        left[0] -= 1
        if left[0] == 0 and victim:
            os.killpg(victim[0].pid, signal.SIGKILL)
        number = int(request.path.strip("/").partition(".")[0])
        return web.Response(body=hostile.jpeg(colour=number), content_type="image/jpeg")

    with hostile.Server() as server:
        table = tmp_path / "table.tsv"
        urls = [server.route(f"/{i}.jpg", answer) for i in range(IMAGES)]
        table.write_text("url\tcaption\n" + "".join(f"{url}\ta dog\n" for url in urls), "utf-8")
        (tmp_path / "stages.yaml").write_text(STAGES.format(table=table, size=SHARD), "utf-8")
        chance = random.Random(0)
        killed = 0
        while killed < KILLS:
            left[0] = chance.randrange(1, 2 * SHARD)
            victim[:] = [start(tmp_path, "killed")]
            code = victim[0].wait()
            assert code in (0, -signal.SIGKILL)
            killed += code == -signal.SIGKILL
            if code == 0:  # it came to its end: from the beginning again
                shutil.rmtree(tmp_path / "killed")
        victim.clear()
        assert start(tmp_path, "killed").wait() == 0
        assert start(tmp_path, "calm").wait() == 0
    one, other = manifest(tmp_path / "killed"), manifest(tmp_path / "calm")
    assert one["digest"] == other["digest"]
    assert one["stats"]["n_ok"] == IMAGES


def start(folder: Path, workspace: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline.cli", "run", "-f", str(folder / "stages.yaml")]
    log = (folder / "log").open("ab")
    return subprocess.Popen(
        [*command, f"workspace={folder / workspace}"],
        cwd=ROOT,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def manifest(workspace: Path) -> dict:
    [path] = workspace.glob("*/shards/web/*/manifest.json")
    return json.loads(path.read_text("utf-8"))
