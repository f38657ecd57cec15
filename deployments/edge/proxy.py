"""What must happen before Ray Serve's HTTP proxy reads a request, and after it has answered by itself.

Serve obeys some request headers and buffers bodies on its way to the replica: both are settled here, because
in the replica it is too late. Installed by `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.loading import load_settings
from deployments.edge.context import CURRENT, RequestContext
from deployments.edge.identity import WELL_FORMED
from deployments.edge.problems import from_error
from domain.errors import MedsearchError, NotFound, TooLarge, TooMany, Unavailable
from domain.ids import new_id

OBEYED_BY_SERVE = (
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "serve_multiplexed_model_id",
    "x-session-id",
)
"""Headers by which a client could switch off time-outs or choose a replica."""
REQUEST_ID = "x-request-id"
OURS = "x-content-type-options"
"""On every answer of our applications; an answer without it was made by Serve."""


def _spelling(name: str) -> str:
    return name.lower().replace("_", "-")


DROPPED = frozenset(map(_spelling, (*OBEYED_BY_SERVE, REQUEST_ID)))


def callback() -> list[Middleware]:
    """What Serve wraps its proxy in; the last one is outermost."""
    settings = load_settings().settings
    return [
        Middleware(HonestErrors),
        Middleware(BodyLimit, limit=settings.http.body_limit_bytes),
        Middleware(CleanHeaders),
    ]


class CleanHeaders:
    """Takes away what only Serve's own parts may say, and sees to exactly one well-formed request id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).getlist(REQUEST_ID)
        request_id = given[0] if len(given) == 1 and WELL_FORMED.fullmatch(given[0]) else str(new_id())
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if _spelling(name.decode("latin-1")) not in DROPPED
        ]
        scope = {**scope, "headers": [*kept, (REQUEST_ID.encode(), request_id.encode())]}

        async def with_one_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        token = CURRENT.set(RequestContext(request_id))
        try:
            return await self._app(scope, receive, with_one_id)
        finally:
            CURRENT.reset(token)


class BodyLimit:
    """Answers 413 as soon as a body is known to be over `limit` bytes, whether its length was announced or
    not.
    """

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self._limit:
            return await self._refuse(scope, receive, send)
        return await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        over, size, started = asyncio.Event(), 0, False

        async def counting() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= self._limit:
                return message
            over.set()
            return {"type": "http.disconnect"}

        async def watching(message: Message) -> None:
            nonlocal started
            if not over.is_set():
                started = True
                await send(message)

        answering = asyncio.ensure_future(self._app(scope, counting, watching))
        exceeding = asyncio.ensure_future(over.wait())
        try:
            await asyncio.wait([answering, exceeding], return_when=asyncio.FIRST_COMPLETED)
            if over.is_set() and not started:
                await self._refuse(scope, receive, send)
            else:
                await answering
        finally:
            exceeding.cancel()
            answering.cancel()

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = from_error(TooLarge(f"The body is larger than the {self._limit} bytes that are allowed."))
        answer.headers["Connection"] = "close"  # the rest of the body is not read
        await answer(scope, receive, send)


class HonestErrors:
    """Serve's own errors in our form: what a lost replica or a full queue causes may be tried again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        replaced = False

        async def translating(message: Message) -> None:
            nonlocal replaced
            if (
                message["type"] == "http.response.start"
                and message["status"] >= 400
                and OURS not in Headers(raw=message["headers"])
            ):
                replaced = True
                await from_error(_meaning(message["status"]))(scope, receive, send)
            if not replaced:
                await send(message)

        return await self._app(scope, receive, translating)


def _meaning(status: int) -> MedsearchError:
    if status == 404:
        return NotFound("There is nothing at this address, or you may not see it.")
    if status == 429:
        return TooMany(
            "Too many requests are waiting. Try again in a moment.", code="service.overloaded", retry_after=1
        )
    return Unavailable("The service cannot answer just now. Try again in a moment.", retry_after=1)
