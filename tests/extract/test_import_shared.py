"""Published files: bottom-up attention's features, and a data set in VinVL's tables."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from extract.exporting import export_store
from extract.formats.cut import lineidx_of
from extract.formats.lines import LineIndex, read_lines
from extract.formats.oscar_labels import read_hw, read_labels
from extract.formats.oscar_writer import Table
from store.features import open_store
from tests.extract import import_toys as make

TABLES = ("train", "train.hw", "train.label")


@pytest.fixture
def butd(shared: Path) -> Path:
    return _present(shared / "butd" / "train2014_obj36.tsv")


@pytest.fixture
def vinvl(shared: Path) -> Path:
    return _present(shared / "vinvl_tsv" / "data" / "train.yaml").parent


def _present(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


@pytest.mark.parametrize("store", ["lmdb", "hdf5"])
def test_bottom_up_attention(tmp_path: Path, butd: Path, store: str) -> None:
    """Ten images of COCO, read in four parts: the numbers, and the file byte for byte."""
    artifact = make.imported(
        tmp_path / "work",
        butd,
        store=store,
        precision="float32",
        images_per_shard=3,
        image_id=r"COCO_train2014_(?P<id>\d+)",
        key="coco/{id}",
        classes=butd.with_name("objects_vocab.txt"),
        attributes=butd.with_name("attributes_vocab.txt"),
    )
    assert len(artifact.shards) == 4
    found = open_store(artifact.path)
    assert (len(found.meta["classes"]), len(found.meta["attributes"])) == (1600, 400)
    for line in butd.read_bytes().splitlines():
        cells = line.split(b"\t")
        regions = found[f"coco/{cells[0].decode().rpartition('_')[2]}"]
        assert regions.features.tobytes() == base64.b64decode(cells[9])
        assert regions.boxes.tobytes() == base64.b64decode(cells[8])
        assert regions.class_id.astype("<i8").tobytes() == base64.b64decode(cells[3])
    export_store(artifact.path, tmp_path / "out.tsv")
    assert (tmp_path / "out.tsv").read_bytes() == butd.read_bytes()


def test_what_half_precision_costs(tmp_path: Path, butd: Path) -> None:
    half = open_store(make.imported(tmp_path / "half", butd).path)
    full = open_store(make.imported(tmp_path / "full", butd, precision="float32").path)
    for key in full:
        exact, rounded = full[key].features, half[key].features.astype(np.float32)
        assert (np.abs(rounded - exact) <= np.abs(exact) * 2.0**-11 + 2.0**-25).all()
        assert np.abs(rounded - exact).max() > 0


@pytest.mark.parametrize("name", TABLES)
def test_vinvls_tables_and_their_line_indices(tmp_path: Path, vinvl: Path, name: str) -> None:
    """Images, sizes and labels: each line where its index says, and both the same when written again."""
    source = vinvl / f"{name}.tsv"
    index = LineIndex(lineidx_of(source))
    with Table(tmp_path / source.name, "\n") as table:
        for line in read_lines(source):
            index.require(line)
            key, _, cells = line.data.decode().partition("\t")
            table.write(key, cells)
    index.require_end(source.stat().st_size)
    for path in (source, lineidx_of(source)):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_features_of_vinvls_images(tmp_path: Path, vinvl: Path) -> None:
    """That data set ships none: features of its own boxes, sizes and labels, and its own tables beside them."""
    (tmp_path / "in").mkdir()
    for name in TABLES[1:]:
        (tmp_path / "in" / f"{name}.tsv").write_bytes((vinvl / f"{name}.tsv").read_bytes())
    (tmp_path / "in" / "train.labelmap.tsv").write_bytes((vinvl / "train.labelmap.tsv").read_bytes())
    source = make.tsv(tmp_path / "in" / "train.feature.tsv", list(_features(vinvl)))
    artifact = make.imported(tmp_path / "work", source, precision="float32", images_per_shard=1)
    store = open_store(artifact.path)
    regions = store["images/000000184613"]
    assert [store.meta["classes"][i] for i in regions.class_id] == ["Dog", "Cat"]
    assert regions.features.shape == (2, 2048)
    np.testing.assert_allclose(regions.boxes, [[1, 1, 30, 40], [2, 3, 100, 100]], atol=1e-4)
    assert regions.image_size.tolist() == [336, 500]
    export_store(artifact.path, tmp_path / "out" / source.name)
    for path in (source, lineidx_of(source)):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    for name in TABLES[1:]:
        for path in (vinvl / f"{name}.tsv", vinvl / f"{name}.lineidx"):
            assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def _features(vinvl: Path) -> Iterator[tuple[str, str]]:
    sizes, labels = (
        dict(line.data.decode().split("\t") for line in read_lines(vinvl / f"train.{role}.tsv"))
        for role in ("hw", "label")
    )
    rng = np.random.default_rng(0)
    for key in sizes:
        (height, width), (found, _) = read_hw(sizes[key]), read_labels(labels[key])
        scaled = found.rects.astype(float) / [width, height, width, height]
        geometry = np.concatenate([scaled, scaled[:, 2:] - scaled[:, :2]], axis=1)
        pooled = np.abs(rng.normal(0, 2, (len(scaled), 2048)))
        data = make.b64(np.concatenate([pooled, geometry], axis=1).astype("<f4"))
        yield key, f"{len(scaled)}\t{data}"


def test_the_images_of_vinvl_are_no_features(tmp_path: Path, vinvl: Path) -> None:
    made = make.run_import(tmp_path / "a", vinvl / "train.tsv")
    assert "holds images, not region features" in made.failures[0].what
    made = make.run_import(tmp_path / "b", vinvl / "train.yaml")
    assert "names images, no features" in made.failures[0].what
