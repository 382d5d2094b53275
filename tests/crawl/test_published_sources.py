"""Published data sets in their original layouts, small ones made here and those of the shared folder."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crawl.files import ImageFiles
from crawl.source import RowError
from crawl.sources.multi30k import STATED, Multi30k
from store.atomic import sha256_file
from store.errors import ConfigError, CorruptError, DataError
from store.records import Sample
from store.shards import read_metadata
from tests.crawl.bench import SHARED, classes, needs_shared, picture, plan, run, stage, write_rows

S = "crawl.sources."
MULTI30K, KARPATHY, XTD10 = S + "multi30k:Multi30k", S + "karpathy:Karpathy", S + "xtd10:Xtd10"
FLICKR, PAIRS, MLA = S + "flickr:Flickr", S + "pairs:Pairs", S + "mla:Mla"
XFLICKRCO, WEBDATASET, COCO = S + "xflickrco:XFlickrCo", S + "webdataset:WebDataset", S + "coco:Coco"


def samples(folder: Path) -> dict[str, Sample]:
    return {s.id: s for path in sorted(folder.glob("0????.parquet")) for s in read_metadata(path)}


def said(sample: Sample) -> dict[str, str]:
    return {c.id.partition("#")[2]: c.text for c in sample.captions}


def photos(folder: Path, *names: str) -> Path:
    for shade, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(shade=5 * shade))
    return folder


def texts(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return folder


def multi30k(folder: Path) -> Path:
    return texts(
        folder,
        {
            "image_splits/val.txt": "10.jpg\n20.jpg\n",
            "task1/val.en.gz": "A dog.\nA cat.\n",
            "task1/val.de.gz": "Ein Hund.\nEine Katze.\n",
            "task1/val.cs": "Pes.\n\n",
            "task2/val.1.en": "One dog.\nOne cat.\n",
            "task2/val.1.de": "1 Hund.\n1 Katze.\n",
            "image_splits/test_2017_mscoco.txt": "COCO_val2014_000000398076.jpg#657409\n",
            "task1/test_2017_mscoco.en": "Sand.\n",
            "task1/test_2017_mscoco.fr": "Sable.\n",
        },
    )


def test_multi30k_joins_translations_and_descriptions_to_its_images(tmp_path: Path) -> None:
    block = {"source": MULTI30K, "texts": multi30k(tmp_path / "t"), "splits": ["val"], "counts": False}
    photos(tmp_path / "flickr30k-images", "10.jpg", "20.jpg")
    with tarfile.open(tmp_path / "flickr30k-images.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(tmp_path / "flickr30k-images", "flickr30k-images")
    images = [str(tmp_path / "flickr30k-images.tar")]
    stats, failures = run(stage({**block, "tasks": [1, 2], "images": images}), tmp_path / "out")
    assert failures == []
    found = samples(tmp_path / "out")
    assert said(found["10"]) == {
        "en0": "A dog.",
        "de0": "Ein Hund.",
        "cs0": "Pes.",
        "en1": "One dog.",
        "de1": "1 Hund.",
    }
    assert [c.translates for c in found["10"].captions] == [None, *["multi30k/10#en0"] * 2, None, None]
    assert (found["20"].split, found["20"].width) == ("val", 40)
    assert found["20"].source_ids == {"flickr": "20", "multi30k": "val:2"}
    assert stats.totals["captions_dropped"] == 1  # the empty Czech line
    (tmp_path / "flickr30k-images/20.jpg").unlink()
    _, failures = run(stage({**block, "images": [str(tmp_path / "flickr30k-images")]}), tmp_path / "gone")
    assert classes(failures) == {"multi30k/20": "missing"}


def test_multi30k_says_what_is_missing(tmp_path: Path) -> None:
    block = {"source": MULTI30K, "texts": multi30k(tmp_path), "splits": ["val"]}
    with pytest.raises(DataError) as caught:
        plan(stage(block))
    assert "0 lines of task1/val.fr, not 1,014" in str(caught.value)
    assert "2 lines of image_splits/val, not 1,014" in str(caught.value)
    assert "counts: false" in str(caught.value)
    (tmp_path / "task1/val.cs").write_text("Pes.\n")
    with pytest.raises(DataError, match="not line-aligned"):
        plan(stage({**block, "counts": False}))
    with pytest.raises(ConfigError, match=r"has no image_splits/train\.txt"):
        plan(stage({**block, "splits": ["train"], "counts": False}))
    with pytest.raises(ConfigError, match=r"no split 'vall'"):
        stage({**block, "splits": ["vall"]})
    with pytest.raises(ConfigError, match="no texts in 'es'"):
        stage({**block, "langs": ["en", "es"]})


def test_multi30k_has_cocos_ids_of_cocos_images(tmp_path: Path) -> None:
    block = {"source": MULTI30K, "texts": multi30k(tmp_path), "counts": False}
    run(stage({**block, "splits": ["test_2017_mscoco"]}), tmp_path / "out")
    (sample,) = samples(tmp_path / "out").values()
    assert sample.source_ids["coco"] == "398076"
    assert sample.source_ids["coco_caption"] == "657409"


def test_an_image_in_two_splits_is_told(tmp_path: Path) -> None:
    multi30k(tmp_path)
    photos(tmp_path / "i", "10.jpg", "20.jpg")
    (tmp_path / "i/COCO_val2014_000000398076.jpg").write_bytes(picture(shade=0))
    block = {"source": MULTI30K, "texts": tmp_path, "images": [str(tmp_path / "i")], "counts": False}
    made = stage({**block, "splits": ["val", "test_2017_mscoco"]}, samples_per_shard=2)
    assert reduced(made, tmp_path / "out").totals["images_in_two_splits"] == 1


def reduced(made: Any, folder: Path) -> Any:
    """Statistics over all shards."""
    from types import SimpleNamespace

    from pipeline.stage import Inputs, Output, Shard

    run(made, folder)
    records = [SimpleNamespace(name=shard.name) for shard in plan(made)]
    out = Output(Shard(name="all"), folder, folder / "scratch")
    return made.reduce(records, folder, Inputs({}, sha256_file), out)


def karpathy(path: Path) -> Path:
    def image(number: int, split: str) -> dict[str, Any]:
        sentences = [{"raw": f"{split} {number}.", "tokens": []}]
        name = f"COCO_val2014_{number:012d}.jpg"
        about = {"filepath": "val2014", "filename": name, "imgid": 7, "cocoid": number}
        return {**about, "split": split, "sentences": sentences}

    data = {"dataset": "coco", "images": [image(5, "train"), image(6, "restval"), image(7, "test")]}
    path.write_text(json.dumps(data))
    return path


def test_karpathys_splits(tmp_path: Path) -> None:
    block = {"source": KARPATHY, "annotations": karpathy(tmp_path / "dataset_coco.json"), "counts": False}
    photos(tmp_path, "coco/val2014/COCO_val2014_000000000005.jpg", "flat/COCO_val2014_000000000006.jpg")
    block["images"] = [str(tmp_path / "coco"), str(tmp_path / "flat")]
    _, failures = run(stage({**block, "splits": ["train", "restval"]}), tmp_path / "out")
    found = samples(tmp_path / "out")
    assert {name: (s.split, said(s)) for name, s in found.items()} == {
        "5": ("train", {"en0": "train 5."}),
        "6": ("restval", {"en0": "restval 6."}),
    }
    assert failures == []
    with pytest.raises(DataError, match="1 images of train, not 82,783"):
        plan(stage({**block, "counts": True}))
    with pytest.raises(ConfigError, match="has no split 'tset'"):
        plan(stage({**block, "splits": ["tset"]}))
    (tmp_path / "dataset_coco.json").write_text('{"images": [{"filename": "a.jpg"}]}')
    with pytest.raises(DataError, match="image 0 is not in Karpathy's format"):
        plan(stage(block))


TOKEN = "10.jpg#0\tA dog .\n10.jpg#1\tTwo dogs .\n20.jpg#0\tA cat, black .\n"
BARS = "image_name| comment_number| comment\n10.jpg| 0| A dog .\n10.jpg| 1   Two dogs .\n20.jpg| 0| A cat, black .\n"
COMMAS = 'image,caption\n10.jpg,A dog .\n10.jpg,Two dogs .\n20.jpg,"A cat, black ."\n'


@pytest.mark.parametrize("form", [TOKEN, BARS, COMMAS])
@pytest.mark.parametrize("edition", ["flickr30k", "flickr8k"])
def test_flickrs_three_forms_say_the_same(tmp_path: Path, form: str, edition: str) -> None:
    (tmp_path / "captions").write_text(form + "nothing to see\n")
    block = {"source": FLICKR, "captions": tmp_path / "captions", "edition": edition}
    counts = {"images": 2, "captions": 3}
    _, failures = run(stage({**block, "counts": counts}), tmp_path / "out")
    assert {name: said(s) for name, s in samples(tmp_path / "out").items()} == {
        "10": {"en0": "A dog .", "en1": "Two dogs ."},
        "20": {"en0": "A cat, black ."},
    }
    assert [row["class"] for row in failures] == ["bad_row"]
    published = (edition, form) not in (("flickr8k", BARS), ("flickr30k", COMMAS))
    error, says = (DataError, "2 images, not") if published else (ConfigError, "no numbers were published")
    with pytest.raises(error, match=says):
        plan(stage(block))


def test_no_form_of_flickrs(tmp_path: Path) -> None:
    (tmp_path / "captions").write_text("hello\n")
    with pytest.raises(DataError, match="none of Flickr's three forms"):
        plan(stage({"source": FLICKR, "captions": tmp_path / "captions"}))


def test_xtd10_joins_translations_to_cocos_images(tmp_path: Path) -> None:
    names = "COCO_train2014_000000000011.jpg\nCOCO_val2014_000000000012.jpg"
    files = {
        "test_image_names.txt": names,
        "test_1kcaptions_en.txt": "a\nb",
        "test_1kcaptions_jp.txt": "c\nd",
    }
    texts(tmp_path / "t", files)
    photos(tmp_path / "i", "COCO_train2014_000000000011.jpg", "000000000012.jpg")
    block = {"source": XTD10, "texts": tmp_path / "t", "images": [str(tmp_path / "i")], "counts": False}
    _, failures = run(stage(block), tmp_path / "out")
    assert failures == []
    found = samples(tmp_path / "out")
    assert {name: said(s) for name, s in found.items()} == {
        "11": {"en0": "a", "ja0": "c"},
        "12": {"en0": "b", "ja0": "d"},
    }
    assert found["11"].captions[1].translates == "xtd10/11#en0"
    run(stage({**block, "only": "val2014"}), tmp_path / "val")
    assert list(samples(tmp_path / "val")) == ["12"]
    with pytest.raises(DataError, match="2 captions in ja, not 1,000"):
        plan(stage({**block, "counts": True}))
    with pytest.raises(ConfigError, match="no captions in 'de'"):
        plan(stage({**block, "langs": ["de"]}))


def test_xflickrco_gathers_an_images_captions_of_all_languages(tmp_path: Path) -> None:
    def line(text: str, image: str) -> dict[str, Any]:
        return {"sentences": [text], "id": image, "img_path": image}

    coco = "COCO_val2014_000000000012.jpg"
    write_rows(tmp_path / "de/test.jsonl", [line("Ein Hund.", "10.jpg"), line("Sand.", coco)])
    write_rows(tmp_path / "ja/test.jsonl", [line("砂", coco), line("犬", "10.jpg")])
    block = {"source": XFLICKRCO, "texts": tmp_path, "counts": False}
    run(stage(block), tmp_path / "out")
    found = samples(tmp_path / "out")
    assert {name: said(s) for name, s in found.items()} == {
        "10": {"de0": "Ein Hund.", "ja0": "犬"},
        "COCO_val2014_000000000012": {"de0": "Sand.", "ja0": "砂"},
    }
    assert found["COCO_val2014_000000000012"].source_ids == {"coco": "12"}
    with pytest.raises(DataError, match="2 images in de, not 2,000"):
        plan(stage({**block, "counts": True}))
    write_rows(tmp_path / "ja/test.jsonl", [{"sentences": "犬"}])
    with pytest.raises(DataError, match=r"test\.jsonl:1: no `img_path`"):
        plan(stage(block))


def test_pairs_of_one_image_are_one_sample(tmp_path: Path) -> None:
    def pair(image: str, caption: Any, number: int) -> dict[str, Any]:
        return {"image": f"/export/coco/{image}", "caption": caption, "image_id": number}

    rows = [
        pair("train2014/a.jpg", "A dog.", 1),
        pair("val2014/b.jpg", ["A cat.", "Cats."], 2),
        pair("train2014/a.jpg", "Dogs.", 1),
        {"image": "/export/coco/c.jpg"},
    ]
    (tmp_path / "coco.json").write_text(json.dumps(rows))
    photos(tmp_path / "i", "train2014/a.jpg", "val2014/b.jpg")
    block = {
        "source": PAIRS,
        "pairs": tmp_path / "coco.json",
        "images": [str(tmp_path / "i")],
        "name": "coco",
    }
    made = stage({**block, "prefix": "/export/coco", "counts": {"pairs": 4, "images": 2}})
    _, failures = run(made, tmp_path / "out")
    found = samples(tmp_path / "out")
    assert {name: said(s) for name, s in found.items()} == {
        "train2014/a": {"en0": "A dog.", "en1": "Dogs."},
        "val2014/b": {"en0": "A cat.", "en1": "Cats."},
    }
    assert found["train2014/a"].source_ids == {"image_id": "1"}
    assert classes(failures) == {"coco/pair 4": "bad_row"}
    with pytest.raises(ConfigError, match="paths of another machine"):
        plan(stage(block))
    with pytest.raises(ConfigError, match="no numbers were published"):
        plan(stage({**block, "counts": True}))


@pytest.mark.parametrize("names", ["names.json", "names_text.npy", "names_bytes.npy"])
def test_mlas_files(tmp_path: Path, names: str) -> None:
    (tmp_path / "en.json").write_text(json.dumps({"1.jpg": ["A."], "2.jpg": ["B."], "3.jpg": ["C."]}))
    (tmp_path / "de.json").write_text(json.dumps({"2.jpg": ["b."], "3.jpg": ["c."]}))
    wanted = ["3.jpg", "2.jpg", "1.jpg"]
    (tmp_path / "names.json").write_text(json.dumps(wanted))
    np.save(tmp_path / "names_text.npy", np.array(wanted))
    np.save(tmp_path / "names_bytes.npy", np.array([name.encode() for name in wanted]))
    captions = {lang: str(tmp_path / f"{lang}.json") for lang in ("en", "de")}
    block = {"source": MLA, "captions": captions, "names": tmp_path / names, "name": "cc300k"}
    _, failures = run(stage({**block, "translations": True, "counts": {"images": 3}}), tmp_path / "out")
    found = samples(tmp_path / "out")
    assert {name: said(s) for name, s in found.items()} == {
        "3": {"en0": "C.", "de0": "c."},
        "2": {"en0": "B.", "de0": "b."},
    }
    assert found["3"].captions[1].translates == "cc300k/3#en0"
    assert classes(failures) == {"cc300k/1": "bad_caption"}
    with pytest.raises(DataError, match="2 images with captions in de, not 3"):
        plan(stage({**block, "counts": {"images with captions in de": 3}}))


def test_pickled_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text('{"1.jpg": ["A."]}')
    np.save(tmp_path / "names.npy", np.array(["1.jpg"], dtype=object), allow_pickle=True)
    block = {"source": MLA, "captions": {"en": str(tmp_path / "en.json")}}
    with pytest.raises(DataError, match="no plain NumPy array"):
        plan(stage({**block, "names": tmp_path / "names.npy"}))


def test_images_in_several_places(tmp_path: Path) -> None:
    photos(tmp_path / "one", "a.jpg")
    photos(tmp_path / "two", "0.jpg", "a.jpg", "b.jpg")
    photos(tmp_path / "three/deep", "0.jpg", "1.jpg", "c.jpg")
    with tarfile.open(tmp_path / "three.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(tmp_path / "three", "three")
    files = ImageFiles(tmp_path / "one", tmp_path / "two", tmp_path / "three.tar")
    first, second = (tmp_path / "one/a.jpg").read_bytes(), (tmp_path / "two/a.jpg").read_bytes()
    assert files.read("a.jpg") == first != second
    assert files.read("b.jpg") == (tmp_path / "two/b.jpg").read_bytes()
    assert files.read("any/c.jpg") == (tmp_path / "three/deep/c.jpg").read_bytes()
    gone = files.read("d.jpg")
    assert isinstance(gone, RowError)
    assert gone.failure == "missing"
    assert files.find("d.jpg", "../a.jpg", "c.jpg") == "c.jpg"
    assert files.find("d.jpg", "e.jpg") == "d.jpg"
    digests = [files.digest(["a.jpg", "b.jpg", "c.jpg"], sha256_file)]
    for changed in ("two/b.jpg", "three.tar", "one/a.jpg"):
        path = tmp_path / changed
        path.write_bytes(path.read_bytes() + b"\0")
        again = ImageFiles(tmp_path / "one", tmp_path / "two", tmp_path / "three.tar")
        digests.append(again.digest(["a.jpg", "b.jpg", "c.jpg"], sha256_file))
    assert len(set(digests)) == 4


def test_tars_that_cannot_be_read_in_place(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"")
    with pytest.raises(ConfigError, match="compressed tar"):
        ImageFiles(tmp_path / "a.tar.gz")
    with pytest.raises(ConfigError, match="no such tar"):
        ImageFiles(tmp_path / "b.tar")
    path = webdataset(tmp_path / "c.tar", {"a.jpg": picture(), "b.jpg": picture()})
    whole = path.read_bytes()
    for size in range(0, len(whole), 512):  # wherever it was cut
        path.write_bytes(whole[:size])
        with pytest.raises(ConfigError, match="cut short"):
            ImageFiles(path).read("a.jpg")


def webdataset(path: Path, members: Mapping[str, bytes]) -> Path:
    from store import tar

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = tar.Writer(file)
        for name, data in members.items():
            writer.add(name, data)
        file.write(tar.END)
    return path


def test_img2datasets_shards(tmp_path: Path) -> None:
    told = json.dumps({"caption": "From JSON.", "url": "http://x/1.jpg", "sha256": "0"}).encode()
    one = {"000000.jpg": picture(), "000000.json": told, "000000.txt": b"From text."}
    webdataset(tmp_path / "w/00000.tar", {**one, "000001.png": picture(kind="PNG"), "000001.json": told})
    webdataset(
        tmp_path / "w/00001.tar", {"000001.jpg": picture(), "2.json": b"{", "3.jpg": b"x", "3.txt": b"y"}
    )
    block = {"source": WEBDATASET, "shards": tmp_path / "w", "name": "web"}
    counts = {"samples": 5, "tars": 2}
    made = stage({**block, "counts": counts}, samples_per_shard=1)
    assert len(plan(made)) == 5
    _, failures = run(made, tmp_path / "out")
    found = samples(tmp_path / "out")
    assert {name: said(s) for name, s in found.items()} == {
        "000000": {"en0": "From text."},
        "000001": {"en0": "From JSON."},
    }
    assert (found["000000"].url, found["000001"].extension) == ("http://x/1.jpg", "png")
    assert [row["class"] for row in failures] == ["duplicate", "bad_row", "not_an_image"]
    path = tmp_path / "w/00001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(CorruptError, match="cut short"):
        plan(made)


def test_our_own_shards_come_back_as_they_were(tmp_path: Path) -> None:
    multi30k(tmp_path)
    photos(tmp_path / "i", "10.jpg", "20.jpg")
    block = {"source": MULTI30K, "texts": tmp_path, "images": [str(tmp_path / "i")], "counts": False}
    run(stage({**block, "splits": ["val"], "tasks": [1, 2]}), tmp_path / "one")
    run(stage({"source": WEBDATASET, "shards": tmp_path / "one", "name": "multi30k"}), tmp_path / "two")
    assert samples(tmp_path / "one") == samples(tmp_path / "two")


def real(name: str) -> Path:
    root = SHARED / name
    if not root.is_dir():
        pytest.skip(f"no {name}")
    return root


@needs_shared
def test_multi30k_as_it_lies_there(tmp_path: Path) -> None:
    block = {"source": MULTI30K, "texts": real("multi30k"), "tasks": [1, 2]}
    whole = stage({**block, "splits": list(STATED)}).source
    assert isinstance(whole, Multi30k)
    whole.require()  # all lists and texts, 58 files
    assert len(whole) == 29_000 + 1_014 + 1_000 + 1_000 + 461 + 1_071
    stats, failures = run(stage({**block, "splits": ["val", "test_2018_flickr"]}), tmp_path)
    assert (stats.n_ok, failures) == (1_014 + 1_071, [])
    assert stats.totals["captions_en"] == 6 * 1_014 + 1_071
    assert stats.totals["captions_cs"] == 1_014 + 1_071


@needs_shared
def test_xtd10_as_it_lies_there(tmp_path: Path) -> None:
    block = {"source": XTD10, "texts": real("xtd10")}
    stats, failures = run(stage(block), tmp_path / "out")
    assert (stats.n_ok, stats.totals["captions"], failures) == (1_000, 8_000, [])
    coco = real("coco_mini")
    images = [str(coco / "train2017"), str(coco / "val2017")]
    stats, _ = run(stage({**block, "images": images}), tmp_path / "with")
    assert stats.n_ok == 4  # of its images are among coco_mini's
    assert sum(len(s.args["rows"]) for s in plan(stage({**block, "only": "val2014"}))) == 2


@needs_shared
def test_coco_captions_as_they_lie_there(tmp_path: Path) -> None:
    captions = real("coco_captions") / "captions_val2017.json"
    made = stage({"source": COCO, "captions": captions, "release": "val2017"}, samples_per_shard=2_500)
    stats, failures = run(made, tmp_path)
    assert (stats.n_ok, stats.totals["captions_en"], failures) == (5_000, 25_014, [])
    part = real("coco_mini") / "annotations/captions_val2017.json"
    with pytest.raises(DataError, match="79 images, not 5,000; 395 captions, not 25,014"):
        plan(stage({"source": COCO, "captions": part, "release": "val2017"}))


@needs_shared
def test_flickr8k_as_it_lies_there(tmp_path: Path) -> None:
    root = real("flickr8k")
    block = {"source": FLICKR, "edition": "flickr8k", "captions": root / "native_captions.csv"}
    block |= {"images": [str(root / "native")], "counts": {"images": 969, "captions": 4_845}}
    made = stage(block, samples_per_shard=200)
    shards = plan(made)
    assert len(shards) == 5
    stats, failures = run(made, tmp_path, shards=shards[:1])
    assert (stats.n_ok, stats.totals["captions_en"], failures) == (200, 1_000, [])


def blocks() -> dict[str, dict[str, Any]]:
    """The blocks of docs/sources.md, by their place in it."""
    parts = (Path(__file__).parents[2] / "docs/sources.md").read_text("utf-8").split("```yaml\n")[1:]
    found = [yaml.safe_load(part.partition("```")[0]) for part in parts]
    return {f"{n}-{name}": block for n, part in enumerate(found) for name, block in part.items()}


@pytest.mark.parametrize("place", list(blocks()))
def test_every_block_of_the_documentation_is_valid(place: str) -> None:
    assert stage(blocks()[place]).source.dataset


def test_every_source_is_documented() -> None:
    written = {block["source"].partition(":")[0].rpartition(".")[2] for block in blocks().values()}
    there = {path.stem for path in (Path(__file__).parents[2] / "crawl/sources").glob("[a-z]*.py")}
    assert written == there - {"scenes"}  # the demo's, drawn and not read
