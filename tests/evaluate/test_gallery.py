"""Cards: what is linked, what is escaped, and that equal samples make equal bytes."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import pytest

from evaluate.gallery import linked_region, marked, region_boxes, sample_card, shrink
from evaluate.heldout import Labels
from store.concepts import StoredPhrase as Phrase
from tests.evaluate.toys import picture, regions, sample

LABELS = Labels(classes=("circle", "square"), attributes=("red", "blue"))
TWO_CIRCLES = regions(
    [[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]], [0, 0, 1], [0.9, 0.8, 0.7], [0, 1, 0]
)


class Reader(HTMLParser):
    """Collects tags with their attributes and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize(
    ("words", "region"),
    [
        (("circle",), 0),
        (("circle", "red"), 0),
        (("circle", "blue"), 1),
        (("circle", "green"), 0),
        (("square", "left of", "circle"), 2),
        (("triangle",), None),
        ((), None),
    ],
)
def test_a_phrase_points_to_the_region_of_its_noun_and_attribute(words, region):
    assert linked_region(words, TWO_CIRCLES, LABELS) == region


def test_no_regions_no_link():
    assert linked_region(("circle",), None, LABELS) is None


def test_no_word_is_marked_twice():
    text = "a blue circle left of a square"
    phrases = [
        Phrase(("circle",), ((7, 13),)),
        Phrase(("circle", "blue"), ((2, 6), (7, 13))),
        Phrase(("square",), ((24, 30),)),
        Phrase(("circle", "left of", "square"), ((7, 13), (14, 21), (24, 30))),
    ]
    found = marked(phrases, TWO_CIRCLES, LABELS)
    assert [(text[a:b], link) for a, b, link, _ in found] == [
        ("blue", "r1"), ("circle", "r1"), ("left of", "r0"), ("square", "r2")
    ]  # fmt: skip
    assert found[1][3] == "circle · blue"


def test_faint_regions_show_only_when_a_phrase_points_to_them():
    faint = regions([[0, 0, 1, 1], [2, 2, 3, 3]], [0, 1], [0.9, 0.05])
    assert [box.link for box in region_boxes(faint, LABELS)] == ["r0"]
    assert [box.link for box in region_boxes(faint, LABELS, {"r1"})] == ["r0", "r1"]


def test_class_and_attribute_beyond_the_vocabulary_are_shown_as_numbers():
    (box,) = region_boxes(regions([[0, 0, 1, 1]], [7], [0.9], [3]), LABELS)
    assert box.label == "#3 #7 0.90"


def test_captions_cannot_become_markup():
    evil = "</p><script>alert(1)</script><img src=x onerror=alert(1)>"
    truth = {
        "objects": [{"box": [0, 0, 5, 5], "name": evil, "attributes": [evil]}],
        "relations": [[0, evil, 0]],
    }
    card = sample_card(
        sample(evil, [("en0", evil), ("de0", "x")], truth=truth),
        regions=regions([[0, 0, 10, 10]], [0]),
        labels=Labels(classes=(evil,)),
        phrases={
            f"toy/{evil}#en0": [Phrase((evil,), ((0, 5),)), Phrase((evil, '" onmouseover="x'), ((5, 9),))]
        },
        captions=[],
    )
    page = Reader(card)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text


def test_languages_and_directions_are_declared():
    page = Reader(sample_card(sample("a", [("en0", "a circle"), ("ar0", "دائرة")])))
    said = [(s.get("lang"), s.get("dir")) for s in page.all("span") if "lang" in s]
    assert said == [("en", "auto"), ("ar", "auto")]


def test_captions_not_chosen_fold_away():
    one = sample("a", [("en0", "first"), ("en1", "second"), ("en2", "third")])
    card = sample_card(one, captions=one.captions[:1])
    assert card.index("first") < card.index("2 more captions") < card.index("second") < card.index("third")


def test_truth_is_on_the_card_and_hidden_at_first():
    truth = {
        "objects": [{"box": [1, 2, 9, 9], "name": "circle", "attributes": ["red"]}, {"box": [0, 0, 1, 1], "name": "square"}],
        "relations": [[0, "left of", 1]],
    }  # fmt: skip
    page = Reader(sample_card(sample("a", [("en0", "x")], truth=truth)))
    assert sum("truth" in (g.get("class") or "") for g in page.all("g")) == 2
    assert "open" not in page.all("details")[0]
    for words in ("red circle", "circle left of square"):
        assert words in page.text


def test_equal_samples_make_equal_bytes():
    one = sample("a", [("en0", "a circle")])
    assert sample_card(one, regions=TWO_CIRCLES, labels=LABELS) == sample_card(
        one, regions=TWO_CIRCLES, labels=LABELS
    )


def test_a_thumbnail_is_small_and_a_broken_image_is_said_to_be():
    from PIL import Image

    with Image.open(io.BytesIO(shrink(picture(640, 320), 64))) as small:
        assert small.size == (64, 32)
        assert small.format == "JPEG"
    assert shrink(b"no image", 64) is None
    assert "no image that can" in sample_card(sample("a", image=b"no image"))


def test_a_thumbnail_stands_upright():
    from PIL import Image

    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(data, "JPEG", exif=exif)
    with Image.open(io.BytesIO(shrink(data.getvalue(), 100))) as upright:
        assert upright.size == (20, 40)
