"""Exported detectors: what a signature declares is what regions hold, and what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from extract import recipes
from extract.detectors.load import load_detector
from extract.detectors.signature import Signature
from extract.detectors.torchscript import TorchScriptDetector
from extract.pretrained import PretrainedDetector, PretrainedDetectorParams
from extract.recipes import Selection
from pipeline.artifacts import Artifact
from store.errors import CorruptError, DataError, UserError
from store.features import open_store
from tests.extract.toys import artifact, extract, inputs_of, output

CLASSES, ATTRIBUTES, D = ("cat", "dog", "cow"), ("red", "big"), 6
ROWS = 5


class Exported(nn.Module):
    """Five boxes in steps of a tenth of the image; scores, ids and features that tell rows apart."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = images.shape[-2], images.shape[-1]
        step = torch.arange(5, dtype=torch.float32)
        boxes = torch.stack(
            [step * 0.1 * width, step * 0.1 * height, step * 0.1 * width + 30, step * 0.1 * height + 20], 1
        )
        scores = torch.softmax(torch.outer(step, torch.arange(4, dtype=torch.float32)), 1)
        attributes = torch.softmax(torch.outer(step, torch.tensor([0.5, 1.0, 0.2])), 1)
        features = torch.outer(step, torch.ones(6)) + images.mean()
        ids = torch.arange(5) % 3 + 1
        return (
            boxes.unsqueeze(0),
            scores.unsqueeze(0),
            attributes.unsqueeze(0),
            features.unsqueeze(0),
            ids.unsqueeze(0),
            scores.amax(1).unsqueeze(0),
        )


ALL = ("boxes", "class_scores", "attribute_scores", "features", "class_ids", "scores")


class Chosen(nn.Module):
    """Some of the outputs, in an order of their own."""

    def __init__(self, order: list[int], batched: bool = True, named: bool = False) -> None:
        super().__init__()
        self.inner, self.order, self.batched, self.named = Exported(), order, batched, named

    def forward(self, images: torch.Tensor) -> Any:
        found = [self.inner(images)[i] for i in self.order]
        found = found if self.batched else [each[0] for each in found]
        return {ALL[i]: each for i, each in zip(self.order, found, strict=True)} if self.named else found


def detector(*outputs: str, named: bool = False, **signature: Any) -> TorchScriptDetector:
    module = Chosen([ALL.index(name) for name in outputs], signature.get("batched", True), named)
    declared = Signature.model_validate({"outputs": outputs, "dimension": D, **signature})
    return TorchScriptDetector(module, declared, CLASSES, ATTRIBUTES, "vinvl.pt")


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 60, 90, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("background", "columns"), [("first", slice(1, None)), ("last", slice(0, 3))])
@pytest.mark.parametrize(("batched", "named"), [(True, False), (False, False), (True, True)])
def test_outputs_by_signature(
    background: str, columns: slice, batched: bool, named: bool, images: torch.Tensor
) -> None:
    ours = detector(
        "features",
        "boxes",
        "attribute_scores",
        "class_scores",
        background=background,
        attribute_none="first",
        batched=batched,
        named=named,
    )
    boxes, scores, attributes, features, _, _ = (each[0] for each in Exported()(images[1:]))
    found = ours.detect(images, 100)[1]
    assert torch.equal(found.proposals, boxes)
    assert torch.equal(found.boxes, boxes.unsqueeze(1))
    assert torch.equal(found.class_scores, scores[:, columns])
    assert torch.equal(found.attribute_scores, attributes[:, 1:])
    torch.testing.assert_close(found.features, features)
    assert len(ours.detect(images, 3)[0].proposals) == 3


def test_chosen_classes_become_posteriors(images: torch.Tensor) -> None:
    found = detector("boxes", "class_ids", "scores", "features", first_class=1).detect(images, 9)[0]
    assert found.class_scores.argmax(dim=1).tolist() == [0, 1, 2, 0, 1]
    assert torch.equal(found.class_scores.amax(dim=1), Exported()(images[:1])[5][0])
    assert ((found.class_scores > 0).sum(dim=1) == 1).all()
    certain = detector("boxes", "class_ids", "features", first_class=1).detect(images, 9)[0]
    assert certain.class_scores.sum(dim=1).tolist() == [1.0] * ROWS


