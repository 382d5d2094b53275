"""Looking into artifacts, shards, records and files, by path and by address."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import Artifact
from pipeline.inspect import inspect, locate, look
from pipeline.report_samples import sample_cards
from pipeline.stats import Stats
from pipeline.workspace import KEY_DIGITS
from store.errors import CorruptError, DataError
from store.features import INDEX, StoreWriter, write_index
from store.shards import ShardWriter
from tests.pipeline.handmade import KEY, make_artifact
from tests.pipeline.test_html import structure
from tests.store.samples import picture, regions, sample

ABOUT = {"classes": [f"class{i}" for i in range(1600)], "attributes": ["red", "blue"]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with shards and the regions found in them."""
    root = tmp_path_factory.mktemp("workspace")
    folder = root / "shards" / "train" / KEY[:KEY_DIGITS]
    folder.mkdir(parents=True)
    with ShardWriter(folder / "00000.tar", folder / "00000.parquet") as writer:
        for i in range(5):
            writer.write(sample(str(i), image=picture(i)))
    shards = make_artifact(folder, "shards/train", {"00000": Stats(5, 5)})

    folder = root / "regions" / "train" / KEY[:KEY_DIGITS]
    folder.mkdir(parents=True)
    with StoreWriter(folder / "00000.lmdb", ABOUT, dim=16) as store:
        for i in range(4):
            store.write(f"scenes/{i}", regions(i, n=3))
    write_index(folder / INDEX, [folder / "00000.lmdb"])
    shown = {"00000": Stats(5, 4, {"decode": 1}), "all": Stats()}
    failures = {"00000": [("scenes/4", "decode", "no picture")]}
    make_artifact(folder, "regions/train", shown, failures=failures, inputs={"shards": shards})
    return root


def resolver(root: Path):
    def resolve(address: str) -> tuple[Path, str]:
        for node in ("shards/train", "regions/train"):
            if address == node or address.startswith(f"{node}/"):
                return root / node / KEY[:KEY_DIGITS], address[len(node) + 1 :]
        raise DataError(f"no stage '{address}'")

    return resolve


def seen(root: Path, address: str, **more):
    path, rest = locate(address, resolver(root))
    return look(path, rest, **more)


def test_an_artifact(root):
    view = seen(root, "regions/train")
    assert view.facts["failed"] == {"decode": 1}
    assert [row["shard"] for row in view.listings[0].rows] == ["00000", "all"]
    assert view.listings[0].rows[0] | {"bytes": 0, "digest": ""} == {
        "shard": "00000",
        "in": 5,
        "ok": 4,
        "failed": 1,
        "files": ".failures.parquet, .lmdb",
        "bytes": 0,
        "digest": "",
    }
    assert view.listings[0].total == 2


def test_a_shard_lists_each_of_its_files(root):
    view = seen(root, "regions/train/00000", start=1, count=2)
    by_name = {listing.name: listing for listing in view.listings}
    assert list(by_name) == ["files", "00000.failures.parquet", "00000.lmdb"]
    assert [row["key"] for row in by_name["00000.lmdb"].rows] == ["scenes/1", "scenes/2"]
    assert view.facts["00000.lmdb"]["records"] == 4


def test_the_table_of_a_tar_is_not_shown_twice(root):
    view = seen(root, "shards/train/00000")
    assert [listing.name for listing in view.listings] == ["files", "00000.tar"]
    assert list(seen(root, "shards/train/00000/scenes/3").records) == ["00000.tar"]


def test_a_record_with_the_picture_that_it_was_made_from(root, tmp_path):
    view = seen(root, "regions/train/00000/scenes/2")
    assert list(view.records) == ["00000.lmdb"]
    assert view.backdrop is not None
    assert view.backdrop["image"] == picture(2)
    out = tmp_path / "page.html"
    inspect("regions/train/00000/scenes/2", resolve=resolver(root), html=out)
    tags = [(tag, a.get("class")) for tag, a in structure(out.read_text("utf-8")).seen]
    assert tags.count(("g", "box main")) + tags.count(("g", "box faint")) == 3
    assert ("image", None) in tags
    assert "class" in out.read_text("utf-8")
    first = out.read_bytes()
    inspect("regions/train/00000", "scenes/2", resolve=resolver(root), html=out)
    assert out.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_the_key_index_finds_the_shard(root):
    assert seen(root, "regions/train/scenes/2").address == "regions/train/00000/scenes/2"


