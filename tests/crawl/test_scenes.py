import json
import subprocess
import sys
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from crawl.scenes.draw import mask
from crawl.scenes.world import SHAPES
from crawl.sources.scenes import Scenes, ScenesParams, make_row
from store.records import Caption


@pytest.fixture(scope="module")
def rows():
    source = Scenes(ScenesParams(count=40, seed=7))
    return [row for chunk in source.chunks(40, _no_files) for row in source.rows(chunk.args)]


def _no_files(path):
    raise AssertionError(f"scenes read no file, yet asked for {path}")


def fingerprint(row):
    text = json.dumps(
        [[c.id, c.lang, c.text, c.translates] for c in row.captions] + [row.truth], sort_keys=True
    )
    return sha256(row.image + text.encode()).hexdigest()


def test_another_process_draws_the_same_bytes():
    code = "from tests.crawl.test_scenes import fingerprint, make_row; print(*(fingerprint(make_row(7, i)) for i in (0, 5, 39)))"
    made = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    here = [fingerprint(make_row(7, i)) for i in (0, 5, 39)]
    assert [run.stdout.split() for run in made] == [here, here]


def test_chunks_cover_the_scenes_once_and_more_scenes_change_no_full_chunk():
    few, more = (list(Scenes(ScenesParams(count=n, seed=3)).chunks(10, _no_files)) for n in (25, 42))
    assert [(c.args["start"], c.args["stop"]) for c in few] == [(0, 10), (10, 20), (20, 25)]
    assert more[:2] == few[:2]
    assert "count" not in ScenesParams(count=25, seed=3).keyed()
    assert all(not chunk.uses for chunk in few)


def test_more_rounds_only_add_to_the_tasks(rows):
    source = Scenes(ScenesParams(count=5, seed=7, rounds=3))
    (chunk,) = source.chunks(5, _no_files)
    for one, more in zip(rows, source.rows(chunk.args), strict=False):
        assert (one.image, one.captions) == (more.image, more.captions)
        for name in ("questions", "entailments", "expressions"):
            few, many = one.truth[name], more.truth[name]
            assert many[: len(few)] == few
            texts = [json.dumps(each, sort_keys=True) for each in many]
            assert len(few) < len(texts) == len(set(texts))
        rest = {
            name: value for name, value in more.truth.items() if name in ("objects", "relations", "graphs")
        }
        assert rest.items() <= one.truth.items()
    once = Scenes(ScenesParams(count=5, seed=7))
    assert "rounds" not in chunk_args(once)
    assert chunk_args(source)["rounds"] == 3
    assert once.params.keyed() == source.params.keyed()


def chunk_args(source):
    (chunk,) = source.chunks(5, _no_files)
    return chunk.args


def test_a_scene_does_not_depend_on_its_chunk(rows):
    source = Scenes(ScenesParams(count=40, seed=7))
    parts = [row for chunk in source.chunks(7, _no_files) for row in source.rows(chunk.args)]
    assert [fingerprint(row) for row in parts[10:13]] == [fingerprint(row) for row in rows[10:13]]
    assert [row.id for row in parts] == [row.id for row in rows]


def test_seeds_share_no_id_and_no_image(rows):
    others = [make_row(8, i) for i in range(40)]
    assert not {row.id for row in rows} & {row.id for row in others}
    assert len({row.image for row in [*rows, *others]}) == 80


def test_captions_have_ids_languages_and_translation_links(rows):
    for row in rows[:5]:
        key = f"scenes/{row.id}"
        assert [c.id for c in row.captions] == [
            f"{key}#{lang}{n}" for lang in ("en", "de", "fr", "cs") for n in range(6)
        ]
        for caption in row.captions:
            assert isinstance(caption, Caption)
            aligned = caption.id.endswith("0") and caption.lang != "en"
            assert caption.translates == (f"{key}#en0" if aligned else None)
            assert caption.text[0].isupper()
            assert caption.text.endswith(".")
            assert "  " not in caption.text


def test_truth_is_plain_json_about_this_image(rows):
    sizes = set()
    for row in rows:
        assert json.loads(json.dumps(row.truth)) == row.truth
        width, height = Image.open(BytesIO(row.image)).size
        sizes.add((width, height))
        assert 2 <= len(row.truth["objects"]) <= 6
        for x1, y1, x2, y2 in (thing["box"] for thing in row.truth["objects"]):
            assert 0 < x1 < x2 < width
            assert 0 < y1 < y2 < height
            assert min(x2 - x1, y2 - y1) >= 18
        ids = [caption.id for caption in row.captions]
        assert list(row.truth["mentions"]) == ids
        assert list(row.truth["graphs"]) == [name for name in ids if "#en" in name]
    assert len(sizes) >= 4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [18, 25, 54])
def test_boxes_are_tight(shape, side):
    """The drawn pixels reach all four sides of the box."""
    drawn = np.asarray(mask(shape, side, side - 3))
    assert drawn.shape == (side - 3, side)
    for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
        assert edge.max() >= 24
    assert 0.25 < (drawn > 127).mean() <= 1


def test_things_stand_out_where_their_boxes_say(rows):
    """Colours of things are far from the muted background: every box holds many vivid or extreme pixels."""
    for row in rows[:10]:
        pixels = np.asarray(Image.open(BytesIO(row.image)), np.int16)
        vivid = (pixels.max(2) - pixels.min(2) > 70) | (pixels.max(2) < 60) | (pixels.min(2) > 225)
        outside = vivid.copy()
        for x1, y1, x2, y2 in (thing["box"] for thing in row.truth["objects"]):
            assert vivid[y1:y2, x1:x2].mean() > 0.12
            outside[y1 - 2 : y2 + 2, x1 - 2 : x2 + 2] = False
        assert outside.mean() < 0.02


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"count": 5, "seed": -1},
        {"count": 5, "fewest": 5, "most": 3},
        {"count": 5, "most": 9},
        {"counts": 5},
    ],
)
def test_parameters_that_cannot_be_meant(wrong):
    with pytest.raises(ValidationError):
        ScenesParams(**wrong)


def test_the_number_of_objects_is_a_parameter():
    assert {len(make_row(1, i, fewest=3, most=4).truth["objects"]) for i in range(12)} == {3, 4}
