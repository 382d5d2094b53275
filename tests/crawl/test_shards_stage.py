"""The shard stage: every row in ends as a sample or as a failure, and a retry leaves no trace."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl.shards import DROPPED, Shards
from pipeline.artifacts import ShardRecord
from pipeline.stage import Inputs, Output, Shard
from store.atomic import sha256_file
from store.errors import DataError
from store.shards import read_failures, read_metadata, read_shard
from store.tables import read_table
from tests.crawl.bench import FOLDER, bomb, classes, contents, picture, plan, run, stage, write_rows

TOY = "tests.crawl.toy:Toy"

BAD: dict[str, tuple[Any, str]] = {
    "bad json": (b"{", "bad_row"),
    "not utf-8": (b'{"image": "good.jpg", "id": "\xff", "caption": "A."}', "bad_row"),
    "no image": ({"id": "no-image", "caption": "A."}, "bad_row"),
    "missing": ({"image": "gone.jpg", "id": "missing", "caption": "A."}, "missing"),
    "html": ({"image": "page.jpg", "id": "html", "caption": "A."}, "not_an_image"),
    "cut": ({"image": "cut.jpg", "id": "cut", "caption": "A."}, "decode"),
    "bomb": ({"image": "bomb.png", "id": "bomb", "caption": "A."}, "bomb"),
    "small": ({"image": "small.png", "id": "small", "caption": "A."}, "too_small"),
    "empty caption": ({"image": "good.jpg", "id": "empty", "caption": " "}, "bad_caption"),
    "long caption": ({"image": "good.jpg", "id": "long", "caption": "x" * 10_000}, "bad_caption"),
    "caption not utf-8": (b'{"image": "good.jpg", "id": "latin", "caption": "caf\xe9"}', "bad_caption"),
    "repeated": ({"image": "good.jpg", "id": "good0", "caption": "Again."}, "duplicate"),
}


def fill(folder: Path) -> None:
    """The files that `BAD` and `good` rows name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "good.jpg": picture(),
        "page.jpg": b"<html>404</html>",
        "cut.jpg": picture(90, 90)[:-200],
        "bomb.png": bomb(),
        "small.png": picture(31, 40, kind="PNG"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)


def good(number: int) -> dict[str, Any]:
    return {"image": "good.jpg", "id": f"good{number}", "caption": f"Row {number}."}


def made_of(folder: Path, rows: list[Any], **params: Any) -> Shards:
    block = {"source": FOLDER, "table": write_rows(folder / "t.jsonl", rows), "id": "id", "name": "d"}
    return stage(block, **params)


@pytest.mark.parametrize("fault", BAD)
def test_each_fault_has_its_class_and_the_rest_goes_on(tmp_path: Path, fault: str) -> None:
    fill(tmp_path)
    row, failure = BAD[fault]
    stats, failures = run(made_of(tmp_path, [good(0), row, good(1)]), tmp_path / "out")
    assert (stats.n_in, stats.n_ok) == (3, 2)
    assert [each["class"] for each in failures] == [failure]
    assert failures[0]["detail"].isprintable()
    assert len(failures[0]["detail"]) <= 500
    assert read_failures(tmp_path / "out/00000.parquet") == failures
    assert [s.key for s in read_shard(tmp_path / "out/00000.tar", verify=True)] == ["d/good0", "d/good1"]


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.sampled_from(["good", *BAD]), max_size=14), size=st.integers(1, 6))
def test_counts_add_up_whatever_comes(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], size: int
) -> None:
    folder = tmp_path_factory.mktemp("mix")
    fill(folder)
    table: list[Any] = [good(0)]
    expected: dict[str, int] = {}
    for number, kind in enumerate(rows, start=1):
        row, failure = (good(number), "") if kind == "good" else BAD[kind]
        if isinstance(row, dict) and kind not in ("good", "repeated", "no image"):
            row = {**row, "id": f"{row['id']}{number}"}
        elif isinstance(row, bytes):
            row = row.replace(b"latin", b"latin%d" % number)
        table.append(row)
        if failure:
            expected[failure] = expected.get(failure, 0) + 1
    stats, failures = run(made_of(folder, table, samples_per_shard=size), folder / "out")
    assert stats.n_in == len(table)
    assert stats.n_ok == 1 + rows.count("good") == sum(1 for _ in samples(folder / "out"))
    found = [row["class"] for row in failures]
    assert {name: found.count(name) for name in found} == expected


def samples(folder: Path) -> list[Any]:
    return [s for path in sorted(folder.glob("*.tar")) for s in read_shard(path)]


