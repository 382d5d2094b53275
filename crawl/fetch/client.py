"""One address -> its bytes, or the class of failure that it ended in."""

from __future__ import annotations

import asyncio
import email.utils
import random
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from crawl.fetch.addresses import BlockedAddressError, Guard, is_public, literal
from crawl.fetch.failures import TRANSIENT, FetchError
from crawl.fetch.pace import Pace
from crawl.fetch.reservations import Reservations
from crawl.fetch.robots import Robots
from crawl.fetch.sites import LARGEST, Answer
from crawl.fetch.urls import normalise

REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_OPT_OUT = frozenset({"noai", "noimageai", "noml"})
_VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
"""Words of X-Robots-Tag before whose colon no crawler's name stands."""
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a crawl behaves.

    Attributes:
        agent: product token, the name that robots.txt may address.
        contact: an address or page where people can ask about the crawl; part of the User-Agent.
        robots, opt_out: whether robots.txt, and X-Robots-Tag and TDM reservations, are obeyed.
        connections, per_host: requests at once, in all and to one host.
        interval: seconds between two requests to one host.
        seconds: that one address may take, redirects and retries not counted.
        most_bytes: of one response.
        tries: for classes that may pass.
        longest_wait: seconds of Retry-After, and of Crawl-delay, that are waited for; a longer one is a
            failure.
        allow: hosts that may lie on this machine or its network.
    """

    agent: str = "babelscene"
    contact: str = ""
    robots: bool = True
    opt_out: bool = True
    connections: int = 128
    per_host: int = 8
    interval: float = 0.0
    seconds: float = 30.0
    most_bytes: int = 32 * 2**20
    tries: int = 3
    longest_wait: float = 60.0
    allow: tuple[str, ...] = ()

    @property
    def user_agent(self) -> str:
        """Such as `babelscene/1 (+mailto:me@example.org)`."""
        return f"{self.agent}/1" + (f" (+{self.contact})" if self.contact else "")


class Client:
    """Fetches addresses over one pool of connections and one TLS context; use it in one event loop.

    Args:
        manners: how to behave.
        resolver: what resolves names; by default the system's.
        seed: of the jitter between tries.
    """

    def __init__(self, manners: Manners, resolver: AbstractResolver | None = None, seed: int = 0) -> None:
        self.manners = manners
        self.pace = Pace(manners.connections, manners.per_host, manners.interval, manners.longest_wait)
        self._guard = Guard(manners.allow, resolver)
        self._robots = Robots(manners.agent, self._ask)
        self._reservations = Reservations(self._ask_where_allowed)
        self._jitter = random.Random(seed)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        connector = aiohttp.TCPConnector(
            limit=0,  # the pace counts
            resolver=self._guard,
            socket_factory=self._guard.socket,
            ttl_dns_cache=300,
            keepalive_timeout=15,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={
                "User-Agent": self.manners.user_agent,
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",
            },
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, text: str) -> bytes:
        """The body behind an address, whatever it is.

        Raises:
            FetchError: of the class that it ended in, after the last try.
        """
        url = normalise(text)
        for attempt in range(1, self.manners.tries + 1):
            try:
                return await self._follow(url)
            except FetchError as error:
                if error.failure not in TRANSIENT or attempt == self.manners.tries:
                    raise
                if error.failure == self.pace.dominant:  # the rows behind would wait for tries in vain
                    raise
                pause = max(error.wait, 0.5 * 2 ** (attempt - 1) * (0.5 + self._jitter.random()))
                if pause > self.manners.longest_wait:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _follow(self, url: URL) -> bytes:
        """Follow redirects, each hop checked as the first was."""
        for _ in range(REDIRECTS + 1):
            if self.manners.robots:
                await self._robots.require(url)
                pause = await self._robots.pause(url)
                if pause > self.manners.longest_wait:
                    raise FetchError("robots", f"one request in {pause:,.0f} s is all that {url.host} allows")
                self.pace.host(url.host or "").interval = max(self.manners.interval, pause)
            if self.manners.opt_out:
                await self._reservations.require(url)
            async with self._request(url) as response:
                if response.status not in _MOVED:
                    self._refuse(response)
                    return await _body(response, self.manners.most_bytes)
                url = _target(url, response.headers)
        raise FetchError("http_4xx", f"more than {REDIRECTS} redirects")

    @asynccontextmanager
    async def _request(self, url: URL) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request in its turn; all that can fail is a `FetchError`, and the pace learns of it."""
        host = url.host or ""
        outcome, wait = "ok", 0.0
        self._require_public(host)
        async with self.pace.turn(host):
            try:
                with _named(self.manners.seconds):
                    async with asyncio.timeout(self.manners.seconds):
                        assert self._session is not None, "used outside `async with`"
                        async with self._session.get(url, allow_redirects=False) as response:
                            yield response
            except FetchError as error:
                outcome, wait = error.failure, error.wait
                raise
            finally:
                self.pace.learn(host, outcome, wait)

    def _require_public(self, host: str) -> None:
        """Literal addresses are not resolved, so they are looked at here."""
        if host in self.manners.allow:
            return
        if (address := literal(host)) is not None and not is_public(address):
            raise FetchError("blocked_address", f"{host} is no public address")

    def _refuse(self, response: aiohttp.ClientResponse) -> None:
        """Raise for a status or a header that says no, before the body is read."""
        status, headers = response.status, response.headers
        if status == 429 or status == 503:
            wait = _seconds(headers.get("Retry-After", ""))
            raise FetchError("http_429" if status == 429 else "http_5xx", f"answered {status}", wait)
        if status >= 500:
            raise FetchError("http_5xx", f"answered {status}")
        if status != 200:
            raise FetchError("http_4xx", f"answered {status}")
        if self.manners.opt_out and (reason := _opted_out(headers, self.manners.agent)):
            raise FetchError("opt_out", reason)

    async def _ask(self, url: URL) -> Answer:
        for _ in range(REDIRECTS + 1):
            async with self._request(url) as response:
                if response.status not in _MOVED:
                    if response.status != 200:
                        return Answer(response.status)
                    return Answer(200, await _body(response, LARGEST, cut=True))
                url = _target(url, response.headers)
        return Answer(404)  # RFC 9309, 2.3.1.2: too many redirects count as no file

    async def _ask_where_allowed(self, url: URL) -> Answer:
        """As `_ask`; what robots.txt disallows counts as refused by the server."""
        if self.manners.robots and await self._robots.refusal(url):
            return Answer(403)
        return await self._ask(url)


