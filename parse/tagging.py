"""Repairs of tags: nouns taken for verbs, verbs and participles for nouns, nouns for pronouns and adverbs."""

from __future__ import annotations

from parse.lexicon import NOT_SUBJECTS, PRONOUNS
from parse.rows import lead, take_place
from parse.tree import Tree

NOMINAL = ("nsubj", "nsubjpass", "dobj", "pobj", "attr", "conj", "appos", "ROOT")
"""What nouns are in a sentence."""
_BEFORE_HEAD = ("compound", "conj", "nmod", "amod")


def verb_with_subject(tree: Tree, token: int) -> None:
    """`a cross/nsubj lies/NNS above`: what has a subject and no copula is a verb."""
    verb = tree.heads[token]
    if tree.tags[verb] not in ("NN", "NNS") or tree.below(verb, "cop", "aux", "det"):
        return
    if tree.below(verb, "prep", "dobj"):
        tree.tags[verb] = "VBZ" if tree.words[verb].endswith("s") else "VBP"


def noun_as_verb(tree: Tree, token: int) -> None:
    """`a tall building/VBG`, `a suit and tie/VB`: what has a determiner or a noun beside it is one."""
    if tree.below(token, "nsubj", "nsubjpass", "aux", "auxpass", "dobj", "expl"):
        return
    determined = tree.below(token, "det", "amod", "poss", "nummod", "compound")
    bare = tree.tags[token] in ("VB", "VBP")
    head, dep = tree.heads[token], tree.deps[token]
    coordinated = dep == "conj" and tree.is_noun(head) and tree.tags[token] == "VB"
    opening = dep == "ROOT" and token == 0 and (bare or _names_things(tree, token))
    opening = opening and bool(tree.below(token, "prep", "xcomp"))
    if determined or coordinated or opening or dep == "pobj" or dep == "nsubj" or (bare and dep == "dobj"):
        tree.tags[token] = "NNS" if tree.tags[token] == "VBZ" and tree.words[token].endswith("s") else "NN"
        for kid in tree.below(token, "xcomp"):
            if kid == token + 1 and tree.is_noun(kid):
                take_place(tree, kid, token, "compound")
            else:
                tree.deps[kid] = "acl"


def _names_things(tree: Tree, token: int) -> bool:
    """Whether what is tagged as a verb in -s can be a plural, or cannot be a verb: `leaves`, `broccoli`."""
    word = tree.words[token]
    return tree.tags[token] == "VBZ" and (tree.lemmatizer.noun(word) != word or not word.endswith("s"))


def noun_beside_object(tree: Tree, token: int) -> None:
    """`is wearing a suit and tie/VB`: a bare form goes on with the object, not with another form."""
    verb = tree.heads[token]
    if tree.kids[token]:
        return
    before = token - 2
    if before < verb or tree.tags[token - 1] != "CC" or not tree.is_noun(before):
        return
    if tree.is_verb(verb) and tree.tags[verb] not in ("VB", "VBP") and verb in tree.ancestors(before):
        tree.attach(token, before, "conj")
        tree.tags[token] = "NN"


def no_pronoun(tree: Tree, token: int) -> None:
    """`bookshelf/PRP filled with books`, `wears backpack/RB`: pronouns are few, and adverbs no objects."""
    word = tree.words[token]
    if word not in PRONOUNS if tree.tags[token] == "PRP" else word not in NOT_SUBJECTS and word[-2:] != "ly":
        tree.tags[token] = "NN"


def participle_as_noun(tree: Tree, token: int) -> None:
    """`a zebra standing/NN behind`: what modifies as a clause does is a participle."""
    tree.tags[token] = "VBG"


def participle_as_head(tree: Tree, token: int) -> None:
    """`sheet/compound laying/ROOT on bed`: a participle with a place or an object of its own is no head."""
    before = token - 1
    if before < 0 or tree.heads[before] != token or tree.deps[before] not in _BEFORE_HEAD:
        return
    if tree.deps[before] == "amod" and not tree.is_noun(before):
        return
    beside = [k for k in tree.below(token, "prep", "prt", "dobj") if k == token + 1 or tree.deps[k] == "dobj"]
    if not beside or tree.words[beside[0]] == "of":
        return
    lead(tree, before, token, "acl")
    tree.tags[token] = "VBG"


def verb_after_article(tree: Tree, token: int) -> None:
    """`a mother elephant/compound chases/NNS after`: no plural has `a`, so it is what the noun does."""
    before = token - 1
    if before < 1 or tree.deps[before] != "compound" or tree.heads[before] != token:
        return
    articles = [k for k in tree.below(token, "det") if tree.words[k] in ("a", "an")]
    if not articles or not tree.below(token, "prep", "dobj", "advmod", "prt"):
        return
    tree.attach(before, token, "nsubj")
    for kid in [k for k in tree.kids[token] if k < before]:
        tree.attach(kid, before, tree.deps[kid])
    tree.tags[token] = "VBZ"


def contracted_possessive(tree: Tree, token: int) -> None:
    """`on it/nsubj 's/pcomp side/attr`: behind what governs it, `it's` is written for `its`."""
    pronoun, governor = token - 1, token - 2
    nouns = [k for k in tree.below(token, "attr") if k > token and tree.is_noun(k)]
    if governor < 0 or not nouns or tree.words[pronoun] != "it":
        return
    if not (tree.is_verb(governor) or tree.tags[governor] == "IN") or tree.heads[pronoun] != token:
        return
    subjects = [k for k in tree.below(token, "nsubj", "csubj", "ccomp", "advcl") if k < pronoun]
    if tree.is_root(token):
        if not subjects:
            return
        tree.attach(subjects[0], subjects[0], "ROOT")
    for kid in tree.kids[token].copy():
        tree.attach(kid, nouns[0], tree.deps[kid])
    tree.attach(nouns[0], governor, "dobj" if tree.is_verb(governor) else "pobj")
    tree.attach(pronoun, nouns[0], "poss")
    tree.attach(token, pronoun, "case")
    tree.tags[pronoun], tree.tags[token] = "PRP$", "POS"
