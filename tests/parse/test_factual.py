"""The style `factual` with the weights that come with the package, and what it is made of."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from parse.examples import fragments, taught
from parse.factual import FactualReader
from parse.features import (
    ATTRIBUTE_TELLS,
    RELATION_TELLS,
    TELL_AFTER,
    TELL_BEFORE,
    TELL_WORD,
    attribute_pairs,
    batch_of,
    relation_pairs,
)
from parse.metrics import format_facts, read_graphs, score
from parse.network import Average, Network, Sizes
from parse.opinion import opinion
from parse.parser import Parser, clean, reader
from parse.spelling import Spelling
from parse.training import Recipe, train
from parse.weights import SHIPPED, Rows, load, save
from parse.words import Words
from store.errors import ConfigError, CorruptError, UserError
from tests.parse.test_odd_input import ODD

CONVENTIONS = {
    "number": ("two dogs", "( dogs , is , 2 )"),
    "clothes": ("man in a blue shirt", "( man , wear , shirt ) , ( shirt , is , blue )"),
    "part": ("leg of the man", "( man , have , leg )"),
    "verb and preposition": ("a cat sitting on a chair", "( cat , sit on , chair )"),
    "passive": ("the field is covered in grass", "( grass , cover , field )"),
    "coordination": ("a black and white cat", "( cat , is , black ) , ( cat , is , white )"),
    "renamed": ("a guy on a surf board", "( person , on , surfboard )"),
    "material": ("a wood table", "( table , is , wooden )"),
    "side": ("trees on the side of the road", "( trees , on side of , road )"),
    "lone object": ("a train", "( train )"),
}


@pytest.fixture(scope="module")
def read(parser: Parser) -> FactualReader:
    return FactualReader(parser.nlp)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions(name: str, parser: Parser, read: FactualReader) -> None:
    caption, stated = CONVENTIONS[name]
    assert format_facts(read([parser.nlp(caption)])[0].tuples()) == stated


def test_company_changes_nothing(parser: Parser, read: FactualReader) -> None:
    captions = ["", *(caption for caption, _ in CONVENTIONS.values()), " "]
    docs = list(parser.nlp.pipe(captions))
    assert read(docs) == [read([doc])[0] for doc in docs]


@pytest.mark.parametrize("name", ODD)
def test_odd_input(name: str, parser: Parser, read: FactualReader) -> None:
    caption = ODD[name]
    for phrase in read([parser.nlp(clean(caption))])[0].phrases():
        assert phrase.spans
        assert all(word == word.strip() != "" for word in phrase.words)
        assert all(0 <= start < end <= len(caption) for start, end in phrase.spans)


def test_spans(parser: Parser, read: FactualReader) -> None:
    caption = "two men sitting on a wood bench"
    spans = {phrase.words: phrase.spans for phrase in read([parser.nlp(caption)])[0].phrases()}
    words = {said: [caption[a:b] for a, b in found] for said, found in spans.items()}
    assert words["men", "2"] == ["two", "men"]
    assert words["men", "sit on", "bench"] == ["men", "sitting", "on", "bench"]


def test_styles(parser: Parser) -> None:
    with pytest.raises(ConfigError, match="factual"):
        reader(parser.nlp, "factul")  # type: ignore[arg-type]


def test_weights_tell_where_they_come_from() -> None:
    told = json.loads((SHIPPED / "factual.json").read_text("utf-8"))["provenance"]
    assert "FACTUAL" in told["learned from"]
    assert {"captions", "language model", "recipe", "seed", "table"} <= set(told)


def test_weights_on_disk(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train-parser"):
        load(tmp_path)
    weights = load()
    save(weights, tmp_path)
    assert (tmp_path / "factual.safetensors").read_bytes() == (SHIPPED / "factual.safetensors").read_bytes()
    assert (tmp_path / "factual.json").read_bytes() == (SHIPPED / "factual.json").read_bytes()
    told = json.loads((tmp_path / "factual.json").read_text("utf-8"))
    told["sizes"]["width"] += 1
    (tmp_path / "factual.json").write_text(json.dumps(told), "utf-8")
    with pytest.raises(CorruptError, match="do not fit"):
        load(tmp_path)


def test_rows() -> None:
    draw = np.random.default_rng(0)
    keys = np.unique(draw.integers(1, 2**64 - 1, 5_000, dtype=np.uint64))
    near = np.sort(np.concatenate([keys[:-1], keys[:40] + np.uint64(1)]))
    for known in (keys, np.unique(near), keys[:0]):
        rows = Rows(known)
        assert (rows(known) == np.arange(1, len(known) + 1)).all()
        assert not rows(draw.integers(1, 2**64 - 1, (100, 3), dtype=np.uint64)).any()


def test_paths_do_not_depend_on_where_a_caption_stands(parser: Parser) -> None:
    docs = list(parser.nlp.pipe(["a man on a horse", "a vase on a table with a cat near it"]))
    words = Words(parser.nlp, {})
    alone, after = batch_of(docs[1:], words), batch_of(docs, words)
    left, right, moved = np.array([1, 4, 7, 7]), np.array([4, 1, 4, 1]), len(docs[0])
    assert (alone.features == after.features[moved:]).all()
    for describe in (relation_pairs, attribute_pairs):
        here, there = describe(alone, left, right), describe(after, left + moved, right + moved)
        assert (here.features == there.features).all()
        assert len(np.unique(here.features[:, 2])) >= 3


def test_verb_of_a_pair(parser: Parser) -> None:
    batch = batch_of([parser.nlp("a man wearing a hat is riding a horse")], Words(parser.nlp, {}))
    pairs = relation_pairs(batch, np.array([1, 1]), np.array([4, 8]))
    assert [batch.words[t] for t in pairs.verb] == ["wearing", "riding"]


SEEN = {
    "truck": 50,
    "train": 90,
    "tracks": 3,
    "trucks": 25,
    "tree": 700,
    "men": 800,
    "woman": 900,
    "trian": 1,
}


@pytest.mark.parametrize(
    ("word", "repaired"),
    [
        ("trcuk", "truck"),
        ("truckk", "truck"),
        ("truk", "truk"),  # too short for a word seen fifty times
        ("tre", "tree"),
        ("mn", "men"),  # the tables know it, but no word is without a vowel
        ("trunk", "trunk"),
        ("trakcs", "trakcs"),
        ("trian", "train"),  # seen once, misspelt then, too
        ("truckss", "trucks"),
        ("wowan", "woman"),
        ("xoman", "woman"),
        ("xruck", "xruck"),  # another first letter takes a commoner word
        ("2trains", "2trains"),
        ("x", "x"),
    ],
)
def test_spelling(word: str, repaired: str) -> None:
    assert Spelling(SEEN, right=lambda word: word in ("trunk", "mn"))(word) == repaired


def test_misspelt_words_read_like_the_words_that_they_are(parser: Parser, read: FactualReader) -> None:
    captions = [
        "a man wearing a white shirt",
        "a man wearng a whtie shrit",
        "two dogs wlking behnd a wooden fence",
    ]
    right, wrong, behind = read(list(parser.nlp.pipe(captions)))
    assert right.tuples() == wrong.tuples()
    assert [p.spans for p in wrong.phrases() if p.words == ("shirt", "white")] == [((15, 20), (21, 26))]
    assert ("dogs", "behind", "fence") in behind.tuples()  # the tagger takes both misspelt words for others


def test_features_that_tell_a_word_are_those_that_forgetting_it_leaves_out(parser: Parser) -> None:
    docs = list(parser.nlp.pipe(["a man on a horse", "a cat on a horse", "a man on a sofa"]))
    man, cat, sofa = (batch_of([doc], Words(parser.nlp, {})) for doc in docs)
    assert (man.tag == cat.tag).all()
    assert (man.dep == cat.dep).all()
    ending = 3
    assert {*np.flatnonzero((man.features != cat.features)[1]).tolist()} - {ending} == {*TELL_WORD}
    assert {*TELL_BEFORE} <= {*np.flatnonzero((man.features != cat.features)[2]).tolist()}
    assert {*TELL_AFTER} <= {*np.flatnonzero((man.features != cat.features)[0]).tolist()}
    ends = np.array([1]), np.array([4])
    for describe, (left, right) in ((relation_pairs, RELATION_TELLS), (attribute_pairs, ATTRIBUTE_TELLS)):
        told = describe(man, *ends).features
        assert {*np.flatnonzero(told != describe(cat, *ends).features)} == {*left}
        assert {*np.flatnonzero(told != describe(sofa, *ends).features)} == {*right}


def test_average_of_weights() -> None:
    network = Network(Sizes(3, 3, 4, 2, 2, width=8))
    averaged, before = Average(network), network.node.weight.detach().clone()
    averaged.write(network)
    assert torch.equal(network.node.weight, before)
    for value in (1.0, 4.0):
        torch.nn.init.constant_(network.node.weight, value)
        averaged.add(network)
    averaged.write(network)
    assert (network.node.weight == 2.5).all()


def test_training_is_repeatable_and_learns(tmp_path: Path, parser: Parser) -> None:
    rows = [
        (f"a {colour} {thing} on a {place}", f"( {thing} , is , {colour} ) , ( {thing} , on , {place} )")
        for colour in ("red", "blue", "green", "white")
        for thing in ("cup", "ball", "book", "cat")
        for place in ("table", "chair", "bed")
    ]
    with (tmp_path / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("caption", "scene_graph"), *rows])
    recipe = Recipe(
        epochs=12, batch=16, warm_up=5, rare=2, width=16, layers=1, rate=2e-2, dropout=0.0, joined=0.0
    )
    for folder in ("one", "two"):
        train(tmp_path / "table.csv", tmp_path / folder, recipe=recipe)
    assert (tmp_path / "one/factual.safetensors").read_bytes() == (
        tmp_path / "two/factual.safetensors"
    ).read_bytes()
    read = FactualReader(parser.nlp, tmp_path / "one")
    found = read([parser.nlp(caption) for caption, _ in rows])
    stated = [facts for _, facts in read_graphs(tmp_path / "table.csv")]
    right = [format_facts(graph.tuples()) == format_facts(b) for graph, b in zip(found, stated, strict=True)]
    assert sum(right) >= 40
    provenance = train(
        tmp_path / "table.csv",
        tmp_path / "three",
        recipe=replace(recipe, epochs=1, whole=1.0),
        teachers=[load(tmp_path / "one")],
        captions=["a red cup on a blue table", "", "a white cat near a chair"],
    )
    assert [each["seed"] for each in provenance["teachers"]] == [0]
    assert load(tmp_path / "three").relations == load(tmp_path / "one").relations
    assert (tmp_path / "three/factual.safetensors").read_bytes() != (
        tmp_path / "one/factual.safetensors"
    ).read_bytes()
    with pytest.raises(UserError, match="same table"):
        train(tmp_path / "table.csv", tmp_path / "four", recipe=recipe, teachers=[load()], captions=["a cat"])


def test_what_teachers_say_stands_beside_its_tokens(parser: Parser) -> None:
    docs = list(parser.nlp.pipe(["a man on a horse"] * 300 + ["two dogs under a red table"]))
    words, teachers = Words(parser.nlp, {}), [load(), load()]
    lesson, alone = taught(docs, words, teachers), opinion(teachers[:1], batch_of(docs[-1:], words))
    assert len(lesson) == 301
    last = slice(lesson.relation_starts[-2], None)
    assert (lesson.relations.left[last] - lesson.batch.first[-2] == alone.objects.left).all()
    assert np.abs(lesson.relation_labels[last] - alone.relations).max() < 1e-2
    last = slice(lesson.attribute_starts[-2], None)
    assert (lesson.attributes.right[last] - lesson.batch.first[-2] == alone.words.right).all()
    assert np.abs(lesson.attribute_labels[last] - alone.attributes).max() < 1e-2


def test_fragments_are_phrases_of_their_captions(parser: Parser) -> None:
    captions = ["a man in a red shirt rides a horse near a small lake", "a dog", "."]
    docs = list(parser.nlp.pipe(captions))
    found = list(fragments(docs, 0.0, np.random.default_rng(0)))
    assert len(found) == 1
    assert found[0] in captions[0]
    assert 3 <= len(found[0].split()) <= 9
    assert set(captions) < set(fragments(docs, 1.0, np.random.default_rng(0)))


@pytest.mark.shared
def test_close_to_peoples_graphs(shared: Path, parser: Parser, read: FactualReader) -> None:
    """Floors a little under the figures of docs/benchmarks.md."""
    for name, matched, spice in (("dev", 0.70, 0.89), ("dev_long", 0.29, 0.77)):
        stated = read_graphs(shared / "factual" / f"{name}.csv")[:600]
        docs = list(parser.nlp.pipe((clean(caption) for caption, _ in stated), batch_size=128))
        pairs = [(a, frozenset(g.tuples())) for (_, a), g in zip(stated, read(docs), strict=True)]
        values = {s.protocol: s.value for s in score(pairs, lemma=parser.lemmatizer.noun)}
        assert values["graph/set_match/lemmas"] >= matched
        assert values["graph/spice_f1/lemmas/macro"] >= spice
