"""Which addresses a crawler may connect to: public ones, and private ones that were allowed by name.

A name is resolved, each address is checked, and *that* address is connected to. The last check stands where
the socket is made, so that neither a literal, nor a redirect, nor a name that changes its mind passes by it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Collection
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

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
        self._resolver = resolver
        self._permitted: set[str] = {host for host in self._allow if literal(host)}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host.

        Raises:
            BlockedAddressError: none of them is public, and the host is not allowed.
            OSError: the name does not resolve.
        """
        self._resolver = self._resolver or ThreadedResolver(asyncio.get_running_loop())
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
        if self._resolver is not None:
            await self._resolver.close()


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
