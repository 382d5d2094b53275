"""Words that act as one (`t-shirt`, `in front of`, `a lot of`): rewrites of the tree, in place."""

from __future__ import annotations

from parse.lexicon import COLLECTIVES, PREPOSITIONS, QUANTIFIERS, QUANTITIES
from parse.tree import GONE, Tree

_SIDES = {"left": "to the left of", "right": "to the right of"}


def _table() -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Compounds by their first word, longest first."""
    table: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for form, name in PREPOSITIONS.items():
        words = tuple(form.split())
        table.setdefault(words[0], []).append((words, name))
    for forms in table.values():
        forms.sort(key=lambda form: -len(form[0]))
    return table


_TABLE = _table()


def join_words(tree: Tree) -> None:
    """Fold `t - shirt` into one token; spaCy's tokenizer cuts at hyphens between letters."""
    if "-" not in tree.words and "close" not in tree.words:
        return
    for close in range(len(tree) - 1):
        if tree.words[close : close + 2] == ["close", "up"] and tree.is_noun(close):
            tree.fold([close + 1], close)
            tree.words[close] = "close-up"
    i = 1
    while i < len(tree) - 1:
        if tree.words[i] == "-" and _touch(tree, i - 1, i) and _touch(tree, i, i + 1):
            last = i + 1
            while (
                last + 2 < len(tree)
                and tree.words[last + 1] == "-"
                and _touch(tree, last, last + 1)
                and _touch(tree, last + 1, last + 2)
            ):
                last += 2
            first = i - 1
            word = "".join(tree.words[first : last + 1])
            head = _climb(tree, first, last)
            tree.fold([t for t in range(first, last + 1) if t != head], head)
            if head != last and tree.is_noun(last):
                tree.tags[head] = tree.tags[last]
            tree.words[head] = word
            i = last
        i += 1


def join_prepositions(tree: Tree) -> None:
    """Fold a compound preposition into its last word, which governs the object and is called by the whole."""
    behind = 0
    for first in [place for place, word in enumerate(tree.words) if word in _TABLE]:
        if first < behind:
            continue
        for words, name in _TABLE[tree.words[first]]:
            last = first + len(words) - 1
            if tuple(tree.words[first : last + 1]) == words and _is_preposition(tree, first, last):
                _object_of_to(tree, last)
                _fold_preposition(tree, first, last, name)
                behind = last + 1
                break
    _possessed_sides(tree)


def promote_quantified(tree: Tree) -> None:
    """Make the noun of `a lot of dogs`, `two of the dogs` the head, with the quantity as its `qmod`."""
    for of in _places(tree, "of"):
        quantity = of - 1
        if tree.deps[of] != "prep" or tree.heads[of] != quantity:
            continue
        nouns = tree.below(of, "pobj")
        if not nouns or not _is_quantity(tree, quantity, nouns[0]):
            continue
        noun, head, dep = nouns[0], tree.heads[quantity], tree.deps[quantity]
        tree.attach(noun, noun if head == quantity else head, dep)
        for kid in list(tree.kids[quantity]):
            if kid != of and tree.deps[kid] not in ("det", "advmod", "predet", "quantmod"):
                tree.attach(kid, noun, tree.deps[kid])
        tree.attach(quantity, noun, "qmod")
        tree.attach(of, quantity, GONE)


def lower_modifiers(tree: Tree) -> None:
    """Hang what follows `a group of people` on the people: participles, clauses, places."""
    for of in _places(tree, "of"):
        head = tree.heads[of]
        if tree.deps[of] != "prep" or tree.name(head) not in COLLECTIVES:
            continue
        for noun in tree.below(of, "pobj")[:1]:
            for kid in tree.below(head, "prep", "acl", "relcl"):
                if kid > noun:
                    tree.attach(kid, noun, tree.deps[kid])


