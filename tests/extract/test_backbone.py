"""Grids described by Fisher vectors, by TorchScript and by ONNX: definitions, the stage, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from extract.backbone import Backbone, BackboneParams
from extract.detectors import fisher, learned, onnx
from extract.detectors.grid import Principal, cells
from extract.detectors.load import load_detector, weights_digest
from extract.detectors.maps import PooledMaps
from pipeline.artifacts import Artifact
from store.atomic import sha256_file
from store.errors import ConfigError, CorruptError, DataError, UserError
from store.features import open_store
from tests.extract.toys import artifact, bytes_of, extract, inputs_of, output

FEW = {"gaussians": 4, "components": 6, "images": 8}


def make(folder: Path, shards: Artifact | None = None, **params: Any) -> Artifact:
    """Run the stage by hand."""
    stage = Backbone(BackboneParams(**params))
    inputs = inputs_of(**({"shards": shards} if shards else {}))
    (shard,) = stage.shards(inputs)
    out = output(shard, folder)
    stats = stage.process(shard, inputs, out)
    assert stats.n_in == stats.n_ok + len(out.failures)
    return artifact(folder, "backbone", {"detector": sorted(p for p in folder.iterdir() if p.is_file())})


class Maps(nn.Module):
    """Pixels as they are, and a map of half their size with twice their values."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            "pixels": images,
            "halves": 2 * nn.functional.avg_pool2d(images, 2),
            "mean": images.mean((2, 3)),
        }


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("script") / "maps.pt"
    torch.jit.script(Maps()).save(str(file))
    return file


def test_a_fisher_vector_is_the_gradient_of_the_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fisher, "PRINCIPAL", 5)
    monkeypatch.setattr(fisher, "FAINT", 0.0)
    drawn = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    mixture = fisher.Mixture(7, 3)
    mixture.fit(torch.randn(400, 7, generator=drawn))
    patches = torch.randn(50, 7, generator=drawn)
    inside = torch.zeros(2, 50)
    inside[0], inside[1, :20] = 1, 1
    found = mixture.describe(patches, inside)
    means = mixture.means.clone().requires_grad_()
    deviations = mixture.variances.sqrt().requires_grad_()
    parts = (patches - mixture.mean) @ mixture.axes
    for row, chosen in enumerate((parts, parts[:20])):
        each = torch.distributions.Normal(means, deviations).log_prob(chosen[:, None]).sum(2)
        (each + mixture.shares.log()).logsumexp(1).mean().backward()
        assert means.grad is not None
        assert deviations.grad is not None
        weight = mixture.shares.sqrt()[:, None]
        by_mean = means.grad * deviations.detach() / weight  # Fisher's information of a mean is w / sigma^2
        by_spread = deviations.grad * deviations.detach() / (weight * 2**0.5)  # 2 w / sigma^2
        wanted = torch.cat([by_mean, by_spread], dim=1).flatten()
        wanted = nn.functional.normalize(wanted.sign() * wanted.abs().sqrt(), dim=0)
        torch.testing.assert_close(found[row], wanted, atol=2e-4, rtol=1e-3)
        means.grad, deviations.grad = None, None


def test_every_round_makes_the_patches_likelier(monkeypatch: pytest.MonkeyPatch) -> None:
    patches = torch.randn(300, 96, generator=torch.Generator().manual_seed(0))
    patches[:100] += 2
    likelihood = []
    for rounds in (0, 1, 3, 9):
        monkeypatch.setattr(fisher, "ROUNDS", rounds)
        torch.manual_seed(1)
        mixture = fisher.Mixture(96, 3)
        mixture.fit(patches)
        parts = (patches - mixture.mean) @ mixture.axes
        each = torch.distributions.Normal(mixture.means, mixture.variances.sqrt()).log_prob(parts[:, None])
        likelihood.append(float((each.sum(2) + mixture.shares.log()).logsumexp(1).mean()))
    assert likelihood == sorted(likelihood)
    assert likelihood[-1] > likelihood[0] + 1


