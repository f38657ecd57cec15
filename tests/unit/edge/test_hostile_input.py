"""Bodies and addresses that are refused: wrong fields, hostile JSON, too much of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.edge.routes import Open


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
