"""Repairs of noun phrases: which word of a row heads it, what is an adjective, what a list goes on with."""

from __future__ import annotations

from parse.lexicon import ADVERBIAL, COLOURS, PEOPLE, PLACES, PLURALS
from parse.tree import Tree

_BEFORE_PARTICIPLE = ("npadvmod", "nmod", "compound", "amod")
_NOMINALISED = ("other", "same", "front", "such", "own")
"""Adjectives that stand for a noun and name nothing."""


def row_goes_on(tree: Tree, token: int) -> None:
    """`looking at a fire/pobj hydrant/ROOT`, `the girl and bear/ROOT`: a noun has no subject of its own.

    A noun right behind the object of a preposition or verb ends its row; one behind a conjunction goes on
    with it, and one behind a verb without an object, `waiting to board train/ROOT`, is that.
    """
    if tree.is_verb(token) and tree.words[token] not in PLURALS:
        return
    joined = token > 1 and tree.tags[token - 1] == "CC"
    before = token - 2 if joined else token - 1
    if before < 0 or not (
        tree.deps[before] in ("pobj", "dobj") if tree.is_noun(before) else _acts(tree, before)
    ):
        return
    above = tree.ancestors(before)
    if tree.deps[token] == "ROOT":
        subjects = [k for k in tree.below(token, "nsubj") if k in above]
        if not subjects or tree.below(token, "aux", "cop", "dobj", "det", "amod"):
            return
        if tree.tags[token] == "NNS" and tree.below(token, "prep"):
            return
        tree.attach(subjects[0], subjects[0], "ROOT")
        for kid in [k for k in tree.kids[token] if k < token and k != before]:
            tree.attach(kid, subjects[0], tree.deps[kid])
    elif joined or tree.heads[token] not in above or tree.words[token] in ADVERBIAL:
        return
    if not tree.is_noun(token):
        tree.tags[token] = "NNS" if tree.words[token] in PLURALS else "NN"
    if joined:
        tree.attach(token, before, "conj")
    elif tree.is_verb(before):
        tree.attach(token, before, "dobj")
    else:
        take_place(tree, token, before, "compound")


def _acts(tree: Tree, verb: int) -> bool:
    """Whether a verb stands inside a phrase, with no object yet."""
    return (
        tree.tags[verb] in ("VB", "VBG")
        and tree.deps[verb] in ("acl", "xcomp")
        and not tree.below(verb, "dobj", "prep")
    )


def gerund_before_noun(tree: Tree, token: int) -> None:
    """`on cutting/pcomp board/dobj`: behind a preposition of place, a participle describes the noun."""
    prep, noun = tree.heads[token], token + 1
    if tree.words[prep] not in PLACES or tree.words[prep] == "by" or prep != token - 1:
        return
    if noun < len(tree) and tree.heads[noun] == token and tree.deps[noun] == "dobj" and tree.is_noun(noun):
        take_place(tree, noun, token, "compound")
        tree.deps[noun] = "pobj"


def adjective_with_noun(tree: Tree, token: int) -> None:
    """`white/nsubj and blue hat/conj painted`: adjectives go on with adjectives, the noun heads them."""
    first = tree.heads[token]
    if token < first or not (tree.tags[first] == "JJ" or tree.words[first] in COLOURS):
        return
    described = [k for k in tree.below(token, "amod", "compound", "nmod") if first < k]
    if not described or tree.below(token, "det", "poss", "nummod"):
        return
    if all(tree.tags[k] in ("CC", ",") or k in described for k in range(first + 1, token)):
        take_place(tree, token, first, "amod")


def coordinated_with_last(tree: Tree, token: int) -> None:
    """`a woman with hair and a shirt/conj>woman`: what a person is with goes on, rather than the person.

    So do nouns without an article behind one with: `two buns with meat and lettuce/conj>buns`.
    """
    whole = tree.heads[token]
    before = [k for k in tree.below(whole, "cc") if k < token][-1:]
    last = before[0] - 1 if before else -1
    if last <= whole or not tree.is_noun(whole) or not tree.is_noun(last) or tree.deps[last] != "pobj":
        return
    prep = tree.heads[last]
    if tree.words[prep] != "with" or tree.heads[prep] != whole:
        return
    person = tree.name(whole) in PEOPLE and tree.name(token) not in PEOPLE and tree.name(last) not in PEOPLE
    articles = [bool(tree.below(k, "det", "nummod", "poss")) for k in (whole, last, token)]
    if person or articles == [True, False, False]:
        tree.attach(token, last, "conj")


def colour_as_predicate(tree: Tree, token: int) -> None:
    """`sand is dark grey/attr`, `is small and purple/conj`: a colour is what something is like."""
    if tree.below(token, "det", "prep", "compound"):
        return
    if tree.deps[token] == "attr":
        tree.tags[token], tree.deps[token] = "JJ", "acomp"
    elif tree.deps[tree.heads[token]] == "acomp":
        tree.tags[token] = "JJ"