def test_texture_knows_direction_and_not_light_and_colour_the_reverse() -> None:
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::4] = 1
    turned = stripes.transpose(2, 3).contiguous()
    paler = 0.5 * stripes + 0.3
    seen = [fisher.texture(each, 4).flatten(2).mean(2)[0] for each in (stripes, paler, turned)]
    torch.testing.assert_close(seen[0], seen[1], atol=1e-3, rtol=0)
    assert (seen[0] - seen[2]).norm() > 0.5
    hues = [fisher.colour(each, 8).flatten(2).mean(2)[0] for each in (stripes, paler, turned)]
    torch.testing.assert_close(hues[0], hues[2], atol=1e-3, rtol=0)
    assert (hues[0] - hues[1]).norm() > 0.5


@pytest.mark.parametrize("rows", [30, 200])
def test_components_are_uncorrelated_and_blocks_have_equal_say(rows: int) -> None:
    drawn = torch.Generator().manual_seed(0)
    vectors = torch.randn(rows, 40, generator=drawn) @ torch.randn(40, 40, generator=drawn)
    vectors[:, 20:] *= 1000
    principal = Principal(40, 5)
    principal.fit(vectors, (20, 20))
    found = principal(vectors)
    covariance = found.T @ found / rows
    assert float(covariance.diagonal().mean()) == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(covariance, torch.diag(covariance.diagonal()), atol=2e-3, rtol=0)
    assert (covariance.diagonal().diff() <= 1e-4).all()  # the first says most
    one = Principal(40, 5)
    one.fit(torch.cat([vectors[:, :20], vectors[:, 20:] / 50], dim=1), (20, 20))
    rescaled = one(torch.cat([vectors[:, :20], vectors[:, 20:] / 50], dim=1))
    torch.testing.assert_close(rescaled, found, atol=1e-2, rtol=1e-2)


def test_the_stage_learns_from_images_and_regions_run_it(
    toy_shards: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "PATCHES", 2_000)
    made = make(tmp_path / "a", toy_shards, grids=(1, 2), **FEW)
    again = make(tmp_path / "b", toy_shards, grids=(1, 2), **FEW)
    assert bytes_of(made.path) == bytes_of(again.path)
    folder, stats, failures = extract(tmp_path / "r", toy_shards, made, recipe="grid")
    assert (stats.n_ok, failures) == (16, [])
    store = open_store(folder)
    assert store.meta["classes"] == ["region"]
    for key in store:
        found = store[key]
        height, width = found.image_size.tolist()
        assert found.features.shape == (5, 6)
        wanted = [[0, 0, width, height], [0, 0, width / 2, height / 2], [width / 2, 0, width, height / 2]]
        np.testing.assert_allclose(found.boxes[:3], wanted, atol=1e-3)
    single = open_store(extract(tmp_path / "one", toy_shards, made, recipe="grid", batch=1)[0])
    for key in store:
        np.testing.assert_allclose(
            store[key].features.astype(float), single[key].features.astype(float), atol=2e-3, rtol=2e-3
        )


def test_a_network_is_averaged_over_cells(script: Path, tmp_path: Path) -> None:
    made = make(tmp_path / "a", file=str(script), layers=("halves", "pixels"), grids=(1, 2), components=0)
    assert weights_digest(made.path) == sha256_file(script)
    detector = load_detector(made.path)
    assert detector.dimension == 6
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    for image, found in zip(images, detector.detect(images, 100), strict=True):
        corner = image[:, :32, :48].mean((1, 2))
        torch.testing.assert_close(found.features[1], torch.cat([2 * corner, corner]))
        torch.testing.assert_close(found.features[0, 3:], image.mean((1, 2)))
    uneven = detector.detect(images[:, :, :50, :70], 100)[0]  # padded inside, and nothing of it is seen
    torch.testing.assert_close(uneven.features[0, 3:], images[0, :, :50, :70].mean((1, 2)), atol=2e-3, rtol=0)
    given = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    found = detector.detect(images, 2, given)[0]
    assert found.proposals.tolist()[2] == [0, 0, 10, 10]
    torch.testing.assert_close(found.features[2, 3:], images[0, :, :10, :10].mean((1, 2)))


