"""Captions through frozen towers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from extract.embeddings.captions import CaptionEmbeddings, CaptionEmbeddingsParams
from extract.embeddings.embedded import Running
from extract.embeddings.language import TextTower
from pipeline.artifacts import Artifact
from store.embeddings import pairs, pooled_of
from store.errors import ConfigError, UserError
from store.records import Caption
from tests.extract import towers
from tests.extract.towers import LIMIT, embed, near
from tests.extract.toys import artifact, bytes_of, inputs_of, shards_of, toy_sample

TEXTS = [
    ("en", "a red disc"),
    ("en", "the blue square and the red disc under a table"),
    ("de", "ein hund unter dem tisch"),
    ("en", "a dog"),
    ("en", " a red disc and a blue square and a dog under the table and the dog and the disc"),
    ("de", "hund"),
]
LONG = "toy/0002#en0"
CPU = Running(torch.device("cpu"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    root = tmp_path_factory.mktemp("towers")
    return {kind: (root / kind, getattr(towers, kind)(root / kind)) for kind in ("clip", "bert", "xlmr", "t5", "vit")}  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return shards_with(tmp_path_factory.mktemp("captions") / "shards", TEXTS)


def shards_with(folder: Path, texts: list[tuple[str, str]]) -> Artifact:
    """Two captions a sample, two samples a shard."""
    samples = []
    for i in range(0, len(texts), 2):
        key = f"toy/{i // 2:04d}"
        captions = [Caption(id=f"{key}#{lang}{n}", lang=lang, text=t) for n, (lang, t) in enumerate(texts[i : i + 2])]  # fmt: skip
        samples.append(replace(toy_sample(i // 2), captions=tuple(captions)))
    return shards_of(folder, samples, per_shard=2)


def stage(tower: Path, **params: Any) -> CaptionEmbeddings:
    return CaptionEmbeddings(CaptionEmbeddingsParams(tower=str(tower), **params))


def key_of(number: int) -> str:
    return f"toy/{number // 2:04d}#{TEXTS[number][0]}{number % 2}"


def inputs_to(folder: Path) -> Any:
    """As transformers makes them, all captions padded to the longest."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    texts = [text for _, text in TEXTS]
    found = tokenizer(texts, padding=True, truncation=True, max_length=LIMIT, return_tensors="pt")
    return {name: found[name] for name in ("input_ids", "attention_mask")}


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.stack([state[: int(n)].mean(0) for state, n in zip(states, mask.sum(1), strict=True)])


POOLINGS: dict[tuple[str, str], Callable[[Any, Any], torch.Tensor]] = {
    ("clip", "tower"): lambda m, x: m.get_text_features(**x).pooler_output,
    ("clip", "mean"): lambda m, x: mean(m.text_model(**x).last_hidden_state, x["attention_mask"]),
    ("bert", "tower"): lambda m, x: m(**x).pooler_output,
    ("bert", "cls"): lambda m, x: m(**x).last_hidden_state[:, 0],
    ("bert", "mean"): lambda m, x: mean(m(**x).last_hidden_state, x["attention_mask"]),
    ("t5", "mean"): lambda m, x: mean(m.encoder(**x).last_hidden_state, x["attention_mask"]),
    ("xlmr", "cls"): lambda m, x: m(**x).last_hidden_state[:, 0],
    ("xlmr", "mean"): lambda m, x: mean(m(**x).last_hidden_state, x["attention_mask"]),
}


