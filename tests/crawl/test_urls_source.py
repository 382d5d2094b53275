"""A table of addresses through the shard stage: every row in one end, on a server that misbehaves."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from crawl.sources.urls import Urls, UrlsParams
from store.errors import ConfigError
from tests.crawl import hostile


@pytest.fixture(scope="module")
def server():
    with hostile.Server() as running:
        for i in range(30):
            running.body(f"/{i}.jpg", hostile.jpeg(colour=i))
        running.body("/page", b"<html>no image</html>")
        running.body("/cut.jpg", hostile.jpeg(400, 400)[:700])
        running.body("/bomb.png", hostile.bomb())
        running.body("/tiny.jpg", hostile.jpeg(8, 8))
        running.body("/closed.jpg", hostile.jpeg(), X_Robots_Tag="noai")
        yield running


def source(table: Path, **params: object) -> Urls:
    given = {
        "name": "web",
        "allow": ("127.0.0.1",),
        "contact": "mailto:me@example.org",
        "tries": 1,
        "per_host": 64,
    }
    return Urls(UrlsParams(table=table, **{**given, **params}))  # type: ignore[arg-type]


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("url\tcaption\n" + "".join(f"{url}\t{caption}\n" for url, caption in rows), "utf-8")
    return path


@pytest.mark.parametrize("seed", range(3))
def test_every_row_ends_somewhere(tmp_path, server, seed, run_shards):
    kinds = {
        "/page": "not_an_image",
        "/cut.jpg": "decode",
        "/bomb.png": "bomb",
        "/tiny.jpg": "too_small",
        "/closed.jpg": "opt_out",
        "/none.jpg": "http_4xx",
    }
    chance = random.Random(seed)
    rows = [(server.url(f"/{chance.randrange(30)}.jpg?{i}"), "a dog") for i in range(20)]
    rows += [(server.url(f"{path}?{i}"), "a dog") for i, path in enumerate(chance.choices(list(kinds), k=12))]
    rows += [("file:///etc/passwd", "x"), rows[0], (rows[1][0] + "#top", "y"), (server.url("/5.jpg?cap"), "")]
    chance.shuffle(rows)
    shards = run_shards(source(write(tmp_path / "t.tsv", rows)), size=10)
    assert sum(stats.n_in for stats, _ in shards) == len(rows)
    assert all(stats.n_in == stats.n_ok + failed.total() for stats, failed in shards)
    failed = sum((failed for _, failed in shards), Counter[str]())
    expected = Counter(
        kinds[url.partition(server.url(""))[2].partition("?")[0]] for url, _ in rows if _of(url, kinds)
    )
    assert failed == expected + Counter(blocked_address=1, duplicate=2, bad_caption=1)


def _of(url: str, kinds: dict[str, str]) -> bool:
    return any(path in url for path in kinds)


@pytest.fixture
def run_shards(tmp_path):
    """Run the shard stage over every chunk of a source; statistics and failures of each."""
    from crawl.shards import Shards, ShardsParams
    from pipeline.stage import Inputs, Output, Shard

    def run(made: Urls, size: int):
        stage = Shards.__new__(Shards)
        stage.params = ShardsParams.model_construct(
            dataset={},
            samples_per_shard=size,
            max_caption_characters=1000,
            min_side=32,
            max_pixels=64_000_000,
        )
        stage.source = made
        found = []
        for number, chunk in enumerate(made.chunks(size, lambda path: "")):
            shard = Shard(name=f"{number:05d}", uses=chunk.uses, args=chunk.args)
            folder = tmp_path / shard.name
            folder.mkdir()
            out = Output(shard, folder, folder / "scratch")
            stats = stage.process(shard, Inputs({}, lambda path: ""), out)
            found.append((stats, Counter(row["class"] for row in out.failures)))
        return found

    return run


def test_the_table_says_which_address_failed(tmp_path, server, run_shards):
    from store.tables import iter_table

    rows = [(server.url(path), "a dog") for path in ("/none.jpg", "/page?1", "/1.jpg?1", "/none.jpg")]
    run_shards(source(write(tmp_path / "t.tsv", rows)), size=10)
    table = tmp_path / "00000" / "00000.parquet"
    found = [(row["url"], row["status"]) for row in iter_table(table, ["url", "status"])]
    ends = ("http_4xx", "not_an_image", "success", "duplicate")
    assert found == [(url, end) for (url, _), end in zip(rows, ends, strict=True)]


def test_rows_keep_their_order_ids_and_captions(tmp_path, server):
    table = tmp_path / "t.jsonl"
    table.write_text(
        "".join(f'{{"u": "{server.url(f"/{i}.jpg")}", "t": "dog {i}", "n": {i}}}\n' for i in range(12)),
        "utf-8",
    )
    made = source(table, url="u", captions={"t": "de"}, id="n", source_ids=("n",))
    rows = [row for chunk in made.chunks(5, lambda path: "") for row in made.rows(chunk.args)]
    assert [row.id for row in rows] == [str(i) for i in range(12)]
    assert [row.image for row in rows] == [hostile.jpeg(colour=i) for i in range(12)]
    assert rows[3].captions[0].id == "web/3#de0"
    assert rows[3].url == server.url("/3.jpg")
    assert rows[3].source_ids == {"n": "3"}


def test_only_the_rows_that_failed_are_asked_for_again(tmp_path, server):
    rows = [(server.url(f"/{i}.jpg?again"), "a dog") for i in range(4)]
    made = source(write(tmp_path / "t.tsv", rows))
    [chunk] = made.chunks(10, lambda path: "")
    ids = [row.id for row in made.rows(chunk.args)]
    before = server.hits.copy()
    again = list(made.again(chunk.args, frozenset(ids[2:3])))
    assert [isinstance(row.image, bytes) for row in again] == [False, False, True, False]
    assert sum((server.hits - before).values()) == 1


def test_a_chunk_is_a_function_of_the_table_alone(tmp_path):
    rows = [(f"http://a.example/{i % 7}.jpg", f"{i}") for i in range(20)]
    one = list(source(write(tmp_path / "a.tsv", rows)).chunks(6, lambda path: ""))
    two = list(source(write(tmp_path / "a.tsv", rows), per_host=1, connections=3).chunks(6, lambda path: ""))
    assert one == two
    more = list(source(write(tmp_path / "a.tsv", rows + rows[:3])).chunks(6, lambda path: ""))
    assert more[:3] == one[:3]


def test_a_crawl_without_a_contact_is_refused(tmp_path, server):
    made = source(write(tmp_path / "t.tsv", [(server.url("/1.jpg"), "a")]), contact="")
    [chunk] = made.chunks(10, lambda path: "")
    with pytest.raises(ConfigError, match="names somebody to ask"):
        list(made.rows(chunk.args))


def test_a_table_is_cut_once_until_it_changes(tmp_path, monkeypatch):
    from crawl.shards import Shards, ShardsParams
    from pipeline.memory import Memory
    from pipeline.stage import Inputs
    from store.atomic import sha256_file

    table = write(tmp_path / "t.tsv", [(f"http://a.org/{i}.jpg", "a dog") for i in range(9)])
    block = {
        "source": "crawl.sources.urls:Urls",
        "table": str(table),
        "name": "t",
    }
    calls = []
    chunks = Urls.chunks
    monkeypatch.setattr(Urls, "chunks", lambda *args: calls.append(args) or chunks(*args))

    def plan(size):
        stage = Shards(ShardsParams(dataset=block, samples_per_shard=size))
        return list(stage.shards(Inputs({}, sha256_file, Memory(tmp_path / "memory").recall)))

    assert plan(4) == plan(4)
    assert (len(plan(4)), len(calls)) == (3, 1)
    assert (len(plan(9)), len(calls)) == (1, 2)
    write(table, [(f"http://a.org/{i}.jpg", "a cat") for i in range(13)])
    assert (len(plan(4)), len(calls)) == (4, 3)
