"""From a picture and a text to words, embeddings and a drawing; and what is refused."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

from evaluate.predict import Predictor, write_embeddings
from evaluate.predict_draw import by_region, draw, page, png
from pipeline.cli import app
from store.errors import ConfigError, DataError
from tests.evaluate.predict_toys import workspace
from tests.evaluate.toys import picture
from train.models.reading import masks_in

TEXT = "red ball on a [MASK] cube"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("predict"))


@pytest.fixture(scope="module")
def predictor(work):
    return Predictor(work["pretrain"])


@pytest.fixture(scope="module")
def found(predictor):
    return predictor.read(picture(), TEXT, align=True, top=3)


def test_words_at_each_mask(predictor, found):
    (words,) = found.masked
    assert len(words) == 3
    chances = [chance for _, chance in words]
    assert chances == sorted(chances, reverse=True)
    assert all(0 < chance < 1 for chance in chances)
    assert not {word for word, _ in words} & {"[PAD]", "[CLS]", "[MASK]"}
    assert [len(each) for each in predictor.read(picture(), "a [MASK] and a [MASK]").masked] == [5, 5]
    assert predictor.read(picture(), "a red ball").masked == ()


def test_the_head_reads_the_fused_states(predictor, found):
    """The likeliest word is what the model's own head says of the state at the mask."""
    import torch

    network = predictor.model.network
    place = found.reading.pieces.index("[MASK]")
    state = torch.from_numpy(found.states["cross_modal.words"][place : place + 1])
    with torch.no_grad():
        chances = network.word_head(state, network.embeddings.words.weight).softmax(dim=-1)[0]
    word, chance = found.masked[0][0]
    number = predictor.model.vocabulary.tokenizer.token_to_id(word)
    assert float(chances[number]) == pytest.approx(chance, abs=1e-6)


def test_phrases_with_a_mask_in_them_are_left_out(found):
    kept = [("ball",), ("ball", "red"), ("cube",), ("ball", "on", "cube")]
    assert [phrase.words for phrase in found.phrases] == kept
    assert found.text == TEXT
    assert found.phrases[2].spans == ((21, 25),)


def test_states_of_every_word_phrase_and_region(found):
    shapes = {name: value.shape for name, value in found.states.items()}
    words, h = len(found.reading.pieces), 16
    for way in ("uni_modal", "cross_modal"):
        assert shapes[f"{way}.words"] == (words, h)
        assert shapes[f"{way}.phrases"] == (len(found.reading.phrases), h) == (3, h)
        assert shapes[f"{way}.regions"] == (2, h)
        assert shapes[f"{way}.cls"] == (h,)
    assert shapes["cross_modal.pooled"] == (h,)
    for side in ("text", "picture"):
        assert np.linalg.norm(found.states[f"uni_modal.{side}"]) == pytest.approx(1, abs=1e-5)
    again = found.states["uni_modal.text"] @ found.states["uni_modal.picture"]
    assert found.reading.similarity == pytest.approx(float(again), abs=1e-6)
    assert not np.allclose(found.states["uni_modal.words"], found.states["cross_modal.words"], atol=1e-3)


def test_the_chance_of_a_match_is_the_models(predictor, found):
    texts = predictor.model.encode_texts([TEXT], [[p.words for p in found.phrases]])
    images = predictor.model.encode_images([found.regions])
    (chance,) = predictor.model.match_scores(texts, images, np.array([[0, 0]]))
    assert found.reading.match == pytest.approx(float(chance), abs=1e-5)


def test_things_are_aligned_and_relations_are_not(found):
    assert [each.words for each in found.aligned] == [("ball",), ("ball", "red"), ("cube",)]
    assert all(each.region in (0, 1) and -1 <= each.cosine <= 1 for each in found.aligned)
    assert found.named(0) == "red ball 0.90"


def test_embeddings_on_disk(found, tmp_path):
    path = tmp_path / "e.safetensors"
    write_embeddings(found, path)
    with safe_open(path, "numpy") as file:
        assert set(file.keys()) == set(found.states)
        assert np.array_equal(file.get_tensor("cross_modal.words"), found.states["cross_modal.words"])
        about = {name: json.loads(value) for name, value in file.metadata().items()}
    assert about["text"] == TEXT
    assert about["words"][0] == ["red", 0, 3]
    assert [tuple(phrase) for phrase in about["phrases"]] == [("ball",), ("ball", "red"), ("cube",)]
    assert [region["name"] for region in about["regions"]] == ["red ball 0.90", "blue cube 0.50"]