def _places(tree: Tree, word: str) -> list[int]:
    """Where a word stands, behind another."""
    return (
        [place for place, each in enumerate(tree.words) if each == word and place]
        if word in tree.words
        else []
    )


def _is_quantity(tree: Tree, token: int, noun: int) -> bool:
    word = tree.words[token]
    if word in QUANTITIES:
        determined = any(tree.words[kid] in ("a", "an", "the") for kid in tree.below(token, "det"))
        return determined or word.endswith("s") or word == "plenty"
    definite = any(tree.words[kid] in ("the", "these", "those") for kid in tree.below(noun, "det"))
    return word in QUANTIFIERS and (definite or tree.tags[noun] == "PRP")


def _touch(tree: Tree, left: int, right: int) -> bool:
    return tree.spans[left][1] == tree.spans[right][0]


def _climb(tree: Tree, first: int, last: int) -> int:
    """The last token in first..last whose head lies outside: English compounds end in their head."""
    outside = [t for t in range(first, last + 1) if tree.is_root(t) or not first <= tree.heads[t] <= last]
    letters = [t for t in outside if tree.words[t] != "-"]
    return (letters or [last])[-1]


def _is_preposition(tree: Tree, first: int, last: int) -> bool:
    """Whether the words are used as a preposition: something follows that they could govern."""
    if tree.words[first] in _SIDES and tree.is_verb(first):
        return False
    if tree.is_noun(first) and tree.below(first, "det", "amod", "poss"):
        return False  # the inside of a shoe
    return last + 1 < len(tree) and tree.tags[last + 1] not in (".", ",", "CC", "_SP")


def _object_of_to(tree: Tree, to: int) -> None:
    """`next to/aux sidewalk/VB`: what follows is no infinitive, but where something is."""
    thing = tree.heads[to]
    if tree.deps[to] != "aux" or tree.below(thing, "dobj"):
        return
    subjects = tree.below(thing, "nsubj")
    if tree.is_root(thing):
        if not subjects:
            return
        tree.attach(subjects[0], subjects[0], "ROOT")
    tree.attach(to, subjects[0] if subjects else tree.heads[thing], "prep")
    tree.attach(thing, to, "pobj")
    if tree.is_verb(thing):
        tree.tags[thing] = "NN"


def _fold_preposition(tree: Tree, first: int, last: int, name: str) -> None:
    inside = range(first, last + 1)
    outer = [t for t in inside if tree.is_root(t) or not first <= tree.heads[t] <= last]
    top = outer[0]
    root = tree.is_root(top)
    head = tree.heads[top]
    governed = [
        kid
        for t in inside
        for kid in tree.kids[t]
        if kid > last and tree.deps[kid] in ("pobj", "pcomp", "dobj")
    ]
    if not governed:
        return
    dep = "prep" if tree.deps[top] not in ("conj", "ROOT", "relcl", "pcomp") else tree.deps[top]
    tree.attach(last, last if root else head, dep)
    for t in inside:
        if t == last:
            continue
        for kid in list(tree.kids[t]):
            if not first <= kid <= last:
                tree.attach(kid, last, tree.deps[kid])
        tree.attach(t, last, GONE)
    for kid in governed:
        tree.deps[kid] = "pobj"
    tree.tags[last] = "IN"
    tree.names[last] = name


def _possessed_sides(tree: Tree) -> None:
    """Read `to its right` as `to the right of it`."""
    for side in range(1, len(tree)) if "left" in tree.words or "right" in tree.words else ():
        name = _SIDES.get(tree.words[side])
        prep = tree.heads[side]
        if name is None or tree.deps[side] != "pobj" or tree.words[prep] not in ("to", "on", "at"):
            continue
        owners = tree.below(side, "poss")
        if owners:
            tree.attach(owners[0], prep, "pobj")
            for mark in tree.below(owners[0], "case"):
                tree.attach(mark, prep, GONE)
            tree.attach(side, prep, GONE)
            tree.names[prep] = name
