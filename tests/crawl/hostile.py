"""A server that misbehaves in every way that a crawler must survive; on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import gzip
import io
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web
from PIL import Image

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def jpeg(width: int = 64, height: int = 48, colour: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (colour, 120, 30)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def bomb(side: int = 30_000) -> bytes:
    """A PNG whose header promises `side` × `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * 50_000_000, 9)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class Server:
    """Routes by path; counts requests, and how many were served at once."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.robots = ""
        self.robots_status = 200
        self._routes: dict[str, Handler] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def route(self, path: str, handler: Handler) -> str:
        """Serve a path; its URL."""
        self._routes[path] = handler
        return self.url(path)

    def body(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Serve fixed bytes under a path."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("Content-Type", "image/jpeg")

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status, headers=named)

        return self.route(path, answer)

    def moved(self, path: str, target: str) -> str:
        """Redirect a path."""
        return self.body(path, b"", 302, Location=target)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.hits[request.path] += 1
        if request.path == "/robots.txt":
            return web.Response(text=self.robots, status=self.robots_status if self.robots else 404)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            handler = self._routes.get(request.path)
            return await handler(request) if handler else web.Response(status=404)
        finally:
            self.at_once -= 1

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def start() -> web.AppRunner:
            app = web.Application()
            app.router.add_route("*", "/{any:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            return runner

        runner = self._loop.run_until_complete(start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()


async def drip(request: web.Request) -> web.StreamResponse:
    """A byte now and then, for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"\xff")
        await asyncio.sleep(0.02)


async def endless(request: web.Request) -> web.StreamResponse:
    """As much as is taken."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"\xff" * 65536)


async def silent(request: web.Request) -> web.StreamResponse:
    """Nothing at all."""
    await asyncio.sleep(3600)
    return web.Response()


async def reset(request: web.Request) -> web.StreamResponse:
    """The connection is torn down in the middle of an answer."""
    response = web.StreamResponse(headers={"Content-Length": "5000"})
    await response.prepare(request)
    await response.write(b"x" * 100)
    assert request.transport is not None
    request.transport.abort()
    return response


async def short(request: web.Request) -> web.StreamResponse:
    """Fewer bytes than the length says."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nContent-Type: image/jpeg\r\n\r\nabc")
    request.transport.close()
    return web.Response()


def gzip_bomb(size: int = 50_000_000) -> bytes:
    return gzip.compress(b"\0" * size)
