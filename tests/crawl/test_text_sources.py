"""Text without images: parallel and monolingual, in every form that it comes in, and through later stages."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crawl.corpora import Aligned, Dataset
from crawl.entries import Entry
from crawl.shards import Shards
from crawl.sources.urls import Urls
from store.errors import ConfigError, DataError
from store.formats import check
from store.listing import describe, entry
from store.records import Sample
from store.shards import read_metadata, read_shard
from tests.crawl.bench import SHARED, classes, contents, needs_shared, plan, run, stage

PARALLEL = "crawl.sources.parallel:Parallel"
TEXT = "crawl.sources.text:Text"


def samples(folder: Path) -> dict[str, Sample]:
    return {s.id: s for path in sorted(folder.glob("0????.parquet")) for s in read_metadata(path)}


def texts(folder: Path) -> list[dict[str, str]]:
    return [{c.lang: c.text for c in sample.captions} for sample in samples(folder).values()]


def lines(path: Path, text: str) -> Path:
    data = text.encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def aligned(folder: Path, en: str, de: str, size: int = 2, **block: Any) -> Any:
    files = {"en": str(lines(folder / "a.en", en)), "de": str(lines(folder / "a.de.gz", de))}
    return stage({"source": PARALLEL, "name": "pairs", "files": files, **block}, samples_per_shard=size)


def saved(folder: Path, rows: list[dict[str, Any]], batch: int = 3, files: int = 1) -> Path:
    """What `save_to_disk` of a DatasetDict writes, one stream or several."""
    part = folder / "train"
    part.mkdir(parents=True)
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    names = [f"data-{n:05d}-of-{files:05d}.arrow" for n in range(files)]
    (part / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    each = -(-len(rows) // files)
    for number, name in enumerate(names):
        table = pa.Table.from_pylist(rows[number * each : (number + 1) * each])
        with pa.ipc.new_stream(str(part / name), table.schema) as stream:
            stream.write_table(table, max_chunksize=batch)
    return folder


def test_lines_of_one_number_are_one_sample(tmp_path: Path) -> None:
    made = aligned(tmp_path, "One.\nTwo.\r\nThree.", "Eins.\nZwei.\nDrei.\n", split="train")
    stats, failures = run(made, tmp_path / "out")
    assert (stats.n_in, stats.n_ok, failures) == (3, 3, [])
    found = samples(tmp_path / "out")
    assert list(found) == ["en-de/000000001", "en-de/000000002", "en-de/000000003"]
    assert texts(tmp_path / "out")[1] == {"en": "Two.", "de": "Zwei."}
    third = found["en-de/000000003"]
    assert third.captions[1].translates == third.captions[0].id == "pairs/en-de/000000003#en0"
    assert (third.image, third.extension, third.sha256, third.width, third.split) == (
        None,
        "",
        "",
        0,
        "train",
    )


def test_a_shard_of_text_is_a_shard(tmp_path: Path) -> None:
    run(aligned(tmp_path, "One.\nTwo.\n", "Eins.\nZwei.\n"), tmp_path / "out")
    tar = tmp_path / "out/00000.tar"
    check(tar, deep=True)
    assert describe(tar).items() >= {"kind": "shard", "samples": 2, "failed": {}}.items()
    assert [c["text"] for c in entry(tar, "pairs/en-de/000000002")["captions"]] == ["Two.", "Zwei."]
    assert [sample.key for sample in read_shard(tar, verify=True)] == [
        "pairs/en-de/000000001",
        "pairs/en-de/000000002",
    ]


def test_the_same_text_elsewhere_is_the_same_shards(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(aligned(tmp_path / name, "a\nb\nc\n", "d\ne\nf\n"), tmp_path / name / "out")
    assert contents(tmp_path / "one/out") == contents(tmp_path / "two/out")
    before = plan(aligned(tmp_path, "a\nb\nc\n", "d\ne\nf\n"))
    after = plan(aligned(tmp_path, "a\nb\nc\n", "d\ne\nF\n"))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False]


def test_empty_and_repeated_sides_are_told(tmp_path: Path) -> None:
    made = aligned(tmp_path, "One.\nTokyo\n\nFour.\n\udcff\n", "Eins.\nTokyo\nDrei.\n \nFünf.\n", size=9)
    stats, failures = run(made, tmp_path / "out")
    assert classes(failures) == {
        "pairs/en-de/000000003": "bad_caption",
        "pairs/en-de/000000004": "bad_caption",
    }
    assert (stats.n_in, stats.n_ok) == (5, 3)
    assert stats.totals["translations_identical"] == 1
    assert stats.totals["captions_dropped"] == 1  # bytes that are not UTF-8


@pytest.mark.parametrize(("en", "de"), [("a\nb\nc\n", "d\ne\n"), ("a\n", "b\nc\nd\ne\n"), ("a\nb\n", "")])
def test_sides_of_unequal_length_are_an_error(tmp_path: Path, en: str, de: str) -> None:
    with pytest.raises(DataError, match="not line-aligned"):
        plan(aligned(tmp_path, en, de))


def test_two_files_of_one_text_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two sides are one text"):
        plan(aligned(tmp_path, "a\nb\nc\n", "a\nb\nc\n"))


def test_counts_are_asserted(tmp_path: Path) -> None:
    assert len(plan(aligned(tmp_path, "a\nb\nc\n", "d\ne\nf\n", counts={"rows": 3}))) == 2
    with pytest.raises(DataError, match="3 rows, not 1,000"):
        plan(aligned(tmp_path, "a\nb\nc\n", "d\ne\nf\n", counts={"rows": 1000}))
    with pytest.raises(ConfigError, match="'row' is nothing that is counted"):
        plan(aligned(tmp_path, "a\nb\nc\n", "d\ne\nf\n", counts={"row": 3}))


def test_a_gzip_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    made = aligned(tmp_path, "a\nb\n", "d\ne\n")
    path = tmp_path / "a.de.gz"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match="was the download cut off"):
        plan(made)


def test_tatoeba_pairs_without_a_header(tmp_path: Path) -> None:
    table = lines(tmp_path / "pairs.tsv", "1\tHi.\t77\tHallo.\n2\tBye.\t78\n3\tYes.\t79\tJa.\n")
    block = {"source": PARALLEL, "name": "t", "pairs": table, "columns": ["a", "en", "b", "de"]}
    _, failures = run(stage({**block, "texts": {"en": "en", "de": "de"}}), tmp_path / "out")
    assert texts(tmp_path / "out") == [{"en": "Hi.", "de": "Hallo."}, {"en": "Yes.", "de": "Ja."}]
    assert classes(failures) == {"t/pairs/000000002": "bad_row"}


WIKI = [{"source_text": f"s{n}", "target_text": f"t{n}", "target": ("de", "fr")[n % 2]} for n in range(10)]


@pytest.mark.parametrize(("size", "files"), [(4, 1), (3, 2), (100, 3), (1, 1)])
def test_wikimatrix_as_hugging_face_saves_it(tmp_path: Path, size: int, files: int) -> None:
    path = saved(tmp_path / "wikimatrix", WIKI, files=files)
    block = {"source": PARALLEL, "name": "w", "pairs": path, "counts": {"rows": 10}}
    block["texts"] = {"source_text": "en", "target_text": "{target}"}
    run(stage(block, samples_per_shard=size), tmp_path / "out")
    assert texts(tmp_path / "out") == [{"en": f"s{n}", ("de", "fr")[n % 2]: f"t{n}"} for n in range(10)]
    assert list(samples(tmp_path / "out"))[-1] == "wikimatrix/000000010"
    run(stage({**block, "langs": ["en", "fr"]}, samples_per_shard=size), tmp_path / "fr")
    assert texts(tmp_path / "fr") == [{"en": f"s{n}", "fr": f"t{n}"} for n in range(1, 10, 2)]


def test_arrow_that_cannot_be_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "w", WIKI)
    with pytest.raises(ConfigError, match="no column 'text'"):
        list(Dataset(path / "train", ("text",)).parts(4))
    file = next((path / "train").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:-80])
    with pytest.raises(DataError, match="no whole Arrow stream"):
        list(Dataset(path / "train", ("source_text",)).parts(4))
    (path / "train/state.json").write_text('{"_data_files": [], "_indices_data_files": [{"filename": "i"}]}')
    with pytest.raises(DataError, match="selection of rows"):
        list(Dataset(path / "train", ("source_text",)).parts(4))


def test_text_in_one_language(tmp_path: Path) -> None:
    one = lines(tmp_path / "de.txt", "Eins.\n\nZwei.\n")
    two = lines(tmp_path / "more.txt.gz", "Drei.")
    cc100 = saved(tmp_path / "sub", [{"text": "Vier."}, {"text": ""}])
    made = stage({"source": TEXT, "name": "t", "lang": "de", "files": [str(one), str(two), str(cc100)]})
    stats, failures = run(made, tmp_path / "out")
    assert list(samples(tmp_path / "out")) == [
        "de/000000001",
        "de/000000003",
        "more/000000001",
        "sub/000000001",
    ]
    assert (stats.totals["captions_de"], failures) == (4, [])


def test_misconfigured_text(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"files": {"en": "a", "de": "b"}, "pairs": "c"}, "either `files` or `pairs`"),
        ({"files": {"en": "a"}}, "at least two sides"),
        ({"pairs": "c", "texts": {"a": "en"}}, "at least two sides"),
    ]
    for block, says in wrong:
        with pytest.raises(ConfigError, match=says):
            stage({"source": PARALLEL, "name": "x", **block})
    (tmp_path / "a").mkdir()
    for place in (tmp_path, tmp_path / "a"):
        lines(place / "t.txt", "x\n")
    made = stage({"source": TEXT, "name": "t", "files": [str(tmp_path / "t.txt"), str(tmp_path / "a/t.txt")]})
    with pytest.raises(ConfigError, match="two files are called 't'"):
        plan(made)
    with pytest.raises(ConfigError, match="No such file"):
        list(Aligned({"en": tmp_path / "none"}).parts(3))


@needs_shared
@pytest.mark.parametrize(("code", "lang"), [("deu", "de"), ("jpn", "ja"), ("ces", "cs")])
def test_tatoeba_as_it_lies_there(tmp_path: Path, code: str, lang: str) -> None:
    root = SHARED / "tatoeba"
    if not root.is_dir():
        pytest.skip("no tatoeba")
    files = {"en": str(root / f"tatoeba.{code}-eng.eng"), lang: str(root / f"tatoeba.{code}-eng.{code}")}
    block = {"source": PARALLEL, "name": f"tatoeba-{lang}", "files": files, "counts": {"rows": 1000}}
    stats, failures = run(stage(block), tmp_path)
    assert (stats.n_ok, failures) == (1000, [])
    assert (stats.totals["captions_en"], stats.totals[f"captions_{lang}"]) == (1000, 1000)
    first = files[lang]
    said = texts(tmp_path)
    assert [each[lang] for each in said] == Path(first).read_text("utf-8").split("\n")[:1000]


@needs_shared
def test_the_cc3m_table_as_it_lies_there(tmp_path: Path) -> None:
    table = SHARED / "cc3m_val/Validation_GCC-1.1.0-Validation.tsv"
    if not table.is_file():
        pytest.skip("no cc3m_val")
    block = {"source": TEXT, "name": "cc3m", "files": [str(table)], "column": "caption"}
    made = stage({**block, "columns": ["caption", "url"], "counts": {"rows": 15833}}, samples_per_shard=5000)
    shards = plan(made)
    assert len(shards) == 4
    stats, failures = run(made, tmp_path, shards=shards[3:])
    assert (stats.n_ok, failures) == (833, [])
    header = tmp_path / "with_header.tsv"
    header.write_bytes(b"caption\turl\n" + b"".join(table.read_bytes().splitlines(keepends=True)[:20]))
    urls = {"source": "crawl.sources.urls:Urls", "name": "cc3m", "contact": "mailto:me@example.org"}
    rows = addressed(stage({**urls, "table": table, "columns": ["caption", "url"]}, samples_per_shard=5000))
    first = addressed(stage({**urls, "table": header}))
    assert len(rows) == 15833
    assert [e.image for e in first] == [e.image for e in rows[:20]]
    assert all(e.captions[0].text for e in rows if e.error is None)
    assert {e.error.failure for e in rows if e.error} <= {"duplicate"}


def addressed(made: Shards) -> list[Entry]:
    """The rows of a table of addresses, without fetching."""
    assert isinstance(made.source, Urls)
    return [entry for shard in plan(made) for entry in made.source._entries(shard.args)]
