"""The proxy's middleware against a bare ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.edge.proxy import BodyLimit, CleanHeaders, HonestErrors, callback


class Recorder:
    """Reads the whole body, remembers what arrived, answers as told."""

    def __init__(self, status: int = 200, headers: dict[str, str] | None = None, early: bool = False) -> None:
        self.status = status
        self.headers = headers or {}
        self.early = early
        self.scope: Scope = {}
        self.received = 0
        self.disconnected = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        if self.early:
            await self._answer(send)
        more = True
        while more:
            message = await receive()
            self.disconnected = message["type"] == "http.disconnect"
            self.received += len(message.get("body", b""))
            more = message.get("more_body", False)
        if not self.early:
            await self._answer(send)

    async def _answer(self, send: Send) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})


def client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def chunks(count: int, size: int = 100) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_body_within_the_limit_passes() -> None:
    inner = Recorder()
    async with client(BodyLimit(inner, limit=1000)) as http:
        assert (await http.post("/", content=b"x" * 1000)).text == "done"
        assert (await http.post("/", content=chunks(10))).text == "done"
    assert inner.received == 2000


async def test_an_announced_body_over_the_limit_never_reaches_the_application() -> None:
    inner = Recorder()
    async with client(BodyLimit(inner, limit=1000)) as http:
        answer = await http.post("/", content=b"x" * 1001)
    assert (answer.status_code, answer.json()["code"], inner.scope) == (413, "request.too_large", {})
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("length", ["-1", "1e3", "²", ""])
async def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    inner = Recorder()
    statuses = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-length", length.encode("latin-1", "replace"))],
    }
    await BodyLimit(inner, limit=1000)(scope, _nothing, send)
    assert (statuses[0], inner.scope) == (413, {})


async def test_an_unannounced_body_is_cut_off_and_the_application_hears_of_a_disconnect() -> None:
    inner = Recorder()
    async with client(BodyLimit(inner, limit=1000)) as http:
        answer = await http.post("/", content=chunks(50))
    assert answer.status_code == 413
    assert inner.received <= 1000
    assert inner.disconnected


async def test_an_answer_that_has_begun_is_not_followed_by_a_second_one() -> None:
    async with client(BodyLimit(Recorder(early=True), limit=1000)) as http:
        answer = await http.post("/", content=chunks(50))
    assert (answer.status_code, answer.text) == (200, "done")


@pytest.mark.parametrize(
    "name",
    [
        "X-Request-Timeout-Seconds",
        "x_request_timeout_seconds",
        "serve_multiplexed_model_id",
        "Serve-Multiplexed-Model-Id",
    ],
)
async def test_headers_for_serve_are_dropped_in_every_spelling(name: str) -> None:
    inner = Recorder()
    async with client(CleanHeaders(inner)) as http:
        await http.get("/", headers={name: "1", "X-Kept": "2"})
    names = {header.decode() for header, _ in inner.scope["headers"]}
    assert name.lower() not in names
    assert "x-kept" in names


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["well-formed-1"], True),
        (["short"], False),
        (["with space here"], False),
        (["x" * 65], False),
        ([], False),
        (["well-formed-1"] * 2, False),
    ],
)
async def test_there_is_exactly_one_well_formed_request_id(given: list[str], kept: bool) -> None:
    inner = Recorder(headers={"X-Request-ID": "set by somebody further in"})
    async with client(CleanHeaders(inner)) as http:
        answer = await http.get("/", headers=[("X-Request-ID", one) for one in given])
    (passed,) = [value.decode() for name, value in inner.scope["headers"] if name == b"x-request-id"]
    assert answer.headers.get_list("x-request-id") == [passed]
    assert (passed == "well-formed-1") is kept
    assert len(passed) >= 8


@pytest.mark.parametrize(
    ("status", "translated"), [(500, 503), (503, 503), (408, 503), (429, 429), (404, 404)]
)
async def test_errors_that_serve_made_become_problems_that_say_when_to_try_again(
    status: int, translated: int
) -> None:
    async with client(HonestErrors(Recorder(status))) as http:
        answer = await http.get("/")
    assert answer.status_code == answer.json()["status"] == translated
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) is (translated in (429, 503))


async def test_our_own_answers_pass_unchanged() -> None:
    for status in (200, 404, 500):
        async with client(HonestErrors(Recorder(status, {"X-Content-Type-Options": "nosniff"}))) as http:
            answer = await http.get("/")
        assert (answer.status_code, answer.text) == (status, "done")


async def test_other_protocols_pass_untouched() -> None:
    seen = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    scope = {"type": "lifespan"}
    for app in (BodyLimit(inner, limit=1), CleanHeaders(inner), HonestErrors(inner)):
        await app(scope, _nothing, _nothing)  # type: ignore[arg-type]
    assert seen == [scope] * 3


def test_the_callback_cleans_headers_outermost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSEARCH_HTTP__BODY_LIMIT_BYTES", "2048")
    errors, limit, headers = callback()
    assert (errors.cls, limit.cls, headers.cls) == (HonestErrors, BodyLimit, CleanHeaders)
    assert limit.kwargs == {"limit": 2048}


async def _nothing(*_: Any) -> Any:
    raise AssertionError("not to be called")
