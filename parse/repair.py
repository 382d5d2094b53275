"""Repairs of what the tagger and parser get wrong on captions, which are often fragments without a verb.

Each repair is a rule of grammar that the parse breaks: a determiner has a noun, a finite verb has a subject.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from parse import rows
from parse.lexicon import NOT_SUBJECTS, NOT_WHERE, PLACES, PRONOUNS
from parse.tree import GONE, Tree

_NOMINAL = ("nsubj", "nsubjpass", "dobj", "pobj", "attr", "conj", "appos", "ROOT")
_MISTAKEN_SUBJECTS = ("advmod", "amod", "npadvmod", "dep", "intj", "nmod", "compound")


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
    bare = tree.tags[token] in ("VB", "VBP")
    head, dep = tree.heads[token], tree.deps[token]
    coordinated = dep == "conj" and tree.is_noun(head) and tree.tags[token] == "VB"
    opening = (
        dep == "ROOT" and token == 0 and (bare or _names_things(tree, token)) and tree.below(token, "prep")
    )
    if determined or coordinated or opening or dep == "pobj" or (bare and dep in ("nsubj", "dobj")):
        tree.tags[token] = "NNS" if tree.tags[token] == "VBZ" and tree.words[token].endswith("s") else "NN"


def _names_things(tree: Tree, token: int) -> bool:
    """Whether what is tagged as a verb in -s can be a plural, or cannot be a verb: `leaves`, `broccoli`."""
    word = tree.words[token]
    return tree.tags[token] == "VBZ" and (tree.lemmatizer.noun(word) != word or not word.endswith("s"))


def _noun_beside_object(tree: Tree, token: int) -> None:
    """`is wearing a suit and tie/VB`: a bare form goes on with the object, not with another form."""
    verb = tree.heads[token]
    if tree.deps[token] != "conj" or tree.tags[token] not in ("VB", "VBP") or tree.kids[token]:
        return
    before = token - 2
    if before < verb or tree.tags[token - 1] != "CC" or not tree.is_noun(before):
        return
    if tree.is_verb(verb) and tree.tags[verb] not in ("VB", "VBP") and verb in tree.ancestors(before):
        tree.attach(token, before, "conj")
        tree.tags[token] = "NN"


def _no_pronoun(tree: Tree, token: int) -> None:
    """`bookshelf/PRP filled with books`, `wears backpack/RB`: pronouns are few, and adverbs no objects."""
    word = tree.words[token]
    if word not in PRONOUNS if tree.tags[token] == "PRP" else word not in NOT_SUBJECTS and word[-2:] != "ly":
        tree.tags[token] = "NN"


def _participle_as_noun(tree: Tree, token: int) -> None:
    """`a zebra standing/NN behind`: what modifies as a clause does is a participle."""
    if tree.words[token].endswith("ing"):
        tree.tags[token] = "VBG"


def _participle_as_head(tree: Tree, token: int) -> None:
    """`sheet/compound laying/ROOT on bed`: a participle with a place or an object of its own is no head."""
    before = token - 1
    if not tree.words[token].endswith("ing") or tree.tags[token] not in ("VBG", "NN") or before < 0:
        return
    if tree.heads[before] != token or tree.deps[before] not in ("compound", "conj", "nmod", "amod"):
        return
    if tree.deps[before] == "amod" and not tree.is_noun(before):
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
    """`shirt/nsubj the man/nsubj is wearing`: the first of two subjects is the object.

    Or that of a preposition without one: `plate/nsubj the food/nsubj is sitting on`, and in `woman/nsubj with
    arm/nsubj extended` the second is.
    """
    subjects = tree.below(token, "nsubj")
    if len(subjects) != 2 or not tree.is_verb(token) or tree.below(token, "dobj", "attr", "acomp", "ccomp"):
        return
    first, second = subjects
    if not tree.is_noun(first) or not tree.is_noun(second) or "," in tree.words[first:second]:
        return
    before = min([second, *tree.below(second, "det", "amod", "poss", "compound", "nummod")]) - 1
    if tree.words[before] == "with" and first in tree.ancestors(before) and not tree.kids[before]:
        tree.attach(first, first if tree.is_root(token) else tree.heads[token], tree.deps[token])
        tree.attach(second, before, "pobj")
        tree.attach(token, second, "acl")
        return
    stranded = _stranded(tree, token)
    if stranded is None:
        tree.deps[first] = "dobj"
    else:
        tree.attach(first, stranded, "pobj")


def _stranded(tree: Tree, verb: int) -> int | None:
    """The preposition behind a verb that governs nothing; it governs something from now on."""
    for kid in tree.below(verb, "prep", "prt"):
        if kid > verb and tree.tags[kid] == "IN":
            last = kid
            while inner := tree.below(last, "pobj", "prep"):
                last = inner[-1]
            if tree.tags[last] == "IN":
                tree.deps[kid] = "prep"
                return last
    return None


def _verb_after_article(tree: Tree, token: int) -> None:
    """`a mother elephant/compound chases/NNS after`: no plural has `a`, so it is what the noun does."""
    before = token - 1
    if before < 1 or tree.deps[before] != "compound" or tree.heads[before] != token:
        return
    articles = [k for k in tree.below(token, "det") if tree.words[k] in ("a", "an")]
    if not articles or not tree.below(token, "prep", "dobj", "advmod", "prt"):
        return
    head, dep = tree.heads[token], tree.deps[token]
    tree.attach(before, token, "nsubj")
    for kid in [k for k in tree.kids[token] if k < before]:
        tree.attach(kid, before, tree.deps[kid])
    tree.tags[token] = "VBZ"
    tree.attach(token, token if head == token else head, dep)


def _infinitive_of_noun(tree: Tree, token: int) -> None:
    """`attached to/aux stop/aux sign/xcomp`: before a noun, `to` is a preposition."""
    helpers = [k for kid in tree.below(token, "aux") for k in (*tree.below(kid, "aux"), kid)]
    if not helpers or tree.words[helpers[0]] != "to" or tree.heads[token] == token:
        return
    to, head = helpers[0], tree.heads[token]
    tree.attach(to, head, "prep")
    tree.tags[to] = "IN"
    tree.attach(token, to, "pobj")
    for verb in helpers[1:]:
        tree.attach(verb, token, "compound")
        tree.tags[verb] = "NN"


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


def _place_of_object(tree: Tree, token: int) -> None:
    """`holding a spoon in/prep>holding a bowl`: a place behind an object is the object's, in most captions.

    Not of what a verb of motion or one that means little takes: `riding a wave on a board`.
    """
    verb = tree.heads[token]
    if not tree.is_verb(verb) or (tree.names.get(token) or tree.words[token]) not in PLACES:
        return
    things = [k for k in tree.below(verb, "dobj") if k < token and tree.is_noun(k)]
    if things and tree.name(verb) not in NOT_WHERE:
        tree.attach(token, things[-1], "prep")


def _covered_by(tree: Tree, token: int) -> None:
    """`snow/npadvmod covered/ROOT ground`: the noun before a transitive verb is its subject."""
    if tree.tags[token] in ("VBN", "VBD") and tree.deps[token] == "ROOT" and tree.below(token, "dobj"):
        for kid in tree.below(token, "npadvmod"):
            if tree.is_noun(kid) and kid < token and not tree.below(token, "nsubj"):
                tree.deps[kid] = "nsubj"


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
    (rows.adjective_with_noun, _NOUNS | frozenset(("JJ",)), _ANY),
    (rows.row_goes_on, _NOUNS | frozenset(("RB",)), frozenset(("ROOT", "npadvmod", "dobj", "appos"))),
    (_participle_as_head, frozenset(("VBG", "NN")), frozenset(_NOMINAL)),
    (_no_pronoun, frozenset(("PRP", "RB")), frozenset(("nsubj", "dobj"))),
    (_participle_as_noun, frozenset(("NN",)), frozenset(("acl",))),
    (_infinitive_of_noun, _NOUNS, frozenset(("xcomp", "advcl", "relcl", "acl"))),
    (_verb_after_article, frozenset(("NNS",)), _ROOT),
    (rows.coordinated_with_last, _NOUNS, frozenset(("conj",))),
    (_verb_with_subject, frozenset(("NN", "NNS")), _ANY),
    (_noun_as_verb, _VERBS, frozenset(_NOMINAL)),
    (_noun_beside_object, frozenset(("VB", "VBP")), frozenset(("conj",))),
    (_missing_subject, _VERBS, frozenset(("ROOT", "conj"))),
    (_two_subjects, _VERBS, _ANY),
    (_stranded_preposition, _PREPOSITIONS, frozenset(("prep",))),
    (_covered_by, frozenset(("VBN", "VBD")), _ROOT),
    (rows.participle_after_noun, frozenset(("VBN", "JJ")), frozenset(("amod",))),
    (rows.participle_before_noun, frozenset(("VBN", "VBD")), _ROOT),
    (_fronted_participle, frozenset(("VBG", "VBN", "VBD")), _ROOT),
    (_preposition_as_root, _PREPOSITIONS, _ROOT),
    (rows.colour_as_head, _NOUNS, _ANY),
    (rows.adjective_as_noun, frozenset(("JJ",)), frozenset(("ROOT", "pobj", "dobj"))),
    (rows.stacked_adjectives, _ADJECTIVES, frozenset(("amod", "advmod"))),
    (rows.listed, _NOUNS, frozenset(("appos",))),
    (_place_of_object, _PREPOSITIONS, frozenset(("prep",))),
    (_inversion, _PREPOSITIONS, frozenset(("prep", "advmod"))),
)
"""Each with the tags and the labels that it looks at, in the order in which they build on each other."""