def test_a_good_caption_saves_its_sample_and_the_bad_ones_are_noted(tmp_path: Path) -> None:
    fill(tmp_path)
    captions = {"en": ["Good.", "", "x" * 2000], "de": "Gut.", "deutsch": "Gut."}
    row = {"image": "good.jpg", "id": "a", "captions": captions}
    stats, failures = run(
        made_of(tmp_path, [row, {**row, "id": "b", "captions": ["Fine."]}]), tmp_path / "out"
    )
    assert (stats.n_ok, failures) == (2, [])
    assert (stats.totals["captions"], stats.totals["captions_dropped"]) == (3, 3)
    assert {k: v for k, v in stats.totals.items() if k.startswith("captions_")} == {
        "captions_en": 2,
        "captions_de": 1,
        "captions_dropped": 3,
    }
    kept = [[c.id for c in s.captions] for s in read_metadata(tmp_path / "out/00000.parquet")]
    assert kept == [["d/a#en0", "d/a#de0"], ["d/b#en0"]]
    assert read_table(tmp_path / f"out/00000{DROPPED}") == [
        {"key": "d/a#en1", "class": "bad_caption", "detail": "empty"},
        {"key": "d/a#en2", "class": "bad_caption", "detail": "2000 characters, the limit is 1000"},
        {
            "key": "d/a#deutsch0",
            "class": "bad_caption",
            "detail": "'deutsch' is not a language tag such as en or pt-BR",
        },
    ]


def test_a_sample_is_measured_and_not_changed(tmp_path: Path) -> None:
    data = picture(50, 44, kind="PNG")
    (tmp_path / "a.jpg").write_bytes(data)  # its name lies
    row = {"image": "a.jpg", "id": "a", "caption": "One two three."}
    stats, _ = run(made_of(tmp_path, [row]), tmp_path / "out")
    (sample,) = samples(tmp_path / "out")
    assert (sample.image, sample.extension) == (data, "png")
    assert (sample.width, sample.height) == (50, 44)
    assert sample.sha256 == hashlib.sha256(data).hexdigest()
    assert stats.totals["bytes"] == len(data)
    assert stats.totals["images_png"] == 1
    assert sum(stats.histograms["width"].counts) == sum(stats.histograms["caption_words"].counts) == 1
    assert set(stats.seconds) == {"read", "decode", "write"}


def test_without_failures_there_are_no_leftovers(tmp_path: Path) -> None:
    fill(tmp_path)
    run(made_of(tmp_path, [good(0)]), tmp_path / "out")
    assert set(contents(tmp_path / "out")) == {"00000.tar", "00000.parquet", "00000_stats.json"}


def test_counts_stand_beside_the_tar_under_img2datasets_names(tmp_path: Path) -> None:
    fill(tmp_path)
    run(made_of(tmp_path, [good(0), *(row for row, _ in BAD.values()), good(1)]), tmp_path / "out")
    told = json.loads((tmp_path / "out/00000_stats.json").read_bytes())
    assert (told["count"], told["successes"], told["images_jpg"]) == (2 + len(BAD), 2, 2)
    assert told["status_dict"] == {"success": 2, **Counter(failure for _, failure in BAD.values())}
    assert (told["failed_to_download"], told["failed_to_resize"]) == (1, 4)
    rows = {
        row["key"]: row for row in read_table(tmp_path / "out/00000.parquet", ["key", "status", "caption"])
    }
    assert rows["d/good1"]["caption"] == "Row 1."
    assert rows["d/missing"] == {"key": "d/missing", "status": "missing", "caption": "A."}


def test_equal_rows_make_equal_bytes_in_any_folder(tmp_path: Path) -> None:
    made = []
    for home in ("here", "elsewhere/deep"):
        fill(tmp_path / home)
        rows = [good(0), *(row for row, _ in BAD.values()), good(1)]
        run(made_of(tmp_path / home, rows, samples_per_shard=5), tmp_path / home / "out")
        made.append(contents(tmp_path / home / "out"))
    assert made[0] == made[1]
    assert len([name for name in made[0] if name.endswith(".tar")]) == 3


def test_limits_are_parameters(tmp_path: Path) -> None:
    fill(tmp_path)
    rows = [good(0), {"image": "small.png", "id": "small", "caption": "A."}]
    for params, failing in (
        ({"min_side": 8}, set()),
        ({"min_side": 37}, {"d/good0", "d/small"}),
        ({"max_pixels": 1300}, {"d/good0"}),
        ({"max_caption_characters": 5}, {"d/good0"}),
    ):
        made = made_of(tmp_path, rows, **{"min_side": 8, **params})
        _, failures = run(made, tmp_path / "out")
        assert {row["key"] for row in failures} == failing
        assert made.params.keyed() != made_of(tmp_path, rows).params.keyed()


