"""Universal dependencies as the tree that rules rewrite, and the rewrites that any such language needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from parse.languages.words import Compound, Words
from parse.lemmas import Lemmatizer
from parse.tree import GONE, Tree

if TYPE_CHECKING:
    from spacy.tokens import Doc

KIND, QUANTITY = "kind", "quantity"
"""Labels that rewrites give: `sauvetage` in `gilet de sauvetage`, `paire` in `une paire de chaussures`."""
NOUNS = ("NOUN", "PROPN")
FINITE, POSSESSIVE = "VERB:Fin", "DET:Poss"
"""Universal parts of speech, as far as a feature matters."""

_PLAIN = Lemmatizer()


def universal_tree(doc: Doc, words: Words) -> Tree:
    """Copy a document that was parsed with universal dependencies; tags are parts of speech."""
    forms = [token.lower_ for token in doc]
    tree = Tree(
        words=forms,
        tags=[_tag(token) for token in doc],
        deps=[token.dep_ or "dep" for token in doc],
        heads=[token.head.i for token in doc],
        spans=[(token.idx, token.idx + len(token)) for token in doc],
        lemmatizer=_PLAIN,
        names={
            token.i: words.forms.get(form) or words.lemmas.get(form) or token.lemma_.lower() or form
            for token, form in zip(doc, forms, strict=True)
        },
    )
    for rewrite in (
        _join_hyphens,
        _join_fixed,
        _join_prepositions,
        _promote_quantified,
        _mark_kinds,
        _drop_partitives,
    ):
        rewrite(tree, words)
    return tree


def _tag(token: object) -> str:
    tag = token.pos_  # type: ignore[attr-defined]
    if tag in ("VERB", "DET"):
        features = token.morph  # type: ignore[attr-defined]
        if tag == "VERB" and "Fin" in features.get("VerbForm"):
            return FINITE
        if tag == "DET" and "Yes" in features.get("Poss"):
            return POSSESSIVE
    return tag


def _join_hyphens(tree: Tree, words: Words) -> None:
    """Fold `t`, `-`, `shirt` into `t-shirt`, headed by its last word."""
    i = 1
    while i < len(tree) - 1:
        if tree.words[i] in "-‑" and tree.spans[i - 1][1] == tree.spans[i][0] == tree.spans[i + 1][0] - 1:
            parts = [i - 1, i, i + 1]
            inside = {*parts, *(k for t in parts for k in tree.kids[t] if tree.deps[k] == GONE)}
            outer = [t for t in parts if tree.is_root(t) or tree.heads[t] not in inside]
            top = next((t for t in outer if tree.words[t] not in "-‑"), i + 1)
            if top in outer and not _hangs_below(tree, top, parts):
                name = f"{tree.words[i - 1]}-{tree.name(i + 1)}"
                tree.fold([t for t in parts if t != top], top)
                tree.names[top] = name
                tree.words[top] = f"{tree.words[i - 1]}-{tree.words[i + 1]}"
        i += 1


def _join_fixed(tree: Tree, words: Words) -> None:
    """Fold what universal dependencies call fixed or a flat name into its first word."""
    for token in range(len(tree)):
        parts = [k for k in tree.kids[token] if tree.deps[k].split(":")[0] in ("fixed", "flat")]
        if parts:
            tree.names[token] = " ".join(tree.name(t) for t in sorted([token, *parts]))
            tree.fold(parts, token)


def _join_prepositions(tree: Tree, words: Words) -> None:
    """Make one `case` of `à côté de`: its noun names no thing, what it governs takes its place."""
    called = [words.forms.get(word, word) for word in tree.words]
    for first in range(len(tree)):
        for form in words.prepositions.get(called[first], ()):
            last = first + len(form[0]) - 1
            if tuple(called[first : last + 1]) == form[0]:
                _replace(tree, first, last, form, words)
                break


def _replace(tree: Tree, first: int, last: int, form: Compound, words: Words) -> None:
    inside = range(first, last + 1)
    outer = [t for t in inside if tree.is_root(t) or tree.heads[t] not in inside]
    noun = next((t for t in outer if tree.tags[t] in (*NOUNS, "ADV", "ADJ", "VERB")), None)
    if noun is None:
        # The parser hung them all as `case` on the noun behind.
        heads = {tree.heads[t] for t in outer} - set(inside)
        if len(heads) == 1 and min(heads) > last and not _hangs_below(tree, min(heads), inside):
            tree.fold([t for t in inside if t != last], last)
            tree.attach(last, heads.pop(), "case")
            tree.names[last] = form[1]
        return
    if _hangs_below(tree, noun, inside):
        return
    behind = [k for t in inside for k in tree.kids[t] if k > last and tree.deps[k] != "punct"]
    behind = [k for k in behind if k not in tree.ancestors(noun)]
    head = next((k for k in behind if tree.tags[k].startswith(("NOUN", "PROPN", "VERB", "PRON"))), None)
    if head is None and not tree.is_root(noun) and tree.heads[noun] > last:
        head = tree.heads[noun]
    elif head is not None:
        dep = tree.deps[noun] if tree.deps[noun] not in ("advmod", "mark", "case", "amod") else "obl"
        tree.attach(head, head if tree.is_root(noun) else tree.heads[noun], dep)
    if head is None:
        return
    for token in inside:
        for kid in [k for k in tree.kids[token] if k != head and k not in inside]:
            tree.attach(kid, head, tree.deps[kid])
    if form[1] in words.auxiliaries:
        tree.fold(inside, head)
    else:
        tree.fold([t for t in inside if t != last], last)
        tree.attach(last, head, "case")
        tree.names[last] = form[1]


def _hangs_below(tree: Tree, token: int, parts: Iterable[int]) -> bool:
    """Whether a head of a token is among others: to hang those below the token would close a circle."""
    above = tree.ancestors(token)
    return any(part in above for part in parts)


def _promote_quantified(tree: Tree, words: Words) -> None:
    """Make the noun of `une paire de chaussures` the head, with the quantity below it."""
    for token in range(len(tree)):
        if tree.name(token) not in words.quantities or tree.tags[token] not in NOUNS:
            continue
        nouns = [k for k in tree.below(token, "nmod") if k > token and tree.tags[k] in NOUNS]
        if not nouns:
            continue
        noun = nouns[0]
        tree.attach(noun, noun if tree.is_root(token) else tree.heads[token], tree.deps[token])
        for kid in list(tree.kids[noun]):
            if tree.deps[kid] == "case":
                tree.attach(kid, token, GONE)
        for kid in list(tree.kids[token]):
            if tree.deps[kid] not in ("det", GONE):
                tree.attach(kid, noun, tree.deps[kid])
        tree.attach(token, noun, QUANTITY)


def _mark_kinds(tree: Tree, words: Words) -> None:
    """Label what says a thing's kind, like the first word of an English compound."""
    if not words.kind:
        return
    for token in range(len(tree)):
        if tree.deps[token] != "nmod" or tree.tags[token] not in NOUNS or tree.below(token, "det", "nummod"):
            continue
        case = tree.below(token, "case")
        # `des` and `du` hold an article: what they govern is a thing of its own.
        if len(case) == 1 and tree.name(case[0]) == words.kind:
            definite = tree.words[case[0]] in words.partitives
            if not definite and tree.name(tree.heads[token]) not in words.collectives:
                tree.deps[token] = KIND


def _drop_partitives(tree: Tree, words: Words) -> None:
    """`manger du pain`: an article that looks like a preposition."""
    for token in range(len(tree)):
        head = tree.heads[token]
        plain = tree.name(token) == words.forms.get(tree.words[token])  # not the end of `à côté du`
        if tree.deps[token] == "case" and tree.words[token] in words.partitives and plain:
            governor = tree.heads[head]
            if tree.tags[governor].startswith("VERB") and tree.deps[head].startswith(("obl", "obj", "nmod")):
                tree.fold([token], head)
                tree.deps[head] = "obj"
