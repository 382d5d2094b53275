r"""Region extraction against its detector alone: same images, same weights (random), in one run.

    python benchmarks/bench_extract.py [--detector compact] [--images 240] [--rounds 7]
    python benchmarks/bench_extract.py --device cuda --detector c4 --precision bfloat16 --channels-last \
        --batch 16 --decoders 12 --images 2000

The detector alone is given normalised tensors, batched and on the device, and nobody looks at what it finds.
The pipeline begins with JPEGs in a shard and ends with a closed feature store. Rounds of the two alternate,
and the ratio is the median over pairs, since other programs may use the machine. On a GPU the share of time
in which it is busy, and what precision changes, are measured as well.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.ops import box_iou

from extract.architecture import Architecture
from extract.batching import Picture, batches, stack
from extract.detectors.base import Detector
from extract.detectors.compact import CompactDetector
from extract.detectors.torchvision import TorchvisionDetector
from extract.device import Inference, place
from extract.extraction import Extraction
from extract.images import decode, normalise
from extract.recipes import Recipe, find_recipe
from extract.regions import RegionFeaturesParams
from pipeline.stage import Output, Shard
from pipeline.stats import Stats
from store.features import StoreWriter, open_store
from store.records import Sample
from store.shards import ShardWriter, read_shard

T = TypeVar("T")

COCO = ((480, 640), (480, 640), (480, 640), (640, 480), (427, 640), (612, 612))
SCENES = ((160, 160), (176, 176), (144, 192), (192, 144))


def compact() -> tuple[Detector, Recipe, tuple[tuple[int, int], ...]]:
    """The demo's detector on images of its sizes."""
    return (
        CompactDetector(Architecture(), names("class", 8), names("attribute", 13)),
        find_recipe("demo"),
        SCENES,
    )


def mobilenet() -> tuple[Detector, Recipe, tuple[tuple[int, int], ...]]:
    """A pyramid that a CPU can carry, on photographs."""
    recipe = find_recipe("torchvision")
    smaller = recipe.preprocessing.model_copy(update={"short": 320, "long": 640})
    recipe = recipe.model_copy(update={"preprocessing": smaller, "proposals": 150})
    return TorchvisionDetector("fasterrcnn_mobilenet_v3_large_fpn", names("class", 91)), recipe, COCO


def c4() -> tuple[Detector, Recipe, tuple[tuple[int, int], ...]]:
    """ResNet-101 C4 of 1,600 classes and 400 attributes, 600 x 1000."""
    from extract.detectors.c4 import C4Detector
    from extract.detectors.c4_shape import VG_RESNET101

    shape = VG_RESNET101
    detector = C4Detector(shape, names("class", shape.classes), names("attribute", shape.attributes))
    return detector, find_recipe("butd-10-100"), COCO


DETECTORS = {"compact": compact, "mobilenet": mobilenet, "c4": c4}
DEFAULT = {"compact": 240, "mobilenet": 24}
"""Images of each detector that is measured when none is named."""


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    for name in [options.detector] if options.detector else DEFAULT:
        compare(name, options.images or DEFAULT.get(name, 1000), options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detector", choices=DETECTORS, help="default: those that a CPU can carry")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--decoders", type=int, default=1)
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def compare(name: str, images: int, options: argparse.Namespace) -> None:
    """Measure one detector alone and in the pipeline, and print what was found."""
    detector, recipe, sizes = built(name)
    faster = {
        "precision": options.precision,
        "channels_last": options.channels_last,
        "compiled": options.compiled,
    }
    params = RegionFeaturesParams(
        device=options.device, batch=options.batch, decoders=options.decoders, **faster
    )
    inference = place(detector, options.device, **faster)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tar = folder / "00000.tar"
        write_images(tar, images, sizes)
        ready = prepared(tar, inference, recipe, options.batch)

        def alone() -> None:
            for batch in ready:
                inference.detector.detect(batch, recipe.proposals)
            if options.device == "cuda":
                torch.cuda.synchronize()

        def pipeline() -> Stats:
            return extract(tar, folder / "out", inference, recipe, params)

        alone()  # fills caches, compiles
        pipeline()
        print(
            f"{name}, {images} images in batches of {options.batch}, {options.device}, {options.precision}, "
            f"{options.decoders} decoding"
        )
        report(measure(alone, pipeline, options.rounds), images)
        if options.device == "cuda":
            print(f"GPU busy {busy(pipeline):.0%} of the time")
        if options.precision != "float32":
            exact = place(built(name)[0], options.device)
            share = same_boxes(tar, folder, inference, exact, recipe, params)
            print(f"the same boxes as float32 on {share:.1%} of {images} images")


def built(name: str) -> tuple[Detector, Recipe, tuple[tuple[int, int], ...]]:
    """A detector with the same random weights each time, its recipe and the sizes of its images."""
    torch.manual_seed(0)
    detector, recipe, sizes = DETECTORS[name]()
    assert isinstance(detector, nn.Module)
    return detector.eval(), recipe, sizes


def names(kind: str, count: int) -> list[str]:
    return [f"{kind} {i}" for i in range(count)]


