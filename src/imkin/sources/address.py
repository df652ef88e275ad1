"""Which hosts a table of URLs may reach: public addresses only, and the address checked is the address used."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore2

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The IP addresses of a host name, the best first; raises OSError when it has none."""

# IPv6 prefixes that carry an IPv4 address in their last 32 bits (RFC 4291 2.5.5, RFC 6052, RFC 8215): a packet to
# them can end at that address.
_CARRIES_IPV4 = tuple(map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))

# Of IANA's special-purpose registries, what `ipaddress` of some Python that is supported takes for global.
_SPECIAL = tuple(
    map(
        ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "64:ff9b:1::/48", "2001::/23", "3fff::/20", "5f00::/16"),
    )
)

# Names that never belong to the public internet (RFC 6761, RFC 6762, ICANN's `internal`).
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".intranet", ".corp", ".home")

ADDRESSES_TRIED = 3


class RefusedError(Exception):
    """An address that may not be reached; the text says which and why."""


class UnresolvedError(Exception):
    """A host name without addresses. lasting: the name service says that there is no such name."""

    def __init__(self, host: str, error: OSError) -> None:
        super().__init__(f"the host name {host} could not be resolved: {error.strerror or error}")
        nameless = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        self.lasting = isinstance(error, socket.gaierror) and error.errno in nameless


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever form it is written in."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = _inner_ipv4(ip)
        if inner is not None:
            return _is_global(inner)
    return _is_global(ip)


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses that the system's resolver knows for host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def check_name(host: str, port: int, *, resolver: Resolve) -> None:
    """Raise RefusedError unless a proxy may be asked for host.

    The proxy resolves the name, so all that can be done here is: refuse local names and every name with an address
    that is not public. A name that this machine cannot resolve is left to the proxy if it looks like a public one.
    """
    bare = host.rstrip(".").lower()
    try:
        addresses = await resolver(host, port)
    except OSError:
        if ("." not in bare and ":" not in bare) or bare.endswith(_LOCAL_SUFFIXES):
            raise RefusedError(f"{host} is a name of the local network (see --allow-private)") from None
        return
    for address in addresses:
        if not is_public(address):
            raise _not_public(host, address)


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to checked addresses only; a name is resolved once, and its answer is what is connected to."""

    def __init__(self, *, allow_private: bool, resolver: Resolve) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of host that is allowed and answers. Raises RefusedError if none is allowed."""
        addresses = await self._addresses(host, port, timeout)
        for number, address in enumerate(addresses, start=1):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise httpcore2.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int, timeout_s: float | None) -> Sequence[str]:
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await self._resolver(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"the host name {host} could not be resolved in time") from None
        except OSError as error:
            raise UnresolvedError(host, error) from None
        allowed = [address for address in addresses if self._allow_private or is_public(address)]
        if addresses and not allowed:
            raise _not_public(host, addresses[0])
        return allowed[:ADDRESSES_TRIED]


def _inner_ipv4(ip: IPv6Address) -> IPv4Address | None:
    if ip.sixtofour is not None:
        return ip.sixtofour
    if any(ip in network for network in _CARRIES_IPV4):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


def _is_global(ip: IPv4Address | IPv6Address) -> bool:
    special = any(ip.version == network.version and ip in network for network in _SPECIAL)
    return ip.is_global and not (special or ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _not_public(host: str, address: str) -> RefusedError:
    shown = host if host == address else f"{host} ({address})"
    return RefusedError(f"{shown} is not a public address (see --allow-private)")
