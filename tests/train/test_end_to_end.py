"""The backbone: what it computes, what of it learns, how pictures are read, and a run from pixels to a model."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torchvision.models import resnet50
from torchvision.ops import roi_align

from store.errors import DataError
from store.shards import ShardWriter, read_metadata
from tests.train.test_vlbert_functions import detected
from tests.train.toys import regions, scene
from tests.train.vlbert_toys import stream_job
from train.config import Recipe
from train.models.vlbert_backbone import Backbone, EndToEnd
from train.models.vlbert_start import open_stream
from train.order import Place
from train.tasks.multilingual import Multilingual, prepare
from train.trainer import train
from train.vlbert.pixels import CAFFE_MEANS, PixelBatch, normal
from train.vlbert.regions import Scene, arrange
from train.vlbert.settings import BackboneSettings

SMALL = BackboneSettings(width=2, blocks=(1, 1, 1, 1), cells=3)


@pytest.fixture(scope="module")
def pictured(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy world with pictures in which each thing is a square of its colour."""
    folder = tmp_path_factory.mktemp("pictured")
    with ShardWriter(folder / "00000.tar", folder / "00000.parquet") as writer:
        for number, sample in enumerate(read_metadata(world / "00000.parquet")):
            drawn = Image.new("RGB", (96, 96), "white")
            pairs = scene(number)
            for (colour, _), box in zip(pairs, regions(number, pairs).boxes.tolist(), strict=True):
                ImageDraw.Draw(drawn).rectangle(box, fill=colour)
            data = io.BytesIO()
            drawn.save(data, "PNG")
            writer.write(replace(sample, image=data.getvalue(), extension="png"))
    return folder / "00000.parquet"


SMALLER: dict[str, Any] = {"data__batch": 8, "settings__backbone__width": 2}


def opened(world: Path, table: Path, folder: Path, **overrides: Any) -> Multilingual:
    job = stream_job(world, folder, "vlbert-e2e-tiny", **{**SMALLER, **overrides})
    return prepare(replace(job, shards=(str(table),)), Recipe.model_validate(job.recipe))


def first_batch(task: Multilingual, rows: int = 8) -> PixelBatch:
    (stream,) = task.streams
    examples = [stream.examples.example(Place(0, row)) for row in range(rows)]
    batch = stream.collate(examples, np.random.default_rng(0))
    assert isinstance(batch, PixelBatch)
    return batch


def test_it_is_torchvisions_resnet_but_for_the_last_stage(tmp_path: Path) -> None:
    torch.manual_seed(0)
    known = resnet50(weights=None).eval()
    backbone = Backbone(BackboneSettings(blocks=(3, 4, 6, 3), form="torchvision", cells=4))
    save_file(known.state_dict(), tmp_path / "resnet50.safetensors")
    backbone.load(tmp_path / "resnet50.safetensors")
    pixels, boxes = torch.randn(2, 3, 64, 48), torch.tensor([[[0.0, 0, 47, 63], [8, 4, 30, 40]]] * 2)
    mask = torch.tensor([[True, True], [False, True]])
    with torch.no_grad():
        found = backbone(pixels, boxes, mask)
        x = known.maxpool(known.relu(known.bn1(known.conv1(pixels))))
        x = known.layer3(known.layer2(known.layer1(x)))
        rows = torch.cat([torch.tensor([[0.0], [0], [1]]), boxes[mask]], dim=1)
        cut = roi_align(x, rows, 4, spatial_scale=1 / 16, sampling_ratio=1, aligned=False)
        known.layer4[0].conv2.stride = known.layer4[0].downsample[0].stride = (1, 1)
        for block in known.layer4:
            block.conv2.dilation = block.conv2.padding = (2, 2)
        expected = known.layer4(cut).mean(dim=(2, 3))
    torch.testing.assert_close(found[mask], expected, rtol=1e-4, atol=1e-4)
    assert not found[1, 0].any()
    assert backbone.dim == 2048


def test_where_it_strides() -> None:
    for form, first, second in (("caffe", (2, 2), (1, 1)), ("torchvision", (1, 1), (2, 2))):
        backbone = Backbone(SMALL.model_copy(update={"form": form}))
        block = backbone.layer2[0]
        assert (block.conv1.stride, block.conv2.stride) == (first, second)
        assert backbone.layer4[0].conv2.dilation == (2, 2)


@pytest.mark.parametrize("frozen", [0, 2, 4])
def test_frozen_stages_do_not_learn(frozen: int) -> None:
    backbone = Backbone(SMALL.model_copy(update={"frozen": frozen}))
    learning = {name.split(".")[0] for name, p in backbone.named_parameters() if p.requires_grad}
    assert learning == {*(f"layer{n}" for n in range(frozen + 1, 5)), *(["conv1"] if not frozen else [])}
    assert not [name for name, _ in backbone.named_parameters() if "bn" in name]  # batch norms hold buffers


