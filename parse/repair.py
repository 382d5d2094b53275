"""Repairs of what the tagger and parser get wrong on captions, which are often fragments without a verb.

Each repair is a rule of grammar that the parse breaks: a determiner has a noun, a finite verb has a subject.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from parse.lexicon import COLOURS, NOT_SUBJECTS
from parse.tree import GONE, Tree

_NOMINAL = ("nsubj", "nsubjpass", "dobj", "pobj", "attr", "conj", "appos", "ROOT")
_BEFORE_PARTICIPLE = ("npadvmod", "nmod", "compound", "amod")
_MISTAKEN_SUBJECTS = ("advmod", "amod", "npadvmod", "dep", "intj", "nmod", "compound")
_NOMINALISED = ("other", "same", "front", "such", "own")
"""Adjectives that stand for a noun and name nothing."""


def repair(tree: Tree) -> None:
    """Correct tags and arcs in place: rule by rule, each on every token in order."""
    known = tree.tags.copy(), tree.deps.copy()
    ahead = _ahead(tree, (-1, -1))
    while ahead:
        number, token = ahead.pop()
        _RULES[number][0](tree, token)
        if tree.tags != known[0] or tree.deps != known[1]:
            known = tree.tags.copy(), tree.deps.copy()
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


def _verb_with_subject(tree: Tree, token: int) -> None:
    """`a cross lies/NNS above`: what has a subject and no copula is a verb."""
    if not tree.below(token, "nsubj") or tree.below(token, "cop", "aux", "det"):
        return
    if tree.below(token, "prep", "dobj"):
        tree.tags[token] = "VBZ" if tree.words[token].endswith("s") else "VBP"


def _noun_as_verb(tree: Tree, token: int) -> None:
    """`a tall building/VBG`, `a suit and tie/VB`: what has a determiner or a noun beside it is one."""
    if not tree.is_verb(token) or tree.deps[token] not in _NOMINAL:
        return
    if tree.below(token, "nsubj", "nsubjpass", "aux", "auxpass", "dobj", "expl"):
        return
    determined = tree.below(token, "det", "amod", "poss", "nummod", "compound")
    head = tree.heads[token]
    coordinated = tree.deps[token] == "conj" and tree.is_noun(head) and tree.tags[token] == "VB"
    bare = (
        tree.deps[token] == "ROOT"
        and tree.tags[token] in ("VB", "VBP")
        and token == 0
        and tree.below(token, "prep")
    )
    if determined or coordinated or bare or tree.deps[token] == "pobj":
        tree.tags[token] = "NNS" if tree.tags[token] == "VBZ" else "NN"


def _participle_as_head(tree: Tree, token: int) -> None:
    """`sheet/compound laying/ROOT on bed`: a participle with a place or an object of its own is no head."""
    before = token - 1
    if not tree.words[token].endswith("ing") or tree.tags[token] not in ("VBG", "NN") or before < 0:
        return
    if tree.heads[before] != token or tree.deps[before] not in ("compound", "conj"):
        return
    beside = [k for k in tree.below(token, "prep", "dobj") if k == token + 1 or tree.deps[k] == "dobj"]
    if tree.deps[token] not in _NOMINAL or not beside or tree.words[beside[0]] == "of":
        return
    head, dep = tree.heads[token], tree.deps[token]
    tree.attach(before, before if head == token else head, dep)
    for kid in [k for k in tree.kids[token] if k < before]:
        tree.attach(kid, before, tree.deps[kid])
    tree.attach(token, before, "acl")
    tree.tags[token] = "VBG"


def _stranded_preposition(tree: Tree, token: int) -> None:
    """`drive down/prep the road/dobj`: a preposition before an object governs it."""
    verb = tree.heads[token]
    if tree.deps[token] != "prep" or tree.tags[token] != "IN" or tree.below(token, "pobj", "pcomp", "prep"):
        return
    for thing in tree.below(verb, "dobj"):
        if (
            thing > token
            and tree.is_verb(verb)
            and all(tree.heads[k] == thing for k in range(token + 1, thing))
        ):
            tree.attach(thing, token, "pobj")


def _two_subjects(tree: Tree, token: int) -> None:
    """`shirt/nsubj the man/nsubj is wearing`: the first of two subjects is the object."""
    subjects = tree.below(token, "nsubj")
    if len(subjects) != 2 or not tree.is_verb(token) or tree.below(token, "dobj", "attr", "acomp", "ccomp"):
        return
    first, second = subjects
    if tree.is_noun(first) and tree.is_noun(second) and "," not in tree.words[first:second]:
        tree.deps[first] = "dobj"


def _missing_subject(tree: Tree, token: int) -> None:
    """`skateboard/RB has four wheels`: the word before a finite verb without a subject is its subject."""
    helpers = tree.below(token, "aux", "auxpass")
    finite = tree.tags[token] in ("VBZ", "VBP", "VBD") or (tree.is_verb(token) and helpers)
    before = min([token, *helpers]) - 1
    if before < 0 or not finite or tree.deps[token] not in ("ROOT", "conj"):
        return
    if tree.heads[before] != token or tree.deps[before] not in _MISTAKEN_SUBJECTS:
        return
    if tree.below(token, "nsubj", "nsubjpass", "expl", "csubj") or tree.words[before] in NOT_SUBJECTS:
        return
    if not tree.words[before].endswith("ly"):
        tree.deps[before] = "nsubj"
        if not tree.is_noun(before) and tree.tags[before] != "PRP":
            tree.tags[before] = "NN"


def _covered_by(tree: Tree, token: int) -> None:
    """`snow/npadvmod covered/ROOT ground`: the noun before a transitive verb is its subject."""
    if tree.tags[token] in ("VBN", "VBD") and tree.deps[token] == "ROOT" and tree.below(token, "dobj"):
        for kid in tree.below(token, "npadvmod"):
            if tree.is_noun(kid) and kid < token and not tree.below(token, "nsubj"):
                tree.deps[kid] = "nsubj"


def _participle_after_noun(tree: Tree, token: int) -> None:
    """`a moss/nmod covered/amod branch`: the noun before a past participle does what it says."""
    before = token - 1
    if tree.tags[token] != "VBN" or tree.deps[token] != "amod" or before < 0 or not tree.is_noun(before):
        return
    if tree.heads[before] in (token, tree.heads[token]) and tree.deps[before] in _BEFORE_PARTICIPLE:
        tree.attach(before, token, "nsubj")


def _fronted_participle(tree: Tree, token: int) -> None:
    """`rotating/ROOT door between windows`: a caption that opens with a participle is about its bare noun."""
    if token != 0 or tree.tags[token] not in ("VBG", "VBN", "VBD") or tree.deps[token] != "ROOT":
        return
    things = tree.below(token, "dobj")
    if not things or tree.below(things[0], "det", "poss") or tree.below(token, "nsubj", "nsubjpass"):
        return
    noun = things[0]
    if all(tree.heads[t] == noun for t in range(1, noun)):
        tree.attach(noun, noun, "ROOT")
        for kid in [k for k in tree.kids[token] if k > noun]:
            tree.attach(kid, noun, tree.deps[kid])
        tree.attach(token, noun, "amod")
        tree.tags[token] = "VBN" if tree.tags[token] == "VBD" else tree.tags[token]


def _preposition_as_root(tree: Tree, token: int) -> None:
    """`ear/npadvmod on/ROOT bear head`: the noun before a preposition heads it."""
    before = token - 1
    if tree.deps[token] != "ROOT" or tree.tags[token] != "IN" or before < 0 or tree.heads[before] != token:
        return
    if tree.words[before].isalpha() and tree.tags[before] not in ("DT", "RB", "IN", "CC"):
        tree.attach(before, before, "ROOT")
        for kid in [k for k in tree.kids[token] if k < before]:
            tree.attach(kid, before, tree.deps[kid])
        tree.attach(token, before, "prep")
        tree.tags[before] = tree.tags[before] if tree.is_noun(before) else "NN"


def _adjective_as_noun(tree: Tree, token: int) -> None:
    """`on counter/JJ`: what a preposition or verb governs is a noun, colours aside (`a woman in white`)."""
    if tree.words[token] in COLOURS or tree.words[token] in _NOMINALISED:
        return
    fragment = (
        tree.deps[token] == "ROOT" and tree.below(token, "amod", "det") and not tree.below(token, "nsubj")
    )
    if tree.tags[token] == "JJ" and (fragment or tree.deps[token] in ("pobj", "dobj")):
        tree.tags[token] = "NN"


def _stacked_adjectives(tree: Tree, token: int) -> None:
    """`a small/advmod striped white cross`: adjectives in front of a noun all modify the noun."""
    if tree.deps[token] not in ("amod", "advmod") or not tree.tags[token].startswith("JJ"):
        return
    head = tree.heads[token]
    noun = head
    while tree.deps[noun] in ("amod", "compound", "nmod") and tree.heads[noun] > noun:
        noun = tree.heads[noun]
    if token < head < noun and tree.is_noun(noun) and not tree.is_noun(head):
        tree.attach(token, noun, "amod")


def _colour_as_head(tree: Tree, token: int) -> None:
    """`silver/ROOT hydrant/amod`: a colour before a word is not what that word describes."""
    if tree.words[token] in COLOURS and tree.is_noun(token) and tree.deps[token] != "compound":
        following = [
            k
            for k in tree.below(token, "amod", "appos", "acl")
            if k == token + 1 and tree.tags[k] in ("JJ", "NN", "VBG")
        ]
        if following and not tree.below(token, "compound"):
            noun, head, dep = following[0], tree.heads[token], tree.deps[token]
            tree.attach(noun, noun if head == token else head, dep)
            for kid in [k for k in tree.kids[token] if k != noun]:
                tree.attach(kid, noun, tree.deps[kid])
            tree.attach(token, noun, "amod")
            tree.tags[noun] = "NN"


def _list(tree: Tree, token: int) -> None:
    """`a cross, a circle and a star`: an apposition that a conjunction continues is a list."""
    head = tree.heads[token]
    if tree.deps[token] != "appos" or not tree.is_noun(token) or not tree.below(token, "cc", "conj", "appos"):
        return
    if any(tree.words[k] == "," for k in range(head + 1, token)):
        tree.deps[token] = "conj"


def _inversion(tree: Tree, token: int) -> None:
    """`above/prep the square/nsubj is a star/attr`: a fronted preposition governs the noun behind it."""
    if (
        tree.deps[token] not in ("prep", "advmod")
        or tree.tags[token] != "IN"
        or tree.below(token, "pobj", "pcomp")
    ):
        return
    verb = tree.heads[token]
    subjects = [k for k in tree.below(verb, "nsubj") if token < k < verb]
    others = [k for k in tree.below(verb, "attr", "dobj") if k > verb]
    if subjects and others and tree.is_verb(verb) and not any(k < token for k in tree.below(verb, "nsubj")):
        tree.deps[token] = "prep"
        tree.attach(subjects[0], token, "pobj")
        tree.deps[others[0]] = "nsubj"


_NOUNS = frozenset(("NN", "NNS", "NNP", "NNPS"))
_VERBS = frozenset(("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"))
_ADJECTIVES = frozenset(("JJ", "JJR", "JJS"))
_PREPOSITIONS = frozenset(("IN",))

_ROOT = frozenset(("ROOT",))
_ANY = frozenset[str]()

_RULES: tuple[tuple[Callable[[Tree, int], None], frozenset[str], frozenset[str]], ...] = (
    (_participle_as_head, frozenset(("VBG", "NN")), frozenset(_NOMINAL)),
    (_verb_with_subject, frozenset(("NN", "NNS")), _ANY),
    (_noun_as_verb, _VERBS, frozenset(_NOMINAL)),
    (_missing_subject, _VERBS, frozenset(("ROOT", "conj"))),
    (_two_subjects, _VERBS, _ANY),
    (_stranded_preposition, _PREPOSITIONS, frozenset(("prep",))),
    (_covered_by, frozenset(("VBN", "VBD")), _ROOT),
    (_participle_after_noun, frozenset(("VBN",)), frozenset(("amod",))),
    (_fronted_participle, frozenset(("VBG", "VBN", "VBD")), _ROOT),
    (_preposition_as_root, _PREPOSITIONS, _ROOT),
    (_colour_as_head, _NOUNS, _ANY),
    (_adjective_as_noun, frozenset(("JJ",)), frozenset(("ROOT", "pobj", "dobj"))),
    (_stacked_adjectives, _ADJECTIVES, frozenset(("amod", "advmod"))),
    (_list, _NOUNS, frozenset(("appos",))),
    (_inversion, _PREPOSITIONS, frozenset(("prep", "advmod"))),
)
"""Each with the tags and the labels that it looks at, in the order in which they build on each other."""
