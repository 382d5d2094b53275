"""Repairs of prepositions: what each governs, and of what it says where that is."""

from __future__ import annotations

from parse.lexicon import NOT_WHERE, PARTICLES, PLACES
from parse.rows import lead
from parse.tree import Tree


def stranded_preposition(tree: Tree, token: int) -> None:
    """`drive down/prep the road/dobj`: a preposition before an object governs it."""
    verb = tree.heads[token]
    if tree.kids[token]:
        return
    for thing in tree.below(verb, "npadvmod" if tree.deps[token] == "prt" else "dobj"):
        if (
            thing > token
            and tree.is_verb(verb)
            and all(tree.heads[k] == thing for k in range(token + 1, thing))
        ):
            tree.attach(thing, token, "pobj")


def infinitive_of_noun(tree: Tree, token: int) -> None:
    """`attached to/aux stop/aux sign/xcomp`: before a noun, `to` is a preposition."""
    helpers = [k for kid in tree.below(token, "aux") for k in (*tree.below(kid, "aux"), kid)]
    if not helpers or tree.words[helpers[0]] != "to":
        return
    to, head = helpers[0], tree.heads[token]
    if head == token:
        subjects = tree.below(token, "nsubj")
        if not subjects:
            return
        head = to - 1 if tree.is_verb(to - 1) else subjects[0]
        tree.attach(subjects[0], subjects[0], "ROOT")
    tree.attach(to, head, "prep")
    tree.tags[to] = "IN"
    tree.attach(token, to, "pobj")
    for verb in helpers[1:]:
        tree.attach(verb, token, "compound")
        tree.tags[verb] = "NN"


def place_of_object(tree: Tree, token: int) -> None:
    """`holding a spoon in/prep>holding a bowl`: a place behind an object is the object's, in most captions.

    Not one behind what a verb of motion takes, or one that means little: `riding a wave on a board`. Of what
    something is with, a place that is its own is: `a man with hands on/prep>man his head`.
    """
    head = tree.heads[token]
    if (tree.names.get(token) or tree.words[token]) not in PLACES:
        return
    if tree.words[head] in PARTICLES and tree.is_verb(tree.heads[head]) and not tree.below(head, "pobj"):
        head = tree.heads[head]  # `facing away in the field`
        tree.attach(token, head, "prep")
    things: list[int] = []
    if tree.is_verb(head):
        things = tree.below(head, "dobj")
        if not things or tree.name(head) in NOT_WHERE:
            return
    elif tree.is_noun(head) and any(tree.below(k, "poss") for k in tree.below(token, "pobj")):
        companions = [prep for prep in tree.below(head, "prep") if tree.words[prep] == "with"]
        things = [k for prep in companions for k in tree.below(prep, "pobj")]
    things = [k for k in things if k < token and tree.is_noun(k)]
    if things:
        tree.attach(token, things[-1], "prep")


def participle_of_preposition(tree: Tree, token: int) -> None:
    """`boy on surfboard/pobj riding/pcomp a wave`: behind an object, a participle is none."""
    things = [k for k in tree.below(tree.heads[token], "pobj") if k < token]
    if things:
        tree.attach(token, things[-1], "acl")


def preposition_as_root(tree: Tree, token: int) -> None:
    """`ear/npadvmod on/ROOT bear head`: the noun before a preposition heads it."""
    before = token - 1
    if before < 0 or tree.heads[before] != token:
        return
    if tree.words[before].isalpha() and tree.tags[before] not in ("DT", "RB", "IN", "CC"):
        lead(tree, before, token, "prep")
        tree.tags[before] = tree.tags[before] if tree.is_noun(before) else "NN"


def inversion(tree: Tree, token: int) -> None:
    """`above/prep the square/nsubj is a star/attr`: a fronted preposition governs the noun behind it."""
    if tree.below(token, "pobj", "pcomp"):
        return
    verb = tree.heads[token]
    subjects = [k for k in tree.below(verb, "nsubj") if token < k < verb]
    others = [k for k in tree.below(verb, "attr", "dobj") if k > verb]
    if subjects and others and tree.is_verb(verb) and not any(k < token for k in tree.below(verb, "nsubj")):
        tree.deps[token] = "prep"
        tree.attach(subjects[0], token, "pobj")
        tree.deps[others[0]] = "nsubj"


def open_preposition(tree: Tree, verb: int) -> int | None:
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
