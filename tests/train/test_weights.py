"""Weights that come from elsewhere and go elsewhere: published MVPTR, Hugging Face folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from store.concepts import write_id2phrase
from store.errors import CorruptError, DataError, UserError
from store.foreign import read_foreign
from tests.train.toys import captions, make_job, phrases, regions, scene
from train.config import Recipe
from train.inputs import open_inputs
from train.models import published
from train.models.api import load_model
from train.models.build import build_model
from train.models.mvptr import Mvptr
from train.models.mvptr_keys import HEAD, HEADS, LAYER, STACKS, TRANSPOSED, WHOLE
from train.models.published import import_mvptr
from train.outputs import write_parameters
from train.vocabulary import Vocabulary

GAP = 7
"""Ids that the original's vocabulary leaves out."""
AS_PUBLISHED = {
    "model__tie_words": False,
    "objectives__masked_tags__weight": 1.0,
    "model__region_norm": False,
}


@pytest.fixture(scope="module")
def recipe(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return Recipe.model_validate(make_job(world, tmp_path_factory.mktemp("j"), **AS_PUBLISHED).recipe)


@pytest.fixture(scope="module")
def vocabulary(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    job = make_job(world, tmp_path_factory.mktemp("v"), **AS_PUBLISHED)
    return open_inputs(job, Recipe.model_validate(job.recipe)).vocabulary


def built(recipe: Recipe, vocabulary: Vocabulary, seed: int) -> Mvptr:
    torch.manual_seed(seed)
    return build_model(recipe, vocabulary, 18)


def original(model: Mvptr, vocabulary: Vocabulary) -> tuple[dict[str, Tensor], dict[int, tuple[str, ...]]]:
    """A model's parameters under the original's names, with its ids of phrases, which have a gap."""
    names = {ours: f"bert.{theirs}" for theirs, ours in WHOLE.items()}
    for theirs, ours in STACKS.items():
        for part, our_part in LAYER.items():
            for kind in ("weight", "bias"):
                names[f"{ours}.layers.0.{our_part}.{kind}"] = f"bert.{theirs}.layer.0.{part}.{kind}"
    for theirs, ours in HEADS.items():
        names |= {f"{ours}.{our_part}": f"{theirs}.{part}" for part, our_part in HEAD.items()}
    found = {}
    for ours, tensor in model.state_dict().items():
        name = names[ours]
        turned = tensor.T if name.removeprefix("bert.") in TRANSPOSED else tensor
        found[name] = turned.contiguous().clone()
    table = found["bert.embeddings.word_embeddings.weight"]
    words, middle = vocabulary.words, vocabulary.words + 3
    hole = torch.full((GAP, table.shape[1]), torch.nan)
    found["bert.embeddings.word_embeddings.weight"] = torch.cat([table[:middle], hole, table[middle:]])
    longer = found["bert.embeddings.position_embeddings.weight"]
    found["bert.embeddings.position_embeddings.weight"] = torch.cat([longer, longer])
    ids = {}
    for concept in vocabulary.concepts:
        row = vocabulary.concept_id(concept)
        assert row is not None
        ids[row + GAP * (row >= middle and row >= words)] = concept
    return found, ids


def test_published_weights_fill_the_model(recipe: Recipe, vocabulary: Vocabulary, tmp_path: Path) -> None:
    theirs, mine = built(recipe, vocabulary, 1), built(recipe, vocabulary, 2)
    tensors, ids = original(theirs, vocabulary)
    wrapped = {"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}
    torch.save(wrapped, tmp_path / "pytorch_model.bin")
    match = import_mvptr(tmp_path / "pytorch_model.bin", mine, vocabulary, ids)
    assert match.complete
    assert not match.unexpected
    assert match.notes == ("positions cut from 100 to 50",)
    assert all(torch.equal(mine.state_dict()[name], value) for name, value in theirs.state_dict().items())


def test_every_key_that_does_not_fit_is_named(recipe: Recipe, vocabulary: Vocabulary, tmp_path: Path) -> None:
    model = built(recipe, vocabulary, 1)
    tensors, ids = original(model, vocabulary)
    del tensors["bert.pooler.dense.bias"], tensors["cls.predictions.bias"]
    tensors["qa_seq_relation.weight"] = torch.zeros(2, 16)
    tensors["bert.img_embedding.weight"] = torch.zeros(16, 2054)
    own_row = max(ids)
    gone = ids.pop(own_row)
    save_file(tensors, tmp_path / "model.safetensors")
    match = import_mvptr(tmp_path / "model.safetensors", model, vocabulary, ids)
    assert set(match.missing) == {"pooler.bias", "word_head.bias"}
    assert match.unexpected == ("qa_seq_relation.weight",)
    assert match.mismatched == ("region_projection.weight ([16, 2054] in the file, [16, 18] in the model)",)
    assert match.notes[0].startswith(
        f"1 concepts have no row in the file and start from their words: {gone[0]}"
    )
    with pytest.raises(DataError) as error:
        match.require(tmp_path)
    for line in match.lines():
        assert line in str(error.value)


def test_a_file_with_objects_is_not_executed(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harm",))

    torch.save({"a": Harm()}, tmp_path / "evil.bin")
    with pytest.raises(CorruptError, match="more than plain data and tensors"):
        read_foreign(tmp_path / "evil.bin")
    assert not (tmp_path / "harm").exists()
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    for name in ("cut.safetensors", "gone.bin"):
        with pytest.raises(CorruptError, match=name):
            read_foreign(tmp_path / name)


def test_a_published_model_opens_as_ours(
    recipe: Recipe, vocabulary: Vocabulary, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "load_recipe", lambda name: recipe)
    tensors, ids = original(built(recipe, vocabulary, 1), vocabulary)
    save_file(tensors, tmp_path / "w.safetensors")
    write_id2phrase(tmp_path / "ids.json", ids)
    tokenizer = world / "tokenizer" / "tokenizer.json"
    published.published_model(
        tmp_path / "w.safetensors",
        tmp_path / "out",
        tokenizer,
        tmp_path / "ids.json",
        world / "regions.lmdb",
        "mvptr-published",
    )
    opened = load_model(tmp_path / "out")
    pairs = scene(1)
    assert np.isfinite(opened.encode_images([regions(1, pairs)]).embeddings).all()
    texts = [captions("t/0", pairs)[0].text]
    known = [[tuple(phrase.words) for phrase in phrases(pairs, None)]]
    assert not np.allclose(
        opened.encode_texts(texts).embeddings, opened.encode_texts(texts, known).embeddings
    )


def test_a_hugging_face_folder_opens_with_from_pretrained(
    recipe: Recipe, vocabulary: Vocabulary, world: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    from train.models.huggingface import MvptrForPairs, export

    model, tokenizer = built(recipe, vocabulary, 3).eval(), world / "tokenizer" / "tokenizer.json"
    about = {
        "region_dim": 18,
        "classes": [],
        "attributes": [],
        "languages": ["en"],
        "uses_phrases": True,
        "concepts": [list(concept) for concept in vocabulary.concepts],
    }
    (tmp_path / "artifact").mkdir()
    write_parameters(tmp_path / "artifact" / "model", recipe, about, model.state_dict(), tokenizer, ranks=1)
    export(tmp_path / "artifact", tmp_path / "hub")
    opened = MvptrForPairs.from_pretrained(tmp_path / "hub").eval()
    assert all(torch.equal(opened.network.state_dict()[n], value) for n, value in model.state_dict().items())
    text = "červený míč und ein Würfel"
    ids = AutoTokenizer.from_pretrained(tmp_path / "hub")(text)["input_ids"]
    assert ids[1:-1] == vocabulary.pieces([text])[0].ids
    words = torch.tensor([ids])
    with torch.no_grad():
        states = opened.network.encode_text(words, words > 0)
        assert torch.equal(states, model.encode_text(words, words > 0))
    with pytest.raises(UserError, match="is not empty"):
        export(tmp_path / "artifact", tmp_path / "hub")
