"""C4 detectors from a file of weights to regions: names, recipes, keys, and every way in which it can go wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from extract import recipes
from extract.detectors import detectron2_files
from extract.detectors.c4_shape import SHAPES, VG_RESNET101
from extract.detectors.load import load_detector
from extract.detectors.vocabulary import read_names
from extract.pretrained import PretrainedDetector, PretrainedDetectorParams
from pipeline.artifacts import Artifact
from pipeline.stage import Shard
from store.atomic import sha256_file
from store.errors import ConfigError, CorruptError, UserError
from store.features import open_store
from tests.extract.random_weights import TINY, equal, random_c4, tensors_of
from tests.extract.toys import artifact, bytes_of, description, extract, inputs_of, output

SMALLER = {name: value for name, value in TINY.model_dump().items() if value != getattr(VG_RESNET101, name)}
"""What makes bottom-up attention's detector tiny."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    tensors = {f"module.{name}": tensor for name, tensor in tensors_of(random_c4()).items()}
    torch.save({"model": tensors, "iteration": 7}, file)
    return file


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("vocabulary")
    (folder / "objects.txt").write_text("".join(f"thing {i},object {i}\n" for i in range(7)))
    (folder / "labels.json").write_text(json.dumps({"attribute_to_idx": {"red": 2, "big": 1, "old": 3}}))
    return {"classes": str(folder / "objects.txt"), "attributes": str(folder / "labels.json")}


@pytest.fixture(scope="module")
def detector(weights: Path, vocabulary: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make(tmp_path_factory.mktemp("made") / "detector", file=str(weights), **vocabulary)


def shard_of(**params: Any) -> tuple[PretrainedDetector, Shard]:
    given = {"architecture": "vg_resnet101_c4", **params}
    if given["architecture"] in SHAPES:
        given = {"shape": SMALLER, **given}
    stage = PretrainedDetector(PretrainedDetectorParams.model_validate(given))
    (shard,) = stage.shards(inputs_of())
    return stage, shard


def make(folder: Path, **params: Any) -> Artifact:
    """Run the stage by hand."""
    stage, shard = shard_of(**params)
    stats = stage.process(shard, inputs_of(), output(shard, folder))
    assert stats.n_in == stats.n_ok > 50
    return artifact(folder, "detector", {"detector": sorted(folder.iterdir())})


def test_a_detector_is_what_its_file_says(detector: Artifact) -> None:
    found = load_detector(detector.path)
    assert found.classes == tuple(f"thing {i}" for i in range(7))
    assert found.attributes == ("big", "red", "old")
    assert found.dimension == 128
    images = torch.randn(1, 3, 80, 100, generator=torch.Generator().manual_seed(0))
    equal(found.detect(images, 20), random_c4().detect(images, 20))
    about = description(detector.path)
    assert (about["kind"], about["names"]) == ("c4", "detectron2")
    assert about["preprocessing"] == recipes.find_recipe("butd-36").preprocessing.model_dump(mode="json")


def test_regions_follow_the_recipe(
    detector: Artifact, toy_shards: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    butd = recipes.find_recipe("butd-36")
    smaller = butd.preprocessing.model_copy(update={"short": 96, "long": 128})
    monkeypatch.setitem(recipes.RECIPES, "butd-36", butd.model_copy(update={"preprocessing": smaller}))
    one = Artifact(toy_shards.path, replace(toy_shards.manifest, shards=toy_shards.manifest.shards[:1]))
    folder, stats, failures = extract(tmp_path / "regions", one, detector, recipe="butd-36")
    assert (stats.n_ok, failures) == (8, [])
    store = open_store(folder)
    assert store.meta["dim"] == 128
    assert store.meta["detector"] == detector.digest
    assert store.meta["weights"] == sha256_file(detector.path / "detector.safetensors")
    assert store.meta["recipe"]["name"] == "butd-36"
    assert store.meta["recipe"]["selection"]["boxes"] == "proposals"
    for key in store:
        assert 20 < len(store[key]) <= 36  # an image has so many proposals
        assert np.isfinite(store[key].features).all()
        assert set(store[key].attribute_id.tolist()) <= {0, 1, 2}


def test_safetensors_and_pth_make_the_same_bytes(
    detector: Artifact, vocabulary: dict[str, str], tmp_path: Path
) -> None:
    save_file(tensors_of(random_c4()), tmp_path / "tiny.safetensors")
    made = make(tmp_path / "made", file=str(tmp_path / "tiny.safetensors"), **vocabulary)
    assert bytes_of(made.path) == bytes_of(detector.path)


def test_content_enters_the_key_and_paths_do_not(
    weights: Path, vocabulary: dict[str, str], tmp_path: Path
) -> None:
    def key(**params: Any) -> tuple[Any, Shard]:
        stage, shard = shard_of(**params)
        return stage.params.keyed(), shard

    here = {"file": str(weights), **vocabulary}
    there = {}
    for name, path in here.items():
        copy = tmp_path / f"{name}{Path(path).suffix}"
        copy.write_bytes(Path(path).read_bytes())
        there[name] = str(copy)
    assert key(**here) == key(**there)
    assert key(**here)[1].uses.keys() == {"weights", "classes", "attributes"}
    for path in there.values():
        before = key(**there)
        Path(path).write_bytes(Path(path).read_bytes() + b"\n")
        assert key(**there) != before
    assert key(**here) != key(**here, recipe="vinvl")
    assert key(**here) != key(**{**here, "shape": {**SMALLER, "resolution": 7}})


def test_without_vocabulary_names_are_numbers(weights: Path, tmp_path: Path) -> None:
    found = load_detector(make(tmp_path / "made", file=str(weights)).path)
    assert (found.classes[-1], found.attributes[-1]) == ("6", "2")


def test_a_vocabulary_of_another_length_is_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"names\.txt: has 2 names, but the detector distinguishes 7"):
        make(tmp_path / "made", file=str(weights), classes=str(tmp_path / "names.txt"))


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.json", '{"label_to_idx": {"cat": 1, "dog": 3}}', "do not run from 1 to 2"),
        ("a.json", '{"idx_to_label": {}}', "no mapping 'label_to_idx'"),
        ("a.json", '{"label', "cannot be read"),
        ("a.json", "[1, 2]", "holds no names"),
        ("a.txt", "cat\n\ndog\n", "holds no names"),
    ],
)
def test_a_file_that_names_nothing(name: str, content: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=fault):
        read_names(tmp_path / name, "label_to_idx")


