"""Each address ends in its class; nothing blocked is connected to; one bad server keeps no other back."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
import uvloop
from aiohttp.abc import AbstractResolver

from crawl.fetch.addresses import Guard, Lookups, is_public
from crawl.fetch.client import Client, Manners
from crawl.fetch.crawler import Crawler
from crawl.fetch.failures import FetchError
from crawl.fetch.reservations import PLACE as RESERVATIONS
from crawl.fetch.urls import normalise
from tests.crawl import hostile

HERE = {"allow": ("127.0.0.1",), "tries": 1, "seconds": 0.5, "most_bytes": 1_000_000}


@pytest.fixture(scope="module")
def server():
    with hostile.Server() as running:
        yield running


def fetch(*urls: str, resolver: AbstractResolver | None = None, **manners: object) -> list[bytes | str]:
    """Bytes, or the class of the failure, of each URL."""

    async def one(client: Client, url: str) -> bytes | str:
        try:
            return await client.fetch(url)
        except FetchError as error:
            return error.failure

    async def all_of_them() -> list[bytes | str]:
        async with Client(Manners(**{**HERE, **manners}), resolver) as client:  # type: ignore[arg-type]
            return list(await asyncio.gather(*(one(client, url) for url in urls)))

    return asyncio.run(all_of_them())


class Names(AbstractResolver):
    """Answers with the next list of addresses at every call."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise OSError("no such name")
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in found
        ]

    async def close(self):
        return None


def test_every_misbehaviour_ends_in_its_class_and_the_rest_completes(server):
    good = hostile.jpeg()
    cases = {
        server.body("/good.jpg", good): good,
        server.route("/drip", hostile.drip): "timeout",
        server.route("/silent", hostile.silent): "timeout",
        server.route("/endless", hostile.endless): "too_large",
        server.route("/reset", hostile.reset): "connect",
        server.route("/short", hostile.short): "connect",
        server.body("/announced", b"x", Content_Length="1"): b"x",
        server.body("/large", b"x" * 1_000_001): "too_large",
        server.body("/packed", hostile.gzip_bomb(), Content_Encoding="gzip"): "too_large",
        server.body("/odd", b"abc", Content_Encoding="br"): "connect",
        server.body("/unpackable", b"abc", Content_Encoding="gzip"): "connect",
        server.moved("/loop", "/loop"): "http_4xx",
        server.moved("/hop", "/good.jpg"): good,
        server.moved("/metadata", "http://169.254.169.254/latest"): "blocked_address",
        server.moved("/home", server.url("/good.jpg", "127.0.0.2")): "blocked_address",
        server.moved("/file", "file:///etc/passwd"): "blocked_address",
        server.moved("/nowhere", ""): "http_4xx",
        server.body("/gone", b"", 410): "http_4xx",
        server.body("/broken", b"", 500): "http_5xx",
        server.body("/storm", b"", 429): "http_429",
        server.body("/noai", good, X_Robots_Tag="noindex, NoAI"): "opt_out",
        server.body("/noml", good, X_Robots_Tag="babelscene: noml"): "opt_out",
        server.body("/other", good, X_Robots_Tag="otherbot: noai"): good,
        server.body("/tdm", good, tdm_reservation="1"): "opt_out",
        server.url("/missing"): "http_4xx",
        "http://127.0.0.1:9/closed": "connect",
    }
    assert dict(zip(cases, fetch(*cases, per_host=len(cases)), strict=True)) == cases


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2/",
        "http://localhost/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0.0.0.0/",
        "http://100.64.0.1/",
        "file:///etc/passwd",
        "data:image/png;base64,aGk=",
        "ftp://example.org/a.jpg",
    ],
)
def test_addresses_that_are_never_connected_to(url, refused):
    assert fetch(url, allow=()) == ["blocked_address"]
    assert refused == []


@pytest.fixture
def refused(monkeypatch):
    """Where connections were asked for; none is made, even where the check of addresses is broken."""
    asked = []

    async def refuse(self, sock, where):
        asked.append(where[0])
        raise ConnectionRefusedError

    for loop in (uvloop.Loop, asyncio.SelectorEventLoop):
        monkeypatch.setattr(loop, "sock_connect", refuse)
    return asked


def test_a_check_that_were_broken_would_be_seen(refused, monkeypatch):
    for place in ("addresses", "client"):
        monkeypatch.setattr(f"crawl.fetch.{place}.is_public", lambda address: True)
    assert fetch("http://10.0.0.1/", allow=(), robots=False, opt_out=False, tries=1) == ["connect"]
    assert refused == ["10.0.0.1"]