def test_a_failed_row_shows_why(root):
    view = seen(root, "regions/train/00000/scenes/4")
    assert view.records["00000.failures.parquet"]["detail"] == "no picture"


def test_no_picture_of_another_version_is_borrowed(root):
    """The artifact must be the very one that went in: same key and same digest."""
    folder = root / "shards" / "train" / KEY[:KEY_DIGITS]
    shards = Artifact.open(folder).manifest
    assert seen(root, "regions/train/00000/scenes/2").backdrop is not None
    replace(shards, digest="another").write(folder)
    try:
        assert seen(root, "regions/train/00000/scenes/2").backdrop is None
    finally:
        shards.write(folder)


def test_paths_work_without_a_configuration(root):
    folder = root / "shards" / "train" / KEY[:KEY_DIGITS]
    for target in (folder, folder / "00000", folder / "00000.tar", folder / "manifest.json"):
        path, rest = locate(str(target))
        assert look(path, rest).listings
    path, rest = locate(str(folder / "00000.tar" / "scenes" / "3"))
    assert look(path, rest).records[str(path)]["image"] == picture(3)
    path, rest = locate(str(folder / "00000" / "scenes" / "3"))
    assert look(path, rest).records["00000.tar"]["image"] == picture(3)


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("regions/train/00001", "no shard '00001'"),
        ("regions/train/00000/scenes/77", "no record 'scenes/77'"),
        ("nothing/here", "no stage"),
    ],
)
def test_what_is_not_there_is_said(root, address, match):
    with pytest.raises(DataError, match=match):
        seen(root, address)


def test_a_wrong_path_is_said():
    with pytest.raises(DataError, match="there is no file"):
        locate("/nowhere/at/all")


def test_a_damaged_manifest_is_said(root, tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CorruptError, match="cannot be read"):
        look(tmp_path)


def test_json_is_json_and_arrays_say_their_shape(root, capsys):
    inspect("regions/train/00000/scenes/1", resolve=resolver(root), as_json=True)
    told = json.loads(capsys.readouterr().out)["records"]["00000.lmdb"]
    assert told["features"]["shape"] == [3, 16]
    assert told["boxes"]["dtype"] == "float32"
    assert len(told["class"]) == 3


def test_terminal(root, capsys):
    inspect("shards/train", resolve=resolver(root))
    out = capsys.readouterr().out
    assert "tests.pipeline.handmade:Toy, version 1" in out
    assert "00000" in out


def test_the_report_shows_samples_of_a_stage_that_draws_nothing(root):
    regions_of, shards_of = (
        Artifact.open(root / f"{name}/train" / KEY[:KEY_DIGITS]) for name in ("regions", "shards")
    )
    text = str(sample_cards(shards_of))
    assert text.count("<image ") == 5
    assert "babelscene inspect shards/train/00000/scenes/0" in text
    text = str(sample_cards(regions_of))
    assert text.count("<image ") == 4
    assert text.count('class="box ') == 12
    tags = [tag for tag, _ in structure(text).seen]
    assert "ball" not in tags  # a caption says <ball>
    assert tags.count("article") == 4


def test_samples_that_cannot_be_read_are_said(tmp_path):
    (tmp_path / "00000.tar").write_bytes(b"no tar")
    (tmp_path / "00000.parquet").write_bytes(b"no table")
    broken = make_artifact(tmp_path, "shards/train", {"00000": Stats(1, 1)})
    assert "No samples can be shown" in sample_cards(broken)


def test_no_samples_of_what_has_no_pictures(tmp_path):
    assert (
        sample_cards(make_artifact(tmp_path, "model", {"model": Stats(1, 1)}, files={"model.json": b"{}"}))
        == ""
    )
