"""A table cut into spans holds the rows that it holds as a whole, wherever the cuts fall."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crawl.spans
from crawl.fetch.urls import normalise
from crawl.repeated import Marks, image_id, spelling
from crawl.spans import open_table
from crawl.tables import read_table
from store.errors import ConfigError, DataError

CELLS = st.text(st.sampled_from('ab ",\né'), max_size=6)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(crawl.spans, "_BLOCK", 7)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12),
    size=st.integers(1, 5),
    block=st.integers(1, 40),
)
def test_csv_with_quoted_line_breaks(tmp_path_factory, rows, size, block):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("url", "caption"), *rows])
    path.write_text(text.getvalue(), "utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crawl.spans, "_BLOCK", block)
        spans = list(open_table(path).spans(size, "url"))
    whole = [record.values for record in read_table(path)]
    parts = [record.values for span in spans for record in open_table(path).records(span.at)]
    assert parts == whole
    assert [cell for span in spans for cell in span.column] == [url.encode() for url, _ in rows]
    assert all(len(span.column) == size for span in spans[:-1])


@pytest.mark.parametrize("ends", ["\n", ""])
def test_tsv_and_jsonl_keep_lines_and_faults(tmp_path, small_blocks, ends):
    tsv = tmp_path / "a.tsv"
    tsv.write_text('url\tcaption\nu0\t"one\nshort\nu2\tthree' + ends)
    spans = list(open_table(tsv).spans(2, "url"))
    records = [record for span in spans for record in open_table(tsv).records(span.at)]
    assert [(r.line, r.values and r.values["url"], bool(r.fault)) for r in records] == [
        (2, "u0", False),
        (3, None, True),
        (4, "u2", False),
    ]
    assert [span.column for span in spans] == [[b"u0", b"short"], [b"u2"]]
    jsonl = tmp_path / "a.jsonl"
    jsonl.write_text('{"url": "u0"}\n{"url": 3}\nnot json\n{"url": "u3"}' + ends)
    spans = list(open_table(jsonl).spans(3, "url"))
    assert [cell for span in spans for cell in span.column] == [b"u0", None, None, b"u3"]
    assert [r.line for span in spans for r in open_table(jsonl).records(span.at)] == [1, 2, 3, 4]


def test_a_table_without_a_header_line(tmp_path):
    path = tmp_path / "cc.tsv"
    path.write_text("a dog\thttp://a/1\na cat\thttp://a/2\n")
    [span] = open_table(path, ("caption", "url")).spans(10, "url")
    assert span.column == [b"http://a/1", b"http://a/2"]
    records = list(open_table(path, ("caption", "url")).records(span.at))
    assert records[0].values == {"caption": "a dog", "url": "http://a/1"}


def test_parquet_spans_do_not_depend_on_row_groups(tmp_path):
    table = pa.table({"URL": [f"u{i}" for i in range(10)] + [None], "TEXT": ["x"] * 11})
    found = []
    for groups in (3, 4, 100):
        pq.write_table(table, tmp_path / f"{groups}.parquet", row_group_size=groups)
        opened = open_table(tmp_path / f"{groups}.parquet")
        spans = list(opened.spans(4, "URL"))
        rows = [r.values["URL"] for span in spans for r in opened.records(span.at)]
        assert rows == [f"u{i}" for i in range(10)] + [None]
        found.append([(dict(span.at), span.digest) for span in spans])
    assert found[0] == found[1] == found[2]
    assert len({digest for _, digest in found[0]}) == 3


def test_what_cannot_be_opened(tmp_path):
    (tmp_path / "a.tsv").write_text("url\tcaption\nx\ty\n")
    with pytest.raises(ConfigError, match=r"no column 'urls'.*|did you mean 'url'"):
        list(open_table(tmp_path / "a.tsv").spans(2, "urls"))
    with pytest.raises(ConfigError, match="no such table"):
        open_table(tmp_path / "b.tsv")
    with pytest.raises(ConfigError, match="of this kind"):
        open_table(tmp_path / "b.xlsx")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="not a Parquet file"):
        list(open_table(tmp_path / "c.parquet").spans(2, "url"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([None, *(json.dumps(i).encode() for i in range(9))]), max_size=6), max_size=6
    )
)
def test_repeats_are_those_of_a_plain_search(spans):
    marks = Marks()
    expected, earlier = [], set()
    for span in spans:
        marks.add(span)
        expected.append([i for i, each in enumerate(span) if each in earlier])
        earlier |= {each for each in span if each is not None}
    assert [rows.tolist() for rows in marks.repeats()] == expected


def test_the_quick_look_at_an_address_agrees_with_working_it_out():
    same = [
        "http://a.org/b.jpg",
        "HTTP://A.org:80/b.jpg",
        "http://a.org/x/../b.jpg#top",
        " http://a.org/b.jpg ",
    ]
    assert len({spelling(each.encode()) for each in same}) == 1
    assert len({image_id(each) for each in [*same, "http://a.org/B.jpg"]}) == 2
    assert spelling(b"no address") == b"no address"


PARTS = [*"abzAZ09._~!$&'()*+,;=:@/-?", "%20", "%25", "%C3%A9", "%FF", "%2F", "%7E", "/./", "/.."]


@given(
    st.sampled_from(["a.org", "A.org", "b-0.net"]),
    st.sampled_from(["", ":1", ":80", ":443", ":8080", ":65535"]),
    st.lists(st.sampled_from(PARTS), max_size=8),
)
def test_an_address_taken_as_it_is_would_not_have_changed(host, port, parts):
    address = f"https://{host}{port}/{''.join(parts)}"
    assert spelling(address.encode()) == str(normalise(address)).encode()
