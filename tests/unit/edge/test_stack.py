"""The middleware stack as a client meets it, on ports that are plain objects."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse

from config.logs import configure_logging
from config.settings import LogSettings
from deployments.edge.application import create_app
from deployments.edge.authentication import anyone, requires
from deployments.edge.context import address, request_id
from deployments.edge.route_table import audit_refusals, counted_apart, stream, transfer, uncounted
from deployments.edge.schemas import Line, StrictModel
from domain.access import Caller
from domain.errors import Conflict, StorageFull, TooMany, Unavailable
from tests.unit.edge.doubles import Stand

router = APIRouter()


class Thing(StrictModel):
    name: Line
    size: int = 0
    inner: dict[str, float] | None = None


@router.post("/api/v1/things/{key}", dependencies=[Depends(anyone)])
@audit_refusals("thing.make")
async def make(key: str, thing: Thing, flag: bool = False) -> dict[str, Any]:
    return {"key": key, "name": thing.name, "flag": flag, "request": request_id(), "address": address()}


@router.get("/api/v1/mine")
async def mine(caller: Annotated[Caller, Depends(requires("document.read"))]) -> dict[str, Any]:
    return {"role": caller.role, "principals": sorted(caller.principals)}


@router.get("/api/v1/own")
async def own(caller: Annotated[Caller, Depends(requires("profile.self"))]) -> dict[str, str]:
    return {"role": caller.role}


@router.post("/api/v1/retry")
async def retry(
    caller: Annotated[Caller, Depends(requires("processing.operate"))], thing: Thing
) -> dict[str, str]:
    return {"role": caller.role}


@router.put("/api/v1/bytes", dependencies=[Depends(anyone)])
@transfer
async def take(request: Request) -> dict[str, int]:
    return {"size": sum([len(chunk) async for chunk in request.stream()])}


@router.get("/api/v1/fail/{how}", dependencies=[Depends(anyone)])
async def fail(how: str) -> None:
    errors: dict[str, Exception] = {
        "conflict": Conflict("It is so."),
        "full": StorageFull("No room."),
        "many": TooMany("Wait.", retry_after=2.1),
        "away": Unavailable("Away."),
        "bug": ValueError("patient Smith has it"),
    }
    raise errors[how]


@router.get("/api/v1/slow", dependencies=[Depends(anyone)])
async def slow() -> None:
    await asyncio.sleep(30)


@router.get("/api/v1/slow-transfer", dependencies=[Depends(anyone)])
@transfer
async def slow_transfer() -> None:
    await asyncio.sleep(0.1)


@router.get("/api/v1/feed", dependencies=[Depends(anyone)])
@stream
async def feed() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.03)
            yield b"x\n"

    return StreamingResponse(lines())


@router.get("/api/v1/enter", dependencies=[Depends(anyone)])
@counted_apart("enter")
async def enter() -> dict[str, str]:
    return {}


@router.get("/health", dependencies=[Depends(anyone)])
@uncounted
async def health() -> dict[str, str]:
    return {}


Open = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path) -> Open:
    """A stand with its client; keyword arguments are HTTP settings."""

    @asynccontextmanager
    async def opened(
        client_address: str = "192.0.2.1", **http: Any
    ) -> AsyncIterator[tuple[Stand, httpx.AsyncClient]]:
        stand = Stand(tmp_path, **http)
        app = create_app(stand.edge, title="test", routers=[router])
        transport = httpx.ASGITransport(app, client=(client_address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield stand, client

    return opened


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


async def test_wrong_fields_are_named(serve: Open) -> None:
    async with serve() as (_, client):
        body = {"name": "a\nb", "inner": {"x": "no"}, "other": 1}
        answer = await client.post("/api/v1/things/1", json=body)
    assert answer.status_code == 422
    found = {(error["field"], error["code"]) for error in answer.json()["errors"]}
    assert found == {("name", "value_error"), ("inner.x", "float_parsing"), ("other", "extra_forbidden")}
    assert "a\\nb" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"a","name":"b"}',
        b'{"name":"a","inner":{"x":1,"x":2}}',
        b'{"name":"a","size":1e400}',
        b'{"name":"a","size":NaN}',
        b'{"name":"a","size":-Infinity}',
        b'{"name":"a","size":' + b"9" * 5000 + b"}",
        b'{"name":"a","size":99999999999999999999}',
        b'{"name":"\\u0000"}',
        b'{"name":"\\ud83d"}',
        b'{"na\\u0000me":"a"}',
        b'{"name":"\xff"}',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"name":"a","inner":' + b'{"x":' * 40 + b"1" + b"}" * 41,
        b"{",
        b"null",
    ],
)
async def test_b9_hostile_json_is_422(serve: Open, body: bytes) -> None:
    async with serve() as (_, client):
        answer = await client.post(
            "/api/v1/things/1", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422
    assert answer.json()["code"] in ("request.invalid_json", "request.invalid")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""]
)
async def test_a2_a_body_must_be_announced_as_json(serve: Open, kind: str) -> None:
    async with serve() as (_, client):
        answer = await client.post(
            "/api/v1/things/1", content=b'{"name":"a"}', headers={"Content-Type": kind}
        )
        missing = await client.post("/api/v1/things/1")
    assert (answer.status_code, answer.json()["code"]) == (422, "request.not_json")
    assert missing.status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/things/a%00b",
        "/api/v1/things/%ff",
        "/api/v1/things/1?flag=%00",
        "/api/v1/things/1?x=1",
        "/api/v1/things/1?%ff=1",
    ],
)
async def test_hostile_addresses_are_422(serve: Open, path: str) -> None:
    async with serve() as (_, client):
        answer = await client.post(path, json={"name": "a"})
    assert answer.status_code == 422


async def test_a_body_over_the_limit_is_413_announced_or_not(serve: Open) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 512

    async with serve(body_limit_bytes=1024) as (_, client):
        at_limit = await client.put("/api/v1/bytes", content=b"x" * 1024)
        announced = await client.put("/api/v1/bytes", content=b"x" * 1025)
        chunked = await client.put("/api/v1/bytes", content=endless())
        odd = await client.put("/api/v1/bytes", content=b"", headers={"Content-Length": "-1"})
    assert (at_limit.status_code, at_limit.json()) == (200, {"size": 1024})
    for answer in (announced, chunked, odd):
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_chunked_json_body_over_the_limit_is_413_too(serve: Open) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b" " * 512

    async with serve(body_limit_bytes=1024) as (_, client):
        kind = {"Content-Type": "application/json"}
        answer = await client.post("/api/v1/things/1", content=endless(), headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


async def test_a_json_body_has_a_limit_of_its_own(serve: Open) -> None:
    async with serve() as (_, client):
        answer = await client.post("/api/v1/things/1", json={"name": "x" * 1_100_000})
    assert answer.status_code == 413


async def test_nobody_is_told_about_the_body_before_they_are_known(serve: Open) -> None:
    async with serve() as (stand, client):
        broken = {"content": b"{", "headers": {"Content-Type": "application/json"}}
        assert (await client.post("/api/v1/retry", **broken)).status_code == 401
        broken["headers"] |= stand.bearer("doctor")
        denied = await client.post("/api/v1/retry", **broken)
        broken["headers"] |= stand.bearer("records_manager")
        assert (await client.post("/api/v1/retry", **broken)).status_code == 422
    assert (denied.status_code, denied.json()["code"]) == (403, "access.forbidden")
    (entry,) = stand.audit.entries
    assert (entry.event, entry.outcome, entry.role, entry.reason) == (
        "access.denied", "denied", "doctor", "processing.operate: POST /api/v1/retry"
    )  # fmt: skip


async def test_a_denial_that_cannot_be_audited_is_503(serve: Open) -> None:
    async with serve() as (stand, client):
        stand.audit.away = True
        answer = await client.post("/api/v1/retry", json={"name": "a"}, headers=stand.bearer("doctor"))
    assert (answer.status_code, answer.json()["code"]) == (503, "audit.unavailable")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 200),
        ({"active": False}, 401),
        ({"version": 1, "token_version": 2}, 401),
        ({"version": 2, "token_version": 1}, 200),
        ({"principals": frozenset()}, 401),
        ({"principals": frozenset({"user:somebody-else", "role:doctor"})}, 401),
    ],
)
async def test_a27_the_session_decides(serve: Open, options: dict[str, Any], status: int) -> None:
    async with serve() as (stand, client):
        assert (await client.get("/api/v1/mine", headers=stand.bearer(**options))).status_code == status


async def test_two_authorization_headers_are_none(serve: Open) -> None:
    async with serve() as (stand, client):
        twice = [*stand.bearer().items(), *stand.bearer().items()]
        assert (await client.get("/api/v1/mine", headers=twice)).status_code == 401


async def test_the_role_is_the_servers_not_the_tokens(serve: Open) -> None:
    async with serve() as (stand, client):
        header = stand.bearer("doctor")
        state = next(iter(stand.sessions.states.values()))
        user = next(p for p in state.principals if p.startswith("user:"))
        key = next(iter(stand.sessions.states))
        stand.sessions.states[key] = type(state)(True, 1, frozenset({user, "role:admin"}))
        assert (await client.get("/api/v1/mine", headers=header)).status_code == 403


async def test_i7_access_never_opens_while_the_directory_or_the_keys_are_away(serve: Open) -> None:
    async with serve() as (stand, client):
        header = stand.bearer()
        stand.sessions.away = True
        away = await client.get("/api/v1/mine", headers=header)
        public = await client.get("/health", headers=header)
        stand.sessions.away = False
        stand.settings.jwks_path.unlink()
        keyless = await client.get("/api/v1/mine", headers=header)
    assert (away.status_code, away.headers["retry-after"]) == (503, "2")
    assert public.status_code == 200
    assert (keyless.status_code, keyless.json()["code"]) == (503, "auth.keys_unavailable")


@pytest.mark.parametrize(
    ("role", "left"),
    [
        ("doctor", {"department", "self", "treating", "breakglass"}),
        ("researcher", set()),
        ("patient", {"self"}),
    ],
)
async def test_ac9_principals_left_over_from_another_role_do_not_count(
    serve: Open, role: str, left: set[str]
) -> None:
    async with serve() as (stand, client):
        relations = {f"{kind}:LAB|7" for kind in ("department", "self", "treating", "breakglass")}
        answer = await client.get("/api/v1/mine", headers=stand.bearer(role, also=relations))
    principals = set(answer.json()["principals"])
    assert principals & relations == {f"{kind}:LAB|7" for kind in left}
    assert {kind.partition(":")[0] for kind in principals - relations} == {"user", "role"}


async def test_a28_keys_are_read_again_when_they_change(serve: Open) -> None:
    async with serve() as (stand, client):
        old = stand.bearer()
        assert (await client.get("/api/v1/mine", headers=old)).status_code == 200
        fresh = type(stand.key).generate()
        published = [stand.key.public_jwk(), fresh.public_jwk()]
        stand.settings.jwks_path.write_text(json.dumps({"keys": published}))
        stand.key = fresh
        assert (await client.get("/api/v1/mine", headers=stand.bearer())).status_code == 200
        assert (await client.get("/api/v1/mine", headers=old)).status_code == 200
        stand.settings.jwks_path.write_text(json.dumps({"keys": published[1:]}))
        assert (await client.get("/api/v1/mine", headers=old)).status_code == 401


async def test_requests_are_counted_by_account_or_address(serve: Open) -> None:
    async with serve(rate_limit_per_minute=2) as (stand, client):
        header = stand.bearer()
        mine = [await client.get("/api/v1/mine", headers=header) for _ in range(3)]
        others = [await client.get("/api/v1/mine") for _ in range(3)]
        assert (await client.get("/api/v1/mine", headers=stand.bearer())).status_code == 200
        assert [(await client.get("/health")).status_code for _ in range(5)] == [200] * 5
    assert [answer.status_code for answer in mine] == [200, 200, 429]
    assert [answer.status_code for answer in others] == [401, 401, 429]
    assert [answer.headers["ratelimit"] for answer in mine] == [
        f'"requests";r={left};t=60' for left in (1, 0, 0)
    ]
    assert mine[0].headers["ratelimit-policy"] == '"requests";q=2;w=60'
    assert mine[2].headers["retry-after"] == "60"


async def test_a_route_that_is_counted_apart_has_a_window_of_its_own(serve: Open) -> None:
    async with serve(rate_limit_per_minute=2) as (_, client):
        others = [(await client.get("/api/v1/mine")).status_code for _ in range(3)]
        apart = [await client.get("/api/v1/enter") for _ in range(3)]
    assert others == [401, 401, 429]
    assert [answer.status_code for answer in apart] == [200, 200, 429]
    assert apart[0].headers["ratelimit-policy"] == '"enter";q=2;w=60'


@pytest.mark.parametrize(
    ("senders", "statuses"),
    [
        (["2001:db8:1:2::1", "2001:db8:1:2:3::4", "2001:db8:1:2:ffff::"], [200, 200, 429]),
        (["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:3::1"], [200, 200, 200]),
        (["198.51.100.1", "::ffff:198.51.100.1", "198.51.100.1"], [200, 200, 429]),
        (["198.51.100.1", "198.51.100.2", "198.51.100.3"], [200, 200, 200]),
    ],
)
async def test_a11_limits_count_the_network_of_an_ipv6_address(
    serve: Open, senders: list[str], statuses: list[int]
) -> None:
    async with serve("10.0.0.1", trusted_proxies=("10.0.0.0/8",), rate_limit_per_minute=2) as (_, client):
        answers = [
            await client.post("/api/v1/things/1", json={"name": "a"}, headers={"X-Forwarded-For": sender})
            for sender in senders
        ]
    assert [answer.status_code for answer in answers] == statuses
    told = [answer.json()["address"] for answer in answers if answer.status_code == 200]
    assert told == senders[: len(told)], "what is recorded is the whole address"


@pytest.mark.parametrize(
    ("client", "trusted", "forwarded", "found"),
    [
        ("192.0.2.1", (), "203.0.113.5", "192.0.2.1"),
        ("10.0.0.1", ("10.0.0.0/8",), "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", ("10.0.0.0/8",), "198.51.100.1, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", ("10.0.0.0/8",), "203.0.113.5, 10.0.0.7", "203.0.113.5"),
        ("10.0.0.1", ("10.0.0.0/8",), "nonsense", ""),
        ("10.0.0.1", ("10.0.0.0/8",), "", ""),
        ("2001:db8::1", ("2001:db8::/32",), "203.0.113.5", "203.0.113.5"),
    ],
)
async def test_a11_forwarded_for_counts_only_from_trusted_proxies(
    serve: Open, client: str, trusted: tuple[str, ...], forwarded: str, found: str
) -> None:
    async with serve(client, trusted_proxies=trusted) as (_, http):
        answer = await http.post(
            "/api/v1/things/1", json={"name": "a"}, headers={"X-Forwarded-For": forwarded}
        )
    assert answer.json()["address"] == found


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


async def test_refused_input_of_marked_routes_is_audited_or_503(serve: Open) -> None:
    async with serve() as (stand, client):
        await client.post("/api/v1/things/1", json={"name": "a"})
        await client.post("/api/v1/things/1", json={"role": "admin"})
        await client.post("/api/v1/things/1", content=b"x=1")
        stand.audit.away = True
        unaudited = await client.post("/api/v1/things/1", json={"role": "admin"})
    assert [(entry.event, entry.outcome, entry.actor) for entry in stand.audit.entries] == [
        ("thing.make", "denied", "anonymous")
    ] * 2
    assert unaudited.status_code == 503
    assert "admin" not in unaudited.text


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


async def test_a_session_that_lacks_its_second_factor_may_only_see_to_its_account(serve: Open) -> None:
    async with serve() as (stand, client):
        headers = stand.bearer("doctor", restriction="mfa")
        answer = await client.get("/api/v1/mine", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.mfa_setup_required")
        assert [entry.event for entry in stand.audit.entries] == ["access.denied"]
        assert (await client.get("/api/v1/own", headers=headers)).status_code == 200


async def test_an_idle_session_is_refused(serve: Open) -> None:
    async with serve() as (stand, client):
        headers = stand.bearer()
        assert (await client.get("/api/v1/mine", headers=headers)).status_code == 200
        stand.activity.idle.update(stand.sessions.states)
        answer = await client.get("/api/v1/mine", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.invalid_token")
