"""The platform over HTTP as one account.

Renews the login by itself, tries again where that is safe, and turns every refusal into an error that says
what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import httpx

from cluster.cli.tokens import Tokens, TokenStore
from domain.errors import MedsearchError
from domain.ids import new_id
from domain.lifecycle import Status

AGAIN = frozenset({429, 502, 503, 504})
"""Answers after which the same request may succeed."""
ATTEMPTS = 4
RENEW_BEFORE_SECONDS = 30
LONGEST_WAIT_SECONDS = 20
POLL_SECONDS = 0.5

Body = Callable[[], AsyncIterator[bytes]]
"""Makes the request's bytes anew for each attempt."""


class Unreachable(MedsearchError):
    """Nothing answers at the address."""

    code = "client.unreachable"


class NotLoggedIn(MedsearchError):
    """There is no login, or it has ended."""

    code = "client.not_logged_in"


class Refused(MedsearchError):
    """The platform answered with an error; `problem` is its problem+json (empty when there was none)."""

    code = "client.refused"

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(_sentence(status, problem), code=problem.get("code"))


class Api:
    """One account at one origin. Use as an async context."""

    def __init__(
        self,
        origin: str,
        tokens: TokenStore,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        pause: float = 0.5,
    ) -> None:
        self.origin = origin
        self._tokens = tokens
        self._pause = pause
        self._http = httpx.AsyncClient(
            base_url=origin, transport=transport, timeout=httpx.Timeout(60, connect=5), trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def login(self, email: str, password: str, otp: str | None = None) -> None:
        """Log in and keep the tokens; raises `Refused` for wrong credentials."""
        body = {"email": email, "password": password} | ({"otp": otp} if otp else {})
        # A code counts once: sent again after a lost answer it would be refused.
        answer = await self._send("POST", "/api/v1/auth/login", repeatable=otp is None, json=body)
        self._keep(_checked(answer).json())

    async def logout(self) -> None:
        """End the session at the server, if it still knows it, and forget the tokens in any case."""
        try:
            with contextlib.suppress(NotLoggedIn):
                await self.call("POST", "/api/v1/auth/logout", json={})
        finally:
            self._tokens.write(None)

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Any:
        """The decoded answer of an authenticated request (None for 204).

        Raises `NotLoggedIn`, `Refused` or `Unreachable`. A request that is not `repeatable` is sent once.
        """
        for renewed in (False, True):
            token = await self._access_token(renew=renewed)
            answer = await self._send(
                method,
                path,
                repeatable=repeatable,
                params=params,
                json=json,
                body=body,
                headers={**(headers or {}), "Authorization": f"Bearer {token}"},
            )
            if answer.status_code != httpx.codes.UNAUTHORIZED:
                break
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise _ended(self.origin)
        return None if answer.status_code == httpx.codes.NO_CONTENT else _checked(answer).json()

    async def upload(self, body: Body, size: int, fields: Mapping[str, str | None]) -> dict[str, Any]:
        """`POST /api/v1/documents` with a key of its own: trying again cannot make a second document."""
        return dict(
            await self.call(
                "POST",
                "/api/v1/documents",
                params={name: value for name, value in fields.items() if value is not None},
                body=body,
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(size),
                    "Idempotency-Key": str(new_id()),
                },
            )
        )

    async def download(
        self, path: str, write: Callable[[bytes], object], *, params: Mapping[str, str] | None = None
    ) -> None:
        """Hand an authenticated answer over piece by piece; raises as `call`, also when it ends too early.

        Sent once: what was written cannot be taken back.
        """
        for renewed in (False, True):
            headers = {"Authorization": f"Bearer {await self._access_token(renew=renewed)}"}
            try:
                async with self._http.stream("GET", path, params=params, headers=headers) as answer:
                    if answer.status_code == httpx.codes.UNAUTHORIZED:
                        continue
                    if not answer.is_success:
                        await answer.aread()
                    async for piece in _checked(answer).aiter_bytes():
                        write(piece)
                    return
            except httpx.TransportError as error:
                raise _unreachable(self.origin, error) from error
        raise _ended(self.origin)

    async def all_of(self, path: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Everything that a list has, page by page."""
        items: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.call("GET", path, params={**(params or {}), **cursor})
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = {"cursor": page["next_cursor"]}

    async def settled(self, document_id: str) -> dict[str, Any]:
        """The document's status once nothing happens to it any more without somebody's command."""
        while True:
            document = dict(await self.call("GET", f"/api/v1/documents/{document_id}/status"))
            if Status(document["status"]).terminal:
                return document
            await asyncio.sleep(POLL_SECONDS)

    async def _access_token(self, *, renew: bool) -> str:
        tokens = self._tokens.read()
        if tokens is None:
            raise NotLoggedIn(f"You are not logged in to {self.origin}. Run: medsearch login")
        if not renew and tokens.expires_at - RENEW_BEFORE_SECONDS > time.time():
            return tokens.access_token
        return await self._renewed(tokens)

    async def _renewed(self, used: Tokens) -> str:
        with self._tokens.exclusive():
            current = self._tokens.read()
            if current is not None and current != used:
                return current.access_token  # another process was first
            answer = await self._send(
                "POST", "/api/v1/auth/refresh", repeatable=False, json={"refresh_token": used.refresh_token}
            )
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._tokens.write(None)
                raise _ended(self.origin)
            return self._keep(_checked(answer).json())

    def _keep(self, answer: Mapping[str, Any]) -> str:
        tokens = Tokens(answer["access_token"], answer["refresh_token"], time.time() + answer["expires_in"])
        self._tokens.write(tokens)
        return tokens.access_token

    async def _send(
        self, method: str, path: str, *, repeatable: bool, body: Body | None = None, **request: Any
    ) -> httpx.Response:
        attempts = ATTEMPTS if repeatable else 1
        for attempt in range(1, attempts + 1):
            try:
                answer = await self._http.request(method, path, content=body() if body else None, **request)
            except httpx.TransportError as error:
                if attempt == attempts:
                    raise _unreachable(self.origin, error) from error
                wait = self._pause * 2**attempt
            else:
                wait = _retry_after(answer, self._pause * 2**attempt)
                if answer.status_code not in AGAIN or attempt == attempts or wait > LONGEST_WAIT_SECONDS:
                    return answer
            await asyncio.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")


def _retry_after(answer: httpx.Response, default: float) -> float:
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdigit() else default


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    raise Refused(answer.status_code, problem if isinstance(problem, dict) else {})


def _sentence(status: int, problem: Mapping[str, Any]) -> str:
    said = problem.get("detail") or problem.get("title") or f"The platform answered with status {status}."
    fields = [f"  {error.get('field')}: {error.get('message')}" for error in problem.get("errors") or ()]
    code = problem.get("code")
    return "\n".join([f"{said} ({code})" if code else str(said), *fields])


def _ended(origin: str) -> NotLoggedIn:
    return NotLoggedIn(f"Your login at {origin} has ended. Run: medsearch login")


def _unreachable(origin: str, error: httpx.TransportError) -> Unreachable:
    if isinstance(error, httpx.ConnectError):
        return Unreachable(
            f"Nothing answers at {origin}. Start the platform with 'medsearch up' or give its address: --url."
        )
    return Unreachable(f"The connection to {origin} broke ({type(error).__name__}). Try again.")
