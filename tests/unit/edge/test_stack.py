"""What the middleware stack gives to every answer: id, headers, problems, a log line, a time limit."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import APIRouter, Depends, FastAPI

from config.logs import configure_logging
from config.settings import LogSettings
from deployments.edge.application import create_app
from deployments.edge.authentication import anyone, requires
from tests.unit.edge.doubles import Stand
from tests.unit.edge.routes import Open, health, router


async def test_every_answer_has_an_id_and_the_security_headers(serve: Open) -> None:
    async with serve() as (_, client):
        for path in ("/api/v1/fail/conflict", "/nowhere", "/health", "/api/v1/fail/bug", "/api/v1/mine"):
            answer = await client.get(path)
            assert len(answer.headers["x-request-id"]) == 36
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in answer.headers


async def test_https_is_pinned_where_users_come_by_it(serve: Open) -> None:
    async with serve(public_url="https://search.example") as (_, client):
        assert "max-age" in (await client.get("/health")).headers["strict-transport-security"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("portal-2026.11_a", True),
        ("short", False),
        ("x" * 65, False),
        ("a b c d e f g", False),
        ("-12345678", False),
    ],
)
async def test_a_well_formed_request_id_is_taken_over(serve: Open, given: str, kept: bool) -> None:
    async with serve() as (_, client):
        answer = await client.post("/api/v1/things/1", json={"name": "a"}, headers={"X-Request-ID": given})
        assert (answer.headers["x-request-id"] == given) is kept
        assert answer.json()["request"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("conflict", 409, "conflict"),
        ("full", 507, "storage.full"),
        ("many", 429, "request.too_many"),
        ("away", 503, "service.unavailable"),
        ("bug", 500, "internal"),
    ],
)
async def test_errors_are_problems(serve: Open, how: str, status: int, code: str) -> None:
    async with serve() as (_, client):
        answer = await client.get(f"/api/v1/fail/{how}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "code", "detail", "instance"}
    assert answer.json()["instance"].endswith(answer.headers["x-request-id"])
    assert answer.headers.get("retry-after") == {"many": "3", "away": "1"}.get(how)
    assert "Smith" not in answer.text


async def test_a33_the_log_has_the_template_and_never_values(serve: Open) -> None:
    lines = io.StringIO()
    configure_logging(LogSettings(), component="test", stream=lines)
    try:
        async with serve() as (stand, client):
            headers = {"X-Request-ID": "portal-0001"}
            await client.post("/api/v1/things/MRN-4711?flag=true", json={"name": "Smith"}, headers=headers)
            await client.get("/api/v1/mine", headers=stand.bearer())
            await client.get("/api/v1/fail/bug")
    finally:
        configure_logging(LogSettings(level="error"), component="test", stream=io.StringIO())
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    requests = [line for line in logged if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("POST", "/api/v1/things/{key}", 200),
        ("GET", "/api/v1/mine", 200),
        ("GET", "/api/v1/fail/{how}", 500),
    ]
    assert requests[0]["request_id"] == "portal-0001"
    assert requests[0]["user"] is None
    assert requests[1]["user"]
    assert all(line["ms"] >= 0 and line["component"] == "test" for line in requests)
    (bug,) = [line for line in logged if line["event"] == "unexpected_error"]
    assert bug["error"] == "ValueError"
    assert any("fail" in place for place in bug["where"])
    assert not [secret for secret in ("MRN-4711", "Smith", "flag") if secret in lines.getvalue()]


async def test_an_unknown_address_and_a_wrong_method(serve: Open) -> None:
    async with serve() as (_, client):
        missing, method = await client.get("/api/v1/none"), await client.delete("/api/v1/mine")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["code"]) == (405, "request.method_not_allowed")
    assert method.headers["allow"] == "GET"


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "https://app.example.evil.example"])
async def test_a34_foreign_origins_get_no_permission(serve: Open, origin: str) -> None:
    async with serve(cors_origins=("https://app.example",)) as (_, client):
        ask = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        refused = await client.options("/api/v1/mine", headers={"Origin": origin} | ask)
        allowed = await client.options("/api/v1/mine", headers={"Origin": "https://app.example"} | ask)
        error = await client.get("/api/v1/mine", headers={"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in refused.headers
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in allowed.headers
    assert (error.status_code, error.headers["access-control-allow-origin"]) == (401, "https://app.example")


async def test_time_limits_follow_the_kind_of_route(serve: Open) -> None:
    async with serve(request_timeout_seconds=0.05, transfer_timeout_seconds=5) as (_, client):
        late = await client.get("/api/v1/slow")
        transferred = await client.get("/api/v1/slow-transfer")
        fed = await client.get("/api/v1/feed")
    assert (late.status_code, late.json()["code"], late.headers["retry-after"]) == (
        503,
        "request.timeout",
        "5",
    )
    assert transferred.status_code == 200
    assert fed.content == b"x\nx\nx\n"


def test_a_route_must_say_who_may_call_it(tmp_path: Path) -> None:
    silent, double = APIRouter(), APIRouter()
    silent.get("/x")(health)
    double.get("/x", dependencies=[Depends(anyone), Depends(requires("metrics.read"))])(health)
    for routes in (silent, double):
        with pytest.raises(ValueError, match="requires"):
            create_app(Stand(tmp_path).edge, title="x", routers=[routes])


async def test_the_lifespan_of_a_slice_runs_and_the_edge_is_closed(tmp_path: Path) -> None:
    seen: list[str] = []
    stand = Stand(tmp_path)

    class Closing(type(stand.sessions)):  # type: ignore[misc]
        async def close(self) -> None:
            seen.append("edge")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        seen.append(app.state.word)
        yield
        seen.append("slice")

    edge = type(stand.edge)(
        **{n: getattr(stand.edge, n) for n in stand.edge.__slots__} | {"sessions": Closing()}
    )
    app = create_app(edge, title="x", routers=[router], state={"word": "start"}, lifespan=lifespan)
    async with app.router.lifespan_context(app):
        assert seen == ["start"]
    assert seen == ["start", "slice", "edge"]
