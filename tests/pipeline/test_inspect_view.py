"""What inspect shows: the same bytes each time, hostile text as text, boxes over the picture."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipeline.inspect_page import page_of
from pipeline.inspect_view import Listing, View, plain, print_view
from tests.pipeline.test_html import EVIL, structure


def png(width: int = 32, height: int = 24) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height), "#c33").save(data, "PNG")
    return data.getvalue()


def sample(text: str = "a red circle", **more) -> dict:
    return {
        "key": "scenes/000123",
        "image": png(),
        "width": 320,
        "height": 240,
        "captions": [{"id": "scenes/000123#en0", "lang": "en", "text": text}],
        "truth": {"objects": [{"box": [40, 50, 140, 150], "name": "circle", "attributes": ["red"]}]},
        **more,
    }


def regions(n: int = 3) -> dict:
    corners = np.arange(n, dtype=np.float32)[:, None] * np.float32(10)
    return {
        "boxes": np.concatenate([corners, corners, corners + 5, corners + 8], axis=1),
        "features": np.ones((n, 300), np.float16),
        "class_id": np.arange(n, dtype=np.int32),
        "score": np.linspace(0.9, 0.5, n, dtype=np.float32),
        "image_size": np.asarray([240, 320], np.int32),
    }


def view(record: dict, backdrop: dict | None = None, **more) -> View:
    return View(
        title="t", address="regions/train/00000/k", records={"00000.lmdb": record}, backdrop=backdrop, **more
    )


def elements(text: str) -> list[tuple[str, str]]:
    return [(tag, attributes.get("class") or "") for tag, attributes in structure(text).seen]


def test_a_sample_shows_its_picture_its_truth_and_its_captions():
    text = page_of(view(sample()))
    seen = elements(text)
    assert seen.count(("image", "")) == 1
    assert ("g", "box good") in seen
    assert ("p", "caption") in seen
    assert 'viewBox="0 0 320 240"' in text
    assert '<rect x="40.0" y="50.0" width="100.0" height="100.0">' in text
    assert "a red circle" in text
    assert "babelscene inspect regions/train/00000/k" in text


PHRASES = {
    "caption_id": "scenes/000123#en0",
    "key": "scenes/000123",
    "phrases": [
        {"phrase": ["circle", "red"], "characters": "2–5, 6–12"},
        {"phrase": ["circle", "lie on", "grass"], "characters": ""},
    ],
}


def test_a_captions_phrases_are_drawn_as_its_graph_under_the_captions_own_words():
    shown = view(PHRASES, sample("a red circle lying on grass"))
    text = page_of(shown)
    assert [tag for tag, _ in elements(text)].count("svg") == 2  # picture and graph
    assert "<title>a red circle lying on grass</title>" in text
    lines = [each.rstrip() for each in printed(shown).splitlines()]
    assert lines[lines.index("a red circle lying on grass") + 1 :][:4] == [
        "circle",
        "├─ red",
        "└─ lie on → grass",
        "grass",
    ]


def test_a_graph_is_drawn_though_its_caption_is_not_at_hand():
    assert "└─ lie on → grass" in printed(view(PHRASES))
    assert "<svg" in page_of(view(PHRASES))


def test_regions_are_drawn_on_the_picture_that_they_were_found_in():
    text = page_of(view(regions(20), sample()))
    seen = elements(text)
    assert seen.count(("g", "box main")) == 12
    assert seen.count(("g", "box faint")) == 8
    assert ("g", "box good") not in seen
    assert 'viewBox="0 0 320 240"' in text
    assert "0 0.90" in text


def test_a_weak_region_is_drawn_faintly_and_without_a_label():
    record = regions(2)
    record["score"][1] = 0.2
    seen = elements(page_of(view(record, sample())))
    assert (seen.count(("g", "box main")), seen.count(("g", "box faint"))) == (1, 1)
    assert seen.count(("g", "label")) == 1


def test_regions_without_a_picture_are_still_listed():
    text = page_of(view(regions(2)))
    assert "<image" not in text
    assert "10.0 10.0 15.0 18.0" in text


def test_hostile_text_stays_text():
    evil = sample(EVIL, url=EVIL, source_ids={EVIL: EVIL})
    evil["truth"]["objects"][0]["name"] = EVIL
    mild = sample("mild", url="mild", source_ids={"mi ld": "mild"})
    listing = [Listing(EVIL, [{EVIL: EVIL}])]
    hostile = page_of(
        View(title=EVIL, address=EVIL, facts={EVIL: EVIL}, listings=listing, records={EVIL: evil})
    )
    listing = [Listing("mild", [{"mild": "mild"}])]
    harmless = page_of(
        View(title="mild", address="mild", facts={"mild": "mild"}, listings=listing, records={"mild": mild})
    )
    assert elements(hostile) == elements(harmless)
    assert EVIL in "".join(structure(hostile).text)


def test_the_page_is_the_same_bytes_and_the_same_shape_as_ever():
    one = page_of(
        view(regions(), sample(), facts={"a": 1}, listings=[Listing("records", [{"key": "k"}], 5, 9)])
    )
    two = page_of(
        view(regions(), sample(), facts={"a": 1}, listings=[Listing("records", [{"key": "k"}], 5, 9)])
    )
    assert one == two
    shape = json.dumps(elements(one)).encode()
    # Changes with the page's design, and only then: look at the page, then set it anew.
    assert hashlib.sha256(shape).hexdigest()[:16] == "4d0a9d5f6fa50a5c"


def test_json_tells_arrays_by_shape_and_range_and_small_ones_by_value():
    record = regions()
    record["odd"] = np.asarray([np.nan, 1.0], np.float32)
    record["empty"] = np.zeros((0, 4), np.float32)
    told = json.loads(json.dumps(plain(view(record)), allow_nan=False))["records"]["00000.lmdb"]
    assert told["features"] == {"dtype": "float16", "shape": [3, 300], "min": 1.0, "mean": 1.0, "max": 1.0}
    assert told["class_id"]["values"] == [0, 1, 2]
    assert told["odd"]["values"] == ["nan", 1.0]
    assert told["empty"] == {"dtype": "float32", "shape": [0, 4], "values": []}
    told = plain(view(sample()))["records"]["00000.lmdb"]
    assert told["image"] == {"media_type": "image/png", "bytes": len(png())}
    assert told["captions"][0]["text"] == "a red circle"


def printed(shown: View) -> str:
    console = Console(width=110, file=io.StringIO(), force_terminal=False)
    print_view(shown, console)
    return console.file.getvalue()


def test_the_terminal_shows_arrays_pictures_captions_and_regions():
    text = printed(view(regions()))
    assert "float16 [3, 300], min 1, mean 1, max 1" in text
    assert "20.0 20.0 25.0 28.0" in text
    text = printed(view(sample("[bold]no markup[/bold] \x1b[31m")))
    assert "image/png" in text
    assert "[bold]no markup[/bold]" in text
    assert "\x1b" not in text


def test_the_terminal_says_which_rows_of_how_many():
    rows = [{"key": f"k{i}", "n": i} for i in range(3)]
    assert "records 5–7 of 9" in printed(
        View(title="t", address="t", listings=[Listing("records", rows, 5, 9)])
    )
    assert "records\n" in printed(View(title="t", address="t", listings=[Listing("records", rows)]))


@pytest.mark.parametrize("data", [b"not a picture", b"\xff\xd8\xff broken"])
def test_a_picture_that_cannot_be_decoded_is_no_error(data):
    text = page_of(view({"image": data, "key": "k"}))
    structure(text)
    assert f"{len(data)} bytes" in text
