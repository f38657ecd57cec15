"""Who calls, and whether they may: the session and the server's role decide, not the token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.edge.routes import Open


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
