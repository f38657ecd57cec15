"""Who calls, and whether the role may: decided before the body is read and before anything is looked up.

The sender decides how long the body takes: where that was longer than a session state is believed, it is asked again.

In a route:

    caller: Annotated[Caller, Depends(requires("document.upload"))]      # 401, 403 as due
    dependencies=[Depends(anyone)]                                        # public, said openly
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from config.account_settings import Role
from config.policy import AccessPolicy
from deployments.edge.context import address, request_id
from deployments.edge.input_checks import (
    check_address,
    check_content_type,
    check_query,
    parse_json,
    read_body,
    replay,
)
from deployments.edge.key_authentication import KeyAuthentication, is_key
from deployments.edge.route_table import RouteFacts, facts_of
from deployments.edge.token_verifier import TokenVerifier
from domain.access import Caller, counting
from domain.audit import AuditEvent
from domain.errors import Forbidden, MedsearchError, Unauthenticated
from domain.tokens import Claims, TokenRefused
from stores.ports import AuditEntry, AuditLog, SessionActivity, SessionDirectory

OWN = "profile.self"
"""All that a restricted session may do."""

CALLER = "medsearch.caller"
FAILURE = "medsearch.authentication_failure"
ASK_AGAIN = "medsearch.ask_again"
BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    bearerFormat="JWT",
    description="An access token of `POST /api/v1/auth/login`, or an API key (`ms_…`).",
)


def requires(permission: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency that gives the caller; the stack has made sure that its role has `permission`."""

    async def caller(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None
    ) -> Caller:
        return authenticated(request.scope)

    caller.__dict__["edge_permission"] = permission
    return caller


async def anyone() -> None:
    """A dependency that says: this route is public."""


anyone.__dict__["edge_permission"] = None


def authenticated(scope: Scope) -> Caller:
    """The caller of this request; raises why there is none."""
    caller = scope.get(CALLER)
    if isinstance(caller, Caller):
        return caller
    failure = scope.get(FAILURE)
    if isinstance(failure, MedsearchError):
        raise failure
    raise Unauthenticated("This needs an access token. Log in and send it as `Authorization: Bearer`.")


async def insist_on_caller(scope: Scope) -> None:
    """Raises `Unauthenticated` when the caller, as decided before the body came, has lost or got a right since."""
    ask_again: Callable[[], Awaitable[None]] | None = scope.get(ASK_AGAIN)
    if ask_again:
        await ask_again()


class Authentication:
    """Turns the bearer token into a `Caller`: by its signature and the published session state, or as an API key.

    Of the account's principals those count that the policy names for its role. A failure is kept, and raised only where somebody must be known: public routes do not look at tokens.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: TokenVerifier,
        sessions: SessionDirectory,
        activity: SessionActivity,
        idle_seconds: Mapping[Role, int],
        keys: KeyAuthentication,
        policy: AccessPolicy,
        believed_seconds: float,
    ) -> None:
        self.app = app
        self._believed_seconds = believed_seconds
        self._activity = activity
        self._idle = {str(role): seconds for role, seconds in idle_seconds.items()}
        self._keys = keys
        self._tokens = tokens
        self._sessions = sessions
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = facts_of(scope)
        given = Headers(scope=scope).getlist("authorization") if facts and facts.permission else []
        if given:
            try:
                await self._decide(scope, bearer(given))
            except MedsearchError as error:
                scope[FAILURE] = error
        await self.app(scope, receive, send)

    async def _decide(self, scope: Scope, token: bytes) -> None:
        ask, asked = self._question(token), time.monotonic()
        caller = await ask()
        scope[CALLER] = caller
        scope["medsearch.user"] = caller.user_id
        scope[ASK_AGAIN] = partial(self._ask_again, ask, caller, asked)

    async def _ask_again(self, ask: Callable[[], Awaitable[Caller]], before: Caller, asked: float) -> None:
        if time.monotonic() - asked >= self._believed_seconds and await ask() != before:
            raise TokenRefused("changed")

    def _question(self, token: bytes) -> Callable[[], Awaitable[Caller]]:
        """Whose token it is, to be asked of the directory. That a token's time ends meanwhile does not matter."""
        if is_key(token):
            return partial(self._keys.caller, token)
        return partial(self._in_session, self._tokens.verify(token))

    async def _in_session(self, claims: Claims) -> Caller:
        state = await self._sessions.lookup(claims.session)
        if state is None or not state.active or claims.token_version < state.token_version:
            raise TokenRefused("session")
        user = f"user:{claims.subject}"
        roles = [p.removeprefix("role:") for p in state.principals if p.startswith("role:")]
        if user not in state.principals or len(roles) != 1:
            raise TokenRefused("subject")
        issued = datetime.fromtimestamp(claims.issued_at, UTC)
        idle = self._idle[roles[0]]
        if not await self._activity.use(claims.session, issued_at=issued, idle_seconds=idle):
            raise TokenRefused("idle")
        principals = counting(state.principals, self._policy.kinds(roles[0]))
        return Caller(str(claims.subject), roles[0], principals, str(claims.session), state.restriction)


class Admission:
    """Lets a request through: the role, the names in the query, and sound JSON where JSON is due."""

    def __init__(self, app: ASGIApp, *, policy: AccessPolicy, audit: AuditLog) -> None:
        self.app = app
        self._policy = policy
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        facts = facts_of(scope)
        if facts and facts.permission:
            await self._authorise(scope, facts, facts.permission)
        check_address(scope)
        if facts:
            check_query(scope["query_string"], facts.query_names)
            if facts.json_body:
                receive = await _sound_json(scope, receive)
                await insist_on_caller(scope)
        return await self.app(scope, receive, send)

    async def _authorise(self, scope: Scope, facts: RouteFacts, permission: str) -> None:
        caller = authenticated(scope)
        denial = self._denial(caller, permission)
        if denial is None:
            return
        await self._audit.record(
            AuditEntry(
                action="E",
                event=AuditEvent.ACCESS_DENIED,
                outcome="denied",
                actor=f"user:{caller.user_id}",
                role=caller.role,
                reason=f"{permission}: {scope['method']} {facts.template}",
                address=address() or None,
                request_id=request_id(),
                session_id=caller.through,
            )
        )
        raise denial

    def _denial(self, caller: Caller, permission: str) -> Forbidden | None:
        if caller.restriction and permission != OWN:
            return Forbidden(
                "Set up a second factor first: your role needs one.", code="auth.mfa_setup_required"
            )
        if not caller.granted(permission):
            return Forbidden(f"This key was not made for that ({permission}).", code="access.key_scope")
        if not self._policy.allows(caller.role, permission):
            return Forbidden(f"The role '{caller.role}' does not have this right ({permission}).")
        return None


async def _sound_json(scope: Scope, receive: Receive) -> Receive:
    """Read and check the body, and give a `receive` that has it once more. There may be no body."""
    body = await read_body(receive)
    if body:
        check_content_type(Headers(scope=scope).get("content-type", ""))
        parse_json(body)
    return replay(body, receive)


def bearer(given: list[str]) -> bytes:
    """The token of the one Authorization header; raises `TokenRefused` for another scheme or two headers."""
    scheme, _, token = given[0].partition(" ")
    if len(given) != 1 or scheme.lower() != "bearer":
        raise TokenRefused("scheme")
    return token.strip(" ").encode("latin-1")
