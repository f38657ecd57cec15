"""Where errors of the inner stack become answers, and where refused input is audited."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.edge.authentication import CALLER
from deployments.edge.context import address, request_id
from deployments.edge.problems import from_error, from_framework, internal_error
from deployments.edge.route_table import Duration, facts_of
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import MedsearchError, Unavailable
from stores.ports import AuditEntry, AuditLog

REFUSED_INPUT = (400, 413, 415, 422)


class ProblemBoundary:
    """Answers errors as problem+json: expected ones by the table, any other as 500 without detail."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            return await self.app(scope, receive, watched)
        except Exception as error:
            response = _answer(error)
            if begun:
                raise  # the answer is on its way: cutting the connection is all that is left
            return await response(scope, receive, send)


class TimeLimits:
    """Ends a request that takes longer than its route may: 503, or a cut connection in mid-answer."""

    def __init__(self, app: ASGIApp, *, request_seconds: float, transfer_seconds: float) -> None:
        self.app = app
        self._seconds = {
            Duration.REQUEST: request_seconds,
            Duration.TRANSFER: transfer_seconds,
            Duration.STREAM: None,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = facts_of(scope)
        seconds = self._seconds[facts.duration if facts else Duration.REQUEST]
        limit = asyncio.timeout(seconds if scope["type"] == "http" else None)
        try:
            async with limit:
                await self.app(scope, receive, send)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Unavailable(
                "The request took too long. Try again.", code="request.timeout", retry_after=5
            ) from None


class RefusalAudit:
    """Audits what routes marked with `audit_refusals` refuse; without the record the answer is 503."""

    def __init__(self, app: ASGIApp, *, audit: AuditLog) -> None:
        self.app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = facts_of(scope)
        if facts is None or facts.audited is None:
            return await self.app(scope, receive, send)
        event = facts.audited
        replaced = False

        async def recorded(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] in REFUSED_INPUT:
                try:
                    await self._audit.record(_refusal(event, scope))
                except MedsearchError as error:
                    replaced = True
                    await from_error(error)(scope, receive, send)
            if not replaced:
                await send(message)

        return await self.app(scope, receive, recorded)


def _answer(error: Exception) -> Response:
    match error:
        case MedsearchError():
            return from_error(error)
        case HTTPException():  # `BodyLimit`, where the body is read before the application has it
            return from_framework(error)
        case _:
            return internal_error(error)


def _refusal(event: AuditEvent, scope: Scope) -> AuditEntry:
    caller = scope.get(CALLER)
    known = caller if isinstance(caller, Caller) else None
    return AuditEntry(
        action="C",
        event=event,
        outcome="denied",
        actor=f"user:{known.user_id}" if known else "anonymous",
        role=known.role if known else "",
        reason="request.invalid",
        address=address() or None,
        request_id=request_id(),
        session_id=known.through if known else None,
    )