@pytest.mark.parametrize(
    ("outputs", "signature", "fault"),
    [
        (("boxes", "class_scores", "features"), {}, "class_scores is 5x4, not 5x3"),
        (
            ("boxes", "class_scores", "features"),
            {"background": "last", "dimension": 7},
            "features is 5x6, not 5x7",
        ),
        (("boxes", "class_scores", "features"), {"batched": False}, "vinvl.pt"),
        (("boxes", "class_ids", "features"), {}, "class_ids hold 3, but 3 classes are counted from 0"),
        (
            ("boxes", "class_scores", "attribute_scores", "features"),
            {"background": "last"},
            "attribute_scores is 5x3, not 5x2",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    outputs: tuple[str, ...], signature: dict[str, Any], fault: str, images: torch.Tensor
) -> None:
    ours = detector(*outputs, **signature)
    ours.module = Chosen([ALL.index(name) for name in outputs])  # batched, whatever is declared
    with pytest.raises(DataError, match=fault):
        ours.detect(images, 9)


def test_another_number_of_outputs_is_named(images: torch.Tensor) -> None:
    ours = detector("boxes", "class_scores", "features", background="last")
    for module, fault in (
        (Chosen([0, 1]), "returns 2 tensors: 1x5x4, 1x5x4"),
        (Chosen([0, 3], named=True), "returns boxes, features, not class_scores"),
        (nn.Identity(), "returns a Tensor, not several tensors"),
    ):
        ours.module = module
        with pytest.raises(DataError, match=fault) as raised:
            ours.detect(images, 9)
        assert "(boxes, class_scores, features)" in raised.value.what
        assert "signature" in raised.value.hint


def test_a_failure_inside_is_told_with_the_shape(images: torch.Tensor) -> None:
    ours = detector("boxes", "class_scores", "features")
    ours.module = nn.Linear(7, 7)
    with pytest.raises(DataError, match=r"vinvl\.pt fails on an image of 1x3x60x90"):
        ours.detect(images, 9)


def test_own_boxes_cannot_be_described(images: torch.Tensor) -> None:
    with pytest.raises(UserError, match="no boxes but its own"):
        detector("boxes", "class_scores", "features").detect(images, 9, torch.zeros(1, 4))


@pytest.mark.parametrize(
    "outputs",
    [
        ("boxes", "features"),
        ("boxes", "class_scores"),
        ("class_ids", "features"),
        ("boxes", "boxes", "class_ids", "features"),
        ("boxes", "class_ids", "class_scores", "features"),
        ("boxes", "klasses", "features"),
    ],
)
def test_a_signature_describes_regions_once(outputs: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        Signature.model_validate({"outputs": outputs})


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("archive") / "vinvl.pt"
    torch.jit.trace(Exported(), torch.rand(1, 3, 60, 90)).save(str(file))
    (file.parent / "classes.txt").write_text("\n".join(CLASSES))
    (file.parent / "attributes.txt").write_text("\n".join(ATTRIBUTES))
    return file


def make(folder: Path, file: Path) -> Artifact:
    params = {
        "architecture": "torchscript",
        "file": str(file),
        "classes": str(file.parent / "classes.txt"),
        "attributes": str(file.parent / "attributes.txt"),
        "recipe": "demo",
        "signature": {
            "outputs": ["boxes", "class_scores", "attribute_scores", "features"],
            "dimension": D,
            "background": "first",
            "attribute_none": "last",
        },
    }
    stage = PretrainedDetector(PretrainedDetectorParams.model_validate(params))
    (shard,) = stage.shards(inputs_of())
    stage.process(shard, inputs_of(), output(shard, folder))
    return artifact(folder, "detector", {"detector": sorted(folder.iterdir())})


class Four(Exported):
    """The four outputs that the archive of the test below has."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        boxes, scores, attributes, features, _, _ = super().forward(images)
        return boxes, scores, attributes, features


def test_regions_of_an_archive(
    archive: Path, toy_shards: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = archive.with_name("four.pt")
    torch.jit.trace(Four(), torch.rand(1, 3, 60, 90)).save(str(file))
    made = make(tmp_path / "detector", file)
    assert (made.path / "detector.pt").read_bytes() == file.read_bytes()
    rule = Selection(iou=0.99, threshold=0.0, min_boxes=0, max_boxes=100)
    recipe = recipes.find_recipe("demo").model_copy(update={"selection": rule})
    monkeypatch.setitem(recipes.RECIPES, "demo", recipe)
    folder, stats, failures = extract(tmp_path / "regions", toy_shards, made, recipe="demo")
    assert (stats.n_ok, failures) == (16, [])
    store = open_store(folder)
    assert store.meta["classes"] == list(CLASSES)
    assert {len(store[key]) for key in store} == {ROWS}


def test_an_archive_that_is_none(archive: Path, tmp_path: Path) -> None:
    for name in ("classes.txt", "attributes.txt"):
        (tmp_path / name).write_text((archive.parent / name).read_text())
    (tmp_path / "odd.pt").write_bytes(b"no archive")
    with pytest.raises(CorruptError, match=r"odd\.pt: no TorchScript archive"):
        make(tmp_path / "detector", tmp_path / "odd.pt")


def test_an_archive_with_other_outputs_is_refused_when_it_detects(archive: Path, tmp_path: Path) -> None:
    ours = load_detector(make(tmp_path / "detector", archive).path)
    with pytest.raises(DataError, match="returns 6 tensors"):
        ours.detect(torch.rand(1, 3, 60, 90), 9)