def test_the_drawing(found, tmp_path):
    regions = by_region(found)
    assert sum(map(len, regions.values())) == 3
    assert png(found) == png(found)
    draw(found, tmp_path / "d.png")
    with Image.open(tmp_path / "d.png") as drawn:
        assert drawn.width == 800
        assert drawn.height > 600 + 2 * 26  # the picture, the text and a line for each region
        colours = {colour for _, colour in drawn.getcolors(1 << 20)}
    assert (0xE6, 0x19, 0x4B) in colours
    shown = page(found)
    assert shown.count("data-link") >= 2
    assert "red ball" in shown


def test_regions_and_parser_can_be_given(work):
    other = Predictor(work["pretrain"], regions=work["regions/train"], phrases=work["phrases/train"])
    assert other.parses
    with pytest.raises(ConfigError, match="no detector is known"):
        Predictor(work["pretrain"], regions=work["regions/imported"])


def test_what_is_no_picture_is_refused(predictor, tmp_path):
    with pytest.raises(DataError, match="there is no picture"):
        predictor.read(tmp_path / "missing.jpg", TEXT)
    with pytest.raises(DataError, match="is no picture"):
        predictor.read(b"not a picture", TEXT)
    with pytest.raises(DataError, match="is no picture"):
        predictor.read(picture()[:100], TEXT)
    with pytest.raises(DataError, match=r"no regions of.*proposes nothing"):
        predictor.read(picture(width=4), TEXT)


def test_a_mask_behind_the_end_is_refused(predictor):
    with pytest.raises(DataError, match=r"1 \[MASK\] lie behind"):
        predictor.read(picture(), "a ball " * 40 + "[MASK]")


def test_a_model_without_phrases_or_words(tmp_path):
    from tests.evaluate.predict_toys import made

    work = workspace(tmp_path, objectives__masked_words__weight=0.0)
    bare = made(tmp_path / "work", "bare", "toy:Pretrain", {"regions": work["regions/train"]})
    for file in work["pretrain"].path.glob("model.*"):
        shutil.copy(file, bare.path)
    predictor = Predictor(bare)
    assert not predictor.parses
    assert predictor.read(picture(), "a red ball").phrases == ()
    with pytest.raises(DataError, match="trained without phrases"):
        predictor.read(picture(), "a red ball", align=True)
    with pytest.raises(DataError, match=r"fills no \[MASK\]"):
        predictor.read(picture(), TEXT)
    tuned = made(tmp_path / "work", "tuned", "toy:FineTune", {"model": work["pretrain"]})
    for file in work["pretrain"].path.glob("model.*"):
        shutil.copy(file, tuned.path)
    assert Predictor(tuned).parses  # by way of the model that it started from
    about = json.loads(tuned.file("model", ".json").read_text())
    about["recipe"]["task"] = "answers"
    tuned.file("model", ".json").write_text(json.dumps(about))
    with pytest.raises(ConfigError, match="for the task 'answers'"):
        Predictor(tuned)


def test_what_a_model_was_made_from_may_be_gone(tmp_path):
    work = workspace(tmp_path)
    shutil.rmtree(work["regions/train"].path)
    with pytest.raises(DataError, match="regions/train, which it was made from, is no longer"):
        Predictor(work["pretrain"])
    with pytest.raises(ConfigError, match="detector is no model"):
        Predictor(work["detector"])


def test_masks_are_in_capitals():
    assert masks_in("a [MASK] and [mask] [MASK]") == [(2, 8), (20, 26)]


def command(*words):
    result = CliRunner().invoke(app, ["predict", *map(str, words)])
    return result.output, result.exception


def test_the_command(work, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture())
    output, _ = command(
        photo, TEXT, "--model", work["pretrain"].path, "--embeddings", tmp_path / "e.safetensors",
        "--draw", tmp_path / "d.html",
    )  # fmt: skip
    assert "[MASK]  " in output
    assert "2 regions, 4 phrases" in output
    assert (tmp_path / "e.safetensors").is_file()
    assert (tmp_path / "d.html").read_text().startswith("<!doctype html>")
    output, _ = command(photo, TEXT, "--model", work["pretrain"].path, "--json", "--top", 2)
    about = json.loads(output)
    assert [len(words) for words in about["masked"]] == [2]
    assert [region["name"] for region in about["regions"]] == ["red ball 0.90", "blue cube 0.50"]


def test_the_command_refuses(work, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture())
    model = ("--model", work["pretrain"].path)
    assert "no picture" in str(command(tmp_path / "none.jpg", TEXT, *model)[1])
    _, error = command(photo, "two dogs", *model)
    assert "no [MASK]" in str(error)
    assert "capitals" in command(photo, "two [mask]", *model)[1].hint
    assert "neither .png nor .html" in str(command(photo, TEXT, *model, "--draw", "d.pdf")[1])
    stages = tmp_path / "stages.yaml"
    stages.write_text("workspace: work\nstages: {}\n")
    assert "no stage 'pretrain'" in str(command(photo, TEXT, "-f", stages)[1])
