"""What each construction of English means: a caption, and every phrase in it."""

from __future__ import annotations

import pytest

from parse.parser import Parser

CONSTRUCTIONS = {
    "adjectives": ("a small striped red circle", "circle; circle small; circle striped; circle red"),
    "adjectives in coordination": ("a black and white cat", "cat; cat black; cat white"),
    "compound noun": ("a tennis player", "player; player tennis"),
    "hyphenated word": ("a man in a t-shirt", "man; t-shirt; man in t-shirt"),
    "number before a plural": ("three dogs", "dog; dog three"),
    "number of one": ("one dog", "dog"),
    "preposition": ("a cat on the mat", "cat; mat; cat on mat"),
    "compound preposition": ("a dog in front of a house", "dog; house; dog in front of house"),
    "adverb and preposition": ("a cat next to the bed", "cat; bed; cat next to bed"),
    "side": ("a bus to the left of a car", "bus; car; bus to the left of car"),
    "side, with on": ("a bus is on the left side of a car", "bus; car; bus to the left of car"),
    "side, with a pronoun": ("a car, and a tree to its right", "car; tree; tree to the right of car"),
    "transitive verb": ("the man wears a hat", "man; hat; man wear hat"),
    "verb with particle": ("a man holding up a sign", "man; sign; man hold up sign"),
    "verb with preposition": ("a man is sitting on a bench", "man; bench; man sit on bench"),
    "verb with particle and preposition": (
        "a train coming out of trees",
        "train; tree; train come out of tree",
    ),
    "verb without object": ("the dog is running", "dog; dog run"),
    "participle": ("a man riding a horse", "man; horse; man ride horse"),
    "two participles": (
        "a man sitting on a bench reading a newspaper",
        "man; bench; newspaper; man sit on bench; man read newspaper",
    ),
    "passive with agent": ("the kite is flown by two children", "kite; child; child two; child fly kite"),
    "passive without agent": ("the ground is covered in snow", "ground; snow; ground cover in snow"),
    "passive participle": ("a bowl filled with fruit", "bowl; fruit; bowl fill with fruit"),
    "participle as a state": ("the floor is tiled", "floor; floor tiled"),
    "relative clause, subject": ("a dog that chases a cat", "dog; cat; dog chase cat"),
    "relative clause, object": (
        "the horse that the man rides is brown",
        "horse; man; man ride horse; horse brown",
    ),
    "relative clause, copula": ("a square, which is red", "square; square red"),
    "copula and adjectives": ("the star is large and striped", "star; star large; star striped"),
    "copula and place": ("the cat is under the table", "cat; table; cat under table"),
    "existential": ("there is a cat on the mat", "cat; mat; cat on mat"),
    "inversion": (
        "above a red circle is a blue star",
        "circle; circle red; star; star blue; star above circle",
    ),
    "inversion with there": ("below a cross there are two stars", "cross; star; star two; star below cross"),
    "coordinated subjects": (
        "a man and a woman are wearing hats",
        "man; woman; hat; man wear hat; woman wear hat",
    ),
    "coordinated objects": ("the man has a dog and a cat", "man; dog; cat; man have dog; man have cat"),
    "coordinated nouns before a preposition": (
        "a table and chairs in the kitchen",
        "table; chair; kitchen; table in kitchen; chair in kitchen",
    ),
    "list": (
        "the picture shows a circle, a square and a star",
        "picture; circle; square; star; picture show circle; picture show square; picture show star",
    ),
    "coordinated verbs": (
        "a woman is holding a dog and eating a cake",
        "woman; dog; cake; woman hold dog; woman eat cake",
    ),
    "coordinated clauses": (
        "a star is above a cross, and the star is red",
        "star; cross; star above cross; star red",
    ),
    "possessive noun": ("the man's red hat", "man; hat; hat red; man have hat"),
    "possessive pronoun": ("a woman with her dog", "woman; dog; woman with dog; woman have dog"),
    "pronoun that means nothing here": ("he is riding a horse", "horse"),
    "pronouns by person and thing": (
        "a woman on a horse is petting it",
        "woman; horse; woman on horse; woman pet horse",
    ),
    "quantity": ("a lot of people", "people; people lot"),
    "quantity of a pair": ("a pair of scissors", "scissors; scissors pair"),
    "part of a set": ("two of the dogs are running", "dog; dog two; dog run"),
    "piece": ("a slice of pizza", "slice; pizza; slice of pizza"),
    "group": ("a group of people", "group; people; group of people"),
    "what a group does": (
        "a group of people riding bikes",
        "group; people; bike; group of people; people ride bike",
    ),
    "close up": ("a close up of a dog on a sofa", "close-up; dog; sofa; close-up of dog; dog on sofa"),
    "gap of a relative clause": ("the hat the man is wearing", "hat; man; man wear hat"),
    "two subjects": ("blue shirt the man is wearing", "shirt; shirt blue; man; man wear shirt"),
    "preposition before an object": ("a taxi is driving down the road", "taxi; road; taxi drive down road"),
    "participle behind a noun": ("sheet laying on bed", "sheet; bed; sheet lay on bed"),
    "noun with a preposition's name": ("the inside of a shoe", "inside; shoe; inside of shoe"),
    "reflexive pronoun": ("people enjoying themselves on a shore", "people; shore; people enjoy on shore"),
    "noun before a participle": ("a snow covered branch", "snow; branch; snow cover branch"),
    "place of several nouns": (
        "a man and a dog on a motorcycle",
        "man; dog; motorcycle; man on motorcycle; dog on motorcycle",
    ),
    "what the last of several nouns has": (
        "a table and a chair with a cushion",
        "table; chair; cushion; chair with cushion",
    ),
    "participle of several nouns": (
        "bride and groom sitting on bench",
        "bride; groom; bench; bride sit on bench; groom sit on bench",
    ),
    "participle behind clothes": (
        "a little girl in a dress sitting on a bench .",
        "girl; girl little; dress; bench; girl in dress; girl sit on bench",
    ),
    "participle behind a part of a person": (
        "legs of man wearing red shirt",
        "leg; man; shirt; shirt red; leg of man; man wear shirt",
    ),
    "pronoun for the subject": ("the rock has moss on it", "rock; moss; rock have moss; moss on rock"),
    "participle before a noun": ("a stuffed animal", "animal; animal stuffed"),
    "coordinated objects, the last taken for a verb": (
        "man is wearing a suit and tie",
        "man; suit; tie; man wear suit; man wear tie",
    ),
    "plural taken for a verb": ("leaves on the branches", "leaf; branch; leaf on branch"),
    "subject taken for a verb": (
        "crowd eagerly watches ball game",
        "crowd; game; game ball; crowd watch game",
    ),
    "subject taken for a pronoun": (
        "bookshelf filled with books",
        "bookshelf; book; bookshelf fill with book",
    ),
    "object taken for an adverb": ("person wears backpack", "person; backpack; person wear backpack"),
    "participle taken for a noun": (
        "a zebra standing behind another zebra .",
        "zebra; zebra stand behind zebra",
    ),
    "verb taken for a plural": (
        "a baseball player talks with an umpire",
        "player; player baseball; umpire; player talk with umpire",
    ),
    "row of nouns behind a preposition": (
        "a woman standing next to a yellow fire hydrant",
        "woman; hydrant; hydrant fire; hydrant yellow; woman stand next to hydrant",
    ),
    "row of nouns that ends a participle's phrase": (
        "green trees reflected in side view mirror",
        "tree; tree green; mirror; mirror view; mirror side; tree reflect in mirror",
    ),
    "coordination behind a preposition": (
        "a brick walkway under the girl and bear",
        "walkway; walkway brick; girl; bear; walkway under girl; walkway under bear",
    ),
    "colours in coordination before a noun": (
        "brown and tan giraffe walking along fence",
        "giraffe; giraffe brown; giraffe tan; fence; giraffe walk along fence",
    ),
    "colour before a participle": ("an orange striped cat", "cat; cat orange; cat striped"),
    "described by a participle and a colour": (
        "little girl in blue flowered dress",
        "girl; girl little; dress; dress blue; dress flowered; girl in dress",
    ),
    "relative clause with a preposition": (
        "the black plate the food is sitting on",
        "plate; plate black; food; food sit on plate",
    ),
    "relative clause with a copula and a preposition": (
        "the water the bear is in",
        "water; bear; bear in water",
    ),
    "noun after `to`": (
        "white pole attached to stop sign",
        "pole; pole white; sign; sign stop; pole attach to sign",
    ),
    "noun after `next to`": (
        "small trees next to sidewalk",
        "tree; tree small; sidewalk; tree next to sidewalk",
    ),
    "with and a participle": (
        "silver hydrant with light hitting it",
        "hydrant; hydrant silver; light; hydrant with light; light hit hydrant",
    ),
    "what is on what has it": ("a post with a clock on it", "post; clock; post with clock; clock on post"),
    "what acts on what has it": (
        "trees with leaves growing on them",
        "tree; leaf; tree with leaf; leaf grow on tree",
    ),
    "what a person is with": (
        "a woman with brown hair and a pink shirt",
        "woman; hair; hair brown; shirt; shirt pink; woman with hair; woman with shirt",
    ),
    "participle behind what is worn": (
        "a man wearing a black helmet and an orange jacket riding a motorcycle .",
        "man; helmet; helmet black; jacket; jacket orange; motorcycle; man wear helmet; man wear jacket; "
        "man ride motorcycle",
    ),
    "place of an object": (
        "the girl is holding a spoon in a bowl .",
        "girl; spoon; bowl; girl hold spoon; spoon in bowl",
    ),
    "place of what one has oneself": (
        "standing man in white shirt with hands on his forehead .",
        "man; man stand; shirt; shirt white; man in shirt; hand; man with hand; forehead; man have forehead; "
        "hand on forehead",
    ),
    "plural that is no verb": (
        "a man wearing cheetah print shorts",
        "man; shorts; shorts cheetah; shorts print; man wear shorts",
    ),
    "noun that looks like a participle": (
        "brick building in the picture .",
        "building; building brick; picture; building in picture",
    ),
    "noun in front of a participle": (
        "man and woman holding flowers",
        "man; woman; flower; man hold flower; woman hold flower",
    ),
    "row of nouns around a participle": (
        "metal pole holding stop sign",
        "pole; pole metal; sign; sign stop; pole hold sign",
    ),
    "row of nouns that opens with a verb's form": (
        "stop sign with graffiti paint",
        "sign; sign stop; paint; paint graffiti; sign with paint",
    ),
    "participle before `to` and a noun": (
        "two pieces of white paper attached to fridge",
        "piece; piece two; paper; paper white; piece of paper; fridge; paper attach to fridge",
    ),
    "list behind with": (
        "two buns with meat and lettuce",
        "bun; bun two; meat; lettuce; bun with meat; bun with lettuce",
    ),
    "colour as a predicate": ("sand is dark grey", "sand; sand grey"),
    "adjective without a copula": ("lid open on a toilet", "lid; lid open; toilet; lid on toilet"),
    "participle behind a person's place": (
        "boy on surfboard riding a wave",
        "boy; surfboard; wave; boy on surfboard; boy ride wave",
    ),
    "particle and place": (
        "tall giraffe facing away in the field",
        "giraffe; giraffe tall; field; giraffe face away in field",
    ),
    "preposition and a bare noun": ("the person going down slope", "person; slope; person go down slope"),
    "gap behind a preposition of a relative clause": (
        "the tarmac the planes are on",
        "tarmac; plane; plane on tarmac",
    ),
    "what is about to happen": ("the boy is about to hit the ball", "boy; ball; boy hit ball"),
    "what others are seen to do": (
        "people are watching the fish swim",
        "people; fish; people watch fish; fish swim",
    ),
    "pronoun behind two things": (
        "a desk with a laptop and phone sitting on it .",
        "desk; laptop; phone; desk with laptop; desk with phone; laptop sit on desk; phone sit on desk",
    ),
    "contraction for a possessive": (
        "cat sitting up with a fake tie around it's neck.",
        "cat; tie; tie fake; neck; cat sit up with tie; tie around neck; cat have neck",
    ),
    "what a group does, as a sentence": (
        "group of white horses walking next to a river.",
        "group; horse; horse white; group of horse; river; horse walk next to river",
    ),
    "object behind an infinitive": ("people waiting to board train", "people; train; people board train"),
    "gap without a clause": ("mud the zebra is standing in", "mud; zebra; zebra stand in mud"),
    "participle that a noun is for": (
        "knife sitting on cutting board",
        "knife; board; board cutting; knife sit on board",
    ),
    "object taken for an adverb's": ("a hand touching the blender", "hand; blender; hand touch blender"),
    "object taken for an apposition": ("a man cooking dinner", "man; dinner; man cook dinner"),
    "subject that looks like a verb": ("painting hung on wall", "painting; wall; painting hang on wall"),
    "what a picture is of, acting": (
        "a picture of a dinosaur hanging on the wall .",
        "picture; dinosaur; wall; picture of dinosaur; dinosaur hang on wall",
    ),
    "place behind what is covered": (
        "gravel covered path through the park",
        "gravel; path; park; gravel cover path; path through park",
    ),
    "participle behind what a verb says is worn": (
        "man wear dark shirt and pants walking across road",
        "man; shirt; shirt dark; pants; road; man wear shirt; man wear pants; man walk across road",
    ),
    "size before a participle": (
        "a large striped pink heart",
        "heart; heart large; heart striped; heart pink",
    ),
    "colour behind another predicate": (
        "the dotted crown is small and purple.",
        "crown; crown dotted; crown small; crown purple",
    ),
    "noun taken for an adjective": (
        "there is a pink cross, a black crown",
        "cross; cross pink; crown; crown black",
    ),
    "place of a motion": (
        "a man riding a wave on a surfboard",
        "man; wave; surfboard; man ride wave; man ride on surfboard",
    ),
}


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_construction(name: str, parser: Parser) -> None:
    caption, stated = CONSTRUCTIONS[name]
    found = parser(caption).tuples()
    assert {" ".join(words) for words in found} == set(stated.split("; "))


