"""Rules over universal dependencies, on trees as treebanks have them: no model is needed to test grammar."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from parse.graph import SceneGraph
from parse.languages.parser import LANGUAGES, UniversalParser, load_parser, universal_reader
from store.errors import ConfigError, UserError

VOCAB = spacy.blank("xx").vocab


def doc(lines: str) -> Doc:
    """A document of CoNLL-like lines: form, lemma, part of speech with features, head (from 1, 0 a root), label.

    `+` before a form glues it to the word before.
    """
    rows = [line.split() for line in lines.strip().splitlines()]
    forms = [row[0].lstrip("+") if row[0] != "+" else "+" for row in rows]
    glued = [row[0].startswith("+") and row[0] != "+" for row in rows]
    parts = [row[2].partition("|") for row in rows]
    return Doc(
        VOCAB,
        words=forms,
        spaces=[not following for following in [*glued[1:], False]],
        lemmas=[row[1] for row in rows],
        pos=[part for part, _, _ in parts],
        morphs=[features for _, _, features in parts],
        heads=[int(row[3]) - 1 if row[3] != "0" else number for number, row in enumerate(rows)],
        deps=[row[4] for row in rows],
    )


def french(lines: str) -> SceneGraph:
    return universal_reader("fr")([doc(lines)])[0]


def czech(lines: str) -> SceneGraph:
    return universal_reader("cs")([doc(lines)])[0]


def test_subject_verb_object_and_place() -> None:
    graph = french("""
        un un DET 2 det
        homme homme NOUN 3 nsubj
        monte monter VERB|VerbForm=Fin 0 ROOT
        un un DET 5 det
        cheval cheval NOUN 3 obj
        brun brun ADJ 5 amod
        dans dans ADP 9 case
        un un DET 9 det
        champ champ NOUN 3 obl:mod
    """)
    assert set(graph.tuples()) == {
        ("homme",),
        ("cheval",),
        ("champ",),
        ("cheval", "brun"),
        ("homme", "monter", "cheval"),
        ("homme", "monter dans", "champ"),
    }
    relation = next(p for p in graph.phrases() if p.words[1:] == ("monter dans", "champ"))
    assert relation.spans == ((3, 8), (9, 14), (30, 34), (38, 43))


def test_participle_kind_and_compound_preposition() -> None:
    graph = french("""
        homme homme NOUN 0 ROOT
        vêtu vêtir VERB 1 acl
        d' de ADP 5 case
        un un DET 5 det
        gilet gilet NOUN 2 obl:arg
        de de ADP 7 case
        sauvetage sauvetage NOUN 5 nmod
        à à ADP 9 case
        côté côté NOUN 2 obl:mod
        du de ADP 11 case
        bateau bateau NOUN 9 nmod
    """)
    assert set(graph.tuples()) == {
        ("homme",),
        ("gilet",),
        ("gilet", "sauvetage"),
        ("bateau",),
        ("homme", "vêtir de", "gilet"),
        ("homme", "vêtir à côté de", "bateau"),
    }


def test_hyphens_quantities_numbers_and_owners() -> None:
    graph = french("""
        deux deux NUM 2 nummod
        filles fille NOUN 4 nsubj
        se se PRON 4 expl:comp
        lavent laver VERB|VerbForm=Fin 0 ROOT
        avec avec ADP 7 case
        une un DET 7 det
        paire paire NOUN 4 obl:mod
        de de ADP 9 case
        gants gant NOUN 7 nmod
        sur sur ADP 14 case
        leurs son DET|Poss=Yes 14 det
        t t NOUN 14 nmod
        +- - PUNCT 14 punct
        +shirts shirt NOUN 4 obl:mod
    """)
    assert set(graph.tuples()) == {
        ("fille",),
        ("fille", "deux"),
        ("gant",),
        ("gant", "paire"),
        ("t-shirt",),
        ("fille", "se laver avec", "gant"),
        ("fille", "se laver sur", "t-shirt"),
        ("fille", "avoir", "t-shirt"),
    }


def test_an_auxiliary_phrase_and_a_partitive_say_nothing() -> None:
    graph = french("""
        chien chien NOUN 4 nsubj
        est être AUX 4 cop
        en en ADP 4 case
        train train NOUN 0 ROOT
        de de ADP 6 mark
        manger manger VERB 4 acl
        du de ADP 8 case
        pain pain NOUN 6 obl:arg
    """)
    assert set(graph.tuples()) == {("chien",), ("pain",), ("chien", "manger", "pain")}


def test_copula_and_coordination() -> None:
    graph = french("""
        maison maison NOUN 3 nsubj
        est être AUX 3 cop
        blanche blanc ADJ 0 ROOT
        et et CCONJ 5 cc
        grise gris ADJ 3 conj
    """)
    assert set(graph.tuples()) == {("maison",), ("maison", "blanc"), ("maison", "gris")}


def test_relative_clause_genitive_and_bare_case() -> None:
    graph = czech("""
        skupina skupina NOUN 0 ROOT
        mužů muž NOUN 1 nmod
        , , PUNCT 5 punct
        která který DET|PronType=Rel 5 nsubj
        jede jet VERB|VerbForm=Fin 1 acl:relcl
        vlakem vlak NOUN 5 obl
        a a CCONJ 8 cc
        autem auto NOUN 6 conj
    """)
    assert set(graph.tuples()) == {
        ("skupina",),
        ("muž",),
        ("vlak",),
        ("auto",),
        ("skupina", "gen", "muž"),
        ("skupina", "jet", "vlak"),
        ("skupina", "jet", "auto"),
    }


def test_adjective_with_a_complement_is_a_clause() -> None:
    graph = czech("""
        dívka dívka NOUN 0 ROOT
        sedící sedící ADJ 1 amod
        na na ADP 4 case
        lavičce lavička NOUN 2 obl
    """)
    assert set(graph.tuples()) == {("dívka",), ("lavička",), ("dívka", "sedící na", "lavička")}


def test_the_agent_of_a_passive_does_it() -> None:
    graph = french("""
        cerf-volant cerf-volant NOUN 3 nsubj:pass
        est être AUX 3 aux:pass
        tenu tenir VERB 0 ROOT
        par par ADP 5 case
        garçon garçon NOUN 3 obl:agent
    """)
    assert ("garçon", "tenir", "cerf-volant") in graph.tuples()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_tree_breaks_a_rule(data: st.DataObject) -> None:
    """Any tree at all, of words that rules look at."""
    words = st.sampled_from(
        ["à", "côté", "de", "du", "des", "en", "train", "-", "t", "paire", "un", "se", "na", "x"]
    )
    size = data.draw(st.integers(1, 9))
    labels = [
        "nsubj",
        "obj",
        "obl",
        "nmod",
        "case",
        "amod",
        "conj",
        "acl",
        "acl:relcl",
        "fixed",
        "det",
        "cop",
    ]
    tags = ["NOUN", "VERB", "ADJ", "ADP", "DET|Poss=Yes", "PRON", "VERB|VerbForm=Fin", "NUM", "PUNCT"]
    order = data.draw(st.permutations(range(size)))
    heads = {order[0]: 0} | {order[i]: order[data.draw(st.integers(0, i - 1))] + 1 for i in range(1, size)}
    lines = []
    for i in range(size):
        form = data.draw(words)
        glue = "+" if data.draw(st.booleans()) else ""
        label = "ROOT" if heads[i] == 0 else data.draw(st.sampled_from(labels))
        lines.append(f"{glue}{form} {form} {data.draw(st.sampled_from(tags))} {heads[i]} {label}")
    parsed = doc("\n".join(lines))
    for lang in LANGUAGES:
        for phrase in universal_reader(lang)([parsed])[0].phrases():
            assert all(0 <= start < end <= len(parsed.text) for start, end in phrase.spans)


def test_languages_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match="'xx'"):
        load_parser("xx")
    with pytest.raises(ConfigError, match="factual"):
        load_parser("fr", style="factual")
    with pytest.raises(UserError, match="xx_no_such_model"):
        UniversalParser("fr", "xx_no_such_model")


ODD = [
    "",
    " \t",
    "🐶🎉",
    "un chien " * 2_500,
    "<b>un chien</b> &amp; x",
    "رجل يركب حصانا",
    "UN HOMME VÊTU D'UN T-SHIRT",
    "rouge vert",
    "à côté de de des",
    "- - t-",
    "en train de",
    "\ud800",
]


@pytest.mark.parametrize("lang", sorted(LANGUAGES))
def test_odd_input_gives_a_graph(lang: str) -> None:
    pytest.importorskip(LANGUAGES[lang].model, reason=f"{LANGUAGES[lang].model} is optional")
    parser = UniversalParser(lang)
    for caption, graph in zip(ODD, parser.pipe(ODD), strict=True):
        for phrase in graph.phrases():
            assert all(0 <= start < end <= len(caption) for start, end in phrase.spans)


@pytest.mark.parametrize("lang", sorted(LANGUAGES))
def test_word_lists_are_lower_case(lang: str) -> None:
    path = Path("parse/data") / f"{LANGUAGES[lang].words}.json"
    text = (Path(__file__).parents[2] / path).read_text("utf-8")
    assert text == text.lower()