def size_as_adverb(tree: Tree, token: int) -> None:
    """`long/advmod sleeved shirt`: a size in front of an adjective is the noun's."""
    tree.tags[token] = "JJ"


def participle_after_noun(tree: Tree, token: int) -> None:
    """`a moss/nmod covered/amod branch`: the noun before a past participle does what it says.

    A colour in its place is the noun's: `an orange striped cat`.
    """
    before, noun = token - 1, tree.heads[token]
    if before < 0 or noun == before:
        return
    if tree.tags[token] != "VBN" and not tree.words[token].endswith("ed"):
        return
    if not tree.is_noun(before) or tree.heads[before] not in (token, noun):
        return
    if tree.words[before] in COLOURS:
        tree.attach(before, noun, "amod")
    elif tree.deps[before] == "npadvmod" or (
        tree.tags[token] == "VBN" and tree.deps[before] in _BEFORE_PARTICIPLE
    ):
        tree.attach(before, token, "nsubj")
        tree.tags[token] = "VBN"


def participle_before_noun(tree: Tree, token: int) -> None:
    """`in blue/pobj flowered/ROOT dress/dobj`: a colour acts on nothing, the participle describes."""
    before, noun = token - 1, token + 1
    if before < 0 or noun >= len(tree) or tree.words[before] not in COLOURS:
        return
    if tree.deps[noun] != "dobj" or tree.heads[noun] != token or not tree.is_noun(noun):
        return
    subjects = tree.below(token, "nsubj")
    if not subjects or not (before == subjects[0] or subjects[0] in tree.ancestors(before)):
        return
    place = noun if before == subjects[0] else subjects[0]
    tree.attach(place, place, "ROOT")
    take_place(tree, noun, before, "amod")
    for kid in tree.kids[token].copy():
        tree.attach(kid, noun if tree.deps[kid] == "prep" else place, tree.deps[kid])
    tree.attach(token, noun, "amod")
    tree.tags[token] = "VBN"


def take_place(tree: Tree, noun: int, other: int, dep: str) -> None:
    """Hang `noun` where `other` hangs, with all that hangs there, and `other` below it."""
    above = noun if tree.heads[other] == other else tree.heads[other]
    if above != noun or tree.heads[noun] != noun:
        tree.attach(noun, above, "compound" if tree.deps[other] == "amod" else tree.deps[other])
    for kid in [k for k in tree.kids[other] if k != noun and tree.deps[k] not in ("cc", "punct")]:
        tree.attach(kid, noun, tree.deps[kid])
    tree.attach(other, noun, dep)


def lead(tree: Tree, noun: int, other: int, dep: str) -> None:
    """Hang `noun` where `other` hangs, with what stands in front of both, and `other` below it."""
    head = tree.heads[other]
    tree.attach(noun, noun if head == other else head, tree.deps[other])
    for kid in [k for k in tree.kids[other] if k < noun]:
        tree.attach(kid, noun, tree.deps[kid])
    tree.attach(other, noun, dep)


def colour_as_head(tree: Tree, token: int) -> None:
    """`silver/ROOT hydrant/amod`: a colour before a word is not what that word describes."""
    noun = token + 1
    if tree.deps[token] == "compound" or noun not in tree.below(token, "amod", "appos", "acl"):
        return
    if tree.tags[noun] in ("JJ", "NN", "VBG") and not tree.below(token, "compound"):
        take_place(tree, noun, token, "amod")
        tree.tags[noun] = "NN"


def adjective_as_noun(tree: Tree, token: int) -> None:
    """`on counter/JJ`: what a preposition or verb governs is a noun, colours aside (`a woman in white`)."""
    if tree.words[token] in COLOURS or tree.words[token] in _NOMINALISED:
        return
    fragment = (
        tree.deps[token] == "ROOT" and tree.below(token, "amod", "det") and not tree.below(token, "nsubj")
    )
    determined = tree.deps[token] == "attr" and tree.below(token, "det")
    if fragment or determined or tree.deps[token] in ("pobj", "dobj"):
        word = tree.words[token]
        tree.tags[token] = "NN" if tree.lemmatizer.noun(word) == word else "NNS"


def stacked_adjectives(tree: Tree, token: int) -> None:
    """`a small/advmod striped white cross`: adjectives in front of a noun all modify the noun."""
    head = tree.heads[token]
    noun = head
    while tree.deps[noun] in ("amod", "compound", "nmod") and tree.heads[noun] > noun:
        noun = tree.heads[noun]
    if token < head < noun and tree.is_noun(noun) and not tree.is_noun(head):
        tree.attach(token, noun, "amod")


def listed(tree: Tree, token: int) -> None:
    """`a cross, a circle and a star`: an apposition that a conjunction continues is a list."""
    head = tree.heads[token]
    if not tree.below(token, "cc", "conj", "appos"):
        return
    if any(tree.words[k] == "," for k in range(head + 1, token)):
        tree.deps[token] = "conj"
