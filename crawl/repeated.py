"""Which rows of a list of addresses repeat an earlier one, for lists that do not fit in memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crawl.fetch.failures import FetchError
from crawl.fetch.urls import normalise

# A host, a port that is nobody's default, a path (with spaces and letters beyond ASCII escaped), a query.
_PLAIN = re.compile(
    rb"https?://[a-z0-9.-]+(?::(?!80/|443/)[1-9][0-9]{0,4})?"
    rb"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*(?:%(?:2[05]|[89A-F][0-9A-F])[A-Za-z0-9._~!$&'()*+,;=:@/-]*)*"
    rb"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]+)?\Z"
)
_NONE = 0
_DOTS = re.compile(rb"/\.\.?(/|\?|\Z)")


def spelling(address: bytes) -> bytes:
    """The one spelling of an address (crawl/fetch/urls.py), or itself when it is none.

    Most addresses are spelt so already, which is seen a hundred times faster than worked out.
    """
    address = address.strip()
    if _PLAIN.match(address) and not _DOTS.search(address):
        return address
    try:
        return str(normalise(address.decode("utf-8", "surrogateescape"))).encode("utf-8", "surrogateescape")
    except FetchError:
        return address


def image_id(address: str | bytes) -> str:
    """20 hex digits of the sha256 of its spelling: the id of the image behind an address."""
    raw = address if isinstance(address, bytes) else address.encode("utf-8", "surrogateescape")
    return hashlib.sha256(spelling(raw)).hexdigest()[:20]


class Marks:
    """One 64-bit mark for each address seen, eight bytes each; equal marks are taken for equal addresses.

    Two of ten million addresses share a mark by chance in three lists of a million.
    """

    def __init__(self) -> None:
        self._marks: list[NDArray[np.int64]] = []

    def add(self, addresses: Sequence[bytes | None]) -> None:
        """Add the addresses of one span; None for a row without one."""
        # Python's own hash is drawn anew in each process, which matters nothing here: marks never leave it.
        marks = (_NONE if a is None else hash(spelling(a)) for a in addresses)
        self._marks.append(np.fromiter(marks, np.int64, len(addresses)))

    def repeats(self) -> list[NDArray[np.int64]]:
        """For each span the rows in it whose address stands in an earlier span."""
        ranked = np.concatenate([np.empty(0, np.int64), *self._marks])
        ranked.sort()
        doubled = np.unique(ranked[1:][ranked[1:] == ranked[:-1]])
        doubled = doubled[doubled != _NONE]
        del ranked
        seen = np.zeros(len(doubled), bool)
        found = []
        for marks in self._marks:
            place = np.searchsorted(doubled, marks)
            place[place == len(doubled)] = 0
            rows = np.flatnonzero(doubled[place] == marks) if len(doubled) else np.empty(0, np.int64)
            found.append(rows[seen[place[rows]]])
            seen[place[rows]] = True
        return found
