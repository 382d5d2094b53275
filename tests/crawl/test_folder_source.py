"""Tables and folders of one's own images: columns, languages, digests, bad rows."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from crawl.shards import Shards
from crawl.source import UNREAD, RowError
from store.atomic import sha256_file
from store.errors import ConfigError, DataError
from store.shards import read_metadata
from tests.crawl.bench import FOLDER, SHARED, classes, needs_shared, picture, plan, run, stage, write_rows


def folder_of(tmp_path: Path, rows: list[Any], **block: Any) -> Shards:
    """The stage over `rows`, each of whose `image` exists."""
    for row in rows:
        if isinstance(row, dict) and isinstance(row.get("image"), str):
            path = tmp_path / row["image"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture())
    return stage(
        {"source": FOLDER, "table": write_rows(tmp_path / "t.jsonl", rows), **block}, samples_per_shard=10
    )


def captions_of(made: Shards, folder: Path) -> list[tuple[str, str, str | None]]:
    run(made, folder)
    samples = [s for path in sorted(folder.glob("0*.parquet")) for s in read_metadata(path)]
    return [(c.id, c.text, c.translates) for s in samples for c in s.captions]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"caption": "A dog."}, [("images/a#en0", "A dog.", None)]),
        (
            {"captions": ["A dog.", "Wet."]},
            [("images/a#en0", "A dog.", None), ("images/a#en1", "Wet.", None)],
        ),
        (
            {"captions": {"en": ["A dog."], "de": "Ein Hund."}},
            [("images/a#en0", "A dog.", None), ("images/a#de0", "Ein Hund.", None)],
        ),
        (
            {"caption": "One.", "captions": ["Two."]},
            [("images/a#en0", "One.", None), ("images/a#en1", "Two.", None)],
        ),
        ({"caption": None, "captions": ["Two.", None]}, [("images/a#en0", "Two.", None)]),
    ],
)
def test_simple_rows_need_no_parameters(tmp_path: Path, row: dict[str, Any], expected: list[Any]) -> None:
    assert captions_of(folder_of(tmp_path, [{"image": "a.jpg", **row}]), tmp_path / "out") == expected


def test_a_caption_column_without_a_language_speaks_lang(tmp_path: Path) -> None:
    made = folder_of(tmp_path, [{"image": "a.jpg", "caption": "Ein Hund."}], lang="de")
    assert captions_of(made, tmp_path / "out") == [("images/a#de0", "Ein Hund.", None)]


def test_columns_map_to_languages_and_to_aligned_sets(tmp_path: Path) -> None:
    row = {"file": "a.jpg", "no": 7, "t": {"en": "A dog.", "de": "Ein Hund.", "fr": None}, "d": ["Hund."]}
    (tmp_path / "a.jpg").write_bytes(picture())
    mapping = {"t": "aligned", "d": "de"}
    made = folder_of(tmp_path, [row], image="file", id="no", captions=mapping, source_ids=["file", "no"])
    assert captions_of(made, tmp_path / "out") == [
        ("images/7#en0", "A dog.", None),
        ("images/7#de0", "Ein Hund.", "images/7#en0"),
        ("images/7#de1", "Hund.", None),
    ]
    (sample,) = read_metadata(tmp_path / "out/00000.parquet")
    assert sample.source_ids == {"file": "a.jpg", "no": "7"}


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_separated_tables(tmp_path: Path, ending: str) -> None:
    mark = "," if ending == "csv" else "\t"
    lines = [["image", "caption", "german"], ["a.jpg", "A dog", "Ein Hund"], ["b.jpg", "A cat", ""]]
    (tmp_path / f"t.{ending}").write_text("\n".join(mark.join(line) for line in lines), "utf-8")
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(picture())
    made = stage(
        {"source": FOLDER, "table": tmp_path / f"t.{ending}", "captions": {"caption": "en", "german": "de"}}
    )
    stats, failures = run(made, tmp_path / "out")
    assert (stats.n_ok, failures, stats.totals["captions_dropped"]) == (2, [], 1)
    assert stats.totals["captions_de"] == 1


def test_images_may_lie_elsewhere_or_in_a_zip(tmp_path: Path) -> None:
    table = write_rows(
        tmp_path / "t.jsonl",
        [{"image": "x/a.jpg", "caption": "A dog."}, {"image": "b.jpg", "caption": "No."}],
    )
    (tmp_path / "pictures/x").mkdir(parents=True)
    (tmp_path / "pictures/x/a.jpg").write_bytes(picture())
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.write(tmp_path / "pictures/x/a.jpg", "train2017/a.jpg")
    stored = []
    for root in ("pictures", "pictures.zip"):
        made = stage({"source": FOLDER, "table": table, "images": tmp_path / root})
        _, failures = run(made, tmp_path / f"{root}.out")
        assert classes(failures) == {"images/b": "missing"}
        stored.append((tmp_path / f"{root}.out/00000.tar").read_bytes())
    assert stored[0] == stored[1]


def test_images_with_texts_beside_them(tmp_path: Path) -> None:
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.v1.png", "lonely.jpg", "empty.jpg", "latin.jpg"):
        (root / name).write_bytes(picture(kind="PNG" if name.endswith("png") else "JPEG"))
    (root / "a.txt").write_text("\ufeffA dog.\r\n\n  A wet dog.  \n", "utf-8")
    (root / "a.de.txt").write_text("Ein Hund.\n", "utf-8")
    (root / "a.notalanguage.txt").write_text("?\n", "utf-8")
    (root / "sub/b.v1.txt").write_text("A cat.\n", "utf-8")
    (root / "empty.txt").write_text("\n\n", "utf-8")
    (root / "latin.txt").write_bytes(b"caf\xe9\n")
    made = stage({"source": FOLDER, "folder": root, "name": "mine"})
    _, failures = run(made, tmp_path / "out")
    assert classes(failures) == {
        "mine/empty": "bad_caption",
        "mine/latin": "bad_caption",
        "mine/lonely": "bad_caption",
    }
    assert [
        (s.key, [(c.id, c.text) for c in s.captions]) for s in read_metadata(tmp_path / "out/00000.parquet")
    ] == [
        ("mine/a", [("mine/a#en0", "A dog."), ("mine/a#en1", "A wet dog."), ("mine/a#de0", "Ein Hund.")]),
        ("mine/sub/b.v1", [("mine/sub/b.v1#en0", "A cat.")]),
    ]


def test_no_captions_may_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(picture())
    assert (
        run(stage({"source": FOLDER, "folder": tmp_path / "images", "captions": {}}), tmp_path / "o")[0].n_ok
        == 1
    )
    made = folder_of(tmp_path, [{"image": "a.jpg"}], captions={})
    assert run(made, tmp_path / "p")[0].n_ok == 1


@pytest.mark.parametrize(
    ("row", "failure", "says"),
    [
        (b"{not json", "bad_row", "line 2: not JSON"),
        (
            b'{"image": "a\xff.jpg", "caption": "A dog."}',
            "bad_row",
            "line 2: 'image' holds bytes that are not UTF-8",
        ),
        (b'{"image": "x.jpg", "caption": "caf\xe9"}', "bad_caption", "not UTF-8"),
        ({"caption": "A dog."}, "bad_row", "line 2: no 'image'"),
        ({"image": "  ", "caption": "A dog."}, "bad_row", "line 2: no 'image'"),
        ({"image": ["a.jpg"], "caption": "A dog."}, "bad_row", "line 2: no 'image'"),
        ({"image": "x.jpg", "caption": ""}, "bad_caption", "empty"),
        ({"image": "x.jpg", "caption": "x" * 10_000}, "bad_caption", "10000 characters, the limit is 1000"),
        ({"image": "x.jpg"}, "bad_caption", "no caption"),
        ({"image": "x.jpg", "caption": 5}, "bad_caption", "'caption' holds int, not text"),
        ({"image": "x.jpg", "captions": ["A.", ["B."]]}, "bad_caption", "holds list, not text"),
        ({"image": "x.jpg", "captions": {"en": {"a": "b"}}}, "bad_caption", "holds dict, not text"),
        (b'{"image": "gone.jpg", "caption": "A dog."}', "missing", "no file gone.jpg"),
        (b'{"image": "sub", "caption": "A dog."}', "missing", "no file sub"),
        (b'{"image": "../secret.jpg", "caption": "A dog."}', "bad_row", "leads out of the folder"),
        (b'{"image": "/etc/hostname", "caption": "A dog."}', "bad_row", "leads out of the folder"),
        (b'{"image": "a\\u0000.jpg", "caption": "A dog."}', "bad_row", "no file name"),
        ({"image": "first.jpg", "caption": "Again."}, "duplicate", "line 2 has the id of line 1"),
        ({"image": "sub/first.png", "caption": "Again."}, "duplicate", "line 2 has the id of line 1"),
    ],
)
def test_a_bad_row_has_a_class_and_shifts_no_other(tmp_path: Path, row: Any, failure: str, says: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "x.jpg").write_bytes(picture())
    first, last = ({"image": f"{name}.jpg", "caption": f"The {name}."} for name in ("first", "last"))
    stats, failures = run(folder_of(tmp_path, [first, row, last]), tmp_path / "out")
    assert (stats.n_in, stats.n_ok) == (3, 2)
    assert failures[0]["class"] == failure
    assert says in failures[0]["detail"]
    assert [s.key for s in read_metadata(tmp_path / "out/00000.parquet")] == ["images/first", "images/last"]


def test_a_repeated_id_fails_wherever_its_first_lies(tmp_path: Path) -> None:
    rows = [{"image": f"{number % 12}.jpg", "caption": "A."} for number in range(14)]
    made = folder_of(tmp_path, rows)
    first, second = plan(made)
    assert "repeats" not in first.args
    _, failures = run(made, tmp_path / "out", shards=[second])  # the shard with the first rows never ran
    assert [(row["key"], row["class"]) for row in failures] == [
        ("images/0", "duplicate"),
        ("images/1", "duplicate"),
    ]
    assert failures[0]["detail"] == "line 13 has the id of line 1"


def rows_and_plan(tmp_path: Path) -> tuple[list[dict[str, str]], Shards]:
    rows = [{"image": f"{number}.jpg", "caption": f"Picture {number}."} for number in range(25)]
    return rows, folder_of(tmp_path, rows)


def stale(before: list[Any], after: list[Any]) -> list[str]:
    return [a.name for b, a in zip(before, after, strict=True) if (b.uses, b.args) != (a.uses, a.args)]


def test_one_changed_photo_or_row_reaches_its_own_shard_alone(tmp_path: Path) -> None:
    rows, made = rows_and_plan(tmp_path)
    before = plan(made)
    assert [shard.args["rows"] for shard in before] == [[0, 10], [10, 20], [20, 25]]
    assert stale(before, plan(made)) == []
    (tmp_path / "12.jpg").write_bytes(picture(shade=1))
    assert stale(before, changed := plan(made)) == ["00001"]
    assert before[1].uses["rows"] == changed[1].uses["rows"]
    (tmp_path / "12.jpg").write_bytes(picture())
    (tmp_path / "21.jpg").unlink()
    assert stale(before, plan(made)) == ["00002"]
    (tmp_path / "21.jpg").write_bytes(picture())
    rows[3] = {"image": "3.jpg", "caption": "Another."}
    write_rows(tmp_path / "t.jsonl", rows)
    assert stale(before, plan(made)) == ["00000"]
    write_rows(tmp_path / "t.jsonl", [*rows_and_plan(tmp_path)[0], {"image": "24.jpg", "caption": "New."}])
    assert stale(before, plan(made)) == ["00002"]


def test_a_changed_text_beside_an_image_is_seen(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for number in range(4):
        (root / f"{number}.jpg").write_bytes(picture())
        (root / f"{number}.txt").write_text("A dog.\n")
    made = stage({"source": FOLDER, "folder": root}, samples_per_shard=2)
    before = plan(made)
    (root / "3.txt").write_text("A cat.\n")
    assert stale(before, plan(made)) == ["00001"]
    (root / "3.de.txt").write_text("Eine Katze.\n")
    (root / "0.txt").unlink()
    assert stale(before, plan(made)) == ["00000", "00001"]


def test_where_the_data_lies_is_no_part_of_the_key(tmp_path: Path) -> None:
    keys = []
    for home in ("here", "there"):
        _, made = rows_and_plan(tmp_path / home)
        keys.append((made.params.keyed(), plan(made)))
        assert str(tmp_path) not in repr(keys)
    assert keys[0] == keys[1]


def test_what_comes_out_is_part_of_the_key(tmp_path: Path) -> None:
    keyed = {repr(rows_and_plan(tmp_path)[1].params.keyed())}
    rows = rows_and_plan(tmp_path)[0]
    for change in ({"name": "other"}, {"split": "val"}, {"lang": "de"}, {"captions": {"caption": "de"}}):
        keyed.add(repr(folder_of(tmp_path, rows, **change).params.keyed()))
    assert len(keyed) == 5


def test_only_what_is_retried_is_read(tmp_path: Path) -> None:
    _, made = rows_and_plan(tmp_path)
    rows = list(made.source.again({"rows": [0, 5]}, frozenset({"3"})))
    assert [row.image is UNREAD for row in rows] == [True, True, True, False, True]
    assert [row.id for row in rows] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("block", "says", "hint"),
    [
        ({"captions": {"captoin": "en"}}, "no row has a column 'captoin'", "did you mean 'caption'?"),
        ({"image": "picture"}, "no row has a column 'picture'", "image"),
        ({"id": "imagee"}, "no row has a column 'imagee'", "did you mean 'image'?"),
        ({"source_ids": ["flickr"]}, "no row has a column 'flickr'", ""),
        ({"images": "/nowhere"}, "no such folder", "stages.yaml"),
        ({"images": "/nowhere.zip"}, "no such zip", "stages.yaml"),
    ],
)
def test_a_column_or_folder_that_is_nowhere_is_an_error(
    tmp_path: Path, block: dict[str, Any], says: str, hint: str
) -> None:
    made = folder_of(tmp_path, [{"image": "a.jpg", "caption": "A dog."}], **block)
    with pytest.raises(ConfigError, match=says) as caught:
        plan(made)
    assert hint in caught.value.hint


def test_no_caption_column_names_the_columns_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no row has a column 'caption' or 'captions'") as caught:
        plan(folder_of(tmp_path, [{"image": "a.jpg", "text": "A dog."}]))
    assert "captions: {COLUMN: en}" in caught.value.hint
    assert "image, text" in caught.value.hint


def test_no_rows_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="holds no rows"):
        plan(folder_of(tmp_path, []))
    with pytest.raises(DataError, match="holds no rows"):
        plan(stage({"source": FOLDER, "folder": tmp_path / "images"}))


@pytest.mark.parametrize(
    ("block", "says", "hint"),
    [
        ({}, "give either `table` or `folder`", ""),
        ({"table": "a.csv", "folder": "b"}, "give either `table` or `folder`", ""),
        ({"tabel": "a.csv"}, "unknown key 'tabel'", "did you mean 'table'?"),
        ({"table": "a.csv", "name": "a/b"}, "name", ""),
        ({"table": "a.csv", "captions": ["en"]}, "captions", ""),
        ({"table": "a.csv", "source": "crawl.sources.folder:Foldr"}, "Foldr", "did you mean 'Folder'?"),
        ({"table": "a.csv", "source": "crawl.sources.nowhere:Folder"}, "nowhere", ""),
        ({"table": "a.csv", "source": "Folder"}, "source: module:Class", ""),
        ({"table": "a.csv", "source": None}, "source: module:Class", ""),
    ],
)
def test_a_misspelled_block_is_one_clear_line(block: dict[str, Any], says: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stage({"source": FOLDER, **block})
    assert says in caught.value.what
    assert "\n" not in caught.value.what
    assert hint in caught.value.hint


def test_errors_of_rows_say_class_and_detail() -> None:
    error = RowError("missing", "no file a.jpg")
    assert (error.failure, error.detail) == ("missing", "no file a.jpg")


@needs_shared
@pytest.mark.parametrize(("split", "count"), [("train", 1500), ("val", 242)])
def test_flickr8k_as_it_lies_there(tmp_path: Path, split: str, count: int) -> None:
    if not (SHARED / "flickr8k").is_dir():
        pytest.skip("no flickr8k")
    mapping = {"task1": "aligned", "task2_en": "en", "task2_de": "de"}
    made = stage(
        {
            "source": FOLDER,
            "table": SHARED / f"flickr8k/{split}.jsonl",
            "name": "flickr8k",
            "captions": mapping,
        }
    )
    stats, failures = run(made, tmp_path)
    assert (stats.n_in, stats.n_ok, failures) == (count, count, [])
    languages = {name: stats.totals[f"captions_{name}"] for name in ("en", "de", "fr", "cs")}
    assert languages == {"en": 6 * count, "de": 6 * count, "fr": count, "cs": count}
    sample = next(iter(read_metadata(tmp_path / "00000.parquet")))
    aligned = [c for c in sample.captions if c.translates or c.id.endswith("#en0")]
    assert {c.translates for c in aligned} == {None, f"{sample.key}#en0"}
    assert sorted(c.id.split("#")[1] for c in aligned) == ["cs0", "de0", "en0", "fr0"]
    assert sum(len(read_keys(path)) for path in tmp_path.glob("0*.parquet")) == count


def read_keys(path: Path) -> set[str]:
    return {sample.key for sample in read_metadata(path)}


def test_digests_are_of_contents(tmp_path: Path) -> None:
    _, made = rows_and_plan(tmp_path)
    asked: list[Path] = []

    def digest(path: Path) -> str:
        asked.append(path)
        return sha256_file(path)

    list(made.source.chunks(10, digest))
    assert sorted(asked) == sorted(tmp_path.glob("*.jpg"))
