"""Requests to addresses that somebody else chose: only to where they may go, whatever names and redirects say.

A name is resolved once, every address it has is checked, and the connection goes to a checked address: a name that
answers differently the next time changes nothing. Redirects are not followed, proxies of the environment not used.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpx

from config.mail_settings import OutboundSettings
from domain.errors import Unavailable

TIMEOUT = httpx.Timeout(5.0)
TOTAL_SECONDS = 10.0
LONGEST_ANSWER_BYTES = 1024 * 1024
PUBLIC_PORT = 443

NAT64 = IPv6Network("64:ff9b::/96")
NEVER = frozenset({IPv4Address("168.63.129.16")})
"""Public by number, but answered by the host that a virtual machine runs on."""

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class OutboundRefused(Unavailable):
    """The address may not be asked (`outbound.allowed_networks`), or its answer is too large."""

    code = "outbound.refused"


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of the name, as the system finds it."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise OutboundRefused("The name of the other server cannot be resolved.", retry_after=30) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.AsyncBaseTransport):
    """`https` to port 443 of public addresses; anything to the networks that the settings name.

    Raises `OutboundRefused` before a packet is sent.
    """

    def __init__(
        self,
        settings: OutboundSettings,
        *,
        resolve: Resolve = resolve,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._allowed = [ip_network(network) for network in settings.allowed_networks]
        self._resolve = resolve
        # A connection is for one request: it was checked for the name of that request.
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=0)
        self._inner = inner or httpx.AsyncHTTPTransport(trust_env=False, limits=limits, http1=True)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        port = url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise _refused()
        addresses = [ip_address(text.partition("%")[0]) for text in await self._resolve(url.host, port)]
        if not addresses or not all(self._may_go(address, url.scheme, port) for address in addresses):
            raise _refused()
        error: httpx.ConnectError | None = None
        for address in addresses:
            try:
                answer = await self._inner.handle_async_request(_aimed(request, address, port))
            except httpx.ConnectError as failed:
                error = failed
            else:
                return _limited(answer)
        raise error or _refused()

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _may_go(self, address: Address, scheme: str, port: int) -> bool:
        if any(address.version == network.version and address in network for network in self._allowed):
            return True
        return scheme == "https" and port == PUBLIC_PORT and is_public(address)


def is_public(address: Address) -> bool:
    """Whether anybody on the Internet has the address; what an IPv6 address embeds counts as well."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return False
    return address.is_global and not address.is_multicast and address not in NEVER


def _aimed(request: httpx.Request, address: Address, port: int) -> httpx.Request:
    """The request to the checked address; name in `Host` and certificate stay those that were asked for."""
    headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"accept-encoding"]
    extensions: dict[str, Any] = {**request.extensions, "sni_hostname": request.url.host}
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address), port=port),
        headers=[*headers, (b"accept-encoding", b"identity")],
        stream=request.stream,
        extensions=extensions,
    )


def _limited(answer: httpx.Response) -> httpx.Response:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise OutboundRefused("The other server answers in a form that was not asked for.", retry_after=30)
    stream = answer.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("an asynchronous answer is needed")
    return httpx.Response(
        answer.status_code,
        headers=answer.headers,
        stream=_LimitedStream(stream),
        extensions=answer.extensions,
    )


class _LimitedStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > LONGEST_ANSWER_BYTES:
                raise OutboundRefused("The answer of the other server is too large.", retry_after=30)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _refused() -> OutboundRefused:
    return OutboundRefused(
        "This address may not be asked. Private networks must be named in outbound.allowed_networks.",
        retry_after=30,
    )
