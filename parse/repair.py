"""Repairs of what the tagger and parser get wrong on captions, which are often fragments without a verb.

Each repair is a rule of grammar that the parse breaks: a determiner has a noun, a finite verb has a subject.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import NamedTuple

from parse import placing, rows, subjects, tagging
from parse.lexicon import COLOURS, NOUNS_IN_ING, SIZES
from parse.tree import GONE, Tree


def repair(tree: Tree) -> None:
    """Correct tags and arcs in place: rule by rule, each on every token in order."""
    tags, deps = tree.tags.copy(), tree.deps.copy()
    ahead = _ahead(tree, (-1, -1))
    while ahead:
        number, token = ahead.pop()
        _RULES[number].repair(tree, token)
        if tree.tags != tags or tree.deps != deps:
            tags, deps = tree.tags.copy(), tree.deps.copy()
            ahead = _ahead(tree, (number, token))


def _ahead(tree: Tree, done: tuple[int, int]) -> list[tuple[int, int]]:
    """Rules with the tokens that are their business, behind what is done, the next one last."""
    kinds = [_KINDS.get(word) or _ENDINGS[word[-3:] == "ing"] for word in tree.words]
    concerned = enumerate(map(_concerned, tree.tags, tree.deps, kinds))
    ahead = [(number, token) for token, numbers in concerned for number in numbers if (number, token) > done]
    ahead.sort(reverse=True)
    return ahead


@cache
def _concerned(tag: str, dep: str, kind: str) -> tuple[int, ...]:
    """The rules that look at words of a kind with a tag and a label: few at most words."""
    return tuple(
        number
        for number, (_, tags, deps, wanted) in enumerate(_RULES)
        if tag in tags and (dep in deps if deps else dep != GONE) and wanted in ("", kind)
    )


class _Rule(NamedTuple):
    """What to do with a token, and the tags, labels (none: all) and kind of words that it looks at.

    A repair does not ask again for what is asked here.
    """

    repair: Callable[[Tree, int], None]
    tags: Collection[str]
    deps: Collection[str] = ()
    kind: str = ""


_KINDS = {
    **dict.fromkeys(COLOURS, "colour"),
    **dict.fromkeys(SIZES, "size"),
    **dict.fromkeys(NOUNS_IN_ING, "noun"),
    "'s": "possessive",
}
_ENDINGS = ("", "participle")
_NOUNS = ("NN", "NNS", "NNP", "NNPS")
_VERBS = ("VB", "VBD", "VBG", "VBN", "VBP", "VBZ")
_CLAUSES = ("xcomp", "advcl", "relcl", "acl")

_RULES = (
    _Rule(rows.adjective_with_noun, _NOUNS, ("conj",)),
    _Rule(rows.row_goes_on, (*_NOUNS, *_VERBS, "RB"), ("ROOT", "npadvmod", "dobj", "appos")),
    _Rule(subjects.object_behind_participle, _NOUNS, ("npadvmod", "appos")),
    _Rule(rows.gerund_before_noun, ("VBG",), ("pcomp",)),
    _Rule(tagging.participle_as_head, ("VBG", "NN"), tagging.NOMINAL, "participle"),
    _Rule(tagging.contracted_possessive, ("VBZ",), ("ROOT", "pcomp", "ccomp", "advcl"), "possessive"),
    _Rule(tagging.no_pronoun, ("PRP", "RB"), ("nsubj", "dobj")),
    _Rule(tagging.participle_as_noun, ("NN",), ("acl",), "participle"),
    _Rule(placing.infinitive_of_noun, _NOUNS, ("ROOT", *_CLAUSES)),
    _Rule(tagging.verb_after_article, ("NNS",), ("ROOT",)),
    _Rule(rows.colour_as_predicate, _NOUNS, ("attr", "conj"), "colour"),
    _Rule(rows.size_as_adverb, ("RB",), ("advmod",), "size"),
    _Rule(tagging.verb_with_subject, (*_NOUNS, "PRP", "WDT", "WP", "DT", "CD", "JJ"), ("nsubj",)),
    _Rule(tagging.noun_as_verb, _VERBS, tagging.NOMINAL),
    _Rule(tagging.noun_beside_object, ("VB", "VBP"), ("conj",)),
    _Rule(rows.coordinated_with_last, _NOUNS, ("conj",)),
    _Rule(subjects.missing_subject, _VERBS, ("ROOT", "conj")),
    _Rule(subjects.participle_before_object, ("VBG", "NN"), ("amod", "compound"), "participle"),
    _Rule(subjects.two_subjects, _VERBS),
    _Rule(placing.stranded_preposition, ("IN", "RP"), ("prep", "prt")),
    _Rule(subjects.subject_before_participle, ("VBN", "VBD", "VBG"), ("ROOT", "pcomp")),
    _Rule(subjects.adjective_as_verb, ("JJ",), ("ROOT",)),
    _Rule(placing.participle_of_preposition, ("VBG", "VBN"), ("pcomp",)),
    _Rule(rows.participle_after_noun, ("VBN", "JJ"), ("amod",)),
    _Rule(rows.participle_before_noun, ("VBN", "VBD"), ("ROOT",)),
    _Rule(subjects.fronted_participle, ("VBG", "VBN", "VBD"), ("ROOT",)),
    _Rule(placing.preposition_as_root, ("IN",), ("ROOT",)),
    _Rule(rows.colour_as_head, _NOUNS, (), "colour"),
    _Rule(rows.adjective_as_noun, ("JJ",), ("ROOT", "pobj", "dobj", "attr")),
    _Rule(rows.stacked_adjectives, ("JJ", "JJR", "JJS"), ("amod", "advmod")),
    _Rule(rows.listed, _NOUNS, ("appos",)),
    _Rule(placing.place_of_object, ("IN",), ("prep",)),
    _Rule(placing.inversion, ("IN",), ("prep", "advmod")),
)
"""In the order in which they build on each other."""
