"""The stage: shards, joining with samples, precision, caching, going on after a kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from extract.formats.keys import KeyRule
from extract.importing import ImportRegions, ImportRegionsParams
from pipeline.artifacts import Artifact
from pipeline.inspect import look
from pipeline.plan import FRESH
from store.features import open_store
from store.listing import describe
from tests.extract import import_toys as make
from tests.extract.toys import bytes_of, inputs_of, shards_of, toy_sample


def pictures(samples: list[str]) -> list[make.Toy]:
    """Features of the toy world's images, in the sizes that these have."""
    images = []
    for i, key in enumerate(samples):
        sample = toy_sample(int(key))
        image = make.toy(f"toy_{key}", i)
        scale = np.asarray([sample.width, sample.height] * 2) / [*image.size[::-1], *image.size[::-1]]
        boxes = (image.boxes * scale).astype(np.float32)
        images.append(
            make.Toy(
                id=image.id,
                size=(sample.height, sample.width),
                boxes=boxes,
                features=image.features,
                posteriors=image.posteriors,
                class_id=image.class_id,
                score=image.score,
                attribute_id=image.attribute_id,
                attribute_score=image.attribute_score,
            )
        )
    return images


JOIN = {"image_id": r"toy_(?P<id>\d+)", "key": "toy/{id}"}


@pytest.fixture
def samples(tmp_path: Path) -> Artifact:
    """Six images in two shards."""
    made = shards_of(tmp_path / "shards", [toy_sample(i) for i in range(6)], per_shard=4)
    made.manifest.write(made.path)
    return made


def test_joined_with_samples(tmp_path: Path, samples: Artifact) -> None:
    """The images of samples alone; a sample without features is accounted for."""
    images = pictures(["0003", "0000", "0999", "0005", "0001"])
    path = make.oscar(tmp_path / "a.tsv", images)
    for role in ("hw", "label"):
        (tmp_path / f"a.{role}.tsv").unlink()  # so that the samples say the size
    artifact = make.imported(tmp_path / "work", path, samples, images_per_shard=2, **JOIN)
    store = open_store(artifact.path)
    assert sorted(store.keys()) == [f"toy/000{i}" for i in (0, 1, 3, 5)]
    stats = artifact.manifest.stats
    assert (stats["n_in"], stats["n_ok"]) == (4, 4)
    assert stats["totals"]["images of no sample, left out"] == 1
    assert stats["totals"]["samples without features"] == 2
    assert [row[:2] for row in make.failures(artifact)] == [
        ("toy/0002", "no_features"),
        ("toy/0004", "no_features"),
    ]
    for image in images[:2]:
        regions = store[f"toy/{image.id[4:]}"]
        assert regions.image_size.tolist() == list(image.size)
        np.testing.assert_allclose(regions.boxes, image.boxes, atol=1e-3)


@pytest.mark.parametrize("kind", ["oscar, columns", "npz"])
def test_the_first_images_may_be_of_no_sample(tmp_path: Path, samples: Artifact, kind: str) -> None:
    """Sizes come from the samples, and none of the entries that tell the dimension is one."""
    others = [make.toy(f"toy_0{900 + i}", i) for i in range(70)]
    path = make.WRITERS[kind](tmp_path, [*others, *pictures(["0001"])])
    for side in tmp_path.glob("features.*.tsv"):
        side.unlink()
    if kind == "npz":
        for file in path.iterdir():
            with np.load(file) as arrays:
                plain = {name: arrays[name] for name in ("x", "bbox")}
            np.savez(file, **plain)
        (path / "toy_0001.npz").rename(path / "toy_1001.npz")  # the last by name
        join = {"image_id": r"toy_.(?P<id>\d+)", "key": "toy/0{id}"}
    else:
        join = JOIN
    artifact = make.imported(tmp_path / "work", path, samples, images_per_shard=50, **join)
    assert list(open_store(artifact.path).keys()) == ["toy/0001"]
    assert artifact.manifest.stats["totals"]["images of no sample, left out"] == 70


def test_samples_of_another_size_are_counted(tmp_path: Path, samples: Artifact) -> None:
    path = make.butd_six(tmp_path / "a.tsv", [make.toy("toy_0001", 1), *pictures(["0002"])])
    artifact = make.imported(tmp_path / "work", path, samples, **JOIN)
    assert artifact.manifest.stats["totals"]["of another size than their sample"] == 1


def test_a_join_that_meets_nothing_says_why(tmp_path: Path, samples: Artifact) -> None:
    path = make.butd_six(tmp_path / "a.tsv", pictures(["0000", "0001"]))
    made = make.run_import(tmp_path / "work", path, samples, key="coco/{id}")
    assert "no regions at all" in made.failures[0].what
    assert "'toy_0000' becomes 'coco/toy_0000'" in made.failures[0].hint


def test_ids_that_do_not_match(tmp_path: Path) -> None:
    images = [make.toy("a1", 1), make.toy("b2", 2)]
    path = make.butd_six(tmp_path / "a.tsv", images)
    artifact = make.imported(tmp_path / "work", path, image_id=r"a(?P<id>\d)", key="x/{id:03d}")
    assert list(open_store(artifact.path).keys()) == ["x/001"]
    assert [row[1] for row in make.failures(artifact)] == ["bad_id"]