@contextmanager
def _named(seconds: float) -> Iterator[None]:
    """Turn what aiohttp and the sockets raise into a `FetchError`."""
    try:
        yield
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise _failure(error, seconds) from error


def _failure(error: Exception, seconds: float) -> FetchError:
    """The class of an exception; the order matters, as they inherit from each other."""
    inner = getattr(error, "os_error", None) or error
    text = f"{type(error).__name__}: {error}"[:300]
    if isinstance(inner, BlockedAddressError) or "is no public address" in str(inner):
        return FetchError("blocked_address", str(inner))
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError | aiohttp.ClientConnectorCertificateError):
        return FetchError("tls", text)
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(inner, socket.gaierror):
        return FetchError("dns", text)
    if isinstance(error, aiohttp.InvalidURL):
        return FetchError("bad_url", text)
    if isinstance(error, TimeoutError):
        return FetchError("timeout", f"no end within {seconds:g} s")
    return FetchError("connect", text)


async def _body(response: aiohttp.ClientResponse, most: int, *, cut: bool = False) -> bytes:
    """Read at most `most` bytes, counted after decompression too.

    Raises:
        FetchError: `too_large`, unless `cut`, and `connect` for an encoding that is none.
    """
    length = response.content_length
    if length is not None and length > most and not cut:
        raise FetchError("too_large", f"{length:,} bytes announced, {most:,} are the limit")
    unpack = _unpacker(response.headers.get("Content-Encoding", "").strip().lower())
    parts, size = [], 0
    async for data in response.content.iter_chunked(_CHUNK):
        if unpack is not None:
            try:
                data = unpack.decompress(data, most + 1 - size)
            except zlib.error as error:
                raise FetchError("connect", f"Content-Encoding does not unpack: {error}") from error
        parts.append(data)
        size += len(data)
        if size > most:
            if cut:
                break
            raise FetchError("too_large", f"more than {most:,} bytes")
    return b"".join(parts)[: most if cut else None]


def _unpacker(encoding: str) -> zlib._Decompress | None:
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(zlib.MAX_WBITS | 32)
    raise FetchError("connect", f"Content-Encoding {encoding[:40]}, which was not asked for")


def _target(url: URL, headers: Mapping[str, str]) -> URL:
    where = headers.get("Location", "")
    if not where:
        raise FetchError("http_4xx", "a redirect to nowhere")
    try:
        return normalise(str(url.join(URL(where))))
    except ValueError as error:
        raise FetchError("bad_url", f"redirected to {where[:200]}: {error}") from error


def _opted_out(headers: Mapping[str, str], agent: str) -> str:
    """Why a response may not be used: X-Robots-Tag (for all, or for us by name), or a TDM reservation."""
    for value in headers.getall("X-Robots-Tag", ()) if hasattr(headers, "getall") else ():
        ours = True
        for part in value.lower().split(","):
            who, sign, rest = part.partition(":")
            if sign and who.strip() not in _VALUED:  # the name of a crawler: what follows is for it alone
                ours, part = who.strip() in (agent.lower(), "*"), rest
            if ours and part.strip() in _OPT_OUT:
                return f"X-Robots-Tag: {part.strip()}"
    if headers.get("tdm-reservation", "").strip() == "1":
        return "tdm-reservation: 1"
    return ""


def _seconds(value: str) -> float:
    """Retry-After as seconds from now: a number, or a date; 0 for neither."""
    value = value.strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
