"""tdmrep.json: what a site reserves from text and data mining (W3C's TDM Reservation Protocol)."""

from __future__ import annotations

import json

from protego import Protego
from yarl import URL

from crawl.fetch.failures import FetchError
from crawl.fetch.sites import Answer, Ask, PerSite

PLACE = "/.well-known/tdmrep.json"


class Reservations:
    """The reservations of every site met so far.

    Args:
        ask: fetches a file of them.
    """

    def __init__(self, ask: Ask) -> None:
        self._rules = PerSite(PLACE, ask, read)

    async def require(self, url: URL) -> None:
        """Pass when the site does not reserve `url`.

        Raises:
            FetchError: `opt_out`, or the failure that kept the file from being read.
        """
        rules = await self._rules.of(url)
        if rules is not None and not rules.can_fetch(str(url), "*"):
            raise FetchError("opt_out", f"reserved by {url.origin()}{PLACE}")


def read(site: URL, answer: Answer) -> Protego | None:
    """The places that are reserved, as rules that disallow them; None without a file of such.

    Locations are patterns like those of robots.txt. Where one that reserves and one that does not both fit,
    the first counts: who wrote it meant to keep something back.
    """
    if answer.status != 200:
        return None
    try:
        entries = json.loads(answer.body)
    except ValueError:
        return None
    places = (
        [
            " ".join(str(each.get("location", "/")).split())
            for each in entries
            if isinstance(each, dict) and str(each.get("tdm-reservation")) == "1"
        ]
        if isinstance(entries, list)
        else []
    )
    if not places:
        return None
    return Protego.parse("\n".join(["User-agent: *", *(f"Disallow: {place or '/'}" for place in places)]))
