"""Repairs of what the tagger and parser get wrong on captions, which are often fragments without a verb.

Each repair is a rule of grammar that the parse breaks: a determiner has a noun, a finite verb has a subject.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from parse import placing, rows, subjects, tagging
from parse.tree import GONE, Tree


def repair(tree: Tree) -> None:
    """Correct tags and arcs in place: rule by rule, each on every token in order."""
    tags, deps = tree.tags.copy(), tree.deps.copy()
    ahead = _ahead(tree, (-1, -1))
    while ahead:
        number, token = ahead.pop()
        _RULES[number][0](tree, token)
        if tree.tags != tags or tree.deps != deps:
            tags, deps = tree.tags.copy(), tree.deps.copy()
            ahead = _ahead(tree, (number, token))


def _ahead(tree: Tree, done: tuple[int, int]) -> list[tuple[int, int]]:
    """Rules with the tokens that are their business, behind what is done, the next one last."""
    concerned = enumerate(map(_concerned, tree.tags, tree.deps))
    ahead = [(number, token) for token, numbers in concerned for number in numbers if (number, token) > done]
    return sorted(ahead, reverse=True)


@cache
def _concerned(tag: str, dep: str) -> tuple[int, ...]:
    """The rules that look at tokens with a tag and a label: none at three words of four."""
    return tuple(
        number
        for number, (_, tags, deps) in enumerate(_RULES)
        if tag in tags and (dep in deps if deps else dep != GONE)
    )


_NOUNS = frozenset(("NN", "NNS", "NNP", "NNPS"))
_VERBS = frozenset(("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"))
_ADJECTIVES = frozenset(("JJ", "JJR", "JJS"))
_PREPOSITIONS = frozenset(("IN",))

_ROOT = frozenset(("ROOT",))
_ANY = frozenset[str]()

_RULES: tuple[tuple[Callable[[Tree, int], None], frozenset[str], frozenset[str]], ...] = (
    (rows.adjective_with_noun, _NOUNS, frozenset(("conj",))),
    (
        rows.row_goes_on,
        _NOUNS | _VERBS | frozenset(("RB",)),
        frozenset(("ROOT", "npadvmod", "dobj", "appos")),
    ),
    (subjects.object_behind_participle, _NOUNS, frozenset(("npadvmod", "appos"))),
    (rows.gerund_before_noun, frozenset(("VBG",)), frozenset(("pcomp",))),
    (tagging.participle_as_head, frozenset(("VBG", "NN")), frozenset(tagging.NOMINAL)),
    (tagging.contracted_possessive, frozenset(("VBZ",)), frozenset(("ROOT", "pcomp", "ccomp", "advcl"))),
    (tagging.no_pronoun, frozenset(("PRP", "RB")), frozenset(("nsubj", "dobj"))),
    (tagging.participle_as_noun, frozenset(("NN",)), frozenset(("acl",))),
    (placing.infinitive_of_noun, _NOUNS, frozenset(("ROOT", "xcomp", "advcl", "relcl", "acl"))),
    (tagging.verb_after_article, frozenset(("NNS",)), _ROOT),
    (rows.colour_as_predicate, _NOUNS, frozenset(("attr", "conj"))),
    (rows.size_as_adverb, frozenset(("RB",)), frozenset(("advmod",))),
    (tagging.verb_with_subject, frozenset(("NN", "NNS")), _ANY),
    (tagging.noun_as_verb, _VERBS, frozenset(tagging.NOMINAL)),
    (tagging.noun_beside_object, frozenset(("VB", "VBP")), frozenset(("conj",))),
    (rows.coordinated_with_last, _NOUNS, frozenset(("conj",))),
    (subjects.missing_subject, _VERBS, frozenset(("ROOT", "conj"))),
    (subjects.participle_before_object, frozenset(("VBG", "NN")), frozenset(("amod", "compound"))),
    (subjects.two_subjects, _VERBS, _ANY),
    (placing.stranded_preposition, _PREPOSITIONS | frozenset(("RP",)), frozenset(("prep", "prt"))),
    (subjects.subject_before_participle, frozenset(("VBN", "VBD", "VBG")), frozenset(("ROOT", "pcomp"))),
    (subjects.adjective_as_verb, frozenset(("JJ",)), _ROOT),
    (placing.participle_of_preposition, frozenset(("VBG", "VBN")), frozenset(("pcomp",))),
    (rows.participle_after_noun, frozenset(("VBN", "JJ")), frozenset(("amod",))),
    (rows.participle_before_noun, frozenset(("VBN", "VBD")), _ROOT),
    (subjects.fronted_participle, frozenset(("VBG", "VBN", "VBD")), _ROOT),
    (placing.preposition_as_root, _PREPOSITIONS, _ROOT),
    (rows.colour_as_head, _NOUNS, _ANY),
    (rows.adjective_as_noun, frozenset(("JJ",)), frozenset(("ROOT", "pobj", "dobj", "attr"))),
    (rows.stacked_adjectives, _ADJECTIVES, frozenset(("amod", "advmod"))),
    (rows.listed, _NOUNS, frozenset(("appos",))),
    (placing.place_of_object, _PREPOSITIONS, frozenset(("prep",))),
    (placing.inversion, _PREPOSITIONS, frozenset(("prep", "advmod"))),
)
"""Each with the tags and the labels that it looks at, in the order in which they build on each other."""