def test_shards_are_numbered_without_gaps_and_sized_by_rows(tmp_path: Path) -> None:
    shards = plan(stage({"source": TOY, "ids": list("abcdefg")}, samples_per_shard=3))
    assert [(shard.name, shard.args["ids"]) for shard in shards] == [
        ("00000", ["a", "b", "c"]),
        ("00001", ["d", "e", "f"]),
        ("00002", ["g"]),
    ]
    with pytest.raises(DataError, match="'toy' holds no rows"):
        plan(stage({"source": TOY}))


# --- sources that misbehave


def test_errors_of_a_source_become_classes_without_its_paths(tmp_path: Path) -> None:
    made = stage({"source": TOY, "ids": ["a", "b"], "faults": {"a": "gone", "b": "refused"}})
    _, failures = run(made, tmp_path)
    assert classes(failures) == {"toy/a": "missing", "toy/b": "unreadable"}
    assert "secret" not in repr(failures)


def test_a_row_without_any_caption_is_a_sample_without_captions(tmp_path: Path) -> None:
    stats, _ = run(stage({"source": TOY, "ids": ["a"], "faults": {"a": "silent"}}), tmp_path)
    assert (stats.n_ok, stats.totals["captions"]) == (1, 0)


@pytest.mark.parametrize("name", ["", "  ", "\udcff"])
def test_ids_must_be_text(tmp_path: Path, name: str) -> None:
    stats, failures = run(stage({"source": TOY, "ids": ["a", name]}), tmp_path)
    assert stats.n_ok == 1
    assert failures[0]["class"] == "bad_row"
    failures[0]["key"].encode()


@pytest.mark.parametrize("name", ["a.b/c", "é ", "..", "con:*?", "x" * 300])
def test_any_text_is_an_id(tmp_path: Path, name: str) -> None:
    run(stage({"source": TOY, "ids": [name]}), tmp_path)
    assert [sample.key for sample in samples(tmp_path)] == [f"toy/{name}"]


@pytest.mark.parametrize("extra", [{"truth": {"score": float("nan")}}, {"url": "http://x/\udcff"}])
def test_metadata_that_no_file_can_hold_fails_its_row(tmp_path: Path, extra: dict[str, Any]) -> None:
    stats, failures = run(stage({"source": TOY, "ids": ["a"], **extra}), tmp_path)
    assert (stats.n_in, stats.n_ok) == (1, 0)
    assert failures[0]["class"] == "bad_row"
    assert samples(tmp_path) == []


def test_two_rows_with_one_key_name_both(tmp_path: Path) -> None:
    stats, failures = run(stage({"source": TOY, "ids": ["a", "b", "a"]}), tmp_path)
    assert (stats.n_in, stats.n_ok) == (3, 2)
    assert failures == [
        {"key": "toy/a", "class": "duplicate", "detail": "rows 1 and 3 of the shard have one id"}
    ]


def folded(made: Shards, folder: Path) -> Any:
    run(made, folder)
    records = [
        ShardRecord(name=s.name, key="", because={}, digest="", files=(), stats={}) for s in plan(made)
    ]
    out = Output(Shard(name="all"), folder, folder / "scratch")
    stats = made.reduce(records, folder, Inputs({}, sha256_file), out)
    assert stats is not None
    assert (stats.n_in, stats.n_ok) == (0, 0)
    return json.loads((folder / "all.json").read_text()), stats.totals["images_repeated"]


def test_two_shards_with_one_key_are_a_clear_error(tmp_path: Path) -> None:
    made = stage({"source": TOY, "ids": ["a", "b", "c", "a"]}, samples_per_shard=2)
    with pytest.raises(DataError, match="shards 00000 and 00001 both hold a sample of key 'toy/a'"):
        folded(made, tmp_path)


def test_images_that_samples_share_are_listed_and_counted(tmp_path: Path) -> None:
    made = stage({"source": TOY, "ids": ["a", "b", "xx", "c"]}, samples_per_shard=2)
    assert folded(made, tmp_path) == ({"same_image": [["toy/a", "toy/b", "toy/c"]]}, 2)


def test_what_failed_cannot_clash(tmp_path: Path) -> None:
    made = stage(
        {"source": TOY, "ids": ["a", "bb", "ccc"], "faults": {"a": "gone", "bb": "gone"}}, samples_per_shard=1
    )
    assert folded(made, tmp_path) == ({"same_image": []}, 0)


