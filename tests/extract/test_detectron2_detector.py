"""detectron2's detectors: what comes through our stages equals its own call, and our C4 equals its C4."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from extract import recipes
from extract.detectors.c4 import C4Detector
from extract.detectors.c4_names import family_of
from extract.detectors.c4_shape import C4Shape
from extract.detectors.fitting import fit
from extract.detectors.load import load_detector
from extract.images import decode
from extract.pretrained import PretrainedDetector, PretrainedDetectorParams
from extract.recipes import Preprocessing, Recipe, Selection
from pipeline.artifacts import Artifact
from store.errors import ConfigError
from store.features import open_store
from tests.extract.random_weights import calibrate, equal, names, spread
from tests.extract.toys import artifact, extract, inputs_of, output, shards_of, toy_sample

pytest.importorskip("detectron2", reason="detectron2 is an extra that is not installed")

from extract.detectors.detectron2 import Detectron2Detector, configure, counts
from extract.detectors.detectron2_files import config_files

SMALL: list[Any] = [
    *("MODEL.RESNETS.WIDTH_PER_GROUP", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 32),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.ROI_HEADS.NUM_CLASSES", 5),
]
CONFIGS: dict[str, list[Any]] = {
    "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml": [
        *SMALL,
        *("MODEL.FPN.OUT_CHANNELS", 32, "MODEL.ROI_BOX_HEAD.FC_DIM", 64),
    ],
    "COCO-Detection/faster_rcnn_R_101_C4_3x.yaml": SMALL,
    "COCO-Detection/faster_rcnn_R_50_DC5_3x.yaml": [*SMALL, "MODEL.ROI_BOX_HEAD.FC_DIM", 64],
}
C4 = C4Shape(blocks=(3, 4, 23), stem=8, channels=32, width=8, proposal_channels=128, classes=5)
VISUAL_GENOME = """
MODEL:
  CAFFE_MAXPOOL: True
  META_ARCHITECTURE: GeneralizedRCNN
  PIXEL_MEAN: [102.9801, 115.9465, 122.7717]
  PROPOSAL_GENERATOR: {HID_CHANNELS: 24}
  ANCHOR_GENERATOR: {SIZES: [[64, 128, 256, 512]]}
  RPN: {PRE_NMS_TOPK_TEST: 6000, POST_NMS_TOPK_TEST: 300}
  ROI_HEADS: {NAME: Res5ROIHeads, NUM_CLASSES: 5}
  ROI_BOX_HEAD: {POOLER_TYPE: ROIPool, POOLER_RESOLUTION: 14, RES5HALVE: False, ATTR: True, NUM_ATTRS: 4}
  RESNETS: {DEPTH: 50, WIDTH_PER_GROUP: 8, RES2_OUT_CHANNELS: 32, STEM_OUT_CHANNELS: 8}