def write_images(tar: Path, count: int, sizes: tuple[tuple[int, int], ...]) -> None:
    """JPEGs about as hard to decode as photographs: coarse noise made smooth, with fine noise on it."""
    chance = np.random.default_rng(0)
    with ShardWriter(tar, tar.with_suffix(".parquet")) as writer:
        for i in range(count):
            height, width = sizes[i % len(sizes)]
            coarse = Image.fromarray(chance.integers(0, 256, (height // 24, width // 24, 3), np.uint8))
            smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
            noisy = (smooth + chance.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
            data = io.BytesIO()
            Image.fromarray(noisy).save(data, "JPEG", quality=90)
            about: dict[str, Any] = {"key": f"bench/{i:06d}", "width": width, "height": height, "sha256": ""}
            writer.write(Sample(captions=(), image=data.getvalue(), **about))


def prepared(tar: Path, inference: Inference, recipe: Recipe, size: int) -> list[torch.Tensor]:
    """What the detector takes, batched as the pipeline batches it."""

    def pictures() -> Iterator[Picture]:
        for sample in read_shard(tar):
            pixels, before = decode(sample.image or b"", recipe.preprocessing)
            yield Picture(key=sample.key, pixels=pixels, size=before)

    layout = torch.channels_last if inference.channels_last else torch.contiguous_format
    return [
        normalise(stack(batch, pinned=False).to(inference.device), recipe.preprocessing).contiguous(
            memory_format=layout
        )
        for batch in batches(pictures(), size)
    ]


def extract(
    tar: Path, folder: Path, inference: Inference, recipe: Recipe, params: RegionFeaturesParams
) -> Stats:
    """One shard, as the stage makes it."""
    folder.mkdir(exist_ok=True)
    out = Output(Shard(name="00000"), folder, folder / "scratch")
    detector = inference.detector
    store = out.path(".lmdb")
    store.unlink(missing_ok=True)
    writer = StoreWriter(store, {"classes": list(detector.classes)}, dim=detector.dimension)
    stats = Extraction(inference, recipe, params, writer, out, total=0).run(tar)
    assert stats.n_ok == stats.n_in, out.failures[:3]
    return stats


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one round: by the clock, and of CPU."""

    clock: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A round of each, one right after the other."""

    alone: Took
    pipeline: Took
    stats: Stats

    @property
    def ratio(self) -> float:
        """Images a second of the pipeline, over those of the detector alone."""
        return self.alone.clock / self.pipeline.clock


def measure(alone: Callable[[], None], pipeline: Callable[[], Stats], rounds: int) -> list[Pair]:
    """Pairs, in which who comes first alternates."""
    pairs = []
    for i in range(rounds):
        if i % 2:
            before, _ = clocked(alone)
        ours, stats = clocked(pipeline)
        if not i % 2:
            before, _ = clocked(alone)
        pairs.append(Pair(before, ours, stats))
    return pairs


def clocked(work: Callable[[], T]) -> tuple[Took, T]:
    clock, cpu = time.perf_counter(), time.process_time()
    found = work()
    return Took(time.perf_counter() - clock, time.process_time() - cpu), found


def report(pairs: list[Pair], count: int) -> None:
    for name, took in (
        ("detector alone", [pair.alone for pair in pairs]),
        ("pipeline", [pair.pipeline for pair in pairs]),
    ):
        rate, of_cpu = (statistics.median(count / each for each in times) for times in (
            [each.clock for each in took], [each.cpu for each in took]))  # fmt: skip
        print(f"{name:15} {rate:8.1f} images/s {of_cpu:8.1f} a CPU-second (medians of {len(pairs)} rounds)")
    ratios = sorted(pair.ratio for pair in pairs)
    print(f"pipeline / detector alone {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")
    of_cpu = statistics.median(pair.alone.cpu / pair.pipeline.cpu for pair in pairs)
    print(f"the same in images a CPU-second {of_cpu:.3f}")
    stats = pairs[-1].stats
    seconds = ", ".join(f"{name} {taken:.2f}" for name, taken in sorted(stats.seconds.items()))
    peaks = ", ".join(f"{name} {peak / 2**20:.0f} MiB" for name, peak in sorted(stats.peaks.items()))
    print(f"seconds in the last round, side by side: {seconds}; {peaks}")


def busy(pipeline: Callable[[], Stats]) -> float:
    """Share of the time in which the GPU runs any kernel."""
    from torch.profiler import ProfilerActivity, profile

    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        pipeline()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    spans: list[Any] = sorted(
        (event.time_range.start, event.time_range.end)
        for event in trace.events()
        if event.device_type.name == "CUDA" and not event.name.startswith("Mem")
    )
    total, until = 0.0, 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total / 1e6 / seconds


def same_boxes(
    tar: Path,
    folder: Path,
    inference: Inference,
    exact: Inference,
    recipe: Recipe,
    params: RegionFeaturesParams,
) -> float:
    """Share of images with as many boxes of the same classes, each where the other has one (IoU of 0.9)."""
    stores = []
    for name, each in (("fast", inference), ("exact", exact)):
        extract(tar, folder / name, each, recipe, params)
        stores.append(open_store(folder / name / "00000.lmdb"))
    fast, slow = stores
    keys = sorted(slow.keys())
    same = 0
    for key in keys:
        a, b = fast[key], slow[key]
        if len(a) == len(b):
            near = box_iou(torch.from_numpy(a.boxes), torch.from_numpy(b.boxes)) >= 0.9
            near &= torch.from_numpy(a.class_id[:, None] == b.class_id[None])
            same += bool(near.any(1).all() and near.any(0).all())
    return same / len(keys)


if __name__ == "__main__":
    main()
