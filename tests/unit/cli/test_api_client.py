"""The client's manners: it renews, repeats what is safe to repeat, and explains every refusal."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cluster.cli.api import Api, NotLoggedIn, Refused, Unreachable
from cluster.cli.tokens import MemoryTokens, Tokens


class Platform(httpx.AsyncBaseTransport):
    """A platform in memory: one account, tokens by number, and trouble on demand."""

    def __init__(self) -> None:
        self.valid = "access-0"
        self.refreshes = 0
        self.refresh_valid = True
        self.trouble: list[httpx.Response | Exception] = []
        self.requests: list[tuple[httpx.Request, bytes]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        self.requests.append((request, body))
        if self.trouble:
            trouble = self.trouble.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            return trouble
        return self._answer(request, body)

    def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        match request.url.path:
            case "/api/v1/auth/login" if json.loads(body)["password"] == "right":
                return self._tokens()
            case "/api/v1/auth/refresh" if self.refresh_valid:
                self.refreshes += 1
                return self._tokens()
            case "/api/v1/auth/login" | "/api/v1/auth/refresh":
                return problem(401, "auth.invalid_credentials", "Wrong e-mail address or password.")
            case _ if request.headers.get("Authorization") != f"Bearer {self.valid}":
                return problem(401, "auth.unauthenticated", "Log in.")
            case "/api/v1/auth/logout":
                return httpx.Response(204)
            case "/api/v1/list":
                at = int(request.url.params.get("cursor", 0))
                page = {"items": [{"n": at}], "next_cursor": str(at + 1) if at < 2 else None}
                return httpx.Response(200, json=page)
            case _:
                return httpx.Response(200, json={"id": "one"})

    def _tokens(self) -> httpx.Response:
        self.valid = f"access-{self.refreshes}"
        answer = {
            "access_token": self.valid,
            "refresh_token": f"refresh-{self.refreshes}",
            "expires_in": 1800,
        }
        return httpx.Response(200, json=answer)


def problem(status: int, code: str, detail: str, **more: Any) -> httpx.Response:
    return httpx.Response(
        status, json={"title": "No", "status": status, "code": code, "detail": detail, **more}
    )


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def tokens() -> MemoryTokens:
    return MemoryTokens()


@pytest.fixture
async def api(platform: Platform, tokens: MemoryTokens) -> AsyncIterator[Api]:
    async with Api("http://platform", tokens, transport=platform, pause=0) as api:
        yield api


def paths(platform: Platform) -> list[str]:
    return [request.url.path.removeprefix("/api/v1") for request, _ in platform.requests]


async def test_without_a_login_it_says_how_to_get_one(api: Api, platform: Platform) -> None:
    with pytest.raises(NotLoggedIn, match="medsearch login"):
        await api.call("GET", "/api/v1/documents")
    assert platform.requests == []


async def test_login_is_kept_and_used(api: Api) -> None:
    await api.login("a@example.org", "right")
    assert await api.call("GET", "/api/v1/documents/one") == {"id": "one"}


async def test_a_list_is_read_to_its_end(api: Api, platform: Platform) -> None:
    await api.login("a@example.org", "right")
    assert await api.all_of("/api/v1/list", {"limit": "1"}) == [{"n": 0}, {"n": 1}, {"n": 2}]
    asked = [dict(request.url.params) for request, _ in platform.requests[1:]]
    assert asked == [{"limit": "1"}, {"limit": "1", "cursor": "1"}, {"limit": "1", "cursor": "2"}]


async def test_a_wrong_password_is_explained(api: Api, tokens: MemoryTokens) -> None:
    with pytest.raises(Refused, match="Wrong e-mail address or password") as caught:
        await api.login("a@example.org", "wrong")
    assert caught.value.code == "auth.invalid_credentials"
    assert tokens.read() is None


async def test_an_old_token_is_renewed_before_use(api: Api, platform: Platform, tokens: MemoryTokens) -> None:
    tokens.write(Tokens("access-old", "refresh-old", time.time() + 5))
    await api.call("GET", "/api/v1/documents")
    assert paths(platform) == ["/auth/refresh", "/documents"]


async def test_a_refused_token_is_renewed_once(api: Api, platform: Platform, tokens: MemoryTokens) -> None:
    tokens.write(Tokens("access-revoked", "refresh-old", time.time() + 900))
    await api.call("GET", "/api/v1/documents")
    assert paths(platform) == ["/documents", "/auth/refresh", "/documents"]


async def test_an_ended_login_is_forgotten(api: Api, platform: Platform, tokens: MemoryTokens) -> None:
    tokens.write(Tokens("access-revoked", "refresh-old", time.time() + 900))
    platform.refresh_valid = False
    with pytest.raises(NotLoggedIn, match="has ended"):
        await api.call("GET", "/api/v1/documents")
    assert tokens.read() is None


async def test_another_process_renewed_first(platform: Platform) -> None:
    class Shared(MemoryTokens):
        """Somebody else renews while we wait for our turn."""

        def exclusive(self) -> Any:
            self.write(Tokens("access-0", "refresh-new", time.time() + 900))
            return super().exclusive()

    tokens = Shared()
    tokens.write(Tokens("access-old", "refresh-old", 0))
    async with Api("http://platform", tokens, transport=platform, pause=0) as api:
        await api.call("GET", "/api/v1/documents")
    assert paths(platform) == ["/documents"]


async def test_an_upload_is_repeated_whole_and_with_the_same_key(api: Api, platform: Platform) -> None:
    await api.login("a@example.org", "right")
    platform.trouble = [httpx.ReadError("cut"), httpx.Response(503, headers={"Retry-After": "0"})]

    async def body() -> AsyncIterator[bytes]:
        yield b"some "
        yield b"bytes"

    await api.upload(body, 10, {"filename": "a.txt", "title": None, "patient": "DEMO|1001"})
    uploads = [
        (request, content)
        for request, content in platform.requests
        if request.url.path.endswith("/documents")
    ]
    assert [content for _, content in uploads] == [b"some bytes"] * 3
    assert len({request.headers["Idempotency-Key"] for request, _ in uploads}) == 1
    assert uploads[0][0].headers["Content-Length"] == "10"
    assert dict(uploads[0][0].url.params) == {"filename": "a.txt", "patient": "DEMO|1001"}


async def test_what_may_not_be_repeated_is_sent_once(api: Api, platform: Platform) -> None:
    await api.login("a@example.org", "right")
    platform.trouble = [httpx.Response(503, headers={"Retry-After": "0"})]
    with pytest.raises(Refused):
        await api.call("POST", "/api/v1/something", repeatable=False)
    assert paths(platform) == ["/auth/login", "/something"]


async def test_a_long_wait_is_left_to_the_person(api: Api, platform: Platform) -> None:
    platform.trouble = [
        httpx.Response(
            429,
            headers={"Retry-After": "900"},
            json={"detail": "Too many attempts.", "code": "auth.throttled"},
        )
    ]
    with pytest.raises(Refused, match="Too many attempts"):
        await api.login("a@example.org", "right")


async def test_nothing_answers(api: Api, platform: Platform) -> None:
    platform.trouble = [httpx.ConnectError("refused")] * 4
    with pytest.raises(Unreachable, match="medsearch up"):
        await api.login("a@example.org", "right")


async def test_field_errors_are_told(api: Api, platform: Platform) -> None:
    await api.login("a@example.org", "right")
    wrong = {"field": "query.patient", "code": "pattern", "message": "Write SYSTEM|NUMBER."}
    platform.trouble = [problem(422, "request.invalid", "Some fields are wrong.", errors=[wrong])]
    with pytest.raises(Refused) as caught:
        await api.call("POST", "/api/v1/documents")
    assert (
        caught.value.message
        == "Some fields are wrong. (request.invalid)\n  query.patient: Write SYSTEM|NUMBER."
    )


async def test_an_answer_that_is_no_problem_json(api: Api, platform: Platform) -> None:
    await api.login("a@example.org", "right")
    platform.trouble = [httpx.Response(500, text="<html>")]
    with pytest.raises(Refused, match="status 500"):
        await api.call("GET", "/api/v1/documents")


async def test_logout_forgets_even_when_nothing_answers(
    api: Api, platform: Platform, tokens: MemoryTokens
) -> None:
    await api.login("a@example.org", "right")
    platform.trouble = [httpx.ConnectError("refused")] * 4
    with pytest.raises(Unreachable):
        await api.logout()
    assert tokens.read() is None


async def downloaded(api: Api) -> bytes:
    pieces: list[bytes] = []
    await api.download("/api/v1/audit/export", pieces.append)
    return b"".join(pieces)


async def test_a_download_renews_a_refused_token(api: Api, platform: Platform, tokens: MemoryTokens) -> None:
    tokens.write(Tokens("access-revoked", "refresh-old", time.time() + 900))
    assert json.loads(await downloaded(api)) == {"id": "one"}
    assert paths(platform) == ["/audit/export", "/auth/refresh", "/audit/export"]


async def test_a_download_that_breaks_off_is_no_download(
    api: Api, platform: Platform, tokens: MemoryTokens
) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield b"id,at\n"
        raise httpx.RemoteProtocolError("peer closed connection")

    tokens.write(Tokens("access-0", "refresh-0", time.time() + 900))
    platform.trouble = [httpx.Response(200, content=cut())]
    with pytest.raises(Unreachable, match="broke"):
        await downloaded(api)
    platform.trouble = [problem(403, "access.forbidden", "Not yours.")]
    with pytest.raises(Refused, match="Not yours"):
        await downloaded(api)