# --- retries


def broken_then_mended(home: Path) -> tuple[Shards, list[Shard]]:
    """Rows of every kind; `gone.jpg` and a whole `cut.jpg` turn up after the first run."""
    fill(home)
    bad = [row for row, _ in BAD.values()]
    two = {"image": "good.jpg", "id": "two", "captions": ["Good.", ""]}
    made = made_of(home, [bad[3], good(0), two, *bad, good(1)], samples_per_shard=6)
    return made, plan(made)


def mend(home: Path) -> None:
    (home / "gone.jpg").write_bytes(picture(60, 60))
    (home / "cut.jpg").write_bytes(picture(90, 90))


def test_a_retry_ends_in_the_bytes_of_a_run_that_never_failed(tmp_path: Path) -> None:
    made, shards = broken_then_mended(tmp_path / "raw")
    _, before = run(made, tmp_path / "first", shards=shards)
    mend(tmp_path / "raw")
    expected, undisturbed = run(made, tmp_path / "undisturbed", shards=shards)
    stats, after = run(
        made, tmp_path / "again", shards=shards, previous=tmp_path / "first", retry=[f["key"] for f in before]
    )
    assert contents(tmp_path / "again") == contents(tmp_path / "undisturbed")
    assert contents(tmp_path / "again") != contents(tmp_path / "first")
    assert after == undisturbed
    assert len(after) == len(before) - 2
    assert {**stats.to_json(), "seconds": 0} == {**expected.to_json(), "seconds": 0}


def test_a_retry_of_one_class_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    made, shards = broken_then_mended(tmp_path / "raw")
    _, before = run(made, tmp_path / "first", shards=shards)
    mend(tmp_path / "raw")
    wanted = [f["key"] for f in before if f["class"] == "missing"]
    stats, after = run(made, tmp_path / "again", shards=shards, previous=tmp_path / "first", retry=wanted)
    # the first of the two rows that are called `missing` is found now, the second repeats its id
    assert after == [f for f in before if f["class"] != "missing"]
    assert (
        stats.n_ok
        == sum(1 for _ in samples(tmp_path / "again"))
        == sum(1 for _ in samples(tmp_path / "first")) + 1
    )


def test_a_retry_that_helps_nothing_changes_nothing(tmp_path: Path) -> None:
    made, shards = broken_then_mended(tmp_path / "raw")
    _, before = run(made, tmp_path / "first", shards=shards)
    retry = [f["key"] for f in before]
    run(made, tmp_path / "again", shards=shards, previous=tmp_path / "first", retry=retry)
    assert contents(tmp_path / "again") == contents(tmp_path / "first")


def test_a_retry_does_not_read_what_went_in(tmp_path: Path) -> None:
    made, shards = broken_then_mended(tmp_path / "raw")
    _, before = run(made, tmp_path / "first", shards=shards)
    mend(tmp_path / "raw")
    run(made, tmp_path / "undisturbed", shards=shards)
    (tmp_path / "raw/good.jpg").unlink()  # gone since, but stored
    images = {f["key"] for f in before if f["class"] in ("missing", "decode")}
    run(made, tmp_path / "again", shards=shards, previous=tmp_path / "first", retry=images)
    assert contents(tmp_path / "again") == contents(tmp_path / "undisturbed")


def test_a_source_that_reads_everything_again_may_be_retried(tmp_path: Path) -> None:
    ids = list("abcd")
    broken = stage({"source": TOY, "ids": ids, "faults": {"b": "gone"}})
    run(broken, tmp_path / "first")
    whole = stage({"source": TOY, "ids": ids})
    run(whole, tmp_path / "undisturbed")
    run(whole, tmp_path / "again", previous=tmp_path / "first", retry=["toy/b"])
    assert contents(tmp_path / "again") == contents(tmp_path / "undisturbed")


def test_images_are_scaled_where_it_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "good.jpg").write_bytes(picture(200, 100))
    rows = [good(0), BAD["cut"][0], BAD["small"][0]]
    stats, failures = run(made_of(tmp_path, rows, resize={"size": 40}), tmp_path / "out")
    assert [each["class"] for each in failures] == ["decode", "too_small"]
    [sample] = read_shard(tmp_path / "out/00000.tar", verify=True)
    assert (sample.width, sample.height, sample.extension) == (80, 40, "jpg")
    assert sample.sha256 == hashlib.sha256(sample.image or b"").hexdigest()
    assert stats.n_ok == 1