INPUT: {MIN_SIZE_TEST: 600, MAX_SIZE_TEST: 1000}
VERSION: 2
"""
PROPOSALS = 40
THRESHOLD = 0.05


def random_detector(config: Any) -> Detectron2Detector:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classes, attributes = counts(config)
        numbered = [str(i) for i in range(classes)], [str(i) for i in range(attributes)]
        detector = Detectron2Detector(config, *numbered).eval()
        calibrate(detector, lambda: detector.detect(photograph(), 20))
        head = detector.model.proposal_generator.rpn_head
        spread(head.objectness_logits, detector.predictor.cls_score)
        spread(head.anchor_deltas, deviation=0.005)
        spread(detector.predictor.bbox_pred, deviation=0.08 / math.sqrt(detector.dimension))
    return detector


def photograph() -> torch.Tensor:
    """An image and its mirror image, as detectors see them: float32 [2, 3, H, W]."""
    pixels, _ = decode(toy_sample(0).image or b"", Preprocessing(short=130))
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() - 110
    return torch.stack([image, image.flip(-1)])


def made(folder: Path, name: str, options: list[Any]) -> tuple[Detectron2Detector, Artifact]:
    """A random detector, and the artifact that the stage makes of its weights."""
    detector = random_detector(configure(config_files(name)[0], options))
    torch.save({"model": detector.model.state_dict()}, folder / "model.pth")
    params = {"architecture": "detectron2", "file": str(folder / "model.pth"), "config": name}
    stage = PretrainedDetector(PretrainedDetectorParams.model_validate({**params, "options": options}))
    (shard,) = stage.shards(inputs_of())
    assert {"weights", "config 0", "config 1"} == set(shard.uses)
    made = folder / "detector"
    stage.process(shard, inputs_of(), output(shard, made))
    return detector, artifact(made, "detector", {"detector": sorted(made.iterdir())})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *CONFIGS.items(),
        # as published, but with random weights
        pytest.param("COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml", [], marks=pytest.mark.slow),
        pytest.param("COCO-Detection/faster_rcnn_R_101_C4_3x.yaml", [], marks=pytest.mark.slow),
    ],
)
def test_regions_of_our_stages_are_those_of_its_own_call(
    name: str, options: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, stored = made(tmp_path, name, options)
    mean, std = (103.53, 116.28, 123.675), (1.0, 1.0, 1.0)
    how = Preprocessing(short=96, long=128, channels="bgr", mean=mean, std=std)
    rule = Selection(iou=0.5, threshold=THRESHOLD, min_boxes=0, max_boxes=1000)
    recipe = Recipe(name="own", preprocessing=how, selection=rule, proposals=PROPOSALS)
    monkeypatch.setitem(recipes.RECIPES, "own", recipe)
    samples = [toy_sample(0), toy_sample(1)]
    shards = shards_of(tmp_path / "shards", samples)
    folder, _, failures = extract(tmp_path / "regions", shards, stored, recipe="own", batch=1)
    assert not failures
    store = open_store(folder)
    for sample in samples:
        pixels, size = decode(sample.image or b"", how)
        theirs = own_call(detector.model, torch.from_numpy(pixels[:, :, ::-1].copy()))
        ours = store[sample.key]
        assert len(ours) == len(theirs["scores"]) > 5
        scale = np.asarray([size[1] / pixels.shape[1], size[0] / pixels.shape[0]] * 2)
        np.testing.assert_allclose(ours.score, theirs["scores"], atol=1e-6)
        np.testing.assert_array_equal(ours.class_id, theirs["classes"])
        np.testing.assert_allclose(ours.boxes, theirs["boxes"] * scale, atol=1e-3)
        np.testing.assert_array_equal(ours.features, theirs["features"])


def own_call(model: Any, image: torch.Tensor) -> dict[str, Any]:
    """Call the model as detectron2's users do; of each proposal keep its best detection, best first."""
    seen: dict[str, Any] = {}
    predictor = model.roi_heads.box_predictor
    inference = predictor.inference

    def record(*args: Any) -> Any:
        found = inference(*args)
        seen["rows"] = found[1][0]
        assert found[0][0].pred_boxes.nonempty().all()  # it leaves out what is empty
        return found

    hook = predictor.register_forward_pre_hook(lambda m, inputs: seen.update(features=inputs[0]))
    predictor.inference = record
    predictor.test_score_thresh, predictor.test_topk_per_image = THRESHOLD, 10**6
    model.proposal_generator.post_nms_topk[False] = PROPOSALS
    try:
        with torch.inference_mode():
            (said,) = model([{"image": image.permute(2, 0, 1)}])
    finally:
        hook.remove()
        del predictor.inference
    instances = said["instances"]
    best: dict[int, int] = {}
    for i, row in enumerate(seen["rows"].tolist()):  # by descending score
        best.setdefault(row, i)
    index = torch.tensor(list(best.values()))
    found = {
        "boxes": instances.pred_boxes.tensor[index],
        "scores": instances.scores[index],
        "classes": instances.pred_classes[index],
        "features": seen["features"][list(best)].half(),
    }
    return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.mark.parametrize(
    ("options", "shape"), [(SMALL, C4), pytest.param([], C4Shape(), marks=pytest.mark.slow)]
)
def test_our_c4_is_its_c4(options: list[Any], shape: C4Shape) -> None:
    (file, _) = config_files("COCO-Detection/faster_rcnn_R_101_C4_3x.yaml")
    compare(random_detector(configure(file, options)), shape)


def test_our_bottom_up_attention_is_its_with_attributes(tmp_path: Path) -> None:
    file = tmp_path / "vg.yaml"
    file.write_text(VISUAL_GENOME)
    theirs = random_detector(configure(file))
    assert len(theirs.attributes) == 4
    shape = C4Shape(
        **{
            **C4.model_dump(),
            "blocks": (3, 4, 6),
            "stem_pool": "caffe",
            "anchors": (64, 128, 256, 512),
            "proposal_channels": 24,
            "pooling": "ROIPool",
            "head_stride": 1,
            "head_dilation": 2,
            "attributes": 4,
            "embedding": 32,
            "attribute_width": 64,
        }
    )
    found = compare(theirs, shape)
    assert found[0].attribute_scores.std(dim=0).max() > 1e-2


def compare(theirs: Detectron2Detector, shape: C4Shape) -> list[Any]:
    tensors = theirs.model.state_dict()
    ours = C4Detector(shape, *names(shape)).eval()
    ours.load_state_dict(fit(tensors, ours.state_dict(), family_of(tensors, "").naming(shape), ""))
    images = photograph()
    given = torch.tensor([[0.0, 0, 130, 130]])
    found, expected = ours.detect(images, PROPOSALS, given), theirs.detect(images, PROPOSALS, given)
    assert all(len(each.proposals) > 20 for each in found)
    equal(found, expected, 1e-6)
    return found


def test_a_dumped_detector_opens_as_it_was(tmp_path: Path) -> None:
    name = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"
    detector, stored = made(tmp_path, name, CONFIGS[name])
    images = photograph()
    equal(load_detector(stored.path).detect(images, 10), detector.detect(images, 10))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml", "NoneType and StandardROIHeads"),
        ("Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", "CascadeROIHeads"),
        ("COCO-Detection/rpn_R_50_C4_1x.yaml", "ProposalNetwork"),
    ],
)
def test_other_models_are_refused(name: str, reason: str) -> None:
    config = configure(config_files(name)[0], SMALL)
    with pytest.raises(ConfigError, match=f"{reason}.* is no Faster R-CNN"):
        Detectron2Detector(config, *[[str(i) for i in range(n)] for n in counts(config)])


def test_unknown_options_are_named(tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text("MODEL: {RESNETS: {DEEPTH: 50}}\nVERSION: 2\n")
    with pytest.raises(ConfigError, match=r"odd\.yaml.*DEEPTH"):
        configure(file)


def test_a_configuration_runs_no_code() -> None:
    with pytest.raises(ConfigError, match=r"Base-RetinaNet\.yaml.*python/object/apply:eval"):
        config_files("COCO-Detection/retinanet_R_50_FPN_1x.yaml")
