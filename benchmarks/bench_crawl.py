"""Images per second from a loopback server: Babelscene's shard stage against img2dataset 1.47, in one run.

    python benchmarks/bench_crawl.py --images 5000 --rounds 5

img2dataset is installed into a virtual environment of its own (--peer names one that exists). Both get the
same table, one process, and 32 requests at once; both times include start-up. The two are run in turns, and
the ratio is that of the medians. Ours also verifies that every image decodes; img2dataset decodes to scale.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEER = "img2dataset==1.47.0"
SIDES = (320, 400, 480, 500, 640, 800, 1024)
AT_ONCE = 32
SIZE = 256
STAGES = """
executor: inline
workspace: {workspace}
datasets:
  crawl:
    {{source: crawl.sources.urls:Urls, table: {table}, name: bench, allow: [127.0.0.1], robots: false,
      connections: {at_once}, per_host: {at_once}}}
stages:
  shards:
    run: crawl.shards:Shards
    over: [crawl]
    params: {{dataset: "${{dataset}}", samples_per_shard: 1000{resize}}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=Path, help="a virtual environment that has img2dataset")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-crawl-"))
    peer = args.peer or install(folder / "peer")
    port = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    server.start()
    table = write_table(folder, port.get(timeout=60), args.images)
    status = 0
    for resize in (False, True):
        seconds: dict[str, list[float]] = {"babelscene": [], "img2dataset": []}
        for number in range(args.rounds):
            out = folder / f"{resize}-{number}"
            seconds["img2dataset"].append(run_peer(peer, table, out / "peer", args.images, resize=resize))
            seconds["babelscene"].append(run_ours(table, out / "ours", args.images, resize=resize))
            shutil.rmtree(out)
        rates = {name: args.images / statistics.median(each) for name, each in seconds.items()}
        ratio = rates["babelscene"] / rates["img2dataset"]
        mode = f"scaled to {SIZE}" if resize else "bytes as found"
        print(
            f"{mode}: babelscene {rates['babelscene']:.0f} images/s, img2dataset {rates['img2dataset']:.0f}"
        )
        print(f"  {ratio:.2f}x, median of {args.rounds}, one process each", flush=True)
        status |= ratio < 2
    server.terminate()
    shutil.rmtree(folder)
    return status


def install(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [folder / "bin/python", "-m", "pip", "install", "--quiet", PEER, "setuptools<81"]
    subprocess.run(command, check=True)
    return folder


def pictures(number: int = 300) -> list[bytes]:
    """JPEGs of photographs' sizes and weights: smooth colour with some noise."""
    import numpy as np
    from PIL import Image

    found = []
    chance = np.random.default_rng(0)
    for _ in range(number):
        width, height = chance.choice(SIDES, 2)
        small = Image.fromarray(chance.integers(0, 255, (12, 12, 3), np.uint8)).resize((width, height))
        noisy = np.asarray(small, np.int16) + chance.normal(0, 12, (height, width, 1)).astype(np.int16)
        buffer = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=80)
        found.append(buffer.getvalue())
    return found


def serve(port: multiprocessing.Queue[int]) -> None:
    import asyncio

    from aiohttp import web

    bodies = pictures()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            body=bodies[int(request.match_info["n"]) % len(bodies)], content_type="image/jpeg"
        )

    async def started(app: web.Application) -> None:
        port.put(runner.addresses[0][1])

    app = web.Application()
    app.router.add_get("/{n}.jpg", answer)
    runner = web.AppRunner(app, access_log=None)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.put(runner.addresses[0][1])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(start())
    loop.run_forever()


def write_table(folder: Path, port: int, images: int) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    order = random.Random(0).sample(range(images), images)
    urls = [f"http://127.0.0.1:{port}/{i}.jpg" for i in order]
    path = folder / "table.parquet"
    pq.write_table(pa.table({"url": urls, "caption": [f"picture {i}" for i in order]}), path)
    return path


def run_ours(table: Path, out: Path, images: int, *, resize: bool) -> float:
    out.mkdir(parents=True)
    scaling = f", resize: {{mode: keep_ratio, size: {SIZE}}}" if resize else ""
    text = STAGES.format(workspace=out / "work", table=table, at_once=AT_ONCE, resize=scaling)
    (out / "stages.yaml").write_text(text, "utf-8")
    command = [sys.executable, "-m", "pipeline.cli"]
    began = time.perf_counter()
    subprocess.run([*command, "run", "-f", out / "stages.yaml"], cwd=ROOT, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    status = [*command, "status", "-f", out / "stages.yaml", "--json"]
    [row] = json.loads(subprocess.run(status, cwd=ROOT, check=True, capture_output=True).stdout)
    assert row["ok"] == images, row
    return seconds


def run_peer(peer: Path, table: Path, out: Path, images: int, *, resize: bool) -> float:
    mode = (
        ["--resize_mode=keep_ratio", f"--image_size={SIZE}"] if resize else ["--disable_all_reencoding=True"]
    )
    command = [
        *(peer / "bin/img2dataset", f"--url_list={table}", "--input_format=parquet", "--url_col=url"),
        *("--caption_col=caption", "--output_format=webdataset", f"--output_folder={out}"),
        *("--processes_count=1", f"--thread_count={AT_ONCE}", "--number_sample_per_shard=1000", *mode),
    ]
    env = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=env)
    seconds = time.perf_counter() - began
    done = sum(json.loads(file.read_text())["successes"] for file in out.glob("*_stats.json"))
    assert done == images, done
    return seconds


if __name__ == "__main__":
    sys.exit(main())
