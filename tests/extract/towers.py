"""Tiny towers with random weights, saved as published ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from extract.embeddings.stage import Embeddings
from pipeline.artifacts import Artifact
from pipeline.stage import Shard
from pipeline.stats import Stats
from store.embeddings import EmbeddingStore, open_embeddings
from tests.extract.toys import artifact, inputs_of, output

WORDS = [
    "a",
    "dog",
    "under",
    "table",
    "red",
    "blue",
    "disc",
    "square",
    "and",
    "the",
    "ein",
    "hund",
    "unter",
    "dem",
    "tisch",
]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = {**SIZES, "image_size": 32, "patch_size": 8}
LIMIT = 12


def clip(folder: Path) -> hf.CLIPModel:
    """Both towers, 8 wide after projection; the end token pads, as in CLIP's tokenizer."""
    tokenizer = words(["<|startoftext|>", "<|endoftext|>"], pad="<|endoftext|>", cls=None)
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": LIMIT, "eos_token_id": 1, "bos_token_id": 0}  # fmt: skip
    torch.manual_seed(0)
    model = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8))
    _save(folder, model, tokenizer)
    square = {"height": 32, "width": 32}
    hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square).save_pretrained(folder)
    return model.eval()


def vit(folder: Path, *, pooler: bool = True) -> hf.ViTModel:
    torch.manual_seed(1)
    model = hf.ViTModel(hf.ViTConfig(**VISION), add_pooling_layer=pooler)
    _save(folder, model)
    hf.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return model.eval()


def deit(folder: Path) -> hf.DeiTModel:
    """With a distillation token, and pixels resized to more than is cropped."""
    torch.manual_seed(2)
    model = hf.DeiTModel(hf.DeiTConfig(**VISION))
    _save(folder, model)
    square = {"height": 32, "width": 32}
    size = {"height": 36, "width": 36}
    hf.DeiTImageProcessor(size=size, crop_size=square, do_center_crop=True).save_pretrained(folder)
    return model.eval()


def bert(folder: Path) -> hf.BertModel:
    tokenizer = words(["[CLS]", "[SEP]", "[PAD]", "[UNK]"], pad="[PAD]", cls="[CLS]")
    torch.manual_seed(3)
    config = hf.BertConfig(**SIZES, vocab_size=len(tokenizer), max_position_embeddings=LIMIT, pad_token_id=2)
    model = hf.BertModel(config)
    _save(folder, model, tokenizer)
    return model.eval()


def xlmr(folder: Path) -> hf.XLMRobertaModel:
    """Without the weights of a pooler, as XLM-R is published; two positions are those of padding."""
    tokenizer = words(["<s>", "<pad>", "</s>", "<unk>"], pad="<pad>", cls="<s>", end="</s>")
    torch.manual_seed(4)
    config = hf.XLMRobertaConfig(
        **SIZES, vocab_size=len(tokenizer), max_position_embeddings=LIMIT + 2, pad_token_id=1
    )
    model = hf.XLMRobertaModel(config, add_pooling_layer=False)
    _save(folder, model, tokenizer)
    return model.eval()


def t5(folder: Path) -> hf.T5Model:
    """An encoder and a decoder; as many positions as there are words."""
    tokenizer = words(["<s>", "<pad>", "</s>", "<unk>"], pad="<pad>", cls=None, end="</s>")
    torch.manual_seed(5)
    config = hf.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=len(tokenizer), pad_token_id=1
    )
    model = hf.T5Model(config)
    _save(folder, model, tokenizer)
    return model.eval()


def words(
    special: list[str], *, pad: str, cls: str | None, end: str | None = None
) -> hf.PreTrainedTokenizerFast:
    """A tokenizer of whole words: `special[0] words special[1]`, or `... end`."""
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    unknown = next((word for word in special if "unk" in word.lower()), special[1])
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    start, stop = special[0], end or special[1]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {stop}", special_tokens=[(each, vocabulary[each]) for each in (start, stop)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        bos_token=start,
        eos_token=stop,
        cls_token=cls,
        sep_token=stop if cls else None,
        model_max_length=LIMIT,
    )


def _save(
    folder: Path, model: hf.PreTrainedModel, tokenizer: hf.PreTrainedTokenizerFast | None = None
) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # zeros would hide a bias that is forgotten
                parameter.normal_(std=0.1)
            elif parameter.ndim > 1:  # as they are drawn, every input would give the same
                parameter.mul_(10)
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def near(found: Any, expected: Any) -> None:
    """Compare what came through float16."""
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=2e-3)


def embed(
    folder: Path, stage: Embeddings[Any], shards: Artifact, **others: Any
) -> tuple[EmbeddingStore, Stats, list[dict[str, str]]]:
    """Run a stage over all shards by hand; the store, merged statistics and failures."""
    inputs = inputs_of(shards=shards)
    stage.setup(inputs)
    stats, failures, records = Stats(), [], {}
    for shard in stage.shards(inputs):
        out = output(shard, folder, **others)
        stats += stage.process(shard, inputs, out)
        failures += out.failures
        records[shard.name] = sorted(folder.glob(f"{shard.name}.*"))
    made = artifact(folder, "embeddings/toy", records)
    stage.reduce(list(made.shards), folder, inputs, output(Shard(name="all"), folder))
    assert stats.n_in == stats.n_ok + len(failures)
    assert stats.failed.total() == len(failures)
    return open_embeddings(folder), stats, failures
