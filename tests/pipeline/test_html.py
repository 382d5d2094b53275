"""Pieces of pages: escaped, well formed, the same bytes each time."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import html
from pipeline.charts import bar_chart, stacked_bar, timeline
from pipeline.html import Box, Markup, Section, escape, page
from pipeline.plots import histogram, line_chart
from pipeline.stats import Histogram

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
VOID = {"meta", "img", "br", "hr", "link", "input", "image"}
PNG = b"\x89PNG\r\n\x1a\n123"


class Structure(HTMLParser):
    """Collect elements; fail on anything that closes what was not opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def structure(text: str) -> Structure:
    parsed = Structure()
    parsed.feed(text)
    parsed.close()
    assert not parsed.open, f"never closed: {parsed.open}"
    return parsed


def every_piece(text: str) -> list[Markup]:
    """Each public piece with `text` wherever it takes any."""
    data = Histogram((0.0, 1.0), [1, 2, 3])
    return [
        html.paragraph(text),
        html.code(text),
        html.command(text),
        html.notice(text),
        html.table([text], [[text], [1.5]], caption=text),
        html.table([text], [], caption=text),
        html.definitions({text: text}),
        html.details(text, html.paragraph(text), note=text),
        html.grid([text]),
        html.cards([text]),
        html.picture(
            PNG, size=(10, 10), alt=text, boxes=[Box(xyxy=(1, 1, 5, 5), label=text, tip=text, link=text)]
        ),
        html.linked(text, [(0, 3, text, text)], lang=text),
        bar_chart({text: 1.0}, title=text, unit=text),
        stacked_bar([(text, 1.0)], title=text, unit=text),
        histogram(data, title=text, unit=text),
        timeline({text: [(0.0, 2.0)]}, title=text),
        line_chart({text: [(0, 1), (1, 2)]}, title=text, x_label=text),
        Markup(page(text, [Section(text, "", (Section(text, "", note=text),))], subtitle=text)),
    ]


@pytest.mark.parametrize("i", range(len(every_piece("x"))))
def test_no_text_becomes_markup(i):
    """A piece has the same elements whether its text is harmless or hostile."""
    harmless, hostile = structure(every_piece("harmless")[i]), structure(every_piece(EVIL)[i])
    assert [tag for tag, _ in hostile.seen] == [tag for tag, _ in harmless.seen]
    assert [set(a) for _, a in hostile.seen] == [set(a) for _, a in harmless.seen]
    assert EVIL in "".join(hostile.text) or any(
        EVIL in (v or "") for _, a in hostile.seen for v in a.values()
    )


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_survives_escaping(text):
    parsed = structure(f"<p>{escape(text)}</p>")
    clean = "".join(
        c
        if c in "\t\n\r" or not (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000)
        else "\ufffd"
        for c in text
    )
    assert "".join(parsed.text) == clean
    escape(text).encode("utf-8")


def test_markup_passes_and_plus_escapes_text():
    assert escape(Markup("<b>")) == "<b>"
    assert Markup("<b>") + "<i>" == "<b>&lt;i&gt;"
    assert isinstance(Markup("a") + "b", Markup)


def test_numbers():
    shown = [html.number(n) for n in (12345, 0, 0.98714, 1.0, 3.2e-5, 12345.6, float("nan"), -0.5)]
    assert shown == ["12,345", "0", "0.9871", "1", "3.2e-05", "12,346", "nan", "-0.5"]


def test_table_sets_numbers_flush_right_and_shows_nothing_as_a_dash():
    text = html.table(["name", "n"], [["a", 1], ["b", None]])
    assert '<th scope="col">name</th><th class="n" scope="col">n</th>' in text
    assert '<td class="n">1</td>' in text
    assert "–" in text
    assert "<table" not in html.table(["name"], [], empty="nobody")
    assert "nobody" in html.table(["name"], [], empty="nobody")


def test_decimals_of_a_column_line_up():
    text = html.table(["a"], [[0.5], [0.98714], [2], [None], [1e-9]])
    shown = re.findall(r'<td class="n">(?:<span[^>]*>)?([^<]+)', text)
    assert shown == ["0.5000", "0.9871", "2", "–", "1e-09"]


def test_linked_keeps_the_sentence_whatever_the_spans():
    text = "a red circle left of a blue square"
    spans = [
        (2, 12, "r0", "x"),
        (6, 12, "r1", "y"),
        (21, 99, "r2", "z"),
        (5, 5, "r3", ""),
        (23, 34, "r4", ""),
    ]
    parsed = structure(html.linked(text, spans))
    assert "".join(parsed.text) == text
    assert [a["data-link"] for tag, a in parsed.seen if tag == "mark"] == ["r0", "r4"]


@settings(max_examples=60, deadline=None)
@given(
    st.text('ab<&" ', max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)
)
def test_linked_never_loses_a_character(text, pairs):
    parsed = structure(html.linked(text, [(a, b, "l", "t") for a, b in pairs]))
    assert "".join(parsed.text) == text