@pytest.mark.parametrize(("kind", "pool"), POOLINGS)
def test_it_is_what_the_tower_says(
    kind: str, pool: str, made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    folder, model = made[kind]
    store, stats, failures = embed(tmp_path / "out", stage(folder, pool=pool, tokens=True, batch=2), shards)
    inputs = inputs_to(folder)
    with torch.no_grad():
        expected = POOLINGS[kind, pool](model, inputs)
        reader = {"clip": "text_model", "t5": "encoder"}.get(kind)
        states = (getattr(model, reader) if reader else model)(**inputs).last_hidden_state
    assert float((expected[0] - expected[3]).abs().max()) > 0.02
    for i in range(len(TEXTS)):
        near(store[key_of(i)].pooled, expected[i])
        near(store[key_of(i)].tokens, states[i, : int(inputs["attention_mask"][i].sum())])
    assert (stats.n_in, stats.n_ok, failures) == (6, 6, [])
    assert stats.totals["truncated captions"] == 1
    assert str(folder) not in str(store.meta)


@pytest.mark.parametrize(("kind", "pool"), POOLINGS)
def test_padding_counts_nowhere(kind: str, pool: Any, made: dict[str, tuple[Path, Any]]) -> None:
    tower = TextTower(made[kind][0], pool=pool, tokens=True, running=CPU)
    sentences = tower.encode([text for _, text in TEXTS[:4]])
    assert len({len(ids) for ids in sentences}) == 4
    batched = tower(sentences)
    assert batched.pooled is not None
    assert batched.tokens is not None
    for i, ids in enumerate(sentences):
        single = tower([ids])
        assert single.tokens is not None
        torch.testing.assert_close(single.pooled, batched.pooled[i : i + 1], atol=1e-5, rtol=0)
        torch.testing.assert_close(single.tokens[0], batched.tokens[i], atol=1e-5, rtol=0)


def test_a_shard_makes_the_same_bytes_in_any_order_of_captions(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    folder, _ = made["bert"]
    embed(tmp_path / "a", stage(folder, batch=2), shards)
    torch.rand(3)
    embed(tmp_path / "b", stage(folder, batch=2), shards)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


@pytest.mark.parametrize("kind", ["clip", "bert", "xlmr"])
def test_captions_without_a_word_fail_and_the_others_go_on(
    kind: str, made: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    shards = shards_with(tmp_path / "shards", [("en", "a dog"), ("en", ""), ("de", " \n"), ("de", "hund")])
    folder, _ = made[kind]
    store, stats, failures = embed(tmp_path / "a", stage(folder, pool="mean"), shards)
    assert [(row["key"], row["class"]) for row in failures] == [
        ("toy/0000#en1", "empty"),
        ("toy/0001#de0", "empty"),
    ]
    assert (stats.n_in, stats.n_ok, list(store.keys())) == (4, 2, ["toy/0000#en0", "toy/0001#de1"])
    mended = shards_with(tmp_path / "mended", [("en", "a dog"), ("en", "a"), ("de", " "), ("de", "hund")])
    again, stats, failures = embed(
        tmp_path / "b", stage(folder, pool="mean"), mended, previous=tmp_path / "a", retry=frozenset({"toy/0000#en1"})
    )  # fmt: skip
    assert (stats.n_in, stats.n_ok, failures) == (3, 3, [])
    assert pooled_of(again, ["toy/0000#en1"]).any()


def test_long_captions_keep_their_special_tokens(made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path) -> None:  # fmt: skip
    folder, model = made["bert"]
    store, stats, _ = embed(tmp_path / "out", stage(folder, pool="cls", tokens=True, max_length=6), shards)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer([TEXTS[4][1]], truncation=True, max_length=6, return_tensors="pt")["input_ids"]
    assert ids.shape == (1, 6)
    assert int(ids[0, -1]) == tokenizer.sep_token_id
    with torch.no_grad():
        near(store[LONG].tokens, model(ids).last_hidden_state[0])
    assert stats.totals["truncated captions"] == 3
    assert store.meta["max_length"] == 6
    for length in (2, LIMIT + 1):
        with pytest.raises(ConfigError, match="max_length"):
            stage(folder, max_length=length).setup(inputs_of(shards=shards))


@pytest.mark.parametrize("kind", ["clip", "bert", "xlmr"])
def test_the_limit_is_that_of_the_positions(kind: str, made: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:  # fmt: skip
    """Also where the tokenizer knows of none: XLM-R spends two positions on padding."""
    folder = shutil.copytree(made[kind][0], tmp_path / kind)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace(f'"model_max_length": {LIMIT}', '"model_max_length": 1000'))
    tower = TextTower(folder, pool="mean", tokens=False, running=CPU)
    assert tower.longest == LIMIT
    assert tower([tower.shorten("a dog " * 20)]).pooled is not None


def test_languages(made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path) -> None:
    folder, _ = made["clip"]
    store, stats, _ = embed(tmp_path / "out", stage(folder, languages=("de",)), shards)
    assert stats.n_in == 2
    assert list(store.keys()) == ["toy/0001#de0", "toy/0002#de1"]
    images = [sample for sample, _ in pairs(store, store)]
    assert images == []  # samples are no captions


def test_bert_as_albef_and_lilt_read_it(made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path) -> None:  # fmt: skip
    """No closing token, no token types: as BertModel with a zeroed row."""
    folder, _ = made["bert"]
    store, _, _ = embed(tmp_path / "out", stage(folder, pool="cls", tokens=True, variant="albef"), shards)
    model = hf.BertModel.from_pretrained(folder)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        model.embeddings.token_type_embeddings.weight.zero_()
        for number in (0, 1, 5):
            ids = tokenizer([TEXTS[number][1]], return_tensors="pt")["input_ids"][:, :-1]
            near(store[key_of(number)].tokens, model(ids).last_hidden_state[0])
        words = tokenizer(TEXTS[4][1], add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[tokenizer.cls_token_id, *words[: LIMIT - 1]]])
        near(store[LONG].tokens, model(ids).last_hidden_state[0])
    for kind in ("clip", "xlmr"):
        with pytest.raises(ConfigError, match="no variant 'albef'"):
            stage(made[kind][0], pool="mean", variant="albef").setup(inputs_of(shards=shards))


def test_what_no_text_tower_has(made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path) -> None:
    inputs = inputs_of(shards=shards)
    with pytest.raises(ConfigError, match="from left to right") as caught:
        stage(made["clip"][0], pool="cls").setup(inputs)
    assert "pool: tower" in caught.value.hint
    with pytest.raises(UserError, match=r"lacks the weights pooler\.dense") as missing:
        stage(made["xlmr"][0]).setup(inputs)
    assert "pool: cls" in missing.value.hint
    vision = shutil.copytree(made["vit"][0], tmp_path / "vit")
    with pytest.raises(ConfigError, match="takes no text"):
        stage(vision).setup(inputs)
    mute = shutil.copytree(made["bert"][0], tmp_path / "mute")
    for file in mute.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match="tokenizer"):
        stage(mute).setup(inputs)


def test_the_key_has_the_tokenizer(made: dict[str, tuple[Path, Any]], shards: Artifact) -> None:
    shard = next(iter(stage(made["clip"][0]).shards(inputs_of(shards=shards))))
    assert {"tower/tokenizer.json", "tower/tokenizer_config.json", "tower/model.safetensors"} <= {*shard.uses}
    assert "tower/preprocessor_config.json" not in shard.uses


def test_the_report_shows_neighbours(
    made: dict[str, tuple[Path, Any]], shards: Artifact, tmp_path: Path
) -> None:
    one = stage(made["clip"][0])
    embed(tmp_path / "out", one, shards)
    opened = artifact(tmp_path / "out", "embeddings/toy", {"00000": [tmp_path / "out" / "00000.h5"]})
    sections = dict(one.illustrate(opened, inputs_of(shards=shards)))
    assert "ein hund unter dem tisch" in sections["Nearest neighbours"]