@pytest.mark.parametrize(
    ("pattern", "template", "what"),
    [
        ("(", "a/{id}", "no regular expression"),
        ("(?P<n>.)", "a/{id}", "the groups are: n"),
        (".", "a", "no key"),
    ],
)
def test_rules_that_make_no_keys(pattern: str, template: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        KeyRule(pattern, template)


@pytest.mark.parametrize(
    ("precision", "off"), [("float32", 0.0), ("float16", 2.0**-11), ("int8", 1 / 254 + 2.0**-10)]
)
def test_precision(tmp_path: Path, precision: str, off: float) -> None:
    """float32 is what came; float16 is off by half a unit of its last place, int8 by half a step of its row."""
    images = make.toys(4, dim=64)
    artifact = make.imported(
        tmp_path / "work", make.butd_six(tmp_path / "a.tsv", images), precision=precision
    )
    store = open_store(artifact.path)
    for image in images:
        got = store[f"images/{image.id}"].features.astype(np.float64)
        scale = (
            np.abs(image.features) if precision != "int8" else np.abs(image.features).max(1, keepdims=True)
        )
        assert (np.abs(got - image.features) <= off * scale + 2.0**-25).all()


@pytest.mark.parametrize("per_shard", [1, 2, 3, 100])
@pytest.mark.parametrize("kind", ["butd, ten columns", "oscar, columns", "vlbert, folder", "npz"])
def test_every_entry_is_in_one_part(tmp_path: Path, kind: str, per_shard: int) -> None:
    images = make.toys(7)
    path = make.WRITERS[kind](tmp_path, images)
    stage = ImportRegions(ImportRegionsParams(path=path, images_per_shard=per_shard))
    inputs = inputs_of()
    stage.setup(inputs)
    found = [e.image_id for s in stage.shards(inputs) for e in stage._reader.read(s.args)]
    assert found == [t.id for t in images]


def test_made_once_and_again_when_the_source_changes(tmp_path: Path) -> None:
    images = make.toys(4)
    path = make.butd_ten(tmp_path / "a.tsv", images)
    first = make.run_import(tmp_path / "work", path, images_per_shard=2)
    assert make.run_import(tmp_path / "work", path, images_per_shard=2).state == FRESH
    elsewhere = path.rename(tmp_path / "moved.tsv")
    assert make.run_import(tmp_path / "work", elsewhere, images_per_shard=2, format="butd").state == FRESH
    make.butd_ten(elsewhere, images[:3])
    second = make.run_import(tmp_path / "work", elsewhere, images_per_shard=2)
    assert first.artifact is not None
    assert second.artifact is not None
    assert second.artifact.path != first.artifact.path
    assert (len(open_store(first.artifact.path)), len(open_store(second.artifact.path))) == (4, 3)


def test_a_label_table_that_changes_wakes_the_import(tmp_path: Path) -> None:
    path = make.oscar(tmp_path / "a.tsv", make.toys(2))
    first = make.imported(tmp_path / "work", path)
    (tmp_path / "a.label.tsv").write_text((tmp_path / "a.label.tsv").read_text().replace("dog", "cat"))
    assert make.imported(tmp_path / "work", path).path != first.path


def _killed_at(fault: str, folder: Path, path: Path) -> None:
    from store import faults

    faults.arm(fault)
    make.run_import(folder, path, images_per_shard=2)


def test_a_killed_import_goes_on(tmp_path: Path) -> None:
    """Killed when its second shard is written, it takes the first one over and ends in the same bytes."""
    path = make.butd_ten(tmp_path / "a.tsv", make.toys(6))
    whole = make.imported(tmp_path / "whole", path, images_per_shard=2)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_killed_at, args=("record.rename.after:2", tmp_path / "cut", path))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    made = make.run_import(tmp_path / "cut", path, images_per_shard=2)
    assert made.artifact is not None
    assert made.adopted > 0
    ours, theirs = bytes_of(made.artifact.path), bytes_of(whole.path)
    assert made.artifact.digest == whole.digest
    assert {n: b for n, b in ours.items() if n != "manifest.json"} == {
        n: b for n, b in theirs.items() if n != "manifest.json"
    }


def test_a_table_is_read_line_by_line(tmp_path: Path) -> None:
    """A shard of 32 MB takes little more memory than one of its lines."""
    import tracemalloc

    images = [make.toy(f"{i}", i, n=36, dim=2048) for i in range(4)]
    path = make.butd_six(tmp_path / "a.tsv", images)
    once = path.read_bytes()
    with path.open("ab") as file:
        for i in range(1, 20):
            for line in once.splitlines(keepends=True):
                file.write(b"%d-%s" % (i, line))
    stage = ImportRegions(ImportRegionsParams(path=path))
    stage.setup(inputs_of())
    assert path.stat().st_size > 30 << 20
    tracemalloc.start()
    for entry in stage._reader.read({"bytes": [0, path.stat().st_size]}):
        assert entry.regions is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_inspected_and_shown(tmp_path: Path, samples: Artifact) -> None:
    path = make.butd_ten(tmp_path / "a.tsv", pictures(["0000", "0001"]))
    artifact = make.imported(tmp_path / "work", path, samples, **make.names(tmp_path), **JOIN)
    assert describe(artifact.path / "all.index")["keys"] == 2
    assert "ImportRegions" in str(look(artifact.path))
    assert "traffic light" in str(look(artifact.path, "toy/0000"))
    stage = ImportRegions(ImportRegionsParams.model_validate({"path": path, **JOIN}))
    ((title, shown), _) = stage.illustrate(artifact, inputs_of(shards=samples))
    assert (title, shown.count("<svg")) == ("Regions", 2)
    bare = make.imported(tmp_path / "bare", make.butd_six(tmp_path / "six.tsv", make.toys(3)))
    ((_, shown),) = stage.illustrate(bare, inputs_of())
    assert shown.count("<svg") == 3


def test_the_environment_names_no_fault() -> None:
    """The kill above ran in a child: nothing of it is left here."""
    from store import faults

    assert faults.VARIABLE not in os.environ
