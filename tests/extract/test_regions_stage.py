"""The region stage: records, exactness of batches, failures, retries, both formats."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from extract import extraction, recipes
from extract.recipes import Recipe
from extract.regions import RegionFeatures, RegionFeaturesParams
from pipeline.artifacts import Artifact
from store.errors import ConfigError, CorruptError, UserError
from store.features import open_store
from store.records import Regions
from tests.extract.toys import bytes_of, extract, inputs_of, sample_of, shards_of, toy_sample, train


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory, toy_shards: Artifact, toy_detector: Artifact) -> Path:
    """The default extraction."""
    folder, stats, failures = extract(tmp_path_factory.mktemp("regions") / "out", toy_shards, toy_detector)
    assert (stats.n_in, stats.n_ok, failures) == (16, 16, [])
    assert set(stats.seconds) == {"read", "decode", "transfer", "wait", "compute", "select", "write"}
    assert stats.peaks["host memory"] > 10_000_000
    assert sum(stats.histograms["boxes per image"].counts) == 16
    assert sum(stats.histograms["class score"].counts) == stats.totals["boxes"]
    return folder


def test_records_are_as_the_contract_says(regions: Path, toy_detector: Artifact) -> None:
    store = open_store(regions)
    assert len(store) == 16
    assert store.meta["classes"] == ["disc", "square"]
    assert store.meta["attributes"] == ["blue", "red"]
    assert store.meta["detector"] == toy_detector.digest
    assert store.meta["recipe"]["name"] == "demo"
    rule = recipes.find_recipe("demo").selection
    for i in range(16):
        sample, found = toy_sample(i), store[f"toy/{i:04d}"]
        assert rule.min_boxes <= len(found) <= rule.max_boxes
        assert found.image_size.tolist() == [sample.height, sample.width]
        assert (found.boxes[:, :2] >= 0).all()
        assert (found.boxes[:, 2:] <= [sample.width, sample.height]).all()
        assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
        assert (np.diff(found.score) <= 0).all()
        assert set(found.class_id.tolist()) <= {0, 1}
        assert set(found.attribute_id.tolist()) <= {0, 1}
        assert found.features.shape == (len(found), store.meta["dim"])
        assert found.posteriors is None


def test_batched_equals_single(
    regions: Path, toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path
) -> None:
    batched = open_store(regions)
    single = open_store(extract(tmp_path / "one", toy_shards, toy_detector, batch=1)[0])
    for key in batched:
        a, b = batched[key], single[key]
        assert a.class_id.tolist() == b.class_id.tolist()
        assert a.attribute_id.tolist() == b.attribute_id.tolist()
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)
        np.testing.assert_allclose(a.score, b.score, atol=1e-5)
        # float16 steps by 1e-3 of a value, so rounding of 1e-6 may show as one such step
        np.testing.assert_allclose(a.features.astype(float), b.features.astype(float), atol=1e-5, rtol=2e-3)


def test_batched_features_equal_single_before_rounding(toy_detector: Artifact) -> None:
    from extract.detectors.load import load_detector

    detector = load_detector(toy_detector.path)
    images = torch.randn(3, 3, 64, 72, generator=torch.Generator().manual_seed(0))
    together = detector.detect(images, 20)
    for i, one in enumerate(together):
        alone = detector.detect(images[i : i + 1], 20)[0]
        torch.testing.assert_close(one.boxes, alone.boxes, atol=1e-3, rtol=0)
        torch.testing.assert_close(one.class_scores, alone.class_scores, atol=1e-5, rtol=0)
        torch.testing.assert_close(one.features, alone.features, atol=1e-5, rtol=1e-5)


def test_equal_runs_make_equal_bytes(
    regions: Path, toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path
) -> None:
    assert bytes_of(extract(tmp_path / "again", toy_shards, toy_detector)[0]) == bytes_of(regions)


def test_the_number_of_decoders_changes_no_byte_and_no_failure(
    toy_detector: Artifact, tmp_path: Path
) -> None:
    sizes = ((64, 64), (72, 56), (50, 90), (64, 48))
    samples = [toy_sample(i, sizes) for i in range(21)]
    for i in (3, 11, 12):
        samples[i] = dataclasses.replace(samples[i], image=(samples[i].image or b"")[:300])
    shards = shards_of(tmp_path / "shards", samples)
    made = []
    for decoders in (1, 2, 7):
        folder, stats, failures = extract(
            tmp_path / f"{decoders}", shards, toy_detector, decoders=decoders, batch=3
        )
        made.append((bytes_of(folder), failures, stats.totals, stats.histograms))
    assert [row["key"] for row in made[0][1]] == [samples[i].key for i in (3, 11, 12)]
    assert made[0] == made[1] == made[2]


def test_failures_are_listed_in_the_order_of_the_samples(
    toy_detector: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the detector finds nothing in is known later than what does not decode."""
    monkeypatch.setattr(extraction, "describe", lambda *_, **__: [])
    samples = [toy_sample(i) for i in range(6)]
    samples[4] = dataclasses.replace(samples[4], image=b"broken")
    _, stats, failures = extract(tmp_path / "o", shards_of(tmp_path / "s", samples), toy_detector)
    assert [row["key"] for row in failures] == [sample.key for sample in samples]
    assert stats.failed == {"no_regions": 5, "decode": 1}