def test_batches_change_nothing(parser: Parser) -> None:
    captions = [caption for caption, _ in CONSTRUCTIONS.values()]
    assert list(parser.pipe(captions)) == [parser(caption) for caption in captions]


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_spans_are_words_of_the_caption(name: str, parser: Parser) -> None:
    caption, _ = CONSTRUCTIONS[name]
    for phrase in parser(caption).phrases():
        assert phrase.spans
        assert list(phrase.spans) == sorted(set(phrase.spans))
        for start, end in phrase.spans:
            assert caption[start:end].strip() == caption[start:end] != ""


def test_spans_of_a_relation_are_its_three_parts(parser: Parser) -> None:
    caption = "A man Riding a horse to the left of a bus."
    spans = {phrase.words: phrase.spans for phrase in parser(caption).phrases()}
    assert [caption[a:b] for a, b in spans["man", "ride", "horse"]] == ["man", "Riding", "horse"]
    said = next(spans[words] for words in spans if words[-1] == "bus" and len(words) == 3)
    assert " ".join(caption[a:b] for a, b in said).endswith("to the left of bus")


def test_phrases_come_in_the_order_of_the_caption(parser: Parser) -> None:
    assert parser("a red circle above a blue star").tuples() == (
        ("circle",),
        ("circle", "red"),
        ("star",),
        ("star", "blue"),
        ("circle", "above", "star"),
    )
