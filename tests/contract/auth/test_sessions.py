"""Sessions and throttling: rows A10, A11, A17, A18, A19, A24, A27 and A30 of docs/security.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.app import build_app
from domain.access import counting
from domain.tokens import PublicKeys, verify
from stores.postgres import Postgres
from stores.redis import open_redis
from tests.contract.auth.people import Person, add_treatment, client_of, on_accounts, principals, provision

POLICY = AccessPolicy.load()
Arrive = Callable[[], Awaitable[Person]]
HELD_BACK = 0.35
"""Seconds after which a rotated token shown again is a copy in other hands."""


async def test_a17_an_old_refresh_token_ends_the_family_and_is_audited(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    old = person.tokens["refresh_token"]
    renewed = await person.refresh()
    assert renewed.status_code == 200
    replayed = await person.refresh(old)
    assert (replayed.status_code, replayed.json()["code"]) == (401, "auth.invalid_refresh_token")
    assert (await person.refresh(renewed.json()["refresh_token"])).status_code == 401
    await asyncio.sleep(0.6)
    person.tokens = renewed.json()
    assert (await person.me()).status_code == 401
    reuse = await _outbox_audit(settings, secrets, "auth.refresh_reuse", person)
    assert [(row["outcome"], row["reason"]) for row in reuse] == [("denied", "refresh_token_reused")]


async def test_a18_of_parallel_refreshes_one_lineage_survives(arrive: Arrive) -> None:
    person = await arrive()
    answers = await asyncio.gather(*(person.refresh() for _ in range(100)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert sorted({answer.status_code for answer in answers}) == [200, 401]
    assert len(won) == 1
    assert (await person.refresh(won[0].json()["refresh_token"])).status_code == 200


async def test_a19_redis_has_no_part_in_it(arrive: Arrive, settings: Settings, secrets: SecretStore) -> None:
    person = await arrive()
    old = person.tokens["refresh_token"]
    renewed = await person.refresh()
    redis: Redis = open_redis(settings, secrets)
    await redis.flushall()
    await redis.aclose()
    assert (await person.refresh(old)).status_code == 401
    assert (await person.refresh(renewed.json()["refresh_token"])).status_code == 401


async def test_a24_no_token_passes_as_another(arrive: Arrive, client: httpx.AsyncClient) -> None:
    person = await arrive()
    assert (await person.refresh(person.tokens["access_token"][:200])).status_code == 401
    opaque = {"Authorization": f"Bearer {person.tokens['refresh_token']}"}
    answer = await client.get("/api/v1/users/me", headers=opaque)
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.invalid_token")
    assert "invalid_token" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Bearer " + "a" * 8_193},
        {"Authorization": "Bearer " + "a" * 1_000_000},
        {"Authorization": "Bearer é.è.ê".encode()},
    ],
)
async def test_a26_whatever_is_no_token_is_401(client: httpx.AsyncClient, headers: dict[str, Any]) -> None:
    answer = await client.get("/api/v1/users/me", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_two_authorization_headers_are_refused(arrive: Arrive, client: httpx.AsyncClient) -> None:
    person = await arrive()
    twice = [("Authorization", person.bearer["Authorization"]), ("Authorization", "Bearer a.b.c")]
    assert (await client.get("/api/v1/users/me", headers=twice)).status_code == 401


async def test_a27_a_logged_out_token_is_refused_within_a_second(
    arrive: Arrive, client: httpx.AsyncClient
) -> None:
    person = await arrive()
    assert (await person.me()).status_code == 200
    out = await client.post("/api/v1/auth/logout", headers=person.bearer)
    assert (out.status_code, out.content) == (204, b"")
    await asyncio.sleep(0.6)
    assert (await person.me()).status_code == 401
    assert (await person.refresh()).status_code == 401


@pytest.mark.parametrize(("method", "value"), [("set_status", "suspended"), ("set_role", "nurse")])
async def test_a27_a_token_ends_with_the_account_or_role_that_it_speaks_of(
    arrive: Arrive, settings: Settings, secrets: SecretStore, method: str, value: str
) -> None:
    person = await arrive()
    user = UUID((await person.me()).json()["id"])
    await on_accounts(settings, secrets, method, user, value)
    await asyncio.sleep(0.6)
    assert (await person.me()).status_code == 401
    renewed = await person.refresh()
    assert renewed.status_code == (401 if value == "suspended" else 200)
    if renewed.status_code == 200:
        person.tokens = renewed.json()
        assert (await person.me()).json()["role"] == "nurse"


async def test_a27_a_removed_key_counts_no_more(arrive: Arrive, settings: Settings) -> None:
    person = await arrive()
    keys = settings.jwks_path.read_bytes()
    settings.jwks_path.write_text('{"keys": []}')
    try:
        assert (await person.me()).status_code == 401
    finally:
        settings.jwks_path.write_bytes(keys)
    assert (await person.me()).status_code == 200


async def test_a30_each_login_is_a_session_of_its_own(arrive: Arrive, settings: Settings) -> None:
    person = await arrive()
    first = _session(settings, person)
    await person.login()
    assert _session(settings, person) != first


async def test_logout_ends_another_session_only_of_the_same_account(
    arrive: Arrive, client: httpx.AsyncClient
) -> None:
    person, stranger = await arrive(), await arrive()
    other = Person(client, name=person.name)
    await other.login()
    for victim in (stranger, other):
        body = {"refresh_token": victim.tokens["refresh_token"]}
        assert (await client.post("/api/v1/auth/logout", headers=person.bearer, json=body)).status_code == 204
        await person.login()
    assert (await stranger.refresh()).status_code == 200
    assert (await other.refresh()).status_code == 401


async def test_id4_a_session_ends_after_its_time(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await connection.execute(
            "UPDATE session SET expires_at = now() - interval '1 s' WHERE id = $1", _session(settings, person)
        )
    await db.close()
    await asyncio.sleep(0.6)
    assert (await person.me()).status_code == 401
    assert (await person.refresh()).status_code == 401


@pytest.fixture(scope="module")
async def limited(quick: Settings, secrets: SecretStore) -> AsyncIterator[FastAPI]:
    login = quick.auth.login.model_copy(update={"address_attempts": 30})
    auth = quick.auth.model_copy(update={"login": login})
    application = build_app(quick.model_copy(update={"auth": auth}), secrets)
    async with application.router.lifespan_context(application):
        yield application


@pytest.mark.parametrize("exists", [True, False])
async def test_a10_ten_wrong_passwords_are_looked_at(
    client: httpx.AsyncClient, app: FastAPI, exists: bool
) -> None:
    person = Person(client)
    if exists:
        await person.register()
    clients = [client_of(app, f"198.51.100.{n}") for n in range(1, 21)]
    attempts = [Person(clients[n % 20], name=person.name) for n in range(100)]
    answers = await asyncio.gather(
        *(one.login(password=f"wrong guess {n}") for n, one in enumerate(attempts))
    )
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers].count(401) == 10
    assert len(refused) == 90
    assert all(0 < int(answer.headers["retry-after"]) <= 900 + 901 for answer in refused)
    assert (await person.login()).status_code == 429
    for one in clients:
        await one.aclose()


async def test_a10_the_owner_still_gets_in_from_where_they_were(app: FastAPI, arrive: Arrive) -> None:
    person = await arrive()
    async with client_of(app, "203.0.113.9") as attacker:
        for n in range(12):
            last = await Person(attacker, name=person.name).login(password=f"wrong guess {n}")
        assert last.status_code == 429
        assert (await Person(attacker, name=person.name).login()).status_code == 429
    assert (await person.login()).status_code == 200


async def test_a11_an_address_is_limited_and_a_header_does_not_help(limited: FastAPI) -> None:
    async with client_of(limited, "203.0.113.77") as http:
        statuses = []
        for n in range(35):
            spoofed = {"X-Forwarded-For": f"192.0.2.{n}"}
            body = {"email": f"somebody-{n}@example.com", "password": "one password for all"}
            answer = await http.post("/api/v1/auth/login", json=body, headers=spoofed)
            statuses.append(answer.status_code)
        assert statuses == [401] * 30 + [429] * 5
    async with client_of(limited, "203.0.113.78") as elsewhere:
        assert (await Person(elsewhere).login()).status_code == 401


async def test_right_passwords_do_not_use_up_the_address(limited: FastAPI, arrive: Arrive) -> None:
    person = await arrive()
    async with client_of(limited, "203.0.113.79") as http:
        for _ in range(40):
            assert (await Person(http, name=person.name).login()).status_code == 200


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("doctor", {"department:cardiology", "self:LAB|1", "treating:LAB|2"}),
        ("nurse", {"department:cardiology", "self:LAB|1", "treating:LAB|2"}),
        ("department_admin", {"department:cardiology", "self:LAB|1"}),
        ("patient", {"self:LAB|1"}),
        ("records_manager", {"self:LAB|1"}),
        ("researcher", set()),
    ],
)
async def test_principals_follow_from_role_and_relations(
    client: httpx.AsyncClient, quick: Settings, secrets: SecretStore, role: str, expected: set[str]
) -> None:
    person = Person(client)
    user = await provision(quick, secrets, person, role, ["cardiology"])
    await on_accounts(quick, secrets, "set_own_record", user, "LAB|1", None)
    await add_treatment(quick, secrets, user, "LAB|2", _later(3600))
    await add_treatment(quick, secrets, user, "LAB|3", _later(0.5))
    await asyncio.sleep(0.6)
    assert (await person.login()).status_code == 200
    found = await principals(quick, secrets, _session(quick, person))
    assert counting(found, POLICY.kinds(role)) == expected | {f"user:{user}", f"role:{role}"}
    assert found >= {"department:cardiology", "self:LAB|1", "treating:LAB|2"}
    assert "treating:LAB|3" not in found


async def test_provisioning_twice_is_one_account(
    client: httpx.AsyncClient, quick: Settings, secrets: SecretStore
) -> None:
    person = Person(client)
    first = await provision(quick, secrets, person, "doctor")
    assert await provision(quick, secrets, person, "nurse") == first
    await person.login()
    assert (await person.me()).json()["role"] == "doctor"


def _later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _session(settings: Settings, person: Person) -> UUID:
    keys = PublicKeys.parse(settings.jwks_path.read_bytes())
    token = person.tokens["access_token"].encode()
    now = datetime.now(UTC).timestamp()
    return verify(token, keys, issuer=settings.token_issuer, audience="medsearch-api", now=now).session


async def _outbox_audit(
    settings: Settings, secrets: SecretStore, event: str, person: Person
) -> list[dict[str, Any]]:
    session = str(_session(settings, person))
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT body FROM outbox WHERE kind = 'audit'")
    await db.close()
    return [
        row["body"] for row in rows if row["body"]["event"] == event and row["body"]["session_id"] == session
    ]