def test_other_weights_are_refused(tmp_path: Path) -> None:
    other = Backbone(SMALL.model_copy(update={"blocks": (2, 1, 1, 1)}))
    save_file(dict(Backbone(SMALL).state_dict()), tmp_path / "small.safetensors")
    with pytest.raises(DataError, match=r"it lacks layer1.1"):
        other.load(tmp_path / "small.safetensors")


def test_pixels_are_those_of_the_original() -> None:
    grey = np.full((2, 3, 3), 100, np.float32)
    grey[:, :, 0] = 255  # red
    blue, green, red = normal(grey, "caffe")[:, 0, 0]
    assert (blue, green, red) == pytest.approx(
        (100 - CAFFE_MEANS[0], 100 - CAFFE_MEANS[1], 255 - CAFFE_MEANS[2])
    )
    assert normal(grey, "torchvision")[:, 1, 2] == pytest.approx(
        ((1 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (100 / 255 - 0.406) / 0.225)
    )


def test_pictures_are_scaled_turned_and_blotted_as_their_boxes(
    world: Path, pictured: Path, tmp_path: Path
) -> None:
    task = opened(world, pictured, tmp_path)
    assert task.pictures is not None
    key, seen = "toys/00003", regions(3, scene(3))

    def read(**given: Any) -> tuple[np.ndarray, Scene]:
        arranged = arrange(seen, seen.score, **given)
        assert task.pictures is not None
        return task.pictures.read(key, arranged), arranged

    plain, _ = read()
    assert plain.shape == (3, 96, 96)
    np.testing.assert_array_equal(read(mirrored=True)[0], plain[:, :, ::-1])
    scaled, arranged = read(scale=(48, 100))
    assert scaled.shape == (3, 48, 48)
    x1, y1, x2, y2 = arranged.boxes[1].astype(int)
    white = scaled.max()
    assert (scaled[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] != white).any(axis=0).mean() > 0.9
    hidden = np.zeros(len(seen), np.bool_)
    hidden[0] = True
    blotted, arranged = read(hidden=hidden)
    x1, y1, x2, y2 = arranged.boxes[1].astype(int)
    assert not blotted[:, y1 : y2 + 1, x1 : x2 + 1].any()
    assert (blotted == plain).mean() > 0.8


def test_gradients_reach_the_backbone(world: Path, pictured: Path, tmp_path: Path) -> None:
    task = opened(world, pictured, tmp_path, settings__backbone__frozen=1)
    torch.manual_seed(0)
    model, batch = task.build_model(), first_batch(task)
    assert isinstance(model, EndToEnd)
    model(batch)["total"].backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    moved = {n.split(".")[1] for n, p in model.named_parameters() if p.grad is not None and "backbone" in n}
    assert moved == {"layer2", "layer3", "layer4"}
    reached = dict(model.backbone.named_parameters())["layer2.0.conv1.weight"].grad
    assert reached is not None
    assert reached.abs().sum() > 0
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    first = float(model(batch)["total"].detach())
    for _ in range(30):
        optimiser.zero_grad()
        loss = model(batch)["total"]
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.8 * first


def test_what_is_hidden_is_not_in_the_pixels(world: Path, pictured: Path, tmp_path: Path) -> None:
    task = opened(world, pictured, tmp_path, vlbert__objectives__masked_regions__chance=0.5)
    batch = first_batch(task)
    assert batch.hidden.any()
    assert (batch.region_mask & ~batch.hidden).any()
    for row, region in batch.hidden.nonzero().tolist():
        x1, y1, x2, y2 = batch.boxes[row, region].long().tolist()
        assert not batch.pixels[row, :, y1:y2, x1:x2].any()


@pytest.mark.usefixtures("alone")
def test_a_run_from_pixels_to_a_model(world: Path, pictured: Path, tmp_path: Path) -> None:
    short: dict[str, Any] = {"run__steps": 4, "data__held_out": 0.2, "run__validate_every": 4}
    job = stream_job(world, tmp_path, "vlbert-e2e-tiny", **SMALLER, **short)
    job = replace(job, shards=(str(pictured),))
    train(job, 0, 1, "cpu", lambda report: None)
    start = open_stream(Path(job.output).parent)
    model = start.model()
    assert isinstance(model, EndToEnd)
    assert start.about["feature_dim"] == model.backbone.dim == 64
    fresh = Backbone(model.backbone.settings).state_dict()
    assert set(fresh) == set(model.backbone.state_dict())


def test_a_sample_without_a_picture_is_refused(world: Path, tmp_path: Path) -> None:
    task = opened(world, world / "00000.parquet", tmp_path)
    with pytest.raises(DataError, match="has no picture"):
        first_batch(task)


def test_scenes_know_how_they_are_turned() -> None:
    turned = arrange(detected(3), np.ones(3, np.float32), mirrored=True)
    assert turned.mirrored
    assert turned.first(2).mirrored
    assert not arrange(detected(3), np.ones(3, np.float32)).mirrored
