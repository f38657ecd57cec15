"""The limit that everybody has: requests a minute, by account, or by address where no account is known.

Routes that say so (`counted_apart`) have a window of their own: what others behind the same address do elsewhere
does not use it up.
"""

from __future__ import annotations

import math

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.edge.context import address
from deployments.edge.identity import network_of
from deployments.edge.problems import from_error
from deployments.edge.route_table import REQUESTS, facts_of
from domain.errors import TooMany
from stores.ports import Allowance, RateLimiter

WINDOW_SECONDS = 60


class RateLimit:
    """429 past the limit; `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers)."""

    def __init__(self, app: ASGIApp, *, limiter: RateLimiter, per_minute: int) -> None:
        self.app = app
        self._limiter = limiter
        self._limit = per_minute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = facts_of(scope)
        if scope["type"] != "http" or (facts and not facts.counted):
            return await self.app(scope, receive, send)
        user = scope.get("medsearch.user")
        window = facts.window if facts else REQUESTS
        sender = f"user:{user}" if user else f"address:{network_of(address())}"
        allowance = await self._limiter.take(
            f"rate:{window}:{sender}", limit=self._limit, seconds=WINDOW_SECONDS
        )

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = f'"{window}";q={self._limit};w={WINDOW_SECONDS}'
                headers["RateLimit"] = (
                    f'"{window}";r={allowance.remaining};t={math.ceil(allowance.reset_seconds)}'
                )
            await send(message)

        if not allowance.allowed:
            return await from_error(_too_many(allowance))(scope, receive, with_headers)
        return await self.app(scope, receive, with_headers)


def _too_many(allowance: Allowance) -> TooMany:
    seconds = max(1, math.ceil(allowance.reset_seconds))
    return TooMany(f"Too many requests. Try again in {seconds} s.", retry_after=seconds)
