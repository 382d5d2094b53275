"""Published detectors: what they say equals torchvision's own call; weights that do not come or do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import get_model_weights
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d

from extract import recipes
from extract.detectors.load import load_detector
from extract.detectors.torchvision import NAMES, TorchvisionDetector
from extract.images import normalise, resized_shape
from extract.pretrained import PretrainedDetector, PretrainedDetectorParams
from extract.recipes import Selection
from extract.selection import select
from pipeline.artifacts import Artifact
from pipeline.stage import Shard
from store.errors import ConfigError, CorruptError, UserError
from store.features import open_store
from tests.extract.toys import artifact, bytes_of, description, extract, inputs_of, output

SMALL = "fasterrcnn_mobilenet_v3_large_fpn"
CATEGORIES = get_model_weights(SMALL).COCO_V1.meta["categories"]
PROPOSALS = 40
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture(scope="module")
def model() -> FasterRCNN:
    """torchvision's own, with random weights that spread scores and boxes, and its selection laid open."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        built = TorchvisionDetector(SMALL, CATEGORIES).model
        hooks = [
            m.register_forward_pre_hook(_calibrate)
            for m in built.modules()
            if isinstance(m, FrozenBatchNorm2d)
        ]
        with torch.inference_mode():
            built.backbone(torch.randn(1, 3, 128, 128))
        for hook in hooks:
            hook.remove()
        torch.nn.init.normal_(built.rpn.head.cls_logits.weight, std=0.3)
        torch.nn.init.normal_(built.roi_heads.box_predictor.cls_score.weight, std=0.03)
        torch.nn.init.normal_(built.roi_heads.box_predictor.bbox_pred.weight, std=0.02)
    built.rpn._pre_nms_top_n["testing"] = built.rpn._post_nms_top_n["testing"] = PROPOSALS
    built.roi_heads.score_thresh, built.roi_heads.detections_per_img = 0.0, 10**6
    built.transform.min_size, built.transform.max_size = (96,), 96
    return built.eval()


def _calibrate(module: FrozenBatchNorm2d, inputs: tuple[torch.Tensor]) -> None:
    """Statistics of the first input, so that random layers neither explode nor fade."""
    module.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
    module.running_var.copy_(inputs[0].var(dim=(0, 2, 3), correction=0) + 1e-2)