def test_components_of_a_network_are_learned(script: Path, toy_shards: Artifact, tmp_path: Path) -> None:
    made = make(
        tmp_path / "a", toy_shards, file=str(script), layers=("pixels",), recipe="grid-unit", components=2
    )
    assert load_detector(made.path).dimension == 2


def test_what_cannot_be_meant_is_refused(script: Path, toy_shards: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing without `file`"):
        BackboneParams(layers=("a",))
    with pytest.raises(ConfigError, match="no input `shards`"):
        make(tmp_path / "a")
    with pytest.raises(ConfigError, match="returns no 'halfs'") as caught:
        PooledMaps(script, ("halfs",))
    assert "halves" in str(caught.value)
    with pytest.raises(ConfigError, match="no map"):
        PooledMaps(script, ("mean",))
    with pytest.raises(ConfigError, match=r"\.pt .* or an \.onnx"):
        PooledMaps(tmp_path / "weights.bin", ())
    with pytest.raises(DataError, match="fewer `components`"):
        make(tmp_path / "b", toy_shards, gaussians=2, components=40, images=8, grids=(1,))


def test_cells_cover_an_image_once() -> None:
    found = cells((1, 3), 30, 60)
    assert found[0].tolist() == [0, 0, 60, 30]
    areas = (found[1:, 2:] - found[1:, :2]).prod(1)
    assert areas.tolist() == [200] * 9


def _message(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(onnx._field(number, content) for number, content in fields)


def onnx_model() -> bytes:
    """images [B, 3, H, W] -> Neg -> hidden -> Neg -> out."""

    def value(name: bytes) -> bytes:
        sizes = b"".join(_message((1, _message((2, each)))) for each in (b"b", b"c", b"h", b"w"))
        return _message((1, name), (2, _message((1, b"\x08\x01" + _message((2, sizes))))))

    def node(a: bytes, b: bytes) -> bytes:
        return _message((1, a), (2, b), (4, b"Neg"))

    graph = _message(
        (1, node(b"images", b"hidden")),
        (1, node(b"hidden", b"out")),
        (2, b"graph"),
        (11, value(b"images")),
        (12, value(b"out")),
    )
    return b"\x08\x08" + _message((7, graph), (8, b"\x10\x11"))


def test_values_of_an_onnx_file_are_read_from_its_bytes() -> None:
    assert onnx.values(onnx_model()) == ["hidden", "out"]
    for wrong in (b"no protocol buffer", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"):
        with pytest.raises(CorruptError, match="no ONNX model"):
            onnx.values(wrong)


def test_hidden_values_of_an_onnx_file_become_outputs(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="an extra: pip install onnxruntime")
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_model())
    images = torch.rand(2, 3, 40, 40)
    found = onnx.OnnxNetwork(file, ("hidden", "out"))(images)
    torch.testing.assert_close(found[0], -images)
    torch.testing.assert_close(found[1], images)
    assert PooledMaps(file, ()).blocks == [3]
    with pytest.raises(ConfigError, match="computes no 'hiden'"):
        onnx.OnnxNetwork(file, ("hiden",))
    file.write_bytes(b"no model")
    with pytest.raises(CorruptError, match="no ONNX model"):
        onnx.OnnxNetwork(file, ())


def test_an_onnx_file_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(onnx, "import_module", absent)
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_model())
    with pytest.raises(UserError, match="onnxruntime"):
        onnx.OnnxNetwork(file, ())