def test_picture_embeds_its_bytes_and_says_what_it_shows():
    text = html.picture(
        PNG, size=(40, 30), alt="two shapes", boxes=[Box(xyxy=(1, 2, 11, 12.5), label="red", kind="bad")]
    )
    assert 'href="data:image/png;base64,iVBORw0KGgoxMjM="' in text
    assert "<title>two shapes</title>" in text
    assert '<rect x="1.0" y="2.0" width="10.0" height="10.5">' in text
    assert 'class="box bad"' in text


def test_media_types():
    assert html.media_type(b"\xff\xd8\xff") == "image/jpeg"
    assert html.media_type(b"RIFF0000WEBP") == "image/webp"
    assert html.media_type(b"hello") == "application/octet-stream"


def test_page_links_every_section_once():
    part = Section("one/two", "<p>x</p>")
    text = page("T", [Section("A", "", (part, part)), Section("A"), Section("éé")])
    parsed = structure(text)
    ids = [a["id"] for _, a in parsed.seen if "id" in a]
    links = [a["href"][1:] for tag, a in parsed.seen if tag == "a"]
    assert len(ids) == len(set(ids)) == 5
    assert sorted(ids) == sorted(links)
    assert html.anchor("A-one/two") in ids


def test_page_asks_nothing_of_the_network():
    text = page("T", [Section("A", html.picture(PNG, size=(4, 4), alt="x"))])
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def points(n: int, y: float = 1.0) -> list[tuple[float, float]]:
    return [(float(i), y + i % 7) for i in range(n)]


def svg_of(text: str) -> ET.Element:
    return ET.fromstring(text[text.index("<svg") : text.rindex("</svg>") + 6].split("</svg>")[0] + "</svg>")


def test_histogram_draws_a_bar_a_bin_and_open_bins_only_when_filled():
    closed = svg_of(histogram(Histogram((0.0, 1.0, 2.0), [0, 3, 5, 0])))
    assert [r.find("title").text for r in closed.findall("rect")] == ["0 – 1: 3", "1 – 2: 5"]
    opened = svg_of(histogram(Histogram((0.0, 1.0, 2.0), [2, 3, 5, 1])))
    assert [r.find("title").text for r in opened.findall("rect")] == [
        "< 0: 2",
        "0 – 1: 3",
        "1 – 2: 5",
        "≥ 2: 1",
    ]
    heights = [float(r.get("height")) for r in opened.findall("rect")]
    assert heights[2] == max(heights)
    assert heights[1] / heights[2] == pytest.approx(3 / 5, abs=0.01)


@pytest.mark.parametrize(
    "series",
    [
        {},
        {"a": []},
        {"a": [(0, 1)]},
        {"a": [(0, float("nan")), (1, 2)]},
        {"a": [(0, 0), (1, -1)]},
        {"a": [(0, 1e-9), (1, 1e9)]},
        {"a": points(5000), "b": points(3, 100)},
    ],
)
@pytest.mark.parametrize("log", [False, True])
def test_lines_stay_inside_the_drawing(series, log):
    drawing = svg_of(line_chart(series, log=log, smooth=0.9))
    for path in drawing.findall("path"):
        for pair in path.get("d")[1:].split("L"):
            x, y = map(float, pair.split(" "))
            assert 0 <= x <= 440
            assert 0 <= y <= 200


def test_thinning_keeps_spikes():
    line = [(float(i), 1.0) for i in range(10_000)]
    line[4321] = (4321.0, 50.0)
    drawing = line_chart({"a": line})
    assert len(drawing) < 30_000
    highest = min(float(p.split(" ")[1]) for p in svg_of(drawing).find("path").get("d")[1:].split("L"))
    assert highest < 40


def test_stacked_bar_parts_add_up_to_the_width():
    drawing = svg_of(stacked_bar([("ok", 90), ("none", 0), ("bad", 10)], kinds=["ok", "s1", "bad"]))
    rects = drawing.findall("rect")
    assert [r.get("class") for r in rects] == ["ok", "bad"]
    assert sum(float(r.get("width")) for r in rects) == pytest.approx(1000)


def test_timeline_leaves_idle_time_out():
    text = timeline({"a": [(0, 10), (1000, 1010)], "b": [(10, 20)]})
    bars = [
        [r.get("x") for r in ET.fromstring(part + "</svg>").findall("rect")]
        for part in re.findall("<svg.*?(?=</svg>)", text)
    ]
    assert bars == [["0", "666.67"], ["333.33"]]
    assert "20 s" in text
    assert "10 s" in text


def test_equal_arguments_make_equal_bytes():
    def digest() -> str:
        return hashlib.sha256("".join(every_piece(EVIL)).encode()).hexdigest()

    assert digest() == digest()
