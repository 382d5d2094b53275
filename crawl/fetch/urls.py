"""One spelling for each address."""

from __future__ import annotations

from yarl import URL

from crawl.fetch.failures import FetchError

SCHEMES = ("http", "https")
_LONGEST = 8192


def normalise(text: str) -> URL:
    """An address in one spelling (RFC 3986, 6.2): host in lower case, no default port, no fragment.

    Raises:
        FetchError: `blocked_address` for another scheme than http and https, `bad_url` for what is no URL.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        raise FetchError("bad_url", f"{len(text)} characters long")
    scheme = text.partition(":")[0].lower()
    if scheme not in SCHEMES and text.partition(":")[1]:
        raise FetchError("blocked_address", f"{scheme[:20]}: is not fetched, only http and https")
    try:
        url = URL(text).with_fragment(None)
        host = url.host
    except (ValueError, TypeError) as error:
        raise FetchError("bad_url", f"{text[:200]}: {error}") from error
    if not host or host.split() != [host] or url.scheme not in SCHEMES:
        raise FetchError("bad_url", f"{text[:200]}: no http address")
    if url.user is not None:
        url = url.with_user(None)  # a stranger's password in a list of pictures is a mistake, or a trap
    return url.with_path("/", keep_query=True) if url.raw_path in ("", "/") else url