@pytest.fixture(scope="module")
def weights(model: FasterRCNN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save(model.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def detector(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make(tmp_path_factory.mktemp("made") / "detector", file=str(weights))


def make(folder: Path, **params: str) -> Artifact:
    """Run the stage by hand."""
    stage = PretrainedDetector(PretrainedDetectorParams.model_validate({"architecture": SMALL, **params}))
    (shard,) = stage.shards(inputs_of())
    out = output(shard, folder)
    stats = stage.process(shard, inputs_of(), out)
    assert stats.n_in == stats.n_ok > 100
    return artifact(folder, "detector", {"detector": sorted(folder.iterdir())})


def normalised(images: torch.Tensor) -> torch.Tensor:
    """By torchvision's own code, so that not even rounding differs: random layers would make much of it."""
    found: torch.Tensor = GeneralizedRCNNTransform(800, 1333, MEAN, STD).normalize(images)
    return found


def test_the_recipe_normalises_as_torchvision_does() -> None:
    pixels = torch.randint(
        0, 256, (2, 30, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    ours = normalise(pixels, recipes.find_recipe("torchvision").preprocessing)
    torch.testing.assert_close(ours, normalised(pixels.permute(0, 3, 1, 2) / 255), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("size", [(480, 640), (333, 500), (1000, 200), (90, 91)])
def test_the_recipe_resizes_as_torchvision_does(size: tuple[int, int]) -> None:
    """It rounds down where we round to the nearest: a pixel at the most."""
    ours = resized_shape(*size, recipes.find_recipe("torchvision").preprocessing)
    image, _ = GeneralizedRCNNTransform(800, 1333, MEAN, STD).resize(torch.zeros(3, *size), None)
    assert all(abs(a - b) <= 1 for a, b in zip(ours, image.shape[-2:], strict=True))


@pytest.mark.parametrize("shape", [(96, 96), (96, 70)])
def test_selected_regions_are_torchvisions_detections(
    model: FasterRCNN, detector: Artifact, shape: tuple[int, int]
) -> None:
    images = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(1))
    # its own resize must have nothing to do
    model.transform.min_size = (min(shape),)
    with torch.inference_mode():
        theirs = model([*images])
    ours = load_detector(detector.path)
    rule = Selection(iou=model.roi_heads.nms_thresh, threshold=0.0, min_boxes=0, max_boxes=10**6)
    number = {name: i for i, name in enumerate(CATEGORIES)}
    for found, their in zip(ours.detect(normalised(images), PROPOSALS), theirs, strict=True):
        assert len(found.proposals) > 10
        chosen = select(found.boxes.numpy(), found.class_scores.numpy(), rule)
        assert len(set(chosen.class_id.tolist())) > 3
        named = {(number[ours.classes[c]], s): i for c, s, i in zip(*_plain(chosen), strict=True)}
        # every region that we select is one of its detections, and each is the best of its proposal
        for (label, score), row in named.items():
            same = (their["labels"] == label) & ((their["scores"] - score).abs() < 1e-5)
            distance = (their["boxes"][same] - found.boxes[row, ours.classes.index(CATEGORIES[label])]).abs()
            assert len(distance)
            assert distance.amax(dim=1).min() < 1e-2
        used = torch.tensor([CATEGORIES[label] != "N/A" for label in their["labels"].tolist()])
        assert their["scores"][used].max() == pytest.approx(chosen.score.max().item(), abs=1e-5)


def _plain(chosen: object) -> tuple[list[int], list[float], list[int]]:
    return chosen.class_id.tolist(), chosen.score.tolist(), chosen.index.tolist()  # type: ignore[attr-defined]


def test_every_pair_of_box_and_class_is_torchvisions(model: FasterRCNN, detector: Artifact) -> None:
    """With suppression off, its detections are all pairs: the same multiset of scores, and the same boxes."""
    image = torch.rand(3, 64, 90, generator=torch.Generator().manual_seed(2))
    model.transform.min_size, before = (64,), model.roi_heads.nms_thresh
    model.roi_heads.nms_thresh = 1.1
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        model.rpn.register_forward_hook(lambda m, i, o: seen.update(proposals=o[0][0])),
        model.roi_heads.box_head.register_forward_hook(lambda m, i, o: seen.update(features=o)),
    ]
    try:
        with torch.inference_mode():
            (their,) = model([image])
    finally:
        model.roi_heads.nms_thresh = before
        for hook in hooks:
            hook.remove()
    ours = load_detector(detector.path)
    (found,) = ours.detect(normalised(image[None]), PROPOSALS)
    torch.testing.assert_close(found.proposals, seen["proposals"], atol=1e-3, rtol=0)
    torch.testing.assert_close(found.features, seen["features"], atol=1e-4, rtol=1e-4)
    assert found.features.shape[1] == ours.dimension == 1024
    number = {name: i for i, name in enumerate(CATEGORIES)}
    compared = 0
    for column, name in enumerate(ours.classes):
        mine = their["labels"] == number[name]
        boxes, scores = found.boxes[:, column], found.class_scores[:, column]
        wide = ((boxes[:, 2:] - boxes[:, :2]) >= 1e-2).all(dim=1)
        order = scores[wide].argsort(descending=True, stable=True)
        torch.testing.assert_close(scores[wide][order], their["scores"][mine], atol=1e-5, rtol=0)
        gaps = their["scores"][mine].diff().abs()
        apart = torch.ones(len(order), dtype=torch.bool)
        apart[1:] &= gaps > 1e-5
        apart[:-1] &= gaps > 1e-5
        torch.testing.assert_close(boxes[wide][order][apart], their["boxes"][mine][apart], atol=1e-2, rtol=0)
        compared += int(apart.sum())
    assert compared > 200


def test_given_boxes_come_last_as_they_are(detector: Artifact) -> None:
    ours = load_detector(detector.path)
    images = normalised(torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(4)))
    given = torch.tensor([[0.0, 0.0, 96.0, 64.0], [5.0, 6.0, 50.0, 40.0]])
    plain, more = ours.detect(images, 20), ours.detect(images, 20, given)
    for a, b in zip(plain, more, strict=True):
        torch.testing.assert_close(b.class_scores[:-2], a.class_scores, atol=1e-5, rtol=0)
        torch.testing.assert_close(b.proposals[-2:], given)
        assert (b.boxes[-2:] == given[:, None]).all()
        assert b.attribute_scores.shape == (len(b.proposals), 0)


def test_tiny_images_before_do_not_change_the_pooling(detector: Artifact) -> None:
    ours = load_detector(detector.path)
    images = normalised(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(5)))
    before = ours.detect(images, 20)[0]
    ours.detect(images[..., :33, :33], 20)
    assert torch.equal(ours.detect(images, 20)[0].features, before.features)


def test_the_region_stage_runs_after_it(
    detector: Artifact, toy_shards: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.find_recipe("torchvision")
    small = recipe.model_copy(
        update={"preprocessing": recipe.preprocessing.model_copy(update={"short": 64}), "proposals": 30}
    )
    monkeypatch.setitem(recipes.RECIPES, "torchvision", small)
    one = Artifact(toy_shards.path, replace(toy_shards.manifest, shards=toy_shards.manifest.shards[:1]))
    folder, stats, failures = extract(tmp_path / "regions", one, detector, recipe="torchvision")
    assert (stats.n_ok, failures) == (8, [])
    store = open_store(folder)
    assert store.meta["dim"] == 1024
    assert len(store.meta["classes"]) == 80
    found = store["toy/0000"]
    assert set(found.attribute_id.tolist()) == {-1}
    assert np.isfinite(found.features).all()


def test_a_recipe_with_other_means_is_refused(detector: Artifact) -> None:
    with pytest.raises(UserError, match="mean"):
        load_detector(detector.path, recipes.find_recipe("photos").preprocessing)


def test_an_image_without_proposals_has_empty_rows_of_the_right_shape(detector: Artifact) -> None:
    ours = load_detector(detector.path)
    (found,) = ours.detect(torch.full((1, 3, 64, 64), torch.nan), 20)
    assert found.boxes.shape == (0, 80, 4)
    assert found.class_scores.shape == (0, 80)
    assert found.features.shape == (0, 1024)


def test_classes_are_cocos_eighty(detector: Artifact) -> None:
    about = description(detector.path)
    assert about["kind"] == "torchvision"
    assert about["attributes"] == []
    assert isinstance(about["classes"], list)
    assert (len(about["classes"]), about["classes"][0], about["classes"][-1]) == (80, "person", "toothbrush")


def test_safetensors_and_pth_make_the_same_bytes(weights: Path, detector: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(torch.load(weights, weights_only=True), file)
    assert bytes_of(make(tmp_path / "made", file=str(file)).path) == bytes_of(detector.path)


def test_content_of_the_file_enters_the_key_and_its_path_does_not(weights: Path, tmp_path: Path) -> None:
    def shard(file: Path) -> tuple[Shard, object]:
        params = PretrainedDetectorParams.model_validate({"architecture": SMALL, "file": str(file)})
        (found,) = PretrainedDetector(params).shards(inputs_of())
        return found, params.keyed()

    copy, other = tmp_path / "copy.pth", tmp_path / "other.pth"
    copy.write_bytes(weights.read_bytes())
    other.write_bytes(b"other")
    assert shard(weights) == shard(copy)
    assert shard(weights) != shard(other)


def test_an_error_lists_every_key_that_does_not_fit(weights: Path, tmp_path: Path) -> None:
    tensors = torch.load(weights, weights_only=True)
    del tensors["roi_heads.box_head.fc6.bias"], tensors["rpn.head.bbox_pred.bias"]
    tensors["mask_head.weight"] = torch.zeros(2)
    tensors["roi_heads.box_predictor.cls_score.bias"] = torch.zeros(7)
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(UserError) as raised:
        make(tmp_path / "made", file=str(tmp_path / "odd.safetensors"))
    for key in (
        "fc6.bias",
        "rpn.head.bbox_pred.bias",
        "mask_head.weight",
        "cls_score.bias",
        "odd.safetensors",
    ):
        assert key in raised.value.what
    assert "\n" not in raised.value.what


@pytest.mark.parametrize("name", ["junk.pth", "junk.safetensors", "list.pth"])
def test_a_file_that_holds_no_weights(name: str, tmp_path: Path) -> None:
    if name == "list.pth":
        torch.save([1, 2], tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(UserError, match=name):
        make(tmp_path / "made", file=str(tmp_path / name))


def test_without_a_network_the_error_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, *_: object, **options: object) -> None:
        assert options["check_hash"]
        assert options["weights_only"]
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(UserError, match=r"fasterrcnn_mobilenet\S+\.pth could not be fetched") as raised:
        make(tmp_path / "made")
    assert "`file`" in raised.value.hint


def test_a_download_makes_what_its_file_makes(
    weights: Path, detector: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda url, **_: torch.load(weights, weights_only=True),
    )
    assert bytes_of(make(tmp_path / "made").path) == bytes_of(detector.path)


def test_unknown_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="COCO_V9") as raised:
        make(tmp_path / "made", weights="COCO_V9")
    assert "COCO_V1" in raised.value.hint


def test_a_json_that_names_other_weights_is_corrupt(detector: Artifact, tmp_path: Path) -> None:
    tensors = load_file(detector.path / "detector.safetensors")
    tensors.pop("roi_heads.box_head.fc6.bias")
    save_file(tensors, tmp_path / "detector.safetensors")
    (tmp_path / "detector.json").write_bytes((detector.path / "detector.json").read_bytes())
    with pytest.raises(CorruptError, match="fc6"):
        load_detector(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_as_many_as_published(name: str) -> None:
    """The published count leaves frozen normalisation out, so the right layers are frozen."""
    with torch.device("meta"):
        built = TorchvisionDetector(name, CATEGORIES)
    assert sum(p.numel() for p in built.parameters()) == get_model_weights(name).COCO_V1.meta["num_params"]
