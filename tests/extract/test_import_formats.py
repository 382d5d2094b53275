"""Files of other projects come in with their numbers and go out with their bytes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extract.exporting import export_store
from extract.formats.base import Beside, Entry
from extract.formats.find import Source, cut_source, find_source, open_reader, open_writer
from extract.formats.names import BACKGROUND, read_names
from pipeline.artifacts import Artifact
from store.atomic import sha256_file
from store.errors import ConfigError, DataError, UserError
from store.features import open_store
from tests.extract import import_toys as make
from tests.extract.toys import bytes_of

EXACT = ["butd, ten columns", "butd, six columns", "oscar, columns", "oscar, captioning", "oscar, tags"]
EXACT += ["oscar, predictions", "vlbert, folder"]
"""Formats that come out with the very bytes that went in."""


def beside(source: Source, folder: Path) -> Beside:
    files = make.names(folder)
    return Beside(
        labels=source.labels,
        hw=source.hw,
        classes=read_names(files["classes"]),
        attributes=read_names(files["attributes"]),
    )


def read_all(source: Source, beside: Beside, per_part: int = 2) -> Iterator[Entry]:
    reader = open_reader(source, beside)
    for part in cut_source(source, per_part, sha256_file):
        yield from reader.read(part.args)


def tree(path: Path) -> dict[str, bytes]:
    return bytes_of(path) if path.is_dir() else {path.name: path.read_bytes()}


def into_store(folder: Path, kind: str, **params: Any) -> tuple[list[make.Toy], Path, Artifact]:
    images = make.toys()
    source = make.WRITERS[kind](folder, images)
    params = {"precision": "float32", "images_per_shard": 2, **make.names(folder), **params}
    return images, source, make.imported(folder / "work", source, **params)


@pytest.mark.parametrize("kind", make.WRITERS)
@pytest.mark.parametrize("store", ["lmdb", "hdf5"])
def test_numbers(tmp_path: Path, kind: str, store: str) -> None:
    images, _, artifact = into_store(tmp_path, kind, store=store)
    found = open_store(artifact.path)
    assert sorted(found.keys()) == sorted(f"images/{t.id}" for t in images)
    for image in images:
        regions = found[f"images/{image.id}"]
        np.testing.assert_array_equal(regions.features, image.features)
        assert regions.features.dtype == np.float32
        np.testing.assert_allclose(regions.boxes, image.boxes, atol=1e-3)
        assert regions.image_size.tolist() == list(image.size)
        if kind in ("butd, ten columns", "oscar, columns", "oscar, predictions", "oscar, tags"):
            names = [found.meta["classes"][i] for i in regions.class_id]
            assert names == [make.CLASSES[i] for i in image.class_id]
        if kind in ("butd, ten columns", "oscar, columns", "oscar, predictions"):
            np.testing.assert_array_equal(regions.score, image.score)
        if kind in ("butd, ten columns", "oscar, predictions"):
            np.testing.assert_array_equal(regions.attribute_id, image.attribute_id)
            np.testing.assert_array_equal(regions.attribute_score, image.attribute_score)
        if kind.startswith("vlbert"):
            np.testing.assert_array_equal(regions.posteriors, image.posteriors)
            np.testing.assert_array_equal(regions.class_id, image.posteriors[:, 1:].argmax(1) + 1)
            assert found.meta["classes"] == [BACKGROUND, *make.CLASSES]


@pytest.mark.parametrize("kind", EXACT)
def test_bytes_in_are_bytes_out(tmp_path: Path, kind: str) -> None:
    _, source, artifact = into_store(tmp_path, kind)
    target = tmp_path / "out" / source.name
    assert export_store(artifact.path, target) == 5
    assert tree(target) == tree(source)
    for path in source.parent.glob(f"{source.stem}.*") if source.is_file() else ():
        if path.suffix in (".tsv", ".lineidx") and "labelmap" not in path.name:
            assert (target.parent / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_zip_goes_out_as_a_zip_stored_plainly(tmp_path: Path) -> None:
    _, source, artifact = into_store(tmp_path, "vlbert, zip")
    for target in (tmp_path / "a.zip", tmp_path / "b.zip"):
        export_store(artifact.path, target)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(source) as theirs, zipfile.ZipFile(tmp_path / "a.zip") as ours:
        assert {n: theirs.read(n) for n in theirs.namelist()} == {n: ours.read(n) for n in ours.namelist()}
        assert {info.compress_type for info in ours.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("target", ["out.tsv", "out", "out.zip"])
@pytest.mark.parametrize("kind", ["butd, ten columns", "vlbert, folder"])
def test_any_format_goes_out_as_any_other(tmp_path: Path, kind: str, target: str) -> None:
    images, _, artifact = into_store(tmp_path, kind)
    for other in ("oscar", "butd") if target.endswith(".tsv") else ("vlbert", "npz"):
        path = tmp_path / other / target
        export_store(artifact.path, path, other)
        again = make.imported(tmp_path / f"again-{other}", path, precision="float32", **make.names(tmp_path))
        store, first = open_store(again.path), open_store(artifact.path)
        for image in images:
            ours, theirs = store[f"images/{image.id}"], first[f"images/{image.id}"]
            np.testing.assert_array_equal(ours.features, image.features)
            np.testing.assert_allclose(ours.boxes, image.boxes, atol=1e-3)
            if other != "vlbert":
                np.testing.assert_array_equal(ours.score, theirs.score)
            if other == "oscar":
                np.testing.assert_array_equal(
                    [store.meta["classes"][i] for i in ours.class_id],
                    [first.meta["classes"][i] for i in theirs.class_id],
                )
            elif other != "vlbert":
                np.testing.assert_array_equal(ours.class_id, theirs.class_id)


def test_a_zip_may_hold_several_folders(tmp_path: Path) -> None:
    images = make.toys(4)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for i, image in enumerate(images):
            file.writestr(
                f"{'train' if i < 3 else 'val'}/{image.id}.json", json.dumps(make.vlbert_row(image))
            )
    artifact = make.imported(tmp_path / "work", tmp_path / "x.zip@/val")
    assert list(open_store(artifact.path).keys()) == [f"images/{images[3].id}"]


def test_vinvls_yaml_names_the_tables(tmp_path: Path) -> None:
    make.oscar(tmp_path / "a.tsv", make.toys(2))
    for role in ("hw", "label"):
        (tmp_path / f"a.{role}.tsv").rename(tmp_path / f"other_{role}.tsv")
    text = "feature: a.tsv\nlabel: other_label.tsv\nhw: other_hw.tsv\nlabelmap: a.labelmap.tsv\n"
    (tmp_path / "train.yaml").write_text(text)
    artifact = make.imported(tmp_path / "work", tmp_path / "train.yaml")
    assert open_store(artifact.path).meta["classes"] == list(make.CLASSES)
    (tmp_path / "train.yaml").write_text("img: a.tsv\n")
    with pytest.raises(DataError, match="names images"):
        find_source(tmp_path / "train.yaml")


def test_classes_without_numbers_get_them_by_name(tmp_path: Path) -> None:
    images = make.toys(3)
    source = make.oscar(tmp_path / "a.tsv", images)
    (tmp_path / "a.labelmap.tsv").unlink()
    store = open_store(make.imported(tmp_path / "work", source).path)
    assert store.meta["classes"] == sorted({make.CLASSES[i] for t in images for i in t.class_id})


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.txt", "yolk\nstop sign,stopsign\n", ("yolk", "stop sign")),
        ("a.tsv", "Dog\t3\nCat\t4\n", ("Dog", "Cat")),
        ("a.json", '["a", "b"]', ("a", "b")),
        ("a.json", '{"label_to_idx": {"b": 2, "a": 1}, "x": {}}', (BACKGROUND, "a", "b")),
    ],
)
def test_names(tmp_path: Path, name: str, text: str, wanted: tuple[str, ...]) -> None:
    (tmp_path / name).write_text(text)
    assert read_names(tmp_path / name) == wanted


@pytest.mark.parametrize(
    ("name", "text"), [("a.txt", ""), ("a.json", "3"), ("a.json", '{"a": "b"}'), ("b", "a")]
)
def test_no_names(tmp_path: Path, name: str, text: str) -> None:
    if name != "b":
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="names no classes"):
        read_names(tmp_path / name)


def test_what_is_no_format(tmp_path: Path) -> None:
    make.oscar(tmp_path / "a.tsv", make.toys(2))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tsv").write_text("no table at all\n")
    (tmp_path / "images.tsv").write_text("a\t/9j/4AAQSkZJRg\n")
    with pytest.raises(ConfigError, match="did you mean 'vlbert'"):
        find_source(tmp_path / "a.tsv", "vl-bert")
    for name, what in (("gone", "missing"), ("empty", "neither"), ("text.tsv", "one column")):
        with pytest.raises(DataError, match=what):
            find_source(tmp_path / name)
    for name, what in (("images.tsv", "holds images"), ("a.label.tsv", "holds labels or sizes")):
        with pytest.raises(DataError, match=what):
            open_reader(find_source(tmp_path / name), Beside()).facts()


def test_regions_of_our_own_need_a_format_named(tmp_path: Path) -> None:
    _, _, artifact = into_store(tmp_path, "npz", images_per_shard=9)
    alone = artifact.path / "00000.lmdb"
    with pytest.raises(ConfigError, match="nothing says its format"):
        export_store(alone, tmp_path / "out")
    assert export_store(alone, tmp_path / "out.tsv", "butd") == 5
    with pytest.raises(UserError, match="there already"):
        export_store(alone, tmp_path / "out.tsv", "butd")
    with pytest.raises(DataError, match="nothing names the class"):
        open_writer("oscar", tmp_path / "x.tsv", {"classes": ["a"]})._objects(  # type: ignore[attr-defined]
            open_store(alone)[f"images/{0:012d}"], "x"
        )


TEXT = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="\\/\"'."), min_size=1, max_size=12
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    ids=st.lists(TEXT, min_size=1, max_size=5, unique=True),
    counts=st.lists(st.integers(1, 5), min_size=5, max_size=5),
    dim=st.integers(1, 9),
    per_part=st.integers(1, 4),
    seed=st.integers(0, 1 << 20),
    kind=st.sampled_from(EXACT),
)
def test_round_trip(
    tmp_path: Path, ids: list[str], counts: list[int], dim: int, per_part: int, seed: int, kind: str
) -> None:
    """Whatever the ids (beyond ASCII too), counts, dimension and parts: the same bytes, every entry once."""
    folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
    (folder / "out").mkdir(parents=True)
    images = [make.toy(key, seed + i, n=counts[i], dim=dim) for i, key in enumerate(ids)]
    path = make.WRITERS[kind](folder, images)
    source = find_source(path)
    given = beside(source, folder)
    reader = open_reader(source, given)
    facts = reader.facts()
    about = {"classes": facts.classes, "attributes": facts.attributes, "details": facts.details}
    with open_writer(source.format, folder / "out" / path.name, about) as writer:
        for entry in read_all(source, given, per_part):
            assert entry.regions is not None, entry.error
            writer.write(entry.image_id, entry.regions, entry.extra)
    assert tree(folder / "out" / path.name) == tree(path)
    index = path.with_suffix(".lineidx")
    if index.exists():
        assert (folder / "out" / index.name).read_bytes() == index.read_bytes()
