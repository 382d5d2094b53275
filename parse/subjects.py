"""Repairs of who does what: subjects that the parse misses, has twice, or takes for something else."""

from __future__ import annotations

from parse.lexicon import ADVERBIAL, NOT_SUBJECTS
from parse.placing import open_preposition
from parse.tree import Tree

_MISTAKEN = ("advmod", "amod", "npadvmod", "dep", "intj", "nmod", "compound")


def two_subjects(tree: Tree, token: int) -> None:
    """`shirt/nsubj the man/nsubj is wearing`: the first of two subjects is the object.

    Or that of a preposition without one: `plate/nsubj the food/nsubj is sitting on`, and in `woman/nsubj with
    arm/nsubj extended` the second is.
    """
    subjects = tree.below(token, "nsubj")
    if len(subjects) == 1:
        fronted = [k for k in tree.below(token, "npadvmod") if k < subjects[0]]
        subjects = [*fronted, *subjects] if fronted and open_preposition(tree, token) is not None else []
    if len(subjects) != 2 or tree.below(token, "dobj", "attr", "acomp", "ccomp"):
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
    preposition = open_preposition(tree, token)
    if preposition is None:
        tree.deps[first] = "dobj"
    else:
        tree.attach(first, preposition, "pobj")


def object_behind_participle(tree: Tree, token: int) -> None:
    """`a hand touching/acl the blender/npadvmod`, `cooking dinner/appos`: the noun is its object."""
    verb = min([token, *tree.below(token, "det", "amod", "compound", "nummod", "poss")]) - 1
    if verb < 0 or tree.tags[verb] != "VBG" or tree.deps[verb] not in ("acl", "ROOT"):
        return
    if (
        tree.words[token] in ADVERBIAL
        or tree.below(verb, "dobj", "prep")
        or tree.heads[token] not in (verb, tree.heads[verb])
    ):
        return
    tree.attach(token, verb, "dobj")


def missing_subject(tree: Tree, token: int) -> None:
    """`skateboard/RB has four wheels`: the word before a finite verb without a subject is its subject."""
    helpers = tree.below(token, "aux", "auxpass")
    before = min([token, *helpers]) - 1
    if before < 0 or not (helpers or tree.tags[token] in ("VBZ", "VBP", "VBD")):
        return
    if tree.heads[before] != token or tree.deps[before] not in _MISTAKEN:
        return
    if tree.below(token, "nsubj", "nsubjpass", "expl", "csubj") or tree.words[before] in NOT_SUBJECTS:
        return
    if not tree.words[before].endswith("ly"):
        tree.deps[before] = "nsubj"
        if not tree.is_noun(before) and tree.tags[before] != "PRP":
            tree.tags[before] = "NN"


def subject_before_participle(tree: Tree, token: int) -> None:
    """`snow/npadvmod covered/ROOT ground`, `man/npadvmod holding/ROOT a cup`: the noun is its subject."""
    if tree.below(token, "nsubj", "nsubjpass", "aux", "auxpass"):
        return
    if not tree.below(token, "dobj") and tree.tags[token] != "VBG":
        return
    for kid in tree.below(token, "npadvmod", "nmod"):
        if tree.is_noun(kid) and kid < token:
            tree.deps[kid] = "nsubj"
            break
    else:
        return
    covered = [k for k in tree.below(token, "dobj") if tree.tags[token] != "VBG" and not tree.below(k, "det")]
    for prep in tree.below(token, "prep") if covered else ():
        tree.attach(prep, covered[0], "prep")  # `gravel covered path through the park`


def participle_before_object(tree: Tree, token: int) -> None:
    """`pole/npadvmod holding/amod stop sign`: without an article, who holds is in front."""
    before, thing = token - 1, tree.heads[token]
    while tree.deps[thing] == "compound" and tree.heads[thing] > thing:
        thing = tree.heads[thing]
    if before < 0 or tree.deps[before] != "npadvmod" or tree.heads[before] != token or thing < token:
        return
    row = [k for k in range(before) if thing in tree.ancestors(k)]
    if not tree.is_noun(thing) or any(tree.deps[k] in ("det", "poss") for k in row):
        return
    tree.attach(before, before if tree.is_root(thing) else tree.heads[thing], tree.deps[thing])
    for kid in row:
        if tree.heads[kid] >= token:
            tree.attach(kid, before, tree.deps[kid])
    tree.attach(token, before, "acl")
    tree.tags[token] = "VBG"
    tree.attach(thing, token, "dobj")


def adjective_as_verb(tree: Tree, token: int) -> None:
    """`black laptop/nsubj open/ROOT on a table`: an adjective without a copula describes its noun."""
    subjects = tree.below(token, "nsubj")
    if not subjects or tree.below(token, "cop", "aux", "xcomp", "ccomp", "dobj", "attr"):
        return
    if subjects[0] != token - 1 or not tree.is_noun(subjects[0]):
        return
    tree.attach(subjects[0], subjects[0], "ROOT")
    for kid in [k for k in tree.kids[token] if tree.deps[k] == "prep"]:
        tree.attach(kid, subjects[0], "prep")
    tree.attach(token, subjects[0], "amod")


def fronted_participle(tree: Tree, token: int) -> None:
    """`rotating/ROOT door between windows`: a caption that opens with a participle is about its bare noun."""
    if token != 0:
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