def test_a_name_that_changes_its_mind_is_checked_where_it_is_connected_to(server):
    changing = Names(["8.8.8.8"], ["127.0.0.1"])
    guard = Guard(resolver=changing)
    assert asyncio.run(guard.resolve("rebind.example"))[0]["host"] == "8.8.8.8"
    url = server.url("/good.jpg", "rebind.example")
    assert fetch(url, resolver=changing) == ["blocked_address"]
    with pytest.raises(OSError, match="no public address"):
        guard.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))


def test_names_that_do_not_resolve_and_names_that_are_allowed(server):
    server.body("/named.jpg", b"here")
    assert fetch("http://nobody.example/a.jpg", resolver=Names([])) == ["dns"]
    url = server.url("/named.jpg", "inside.example")
    assert fetch(url, resolver=Names(["127.0.0.1"]), allow=("inside.example",)) == [b"here"]


def test_a_name_server_that_is_silent_is_a_dns_failure_and_holds_nothing_up(server, monkeypatch):
    silent = threading.Event()
    known = socket.getaddrinfo

    def lookup(host, *args, **kwargs):
        if host.endswith(".silent.example"):
            silent.wait(20)
            raise socket.gaierror("no answer")
        return known("127.0.0.1" if host == "inside.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    lost = [f"http://{i}.silent.example/a.jpg" for i in range(12)]
    found = server.body("/named.jpg", b"here").replace("127.0.0.1", "inside.example")
    try:
        resolver = Lookups(at_once=13, seconds=0.2)
        found = fetch(*lost, found, resolver=resolver, allow=("inside.example",), seconds=10)
        assert found == ["dns"] * 12 + [b"here"]
    finally:
        silent.set()


def test_nothing_is_tried_again_while_everything_fails_alike(monkeypatch):
    monkeypatch.setattr("crawl.fetch.client.random.Random.random", lambda self: -0.4)  # pauses of 0.05 s
    asked = Names([])
    asked.resolve, calls = _counted(asked.resolve)
    urls = [f"http://{i}.example/a.jpg" for i in range(150)]
    assert fetch(*urls, resolver=asked, tries=9, robots=False, seconds=10) == ["dns"] * 150
    assert 150 < calls[0] < 400


def _counted(resolve):
    calls = [0]

    async def counting(*args, **kwargs):
        calls[0] += 1
        return await resolve(*args, **kwargs)

    return counting, calls


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("::ffff:8.8.8.8", True),
        ("fe80::1%eth0", False),
        ("224.0.0.1", False),
        ("192.0.2.1", False),
        ("2001:0:53aa:64c:0:0:80ff:fffe", False),
        ("nonsense", False),
    ],
)
def test_public_addresses(address, public):
    assert is_public(address) is public


def test_a_site_that_disallows_is_asked_for_nothing_else(server):
    server.body("/private/a.jpg", b"a")
    server.body("/open/a.jpg", b"a")
    server.robots = (
        "User-agent: *\nDisallow: /private/\nAllow: /private/b*.jpg$\n\nUser-agent: other\nDisallow: /\n"
    )
    try:
        before = server.hits.copy()
        asked = [server.url("/private/a.jpg"), server.url("/open/a.jpg")]
        assert fetch(*asked) == ["robots", b"a"]
        new = server.hits - before
        assert new == {"/robots.txt": 1, RESERVATIONS: 1, "/open/a.jpg": 1}
        assert fetch(asked[0], robots=False) == [b"a"]
    finally:
        server.robots = ""


def test_what_robots_disallow_is_not_asked_for_reservations_either():
    with hostile.Server() as server:
        server.body("/open/a.jpg", b"a")
        server.robots = "User-agent: *\nDisallow: /\nAllow: /open/\n"
        assert fetch(server.url("/open/a.jpg")) == [b"a"]
        assert server.hits == {"/robots.txt": 1, "/open/a.jpg": 1}


