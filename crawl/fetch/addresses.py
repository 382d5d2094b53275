"""Which addresses a crawler may connect to: public ones, and private ones that were allowed by name.

A name is resolved, each address is checked, and *that* address is connected to. The last check stands where
the socket is made, so that neither a literal, nor a redirect, nor a name that changes its mind passes by it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NUMBERS = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}", re.IGNORECASE)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class BlockedAddressError(OSError):
    """An address of this machine, of its network, or of no network at all."""


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet.

    An IPv6 address that carries an IPv4 one inside (mapped, 6to4, Teredo, NAT64) is judged by both.
    """
    try:
        ip: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(each.is_global and not each.is_multicast for each in _meant(ip))


def _meant(ip: Address) -> list[Address]:
    """The addresses that packets to `ip` may end at."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:  # the kernel takes it for IPv4, whatever IPv6's registry says
        return [ip.ipv4_mapped]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)]
    inner: list[Address] = [ip]
    if ip.sixtofour is not None:
        inner.append(ip.sixtofour)
    if ip.teredo is not None:
        inner += ip.teredo
    return inner


class Guard(AbstractResolver):
    """Resolves names to addresses that may be connected to, and makes sockets to no others.

    Args:
        allow: hosts (names or addresses, as they stand in a URL) that may be private.
        resolver: what resolves names; by default the system's.
    """

    def __init__(self, allow: Collection[str] = (), resolver: AbstractResolver | None = None) -> None:
        self._allow = {host.lower().strip("[]") for host in allow}
        self._resolver = resolver or Lookups()
        self._permitted: set[str] = {host for host in self._allow if literal(host)}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host.

        Raises:
            BlockedAddressError: none of them is public, and the host is not allowed.
            OSError: the name does not resolve.
        """
        found = await self._resolver.resolve(host, port, family)
        if host.lower() in self._allow:
            self._permitted.update(each["host"] for each in found)
            return found
        public = [each for each in found if is_public(each["host"])]
        if found and not public:
            raise BlockedAddressError(f"{host} is {found[0]['host']}, which is no public address")
        return public

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for one address: aiohttp's `socket_factory`.

        Args:
            info: as `socket.getaddrinfo` gives it.

        Raises:
            BlockedAddressError: the address may not be connected to.
        """
        family, kind, protocol, _, where = info
        if where[0] not in self._permitted and not is_public(where[0]):
            raise BlockedAddressError(f"{where[0]} is no public address")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


class Lookups(AbstractResolver):
    """The system's resolver, asked for many names at once: an event loop has but four threads for it, and a
    name server that is silent holds each of them for ten seconds.

    Args:
        at_once: names looked up at once; each has a thread while it is.
        seconds: after which a name counts as one that does not resolve.
    """

    def __init__(self, at_once: int = 48, seconds: float = 10.0) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._seconds = seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host.

        Raises:
            OSError: the name does not resolve, or nobody says so in time.
        """
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()

        def tell(found: list[Any] | OSError) -> None:
            self._places.release()
            if answer.done():
                return
            if isinstance(found, OSError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def look_up() -> None:
            found: list[Any] | OSError
            try:
                found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            except OSError as error:
                found = error
            except UnicodeError as error:
                found = OSError(f"{host} is no name: {error}")
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell, found)

        # No pool: its threads are waited for when the process ends, and a lookup cannot be interrupted.
        try:
            threading.Thread(target=look_up, name="resolver", daemon=True).start()
        except RuntimeError as error:
            self._places.release()
            raise OSError(f"{host}: no thread to look it up: {error}") from error
        try:
            async with asyncio.timeout(self._seconds):
                found = await answer
        except TimeoutError as error:
            raise OSError(f"{host}: no answer from the resolver in {self._seconds:g} s") from error
        return [
            ResolveResult(
                hostname=host,
                host=where[0],
                port=where[1],
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, where in found
        ]

    async def close(self) -> None:
        """Nothing to let go of: lookups under way end by themselves."""


def literal(host: str) -> str | None:
    """The address that a host of a URL is, in any spelling that some C library takes (`127.1`, `0x7f000001`,
    `2130706433`); None for a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        pass
    if not _NUMBERS.fullmatch(host):
        return None
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
