"""Which region each word attends to, drawn and told; and what is refused."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from evaluate.attention import look
from evaluate.attention_draw import draw, heat, page
from evaluate.verbs import attention
from store.errors import ConfigError, DataError
from tests.evaluate.predict_toys import made, workspace
from tests.evaluate.toys import picture
from tests.train.vlbert_toys import stream_start
from train.models.vlbert_attention import attend
from train.models.vlbert_start import open_stream
from train.vlbert.regions import reading_order

TEXT = "red ball and blue cube"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attention")
    found = workspace(folder)
    inputs = {"regions": found["regions/train"]}
    model = made(folder / "work", "pretrain_b", "toy:Pretrain", inputs)
    written = stream_start(folder / "world", folder / "job")
    for file in written.iterdir():
        (model.path / file.name).write_bytes(file.read_bytes())
    return {**found, "pretrain_b": model}


@pytest.fixture(scope="module")
def found(work):
    return look(work["pretrain_b"], picture(), TEXT)


def test_attention_is_that_of_the_stream(work, found):
    start = open_stream(work["pretrain_b"].path)
    attended = found.attention
    layers, heads, length, _ = attended.weights.shape
    assert (layers, heads) == (1, 2)
    assert length == len(attended.pieces) + len(attended.regions) + 1
    np.testing.assert_allclose(attended.weights.sum(axis=-1), 1, rtol=1e-5)
    assert attended.pieces[0] == "[CLS]"
    assert attended.pieces[-1] == "[SEP]"
    order = reading_order(found.regions.score).tolist()
    assert attended.regions == (-1, *order)
    trunk, reader = start.trunk(), start.reader()
    batch = reader.rows([[TEXT]], [found.regions])
    with torch.no_grad():
        _, (weights,) = trunk.attention(batch)
    np.testing.assert_allclose(attend(trunk, reader, TEXT, found.regions).weights[0], weights[0], atol=1e-6)


def test_mean_of_heads(found):
    each = [found.attention.words_to_regions(0, head) for head in (0, 1)]
    np.testing.assert_allclose(found.attention.words_to_regions(-1), (each[0] + each[1]) / 2, rtol=1e-5)
    words = [TEXT[slice(*found.attention.spans[word])] for word, _, _ in found.best()]
    assert "".join(words) == TEXT.replace(" ", "")
    assert all(place > 0 for _, place, _ in found.best())
    assert found.named(0) == "whole image"
    assert found.named(1) == "red ball"


def test_drawings(found, tmp_path):
    draw(found, tmp_path / "look.png")
    with Image.open(tmp_path / "look.png") as drawn:
        assert drawn.width == 800
        assert drawn.height > 800 * found.sample.height / found.sample.width
    draw(found, tmp_path / "look.html")
    text = (tmp_path / "look.html").read_text("utf-8")
    assert text == page(found)
    assert "Layer 1" in text
    assert 'data-link="r1"' in text or 'data-link="r2"' in text
    shares = np.full(found.shares.shape, 0.25, np.float32)
    shares[1, 1] = 0.5
    darkest = heat(found, shares)
    assert darkest.count(",1.00)") == 1
    assert darkest.count(",0.50)") == shares.size - 1


def test_refusals(work):
    for wrong in ({"layer": 1}, {"layer": -2}, {"head": 2}):
        with pytest.raises(ConfigError, match="there is no"):
            look(work["pretrain_b"], picture(), TEXT, **wrong)
    with pytest.raises(DataError, match="of the family 'mvptr'"):
        look(work["pretrain"], picture(), TEXT)


def test_the_verb(work, tmp_path):
    app = typer.Typer()
    app.command()(attention)
    (tmp_path / "photo.jpg").write_bytes(picture())
    asked = [str(tmp_path / "photo.jpg"), TEXT, "--model", str(work["pretrain_b"].path), "--head", "2"]
    told = CliRunner().invoke(app, [*asked, "--draw", str(tmp_path / "a.html")])
    assert told.exit_code == 0, told.output
    assert "layer 1 of 1, head 2 of 2" in told.output
    assert (tmp_path / "a.html").is_file()
    plain = json.loads(CliRunner().invoke(app, [*asked, "--json"]).output)
    assert [each["word"] for each in plain["words"]]
    missing = CliRunner().invoke(app, [str(tmp_path / "none.jpg"), TEXT])
    assert isinstance(missing.exception, ConfigError)
