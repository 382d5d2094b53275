"""Which captions compete."""

from __future__ import annotations

from evaluate.pools import aligned_captions, pools
from store.records import Caption, Sample


def sample(name: str, *captions: tuple[str, str, str | None]) -> Sample:
    """Captions as (`en0`, text, what it translates)."""
    key = f"toy/{name}"
    return Sample(
        key=key,
        captions=tuple(
            Caption(id=f"{key}#{n}", lang=n[:-1], text=text, translates=f"{key}#{of}" if of else None)
            for n, text, of in captions
        ),
        image=None,
        sha256="",
        width=1,
        height=1,
    )


def ids(captions) -> list[str]:
    return [caption.id.split("#")[1] for caption in captions]


def test_the_aligned_set_is_the_sentence_that_was_translated():
    one = sample(
        "a", ("en0", "", None), ("de0", "", None), ("en1", "", None), ("de1", "", "en1"), ("fr0", "", "en1")
    )
    assert ids(aligned_captions(one)) == ["de1", "en1", "fr0"]


def test_the_larger_set_of_translations_wins_and_gaps_are_filled():
    one = sample(
        "a", ("en0", "", None), ("de0", "", "en0"), ("en1", "", None), ("de1", "", "en1"), ("cs0", "", "en1"), ("fr0", "", None)
    )  # fmt: skip
    assert ids(aligned_captions(one)) == ["cs0", "de1", "en1", "fr0"]


def test_without_translations_the_first_of_each_language_counts():
    assert ids(aligned_captions(sample("a", ("en0", "", None), ("en1", "", None), ("de0", "", None)))) == [
        "de0",
        "en0",
    ]


def test_pools_keep_images_without_the_language_out():
    samples = [
        sample("a", ("en0", "", None), ("en1", "", None), ("de0", "", "en0")),
        sample("b", ("en0", "", None)),
        sample("c", ("en0", "", None), ("de0", "", "en0")),
    ]
    made = {pool.name: pool for pool in pools(samples)}
    assert list(made) == ["aligned/de", "aligned/en", "all/en"]
    assert made["aligned/de"].images.tolist() == [0, 2]
    assert made["aligned/de"].owner.tolist() == [0, 1]
    assert made["all/en"].owner.tolist() == [0, 0, 1, 2]
    assert [c.id for c in made["all/en"].captions] == ["toy/a#en0", "toy/a#en1", "toy/b#en0", "toy/c#en0"]


def test_no_captions_no_pools():
    assert pools([sample("a")]) == []
