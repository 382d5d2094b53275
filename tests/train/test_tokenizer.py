from pathlib import Path

import pytest
from tokenizers import Tokenizer

from pipeline.stage import Output, Shard
from store.errors import UserError
from tests.train.pipeline_toys import inputs_of
from tests.train.toys import captions, make_world, scene
from tests.train.tuning_toys import add_truth
from train.tokenizer import SPECIAL, TokenizerParams, TrainTokenizer, train

TEXTS = [caption.text for number in range(40) for caption in captions("t/0", scene(number))]


def test_equal_texts_make_equal_bytes() -> None:
    # The library's own trainer fails this: it numbers characters in the order of a hash map.
    params = TokenizerParams(vocabulary=120, minimum_count=1)
    made = {train(texts, params).to_str() for texts in (TEXTS, TEXTS, TEXTS[::-1], TEXTS)}
    assert len(made) == 1


def test_accents_are_kept_and_case_is_a_parameter() -> None:
    lower = train(TEXTS, TokenizerParams(minimum_count=1))
    assert lower.encode("Grün ZELENÝ", add_special_tokens=False).tokens == ["grün", "zelený"]
    cased = train(TEXTS, TokenizerParams(minimum_count=1, lower_case=False))
    assert cased.encode("Ball", add_special_tokens=False).tokens == ["Ball"]
    assert [lower.token_to_id(token) for token in SPECIAL] == [0, 1, 2, 3, 4]
    assert lower.encode("ball", "cube").tokens == ["[CLS]", "ball", "[SEP]", "cube", "[SEP]"]


def test_characters_are_no_special_tokens() -> None:
    tokenizer = train(TEXTS, TokenizerParams(minimum_count=1))
    ids = tokenizer.encode("ball", add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ball"
    assert {token.content for token in tokenizer.get_added_tokens_decoder().values()} == set(SPECIAL)


def test_rare_characters_become_unknown() -> None:
    tokenizer = train([*TEXTS, "ж"], TokenizerParams(minimum_count=1, alphabet=30))
    assert tokenizer.encode("ж", add_special_tokens=False).tokens == ["[UNK]"]


def run(tmp_path: Path, world: Path, **params: object) -> tuple[Path, object]:
    inputs = inputs_of(tmp_path, shards=[world / "00000.parquet", world / "00000.tar"])
    stage = TrainTokenizer(TokenizerParams.model_validate(params))
    (shard,) = stage.shards(inputs)
    out = tmp_path / "out"
    out.mkdir()
    stats = stage.process(shard, inputs, Output(shard, out, tmp_path / "scratch"))
    return out, stats


def test_stage_writes_a_folder_that_transformers_opens(tmp_path: Path, world: Path) -> None:
    from transformers import AutoTokenizer

    out, stats = run(tmp_path, world, vocabulary=150, minimum_count=1)
    assert sorted(path.name for path in out.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    assert stats.n_in == stats.n_ok == 240
    assert stats.totals["unknown pieces"] == 0
    opened = AutoTokenizer.from_pretrained(out)
    assert opened.mask_token == "[MASK]"
    assert opened("red ball")["input_ids"][0] == opened.cls_token_id


def test_texts_of_tasks_are_learnt_from(tmp_path: Path, world: Path) -> None:
    table = add_truth(world, tmp_path / "truth")
    inputs = inputs_of(tmp_path, shards=[table, table.with_suffix(".tar")])
    pieces = {}
    for tasks in ((), ("answers",)):
        stage = TrainTokenizer(TokenizerParams(minimum_count=1, tasks=tasks))  # type: ignore[arg-type]
        (shard,) = stage.shards(inputs)
        out = tmp_path / f"out{len(tasks)}"
        out.mkdir()
        stage.process(shard, inputs, Output(shard, out, tmp_path / "scratch"))
        made = Tokenizer.from_file(str(out / "tokenizer.json"))
        pieces[tasks] = made.encode("what is there", add_special_tokens=False).tokens
    assert pieces[("answers",)] == ["what", "is", "there"]
    assert pieces[()] != ["what", "is", "there"]


def test_a_published_tokenizer_is_copied(tmp_path: Path, world: Path) -> None:
    out, _ = run(tmp_path, world, pretrained=str(world / "tokenizer"))
    assert (out / "tokenizer.json").read_bytes() == (world / "tokenizer" / "tokenizer.json").read_bytes()


def test_an_unknown_tokenizer_is_a_clear_error(
    tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"no tokenizer\.json in 'nobody/nothing'"):
        run(tmp_path, world, pretrained="nobody/nothing")


def test_key_follows_the_content_of_shards(tmp_path: Path, world: Path) -> None:
    stage = TrainTokenizer(TokenizerParams())
    shards = [world / "00000.parquet"]
    one: Shard = next(iter(stage.shards(inputs_of(tmp_path / "a", shards=shards))))
    same: Shard = next(iter(stage.shards(inputs_of(tmp_path / "b", shards=shards))))
    other_world = make_world(tmp_path / "w", 5)
    other: Shard = next(iter(stage.shards(inputs_of(tmp_path / "c", shards=[other_world / "00000.parquet"]))))
    assert one.uses == same.uses != other.uses
