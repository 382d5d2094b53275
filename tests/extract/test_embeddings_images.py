"""Images through frozen towers."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from pydantic import ValidationError

from extract.embeddings.embedded import Running
from extract.embeddings.images import ImageEmbeddings, ImageEmbeddingsParams
from extract.embeddings.pixels import Preprocessor, by_shape, prepared
from extract.embeddings.vision import ImageTower
from extract.recipes import Preprocessing
from pipeline.artifacts import Artifact
from store.embeddings import open_embeddings
from store.errors import ConfigError, UserError
from store.records import Sample
from tests.extract import towers
from tests.extract.towers import embed, near
from tests.extract.toys import artifact, bytes_of, inputs_of, shards_of, toy_sample


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    root = tmp_path_factory.mktemp("towers")
    return {kind: (root / kind, getattr(towers, kind)(root / kind)) for kind in ("clip", "vit", "deit", "bert")}  # fmt: skip


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [toy_sample(i) for i in range(6)]


@pytest.fixture(scope="module")
def shards(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return shards_of(tmp_path_factory.mktemp("images") / "shards", samples, per_shard=4)


def stage(tower: Path | str, **params: Any) -> ImageEmbeddings:
    return ImageEmbeddings(ImageEmbeddingsParams(tower=str(tower), **params))


def pixels(folder: Path, samples: list[Sample], **changes: Any) -> torch.Tensor:
    """As transformers makes them, of pictures as a user has them."""
    images = [Image.open(io.BytesIO(sample.image or b"")) for sample in samples]
    processor = hf.AutoImageProcessor.from_pretrained(folder, backend="pil", **changes)
    found: torch.Tensor = processor(images=images, return_tensors="pt")["pixel_values"]
    return found


POOLINGS: dict[tuple[str, str], Callable[[Any, torch.Tensor], torch.Tensor]] = {
    ("clip", "tower"): lambda m, x: m.get_image_features(x).pooler_output,
    ("clip", "cls"): lambda m, x: m.vision_model(x).last_hidden_state[:, 0],
    ("clip", "mean"): lambda m, x: m.vision_model(x).last_hidden_state[:, 1:].mean(1),
    ("vit", "tower"): lambda m, x: m(x).pooler_output,
    ("vit", "cls"): lambda m, x: m(x).last_hidden_state[:, 0],
    ("vit", "mean"): lambda m, x: m(x).last_hidden_state[:, 1:].mean(1),
    ("deit", "cls"): lambda m, x: m(x).last_hidden_state[:, 0],
    ("deit", "mean"): lambda m, x: m(x).last_hidden_state[:, 2:].mean(1),
}


@pytest.mark.parametrize(("kind", "pool"), POOLINGS)
def test_it_is_what_the_tower_says(
    kind: str, pool: str, made: dict[str, tuple[Path, Any]], samples: list[Sample], shards: Artifact, tmp_path: Path
) -> None:  # fmt: skip
    folder, model = made[kind]
    store, stats, failures = embed(tmp_path / "out", stage(folder, pool=pool, tokens=True, batch=3), shards)
    with torch.no_grad():
        images = pixels(folder, samples)
        expected = POOLINGS[kind, pool](model, images)
        states = getattr(model, "vision_model", model)(images).last_hidden_state
    assert (stats.n_ok, stats.totals["tokens"], failures) == (6, 6 * states.shape[1], [])
    assert float((expected[0] - expected[1]).abs().max()) > 0.02  # they differ by image
    for sample, vector, tokens in zip(samples, expected, states, strict=True):
        found = store[sample.key]
        near(found.pooled, vector)
        near(found.tokens, tokens)
    assert store.meta["dim"] == expected.shape[1]
    assert str(folder) not in str(store.meta)


@pytest.mark.parametrize("kind", ["clip", "vit", "deit"])
def test_batched_equals_single(kind: str, made: dict[str, tuple[Path, Any]], samples: list[Sample]) -> None:
    folder, _ = made[kind]
    tower = ImageTower(folder, pool="tower", tokens=True, running=Running(torch.device("cpu")))
    images = pixels(folder, samples)
    batched = tower(images)
    assert batched.pooled is not None
    assert batched.tokens is not None
    for i, image in enumerate(images):
        single = tower(image[None])
        assert single.tokens is not None
        torch.testing.assert_close(single.pooled, batched.pooled[i : i + 1], atol=1e-5, rtol=0)
        torch.testing.assert_close(single.tokens[0], batched.tokens[i], atol=1e-5, rtol=0)


def test_batches_hold_one_shape_and_keep_their_order() -> None:
    sizes = [4, 6, 4, 4, 6, 5]
    images = [(str(i), torch.full((3, side, side), float(i))) for i, side in enumerate(sizes)]
    found = [(keys, batch.shape[-1], batch[:, 0, 0, 0].tolist()) for keys, batch in by_shape(iter(images), 2)]
    assert found == [
        (["0", "2"], 4, [0, 2]),
        (["1", "4"], 6, [1, 4]),
        (["3"], 4, [3]),
        (["5"], 5, [5]),
    ]
    short = [keys for keys, _ in by_shape(iter(images), 4, room=3 * 4 * (16 + 36))]
    assert short == [["0", "2"], ["1", "4"], ["3"], ["5"]]


def test_formats_and_tokens_alone(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    folder, _ = made["vit"]
    both, _, _ = embed(tmp_path / "both", stage(folder, pool="cls", tokens=True), shards)
    lmdb, _, _ = embed(tmp_path / "lmdb", stage(folder, pool="cls", tokens=True, store="lmdb"), shards)
    tokens, _, _ = embed(tmp_path / "tokens", stage(folder, pool="none", tokens=True), shards)
    assert (both.meta["format"], lmdb.meta["format"]) == ("hdf5", "lmdb")
    for key in both.keys():  # noqa: SIM118 - no mapping
        np.testing.assert_array_equal(both[key].pooled, lmdb[key].pooled)
        np.testing.assert_array_equal(both[key].tokens, lmdb[key].tokens)
        np.testing.assert_array_equal(both[key].tokens, tokens[key].tokens)
        assert tokens[key].pooled is None
    with pytest.raises(UserError, match="holds nothing"):
        embed(tmp_path / "nothing", stage(folder, pool="none"), shards)


def test_the_same_bytes_on_every_run(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    folder, _ = made["clip"]
    embed(tmp_path / "a", stage(folder), shards)
    torch.rand(7)
    shutil.copytree(folder, tmp_path / "moved")
    embed(tmp_path / "b", stage(tmp_path / "moved", decoders=3), shards)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_threads_keep_the_order(samples: list[Sample]) -> None:
    """However long each takes."""
    drawn = []

    def source() -> Iterator[Sample]:
        for sample in samples:
            drawn.append(sample.key)
            yield sample

    found = prepared(source(), Preprocessing(), lambda pixels: torch.tensor(pixels[:1, :1]), decoders=1)
    assert next(found).key == samples[0].key
    assert len(drawn) == 4  # not the whole shard
    assert [each.key for each in found] == [sample.key for sample in samples[1:]]


def test_bad_images_fail_and_are_tried_again(
    made: dict[str, tuple[Path, Any]], samples: list[Sample], tmp_path: Path
) -> None:
    folder, _ = made["vit"]
    broken = replace(samples[1], image=(samples[1].image or b"")[:200])
    textual = replace(samples[2], image=None, extension="")
    bad = shards_of(tmp_path / "shards", [samples[0], broken, textual, samples[3]])
    store, stats, failures = embed(tmp_path / "a", stage(folder), bad)
    assert [(row["key"], row["class"]) for row in failures] == [
        ("toy/0001", "decode"),
        ("toy/0002", "no_image"),
    ]
    assert list(store.keys()) == ["toy/0000", "toy/0003"]
    retry = frozenset(row["key"] for row in failures if row["class"] == "decode")
    mended = shards_of(tmp_path / "mended", [samples[0], samples[1], textual, samples[3]])
    again, stats, failures = embed(
        tmp_path / "b", stage(folder), mended, previous=tmp_path / "a", retry=retry
    )
    assert (stats.n_in, failures) == (3, [])
    whole, _, _ = embed(tmp_path / "c", stage(folder), mended)
    for key in whole.keys():  # noqa: SIM118 - no mapping
        near(again[key].pooled, whole[key].pooled)


def test_the_key_is_that_of_the_tower(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    folder, _ = made["clip"]
    inputs = inputs_of(shards=shards)
    before = next(iter(stage(folder).shards(inputs)))
    assert {*before.uses} == {"shards", "tower/config.json", "tower/model.safetensors", "tower/preprocessor_config.json"}  # fmt: skip
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert next(iter(stage(copy).shards(inputs))) == before
    (copy / "tokenizer.json").write_text("{}")
    (copy / "README.md").write_text("not part of it")
    assert next(iter(stage(copy).shards(inputs))) == before
    towers.clip(copy)  # the same again
    with (copy / "preprocessor_config.json").open("a") as file:
        file.write("\n")
    changed = next(iter(stage(copy).shards(inputs)))
    assert {name for name in before.uses if before.uses[name] != changed.uses[name]} == {"tower/preprocessor_config.json"}  # fmt: skip
    named = next(iter(stage("openai/clip", revision="abc").shards(inputs)))
    assert (named.args, {*named.uses}) == ({"tower": "openai/clip", "revision": "abc"}, {"shards"})
    assert "tower" not in stage(folder).params.keyed()


def test_what_is_no_tower(made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path) -> None:
    inputs = inputs_of(shards=shards)
    folder, _ = made["clip"]

    def keyed(made_: ImageEmbeddings) -> None:
        list(made_.shards(inputs))

    with pytest.raises(ConfigError, match="no folder here, nor a name"):
        keyed(stage("./towers/clip"))
    with pytest.raises(ConfigError, match="have no revision"):
        keyed(stage(folder, revision="abc"))
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    for attempt in (keyed, lambda made_: made_.setup(inputs)):
        with pytest.raises(UserError, match="holds no weights"):
            attempt(stage(bare))
    shutil.copyfile(made["vit"][0] / "model.safetensors", bare / "model.safetensors")
    with pytest.raises(UserError, match=r"lacks the weights .*text_model"):
        stage(bare).setup(inputs)
    (bare / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="cannot be opened"):
        stage(bare).setup(inputs)
    textual = shutil.copytree(made["bert"][0], tmp_path / "bert")
    shutil.copy(folder / "preprocessor_config.json", textual)
    with pytest.raises(ConfigError, match="takes no images"):
        stage(textual).setup(inputs)
    headless = tmp_path / "convnext"
    config = hf.ConvNextConfig(hidden_sizes=[8, 8], depths=[1, 1], num_stages=2)
    hf.ConvNextModel(config).save_pretrained(headless)
    shutil.copy(folder / "preprocessor_config.json", headless)
    with pytest.raises(ConfigError, match="no class token"):
        stage(headless, pool="cls").setup(inputs)


def test_weights_of_a_pooler_are_never_drawn_at_random(shards: Artifact, tmp_path: Path) -> None:
    model = towers.vit(tmp_path / "vit", pooler=False)
    with pytest.raises(UserError, match=r"lacks the weights pooler\.dense") as caught:
        stage(tmp_path / "vit").setup(inputs_of(shards=shards))
    assert "pool: cls" in caught.value.hint
    store, _, _ = embed(tmp_path / "out", stage(tmp_path / "vit", pool="cls"), shards)
    assert store.meta["dim"] == model.config.hidden_size


def test_a_name_without_a_network(shards: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="'nobody/nothing' \\(abc\\) is neither here") as caught:
        stage("nobody/nothing", revision="abc").setup(inputs_of(shards=shards))
    assert "hf download nobody/nothing --local-dir" in caught.value.hint


def test_other_preprocessing_interpolates_positions(
    made: dict[str, tuple[Path, Any]], samples: list[Sample], shards: Artifact, tmp_path: Path
) -> None:
    """LilT's: another size, no crop."""
    folder, model = made["deit"]
    changes = {"size": {"height": 48, "width": 48}, "do_center_crop": False, "resample": 3, "image_mean": [0.4, 0.5, 0.6]}  # fmt: skip
    store, _, _ = embed(tmp_path / "out", stage(folder, pool="cls", preprocessing=changes), shards)
    images = pixels(folder, samples, **changes)
    assert images.shape[-1] == 48
    with torch.no_grad():
        expected = model(images, interpolate_pos_encoding=True).last_hidden_state[:, 0]
    near(store[samples[0].key].pooled, expected[0])
    assert store.meta["preprocessing"]["size"] == {"height": 48, "width": 48}
    with pytest.raises(ValidationError, match="did you mean 'image_mean'"):
        stage(folder, preprocessing={"image_men": [0.5]})


