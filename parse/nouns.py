"""Which words name objects, and which objects a phrase means: pronouns, relative pronouns, coordination."""

from __future__ import annotations

from parse.lexicon import PEOPLE
from parse.tree import GONE, Tree

_PEOPLE = frozenset(("he", "she", "him", "her", "his", "hers"))
_THINGS = frozenset(("it", "its"))
_MANY = frozenset(("they", "them", "their", "theirs"))
_RELATIVE = ("WDT", "WP", "WP$")
_ABSORBED = (GONE, "compound", "qmod", "nmod", "amod")


def names_object(tree: Tree, noun: int) -> bool:
    """Whether a noun is a node of the graph: no rewrite and no other noun has absorbed it."""
    if tree.deps[noun] in _ABSORBED:
        return False
    word = tree.words[noun]
    return word.isalpha() or any(map(str.isalpha, word))


def objects_of(tree: Tree, token: int) -> list[int]:
    """The objects that a noun phrase with head `token` means, conjuncts included.

    A pronoun means what it refers to; what refers to nothing in the caption means nothing.
    """
    objects = tree.objects
    if token in objects and not tree.kids[token]:
        return [token]
    found: list[int] = []
    for part in tree.conjuncts(token):
        if part in objects:
            found.append(part)
        elif tree.tags[part] in _RELATIVE or (tree.words[part] == "that" and tree.deps[part] != "det"):
            found += antecedents(tree, part)
        elif tree.tags[part] in ("PRP", "PRP$"):
            meant = referent(tree, part)
            found += [] if meant is None else [meant]
    return list(dict.fromkeys(found))


def coordinated(tree: Tree, noun: int, place: int) -> list[int]:
    """The objects coordinated with a noun, itself the first, that stand before what is said of them all."""
    return [part for part in tree.conjuncts(noun) if part < place and part in tree.objects]


def first_conjunct(tree: Tree, noun: int) -> int:
    """`man` for the `dog` in `a man and a dog on a motorcycle`; a noun that stands alone for itself."""
    while tree.deps[noun] == "conj" and tree.heads[noun] in tree.objects:
        noun = tree.heads[noun]
    return noun


def doer(tree: Tree, noun: int, participle: int) -> int:
    """Who does what a participle says: a person beside the thing that it hangs on, `legs of a man wearing`.

    The parser hangs participles on a person's clothes or place as well: `a girl in a dress sitting`.
    """
    if tree.name(noun) in PEOPLE:
        return noun
    before = participle - 1
    if before in tree.objects and tree.name(before) in PEOPLE and noun in tree.ancestors(before):
        return before
    wearer = noun
    while tree.deps[wearer] == "pobj" and tree.words[tree.heads[wearer]] in ("in", "on", "at"):
        wearer = tree.heads[tree.heads[wearer]]
        if wearer in tree.objects and tree.name(wearer) in PEOPLE:
            return wearer
    worn = first_conjunct(tree, noun)
    verb = tree.heads[worn]
    if tree.deps[worn] == "dobj" and tree.name(verb) == "wear":
        wearers = [*tree.below(verb, "nsubj"), *([tree.heads[verb]] if tree.deps[verb] == "acl" else [])]
        return next((each for each in wearers if each in tree.objects), noun)
    return noun


def antecedents(tree: Tree, relative: int) -> list[int]:
    """What a relative pronoun stands for: the noun that its clause modifies."""
    for token in [relative, *tree.ancestors(relative)]:
        if tree.deps[token] == "relcl":
            head = tree.heads[token]
            return [head] if head in tree.objects else []
    return []


def referent(tree: Tree, pronoun: int) -> int | None:
    """The noun before a pronoun that it most likely means, searched from the root of the tree downwards.

    The rule of the Stanford scene graph parser (breadth first, left to right, number must agree), with people
    kept apart from things as far as the pronoun tells them apart.
    """
    word = tree.words[pronoun]
    if word not in _PEOPLE | _THINGS | _MANY:
        return None
    root = next(iter(tree.ancestors(pronoun)[-1:]), pronoun)
    candidates = [t for t in _breadth_first(tree, root) if t < pronoun and t in tree.objects]
    candidates += [t for t in tree.objects if t < pronoun and t not in candidates]
    candidates = [t for t in candidates if not _inside_own_phrase(tree, t, pronoun)]
    if word in _MANY:
        plural = [t for t in candidates if tree.tags[t].endswith("S") or tree.below(t, "conj")]
        return next(iter(plural or candidates), None)
    singular = [t for t in candidates if not tree.tags[t].endswith("S")]
    person = [t for t in singular if tree.name(t) in PEOPLE]
    if word in _THINGS:
        return next((t for t in singular if t not in person), next(iter(singular), None))
    return next(iter(person or singular), None)


def _inside_own_phrase(tree: Tree, noun: int, pronoun: int) -> bool:
    """`his` in `his shirt` cannot mean the shirt."""
    return tree.heads[pronoun] == noun and tree.deps[pronoun] == "poss"


def _breadth_first(tree: Tree, root: int) -> list[int]:
    queue = [root]
    for token in queue:
        queue += tree.kids[token]
    return queue