def test_background_may_be_named_in_a_map_of_labels(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"label_to_idx": {"dog": 2, "cat": 1, "__background__": 0}}')
    assert read_names(tmp_path / "a.json", "label_to_idx") == ("cat", "dog")


@pytest.mark.shared
def test_visual_genomes_vocabularies(shared: Path) -> None:
    objects = read_names(shared / "butd/objects_vocab.txt", "label_to_idx")
    attributes = read_names(shared / "butd/attributes_vocab.txt", "attribute_to_idx")
    assert (len(objects), len(attributes)) == (VG_RESNET101.classes, VG_RESNET101.attributes)


def test_weights_of_another_architecture_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        make(
            tmp_path / "made",
            architecture="vg_resnext152_c4",
            shape={**SMALLER, "groups": 4},
            file=str(weights),
        )
    assert "tiny.pth: does not fit the model by detectron2 names" in raised.value.what
    with pytest.raises(UserError, match=r"backbone\.res4\.22\.conv1\.weight"):
        make(tmp_path / "made", shape={}, file=str(weights))


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "faster_rcnn_from_caffe_attr.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="pickle may run code") as raised:
        make(tmp_path / "made", file=str(tmp_path / "faster_rcnn_from_caffe_attr.pkl"))
    assert "convert it once" in raised.value.hint


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({"architecture": "vg_resnet101_c4"}, "vg_resnet101_c4 needs the parameter `file`"),
        ({"architecture": "torchscript", "file": "a.pt"}, "torchscript needs the parameter `classes`"),
        ({"architecture": "detectron2", "file": "a.pth"}, "detectron2 needs the parameter `config`"),
        ({"shape": {"stem": 8}}, "`shape` means nothing to fasterrcnn_resnet50_fpn_v2"),
        (
            {"architecture": "vg_resnet101_c4", "file": "a", "signature": {"dimension": 8}},
            "`signature` means nothing to vg_resnet101_c4",
        ),
    ],
)
def test_parameters_belong_to_the_architecture(params: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        PretrainedDetectorParams.model_validate(params)


def test_parameters_survive_the_way_to_a_worker() -> None:
    params = PretrainedDetectorParams.model_validate({"architecture": "vg_resnet101_c4", "file": "a.pth"})
    assert PretrainedDetectorParams.model_validate(params.model_dump(mode="json")) == params


@pytest.mark.parametrize(
    ("shape", "field"), [({"blocks": [1, 2]}, r"shape\.blocks\.2"), ({"depth": 101}, r"shape\.depth")]
)
def test_an_odd_shape_is_named(shape: dict[str, Any], field: str, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=field):
        make(tmp_path / "made", shape=shape, file=str(weights))


def test_without_detectron2_the_error_says_how_to_install_it(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detectron2_files, "find_spec", lambda name: None)
    (tmp_path / "here.yaml").write_text("VERSION: 2\n")
    params = {"architecture": "detectron2", "file": str(weights), "config": str(tmp_path / "here.yaml")}
    with pytest.raises(UserError, match="needs detectron2, which is not installed") as raised:
        make(tmp_path / "made", **params)
    assert "pip install" in raised.value.hint
    with pytest.raises(UserError, match="needs detectron2"):
        make(tmp_path / "made", **{**params, "config": "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"})
    (tmp_path / "detector.json").write_text(
        json.dumps({"kind": "detectron2", "preprocessing": {}, "config": "", "classes": [], "attributes": []})
    )
    with pytest.raises(UserError, match="needs detectron2"):
        load_detector(tmp_path)


def test_a_configuration_is_digested_with_those_that_it_builds_on(weights: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("VERSION: 2\n")
    (tmp_path / "top.yaml").write_text("_BASE_: base.yaml\n")
    params = {"architecture": "detectron2", "file": str(weights), "config": str(tmp_path / "top.yaml")}
    before = shard_of(**params)[1]
    assert before.uses.keys() == {"weights", "config 0", "config 1"}
    base.write_text("VERSION: 1\n")
    assert shard_of(**params)[1] != before
    base.write_text("- a list\n")
    with pytest.raises(ConfigError, match=r"base\.yaml: not a configuration"):
        shard_of(**params)
    base.unlink()
    with pytest.raises(ConfigError, match=r"base\.yaml"):
        shard_of(**params)


def test_a_description_that_lacks_something_is_corrupt(detector: Artifact, tmp_path: Path) -> None:
    about = description(detector.path)
    for change in ({"shape": {"blocks": 3}}, {"kind": "c5"}, {"classes": None}):
        (tmp_path / "detector.json").write_text(
            json.dumps({k: v for k, v in {**about, **change}.items() if v is not None})
        )
        with pytest.raises(CorruptError, match=r"detector\.json"):
            load_detector(tmp_path)