@pytest.mark.parametrize(
    ("rules", "ends"),
    [
        (b'[{"location": "/", "tdm-reservation": 1}]', ["opt_out", "opt_out"]),
        (b'[{"location": "/art/*.jpg$", "tdm-reservation": 1}]', ["opt_out", b"b"]),
        (
            b'[{"location": "/art", "tdm-reservation": 1}, {"location": "*", "tdm-reservation": 0}]',
            ["opt_out", b"b"],
        ),
        (b'[{"location": "/art", "tdm-reservation": 0}]', [b"a", b"b"]),
        (b'{"tdm-reservation": 1}', [b"a", b"b"]),
        (b"<html>none</html>", [b"a", b"b"]),
    ],
)
def test_a_site_reserves_its_places(rules, ends):
    with hostile.Server() as server:
        urls = [server.body("/art/a.jpg", b"a"), server.body("/open/b.jpg", b"b")]
        server.body(RESERVATIONS, rules)
        assert fetch(*urls) == ends
        assert server.hits[RESERVATIONS] == 1
        assert fetch(*urls, opt_out=False) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("tag", "refused"),
    [
        ("noai, max-image-preview:large", True),
        ("max-image-preview:large, noai", True),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, noimageai", True),
        ("babelscene: noml, max-snippet:-1", True),
        ("otherbot: noindex, babelscene: noai", True),
        ("otherbot: noai, max-image-preview:large, noml", False),
        ("max-image-preview:large", False),
    ],
)
def test_opt_outs_among_other_words(server, tag, refused):
    url = server.body("/tagged.jpg", b"a", X_Robots_Tag=tag)
    assert fetch(url) == ["opt_out" if refused else b"a"]


def test_a_site_that_allows_a_request_a_day_holds_nothing_up():
    with hostile.Server() as server:
        server.robots = "User-agent: *\nCrawl-delay: 86400\n"
        urls = [server.body(f"/{i}.jpg", b"a") for i in range(3)]
        assert fetch(*urls) == ["robots"] * 3
        assert server.hits == {"/robots.txt": 1}


@pytest.mark.parametrize(("status", "ends"), [(404, b"a"), (403, b"a"), (429, "robots"), (503, "robots")])
def test_a_robots_file_that_cannot_be_read(server, status, ends):
    url = server.body("/open/a.jpg", b"a")
    server.robots, server.robots_status = "Disallow: /", status
    try:
        assert fetch(url) == [ends]
    finally:
        server.robots, server.robots_status = "", 200


def test_requests_to_one_host_are_few_and_apart():
    with hostile.Server() as server:
        urls = [server.route(f"/slow/{i}", _slow) for i in range(12)]
        assert fetch(*urls, per_host=3, seconds=20) == [b"x"] * 12
        assert server.most_at_once == 3
        server.most_at_once = 0
        assert fetch(*urls[:4], per_host=4, interval=0.1, seconds=20) == [b"x"] * 4
        assert server.most_at_once == 1


async def _slow(_):
    from aiohttp import web

    await asyncio.sleep(0.03)
    return web.Response(body=b"x")


def test_what_may_pass_is_tried_again_and_what_was_asked_for_is_waited_for(server):
    from aiohttp import web

    answers = [web.Response(status=429, headers={"Retry-After": "0"}), web.Response(status=503)]

    async def flaky(_):
        return answers.pop(0) if answers else web.Response(body=b"at last")

    url = server.route("/flaky", flaky)
    assert fetch(url, tries=3, seconds=5) == [b"at last"]
    storm = server.body("/storm2", b"", 429, Retry_After="3600")
    assert fetch(storm, storm, storm, tries=3, longest_wait=1.0, per_host=1) == ["http_429"] * 3
    assert server.hits["/storm2"] == 1


def test_one_spelling_for_each_address():
    spelt = normalise("HTTP://ExAmple.org:80/a/../b%7E?q=1#top")
    assert str(spelt) == str(normalise("http://example.org/b~?q=1")) == "http://example.org/b~?q=1"
    assert str(normalise("https://bücher.example")) == "https://xn--bcher-kva.example/"
    assert normalise("http://user:secret@example.org/a").user is None
    for text in ("", "a.jpg", "http://", "http://h:99999/", "http://a b/", "http://" + "a" * 9000):
        with pytest.raises(FetchError) as caught:
            normalise(text)
        assert caught.value.failure == "bad_url"


def test_the_crawler_keeps_the_order_and_ends_cleanly(server):
    for i in range(40):
        server.body(f"/n/{i}", str(i).encode())
    crawler = Crawler(Manners(**{**HERE, "seconds": 5.0}), ahead=8)
    urls = [server.url(f"/n/{i}") for i in range(40)]
    assert list(crawler.fetch(urls)) == [str(i).encode() for i in range(40)]
    early = crawler.fetch(urls)
    assert next(early) == b"0"
    early.close()
    assert [getattr(each, "failure", each) for each in crawler.fetch([urls[3], server.url("/none")])] == [
        b"3",
        "http_4xx",
    ]
    crawler.close()
    crawler.close()
