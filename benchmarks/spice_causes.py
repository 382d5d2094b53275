"""Causes of the differences between SPICE's recorded graphs and ours, each a question about one tuple.

A cause is recognised by what the caption and both graphs look like, not by SPICE's own trees, which are not
recorded. Those that are defects of SPICE's are what a person who reads the caption would not say, or would
not leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from parse.lexicon import PEOPLE, PREPOSITIONS, QUANTITIES
from parse.metrics import Tuples

_PLACES = frozenset(("top", "front", "middle", "side", "edge", "back", "end", "center", "bottom", "corner"))
_WHERE = ("in", "on", "at", "near", "with", "wear")


@dataclass(frozen=True)
class Case:
    """One caption.

    Attributes:
        stated, found: closed tuples of SPICE and of ours.
        alone: verbs of participles without auxiliary.
        passive: verbs of participles with one.
        sentences: verbs of relative clauses, infinitives and clauses that hang on others.
        participles: as they stand.
        verbs: every other word that is tagged so, without its inflection.
        nouns: single words that are tagged so, without their inflection.
        words: of the caption, in order, without their inflection.
        root: a phrase without the inflection of its words.
    """

    caption: str
    stated: Tuples
    found: Tuples
    alone: frozenset[str]
    passive: frozenset[str]
    sentences: frozenset[str]
    participles: frozenset[str]
    verbs: frozenset[str]
    nouns: frozenset[str]
    words: tuple[str, ...]
    root: Callable[[str], str]

    def before(self, first: str, second: str) -> bool:
        """Whether one name comes before another in the caption, where both are single words of it."""
        places = [self.words.index(w) for w in map(self.root, (first, second)) if w in self.words]
        return len(places) == 2 and places[0] < places[1]

    @cached_property
    def lost(self) -> Tuples:
        return self.stated - self.found

    @cached_property
    def new(self) -> Tuples:
        return self.found - self.stated

    def follows(self, first: str, second: str) -> bool:
        """Whether the caption has one name, word or relation right before another."""
        wanted = (*self.root(first).split(), *self.root(second).split())
        return any(self.words[i : i + len(wanted)] == wanted for i in range(len(self.words)))


def synonyms(case: Case, words: tuple[str, ...]) -> bool:
    merged = {part for each in case.stated for w in each if "/" in w for part in (w, *w.split("/"))}
    return bool(merged & set(words))


def broken(case: Case, words: tuple[str, ...]) -> bool:
    marred = {w for each in case.stated for w in each if w != w.lower()}
    return bool(marred) and (bool(marred & set(words)) or (words in case.found and len(words) == 2))


def article(case: Case, words: tuple[str, ...]) -> bool:
    if len(words) != 2:
        return False
    if words in case.lost:
        return words[1] == "a"
    return words[1] in QUANTITIES and (words[0], "a") in case.lost


def compound_preposition(case: Case, words: tuple[str, ...]) -> bool:
    long = [w for w in case.new if len(w) == 3 and any(w[1].endswith(p) for p in PREPOSITIONS if " " in p)]
    split = [
        w
        for w in case.lost
        if len(w) == 3
        and (
            w[2] in _PLACES
            or w[1].split()[-1] in ("of", "to", "from")
            or any(w[::2] == each[::2] and w[1] in each[1].split() for each in long)
        )
    ]
    if words in long or words in split:
        return bool(long) and bool(split)
    return len(words) == 1 and words[0] in _PLACES and bool(long)


def of_over_noun(case: Case, words: tuple[str, ...]) -> bool:
    """`(butter, of, fork)` for `butter on tine of fork`."""
    if len(words) != 3 or words[1] != "of":
        return False
    right = [w for w in case.new if w[1:] == words[1:] and case.follows(w[0], "of")]
    wrong = [w for w in case.lost if w[1:] == words[1:]]
    return bool(right) and bool(wrong)


def participle_as_noun(case: Case, words: tuple[str, ...]) -> bool:
    """`standing bird` for `bird standing in grass`, `finger remote` for `fingers holding wii remote`."""
    things = {w[0] for w in case.lost if len(w) == 1} & case.participles
    things = {w for w in things if any(case.follows(each[0], w) for each in case.found if len(each) == 1)}
    verbs = {case.root(w) for w in things} | {
        case.root(w[1]) for w in case.lost if len(w) == 2 and _of_its_object(case, *w)
    }
    if not verbs:
        return False
    if words in case.lost:
        if things & set(words) or (len(words) == 2 and case.root(words[1]) in verbs):
            return True
        doers = {w[0] for w in case.new if len(w) == 3 and w[1] in verbs and w[2] == words[0]}
        said = {w[1] for w in case.new if len(w) == 2 and w[0] in doers}
        return len(words) == 2 and words[1] in doers | said
    if len(words) == 3 and words[1].split()[0] in verbs:
        return True
    return any(w[1:] == words[1:] and w[0] in things for w in case.lost if len(words) > 1)


def _of_its_object(case: Case, thing: str, value: str) -> bool:
    """Whether an attribute is a participle of which its owner is the object: `remote holding`."""
    verb = case.root(value)
    return (value in case.participles or verb in case.alone) and any(
        len(w) == 3 and w[1] == verb and w[2] == thing for w in case.new
    )


def noun_as_verb(case: Case, words: tuple[str, ...]) -> bool:
    """`(baby, carrot)` for `baby carrots`, `(table, stand)` for `the table under the banana stand`."""
    stated = {w[0] for w in case.stated if len(w) == 1}
    nouns = {
        w[0]
        for w in case.new
        if len(w) == 1 and w[0] not in stated and case.root(w[0]) in case.nouns and _a_verb(case, w[0])
    }
    if not nouns:
        return False
    if nouns & set(words) or (len(words) > 1 and case.root(words[1]).split()[0] in map(case.root, nouns)):
        return True
    before = {w[1]: w[0] for w in case.new if len(w) == 2 and w[0] in nouns}
    return words in case.lost and tuple(before.get(w, w) for w in words) in case.new


def _a_verb(case: Case, noun: str) -> bool:
    """Whether a noun stands as an attribute or relation of another that comes before it in the caption."""
    root = case.root(noun)
    return any(
        len(w) > 1
        and case.root(w[1]).split()[0] == root
        and w[0] not in case.participles
        and case.before(w[0], noun)
        for w in case.lost
    )


def wrong_lemma(case: Case, words: tuple[str, ...]) -> bool:
    """`graffitus`, `christma`, a plural that stays: what it takes for the lemma of a word that we know."""
    others = case.found if words in case.lost else case.stated
    for each in others:
        if len(each) == len(words) and each != words:
            parts = [(a, b) for a, b in zip(words, each, strict=True) if a != b]
            if all(_mistaken(case, *(part if words in case.lost else part[::-1])) for part in parts):
                return True
    return False


def _mistaken(case: Case, theirs: str, ours: str) -> bool:
    """Whether their form of a word is no lemma: a plural, or a stem without its end."""
    same = case.root(theirs) == ours or theirs in (f"{ours}s", ours[:-1], f"{ours[:-1]}us")
    return same and theirs not in case.participles and case.root(ours) == ours


def same_but_form(case: Case, words: tuple[str, ...]) -> bool:
    others = case.found if words in case.lost else case.stated
    return any(
        len(words) == len(each) and words != each and [*map(case.root, words)] == [*map(case.root, each)]
        for each in others
    )


def of_itself(case: Case, words: tuple[str, ...]) -> bool:
    """`(bedroom, in, bedroom)` for `bedroom with two beds in it`, where only one is named."""
    wrong = [w for w in case.lost if len(w) == 3 and w[0] == w[2] and case.words.count(case.root(w[0])) == 1]
    return len(words) == 3 and any(words == w or (words in case.new and words[1:] == w[1:]) for w in wrong)


def said_of_clothes(case: Case, words: tuple[str, ...]) -> bool:
    """`(pants, walk in, park)` for `a man in black pants walking in park`."""
    if len(words) != 3:
        return False
    who = [w[0] for w in case.new if w[1:] == words[1:] and w[0] in PEOPLE]
    what = [w[0] for w in case.lost if w[1:] == words[1:] and w[0] not in PEOPLE]
    return words[1].split()[0] in case.alone and any(
        len(w) == 3 and w[0] in who and w[1] in _WHERE and w[2] in what for w in case.found
    )


def attached_elsewhere(case: Case, words: tuple[str, ...]) -> bool:
    others = case.new if words in case.lost else case.lost
    return len(words) == 3 and any(
        len(each) == 3 and each[2] == words[2] and each[1].split()[-1] == words[1].split()[-1]
        for each in others
    )


def _lost(case: Case, words: tuple[str, ...]) -> bool:
    """Whether a fact of ours has no counterpart: SPICE does not say the same of the same with another end."""
    return (
        words in case.new
        and len(words) > 1
        and not any(len(words) == 3 == len(w) and w[:2] == words[:2] for w in case.lost)
    )


def participle_lost(case: Case, words: tuple[str, ...]) -> bool:
    return _lost(case, words) and words[1].split()[0] in case.alone


def passive_lost(case: Case, words: tuple[str, ...]) -> bool:
    return _lost(case, words) and case.root(words[1].split()[0]) in case.passive


def gap_unfilled(case: Case, words: tuple[str, ...]) -> bool:
    """`(shirt, wear)` for `shirt the man is wearing`."""
    right = {(w[2], w[1].split()[0]) for w in case.new if len(w) == 3}
    if words in case.lost:
        return len(words) == 2 and words in right
    return len(words) == 3 and (words[2], words[1].split()[0]) in case.lost


def clause_lost(case: Case, words: tuple[str, ...]) -> bool:
    return _lost(case, words) and words[1].split()[0] in case.sentences


def modifier_described(case: Case, words: tuple[str, ...]) -> bool:
    """`stop red` for `sign red`: the adjective is said of the noun that describes the head."""
    if len(words) != 2:
        return False
    head, value = words
    if words in case.new:
        described = {w[0] for w in case.lost if len(w) == 2 and (head, w[1]) in case.found}
        return value in described or any(w[1:] == (value,) and (head, w[0]) in case.found for w in case.lost)
    return any(w[1:] == (value,) and (w[0], head) in case.found for w in case.new)


def coordinated_describes(case: Case, words: tuple[str, ...]) -> bool:
    """`(table, chair)` for `a table and chairs`; what else is said of the noun that is lost goes with it."""
    wrong = [
        w
        for w in case.lost
        if len(w) == 2 and (w[1],) in case.found and "and" in case.words and _joined(case, w[0], w[1])
    ]
    if words in wrong:
        return True
    both = {name for w in wrong for name in w}
    return len(words) > 1 and words in case.new and words[0] in both


def _joined(case: Case, one: str, other: str) -> bool:
    """Whether a conjunction stands right behind the one of two nouns that comes first."""
    first, _ = sorted((one, other), key=lambda name: case.caption.find(name.split()[0][:3]))
    return case.follows(first, "and")


def word_before_lost(case: Case, words: tuple[str, ...]) -> bool:
    """`train station`, `clear blue sky`: what stands before a noun is lost, or one of several words."""
    if words not in case.new or len(words) != 2 or (words[0],) not in case.stated:
        return False
    both = case.found & case.stated
    several = any(len(w) == 2 and w[0] == words[0] and case.follows(words[1], w[1]) for w in both)
    return several or case.follows(words[1], words[0])


def preposition_lost(case: Case, words: tuple[str, ...]) -> bool:
    """`cupcake with brown frosting`: a preposition right behind its noun is lost."""
    if not _lost(case, words) or len(words) != 3 or words[0] in case.participles:
        return False
    return case.root(words[1].split()[0]) not in case.verbs and case.follows(words[0], words[1])


def head_lost(case: Case, words: tuple[str, ...]) -> bool:
    """What else is said of a noun that is lost with the preposition right behind it."""
    return (
        words in case.new
        and len(words) == 2
        and (words[0],) in case.new
        and any(preposition_lost(case, w) for w in case.new if w[0] == words[0])
    )


def other_head(case: Case, words: tuple[str, ...]) -> bool:
    if len(words) != 2:
        return False
    others = case.new if words in case.lost else case.lost
    return any(len(each) == 2 and set(each) & set(words) for each in others)


def relation_lost(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.new and len(words) == 3


def relation_theirs(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.lost and len(words) == 3


def attribute_lost(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.new and len(words) == 2


def attribute_theirs(case: Case, words: tuple[str, ...]) -> bool:
    return words in case.lost and len(words) == 2


def bare(case: Case, words: tuple[str, ...]) -> bool:
    """An object of which we say nothing, beside others: the records name none."""
    facts = [w for w in case.found if len(w) > 1]
    return words in case.new and bool(facts) and not any(words[0] in w[::2] for w in facts)


RECORD = "an object of which we say nothing, beside others: its records leave such objects out"
CAUSES: tuple[tuple[str, Callable[[Case, tuple[str, ...]], bool]], ...] = (
    ("nodes merged that share a synset, `tail/dog`", synonyms),
    ("broken output: names such as `Nodes`", broken),
    ("`a pair of scissors` leaves the article as attribute, `scissors a`", article),
    ("compound preposition taken apart: `on` `top`, `of`; `park to`", compound_preposition),
    ("`of` hung over the noun before it: `butter of fork` for `butter on tine of fork`", of_over_noun),
    (
        "participle taken for a noun or for what describes one: `standing horse`, `remote finger`",
        participle_as_noun,
    ),
    (
        "one of two nouns is said to describe the other: `table chair` for `table and chairs`",
        coordinated_describes,
    ),
    ("noun taken for a verb: `baby carrot` for `baby carrots`, `train track on`", noun_as_verb),
    ("a lemma that is none: `graffitus`, `bowls`", wrong_lemma),
    ("form of a word: participles as verbs (`leg define`)", same_but_form),
    ("a pronoun stands for what it cannot: `bedroom in bedroom`", of_itself),
    ("a participle is said of clothes or place: `pants walk in park`", said_of_clothes),
    ("the same preposition and object hung on another noun or verb", attached_elsewhere),
    ("relative clause without pronoun: `shirt wear` for `shirt the man is wearing`", gap_unfilled),
    ("what a participle behind its noun says is lost: `a man riding an elephant`", participle_lost),
    ("what a passive with its auxiliary says is lost: `the ground is covered in snow`", passive_lost),
    ("what a relative clause, an infinitive or a second clause says is lost", clause_lost),
    (
        "an adjective is said of the noun that describes its own: `stop red` for `sign red`",
        modifier_described,
    ),
    ("a word before its noun is lost: `train station`, `clear blue sky`", word_before_lost),
    ("another head in a row of nouns and adjectives", other_head),
    ("a preposition right behind its noun is lost: `cupcake with brown frosting`", preposition_lost),
    ("what else is said of a noun that is lost so", head_lost),
    ("another relation of ours that it lacks", relation_lost),
    ("another relation of its own", relation_theirs),
    ("another attribute of ours that it lacks", attribute_lost),
    ("another attribute of its own", attribute_theirs),
    (RECORD, bare),
)
CONSEQUENCE = "objects that stand alone once their fact is lost, which its records leave out"
_ARGUABLE = (
    *(same_but_form, attached_elsewhere, other_head),
    *(relation_lost, relation_theirs, attribute_lost, attribute_theirs),
)
DEFECTS = frozenset(name for name, holds in CAUSES if holds not in (*_ARGUABLE, bare))
"""Causes that are SPICE's alone; the others are ours, or matters of taste."""


def causes(case: Case) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each difference with its cause."""
    for words in sorted(case.lost | case.new):
        cause = next((name for name, holds in CAUSES if holds(case, words)), CONSEQUENCE)
        yield cause, words


def set_aside(case: Case) -> Tuples:
    """Differences that SPICE's defects or records explain, with objects that these alone took along."""
    found = {words: cause for cause, words in causes(case)}
    explained = {*DEFECTS, RECORD}
    facts = {words: cause in explained for words, cause in found.items() if cause != CONSEQUENCE}
    taken = {words for words, defect in facts.items() if defect}
    for words in found.keys() - facts.keys():
        side = case.lost if words in case.lost else case.new
        lost_with = [facts[each] for each in facts if each in side and words[0] in (each[0], each[-1])]
        if lost_with and all(lost_with):
            taken.add(words)
    return frozenset(taken)