def test_a_tower_without_preprocessing_needs_some(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    folder = shutil.copytree(made["vit"][0], tmp_path / "vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match="has no preprocessor_config") as caught:
        stage(folder).setup(inputs_of(shards=shards))
    assert "size, image_mean, image_std" in caught.value.hint
    said = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    with pytest.raises(UserError, match="cannot be used") as caught:
        stage(folder, preprocessing={**said, "image_mean": [0.5] * 2}).setup(inputs_of(shards=shards))
    assert "image_mean" in caught.value.hint
    one, _, _ = embed(tmp_path / "a", stage(folder, preprocessing=said), shards)
    two, _, _ = embed(tmp_path / "b", stage(made["vit"][0]), shards)
    np.testing.assert_array_equal(one["toy/0000"].pooled, two["toy/0000"].pooled)


def test_half_of_clip_with_its_projection(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    folder, model = made["clip"]
    half = hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**towers.VISION, projection_dim=8))
    half.load_state_dict(model.state_dict(), strict=False)
    half.save_pretrained(tmp_path / "half")
    shutil.copy(folder / "preprocessor_config.json", tmp_path / "half")
    one, _, _ = embed(tmp_path / "a", stage(folder), shards)
    two, _, _ = embed(tmp_path / "b", stage(tmp_path / "half"), shards)
    assert two.meta["dim"] == 8
    near(one["toy/0001"].pooled, two["toy/0001"].pooled)


def test_narrow_precision_is_near(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    folder, _ = made["vit"]
    wide, _, _ = embed(tmp_path / "a", stage(folder, pool="cls"), shards)
    narrow, _, _ = embed(tmp_path / "b", stage(folder, pool="cls", precision="bfloat16"), shards)
    one, two = wide["toy/0002"].pooled, narrow["toy/0002"].pooled
    assert one is not None
    assert two is not None
    assert not np.array_equal(one, two)
    np.testing.assert_allclose(one, two, atol=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(made: dict[str, tuple[Path, Any]], shards: Artifact) -> None:
    with pytest.raises(UserError, match="'cuda' is asked for") as caught:
        stage(made["vit"][0], device="cuda").setup(inputs_of(shards=shards))
    assert "device: cpu" in caught.value.hint


def test_the_report_shows_neighbours(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    made_ = stage(made["clip"][0])
    embed(tmp_path / "out", made_, shards)
    opened = artifact(tmp_path / "out", "embeddings/toy", {"00000": [tmp_path / "out" / "00000.h5"]})
    sections = dict(made_.illustrate(opened, inputs_of(shards=shards)))
    assert "4 of shard 00000" in sections["Spread"]
    assert sections["Nearest neighbours"].count("<image") == 4 * 4
    assert len(open_embeddings(tmp_path / "out")) == 6


def test_preprocessing_is_told_as_it_is(made: dict[str, tuple[Path, Any]]) -> None:
    said = Preprocessor(made["clip"][0], {}).to_json()
    assert (said["resample"], said["do_center_crop"], said["crop_size"]["height"]) == (3, True, 32)