def test_an_image_too_large_for_the_device_is_a_failure(
    toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from extract.detectors.compact import CompactDetector

    detect = CompactDetector.detect

    def little_memory(self: Any, images: torch.Tensor, *others: Any) -> Any:
        if images.shape[-2:] == (64, 64) or len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return detect(self, images, *others)

    monkeypatch.setattr(CompactDetector, "detect", little_memory)
    folder, stats, failures = extract(tmp_path / "o", toy_shards, toy_detector)
    assert stats.failed == {"out_of_memory": 8}
    assert "64 x 64 pixels" in failures[0]["detail"]
    assert len(open_store(folder)) == stats.n_ok == 8
    assert stats.totals["batches_halved_for_memory"] > 0


def test_an_error_of_the_detector_ends_the_shard_and_its_threads(
    toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from extract.detectors.compact import CompactDetector

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("weights")

    monkeypatch.setattr(CompactDetector, "detect", broken)
    with pytest.raises(ZeroDivisionError):
        extract(tmp_path / "o", toy_shards, toy_detector)
    assert not list((tmp_path / "o").iterdir())
    assert not [t.name for t in threading.enumerate() if t.name.startswith(("ahead", "behind", "decode"))]


def test_what_changes_results_enters_the_key_and_the_number_of_decoders_does_not() -> None:
    keyed = RegionFeaturesParams().keyed()
    assert {"batch", "device", "precision", "channels_last", "compiled"} <= set(keyed)
    assert "decoders" not in keyed


def test_hdf5_holds_the_same(
    regions: Path, toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path
) -> None:
    folder, _, _ = extract(tmp_path / "h5", toy_shards, toy_detector, store="hdf5")
    assert sorted(bytes_of(folder)) == ["00000.h5", "00001.h5", "all.index"]
    one, other = open_store(regions), open_store(folder)
    assert list(one) == list(other)
    for key in one:
        for field in dataclasses.fields(Regions):
            np.testing.assert_array_equal(getattr(one[key], field.name), getattr(other[key], field.name))


def test_posteriors_on_demand(toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path) -> None:
    store = open_store(extract(tmp_path / "p", toy_shards, toy_detector, posteriors=True)[0])
    found = store["toy/0003"]
    assert found.posteriors is not None
    best = found.posteriors[np.arange(len(found)), found.class_id]
    np.testing.assert_allclose(best, found.score, atol=1e-3)
    few = open_store(extract(tmp_path / "f", toy_shards, toy_detector, posteriors=2)[0])[
        "toy/0003"
    ].posteriors
    assert few is not None
    assert few.shape == found.posteriors.shape
    assert ((few > 0).sum(axis=1) <= 2).all()


def test_the_whole_image_is_a_region_and_boxes_go_back_to_its_pixels(
    toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = recipes.find_recipe("demo")
    larger = demo.preprocessing.model_copy(update={"short": 96, "long": 110})
    rule = demo.selection.model_copy(update={"whole_image": True, "max_boxes": 5})
    recipe = Recipe(name="large", preprocessing=larger, selection=rule, proposals=16)
    monkeypatch.setitem(recipes.RECIPES, "large", recipe)
    store = open_store(extract(tmp_path / "w", toy_shards, toy_detector, recipe="large")[0])
    for key in store:
        found = store[key]
        height, width = found.image_size
        assert len(found) <= 5
        assert [0, 0, width, height] in found.boxes.round(3).tolist()


def test_unreadable_images_become_failures_and_can_be_tried_again(
    toy_detector: Artifact, tmp_path: Path
) -> None:
    whole = toy_sample(1)
    cut = sample_of(whole.key, (whole.image or b"")[:300], whole.width, whole.height, [])
    text = sample_of("toy/text", b"no image", 1, 1, [])
    shards = shards_of(tmp_path / "broken", [toy_sample(0), cut, text])
    folder, stats, failures = extract(tmp_path / "first", shards, toy_detector)
    assert [(row["key"], row["class"]) for row in failures] == [(whole.key, "decode"), ("toy/text", "decode")]
    assert "does not decode" in failures[0]["detail"]
    assert (stats.n_in, stats.n_ok) == (3, 1)

    mended = shards_of(tmp_path / "mended", [toy_sample(0), whole, text])
    retry = frozenset({whole.key, "toy/text"})
    again, stats, failures = extract(tmp_path / "second", mended, toy_detector, previous=folder, retry=retry)
    assert [row["key"] for row in failures] == ["toy/text"]
    assert (stats.n_in, stats.n_ok) == (3, 2)
    assert list(open_store(again)) == ["toy/0000", "toy/0001"]


def test_the_recipe_is_checked_and_enters_the_key(toy_shards: Artifact, toy_detector: Artifact) -> None:
    inputs = inputs_of(shards=toy_shards, detector=toy_detector)
    with pytest.raises(ConfigError, match="did you mean 'vinvl'"):
        list(RegionFeatures(RegionFeaturesParams(recipe="vinvL")).shards(inputs))
    first, second = RegionFeatures(RegionFeaturesParams()).shards(inputs)
    assert (first.name, second.name) == ("00000", "00001")
    assert first.args["recipe"] == recipes.find_recipe("demo").model_dump(mode="json")
    assert first.uses["detector"] == toy_detector.digest
    assert first.uses["shards"] != second.uses["shards"]


def test_a_recipe_with_other_means_than_in_training_is_refused(
    toy_shards: Artifact, toy_detector: Artifact
) -> None:
    stage = RegionFeatures(RegionFeaturesParams(recipe="butd-36"))
    with pytest.raises(UserError, match="trained on images with channels rgb"):
        stage.setup(inputs_of(shards=toy_shards, detector=toy_detector))


def test_weights_that_do_not_fit_are_named(toy_detector: Artifact, tmp_path: Path) -> None:
    from extract.detectors.load import load_detector

    for name, data in bytes_of(toy_detector.path).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "detector.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(CorruptError, match=r"detector\.safetensors"):
        load_detector(tmp_path)
    (tmp_path / "detector.json").write_text("{}")
    with pytest.raises(CorruptError, match="describes no detector"):
        load_detector(tmp_path)


def test_the_report_shows_regions(
    regions: Path, toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path
) -> None:
    from extract.showcase import labelled
    from tests.extract.toys import artifact

    made = artifact(regions, "regions/toy", {"00000": [regions / "00000.lmdb"]})
    stage = RegionFeatures(RegionFeaturesParams())
    (cards, classes) = stage.illustrate(made, inputs_of(shards=toy_shards, detector=toy_detector))
    assert cards[0] == "Regions"
    assert cards[1].count("<image") == 12
    assert "toy/0007" in cards[1]
    assert "disc" in classes[1]
    found = open_store(regions)["toy/0000"]
    boxes = labelled(found, ("disc", "square"), ("blue", "red"))
    assert [box.kind for box in boxes] == ["main" if s >= 0.5 else "faint" for s in found.score.tolist()[:10]]
    assert boxes[0].xyxy == tuple(found.boxes[0].tolist())
    assert boxes[0].label.endswith(f"{found.score[0]:.2f}")


@pytest.mark.shared
def test_photographs_go_the_same_way(shared: Path, tmp_path: Path) -> None:
    """COCO's boxes train by the same code, whatever the shapes; Flickr's photographs are described by it."""
    import json

    from PIL import Image

    coco = json.loads((shared / "coco_mini/annotations/instances_train2017.json").read_text())
    names = {kind["id"]: kind["name"] for kind in coco["categories"]}
    samples = []
    for picture in coco["images"][:6]:
        boxes = [a for a in coco["annotations"] if a["image_id"] == picture["id"]]
        objects: list[dict[str, object]] = [
            {"box": [x, y, x + w, y + h], "name": names[a["category_id"]]}
            for a in boxes
            for x, y, w, h in (a["bbox"],)
        ]
        data = (shared / "coco_mini/train2017" / picture["file_name"]).read_bytes()
        size = (picture["width"], picture["height"])
        samples.append(sample_of(f"coco/{picture['id']}", data, *size, objects))
    detector = train(tmp_path / "detector", shards_of(tmp_path / "boxes", samples), steps=2, recipe="photos")
    photos = []
    for path in sorted((shared / "flickr8k/images").iterdir())[:3]:
        with Image.open(path) as image:
            photos.append(sample_of(f"flickr8k/{path.stem}", path.read_bytes(), *image.size, []))
    shards = shards_of(tmp_path / "photos", photos)
    folder, stats, failures = extract(tmp_path / "regions", shards, detector, recipe="photos")
    assert (stats.n_ok, failures) == (3, [])
    store = open_store(folder)
    for photo in photos:
        found = store[photo.key]
        assert 1 <= len(found) <= recipes.find_recipe("photos").selection.max_boxes
        assert [0, 0, photo.width, photo.height] in found.boxes.round(3).tolist()
        assert (found.attribute_id == -1).all()
        assert np.isfinite(found.features.astype(float)).all()
