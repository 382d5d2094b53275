"""The promise on the demo world: the phrases of its English captions are found."""

from __future__ import annotations

from crawl.sources.scenes import make_row
from parse.metrics import score
from parse.parser import Parser


def test_phrases_of_drawn_scenes(parser: Parser) -> None:
    rows = [make_row(11, index) for index in range(60)]
    stated = [
        (caption.text, frozenset(tuple(words) for words in row.truth["graphs"][caption.id]))
        for row in rows
        for caption in row.captions
        if caption.lang == "en"
    ]
    assert len(stated) == 360
    graphs = parser.pipe(text for text, _ in stated)
    scores = score(
        (truth, frozenset(graph.tuples())) for (_, truth), graph in zip(stated, graphs, strict=True)
    )
    values = {(s.name, s.kind): s.value for s in scores if s.protocol == "graph/closed_tuples/exact/micro"}
    assert values["F1", ""] >= 0.98
    assert min(values["F1", kind] for kind in ("object", "attribute", "relation")) >= 0.95
