"""Outermost: the request's id and address, and its log line."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.edge.context import CURRENT, RequestContext
from deployments.edge.route_table import facts_of
from domain.ids import new_id

WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
"""An `X-Request-ID` that is taken over; any other is replaced by one of ours."""

LONGEST_USER_AGENT = 200

log = structlog.get_logger("medsearch.http")


class RequestIdentity:
    """Names the request, answers `X-Request-ID`, logs one line: never path values or the query."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: Sequence[str]) -> None:
        self.app = app
        self._trusted = [ip_network(network) for network in trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if WELL_FORMED.fullmatch(given) else str(new_id())
        token = CURRENT.set(
            RequestContext(
                request_id, sender(scope, headers, self._trusted), datetime.now(UTC), program(headers)
            )
        )
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                return await self._answer(scope, receive, send, request_id)
            finally:
                CURRENT.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = 0

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, with_id)
        finally:
            self._log(scope, status, started)

    def _log(self, scope: Scope, status: int, started: float) -> None:
        facts = facts_of(scope)
        log.info(
            "request",
            method=scope["method"],
            route=facts.template if facts else None,
            status=status,
            ms=round((time.perf_counter() - started) * 1000, 1),
            user=scope.get("medsearch.user"),
        )


def program(headers: Headers) -> str | None:
    """The User-Agent as one line of text that may be stored and shown."""
    given = headers.get("user-agent", "")[:LONGEST_USER_AGENT]
    return " ".join("".join(c if c.isprintable() else " " for c in given).split()) or None


def sender(scope: Scope, headers: Headers, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The address the request comes from: the last one in the chain that no trusted proxy stands for."""
    client = scope.get("client")
    found = client[0] if client else ""
    chain = [part.strip() for value in headers.getlist("x-forwarded-for") for part in value.split(",")]
    while chain and _within(found, trusted):
        found = chain.pop()
    return found if _is_address(found) else ""


def network_of(address: str) -> str:
    """What limits count an address as: IPv6 by its /64, of which one machine may use every address.

    An IPv4-mapped address is its IPv4 address. Texts that are no address stay as they are.
    """
    found = ip_address(address) if _is_address(address) else None
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((int(found) >> 64 << 64, 64)))
    return address


def _within(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
