"""API keys: made by somebody who is asked for the password, used within their scopes, gone within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.documents.app import build_app as build_documents
from deployments.edge.key_authentication import KeyAuthentication
from domain.access import Caller
from domain.errors import TooMany
from domain.tokens import TokenRefused
from stores.postgres import Postgres
from tests.contract.auth.people import Person, client_of, on_accounts, provision
from tests.contract.auth.test_second_factor import enrolled

PATH = "/api/v1/users/me/api-keys"
Arrive = Callable[[], Awaitable[Person]]


def wish(person: Person, **changes: Any) -> dict[str, Any]:
    ends = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    return {
        "name": "nightly",
        "scopes": ["search.query", "document.read"],
        "expires_at": ends,
        "current_password": person.password,
    } | changes


async def make(person: Person, **changes: Any) -> dict[str, Any]:
    answer = await person.client.post(PATH, headers=person.bearer, json=wish(person, **changes))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def caller(app: FastAPI, key: str) -> Caller:
    """Whom the stack of any application sees in this key."""
    edge = app.state.edge
    keys = KeyAuthentication(edge.api_keys, edge.limiter, edge.policy, mfa_roles=())
    return await keys.caller(key.encode())


async def listed(person: Person) -> list[dict[str, Any]]:
    answer = await person.client.get(PATH, headers=person.bearer)
    assert answer.status_code == 200
    return list(answer.json()["items"])


async def test_id6_a_key_is_shown_once_and_kept_as_a_digest(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    made = await make(person)
    secret = made["secret"].split("_", 2)[2]
    assert made["secret"].startswith(f"ms_{made['prefix']}_")
    (kept,) = await listed(person)
    assert kept["secret"] is None
    assert kept["scopes"] == ["document.read", "search.query"]
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM api_key WHERE prefix = $1", made["prefix"])
        mails = await connection.fetchval(
            "SELECT count(*) FROM mail WHERE account_id = $1 AND template = 'api_key_created'",
            row["account_id"],
        )
    await db.close()
    assert secret not in str(dict(row))
    assert mails == 1


async def test_id6_a_key_has_its_scopes_and_no_more(arrive: Arrive, app: FastAPI) -> None:
    person = await arrive()
    made = await make(person)
    found = await caller(app, made["secret"])
    assert (found.role, found.session_id) == ("patient", None)
    assert [found.granted(name) for name in ("search.query", "document.upload", "profile.self")] == [
        True,
        False,
        False,
    ]
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    for method, path in (
        ("GET", "/api/v1/users/me"),
        ("GET", "/api/v1/users/me/sessions"),
        ("GET", PATH),
        ("POST", "/api/v1/users/me/break-glass"),
    ):
        refused = await person.client.request(method, path, headers=bearer)
        assert (refused.status_code, refused.json()["code"]) == (403, "access.key_scope"), path


async def test_id6_a_key_notes_the_day_of_its_use(arrive: Arrive, app: FastAPI) -> None:
    person = await arrive()
    made = await make(person)
    assert (await listed(person))[0]["last_used_on"] is None
    await asyncio.gather(*(caller(app, made["secret"]) for _ in range(5)))
    assert (await listed(person))[0]["last_used_on"] == datetime.now(UTC).date().isoformat()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scopes": ["profile.self"]}, "scopes"),
        ({"scopes": ["apikey.manage"]}, "scopes"),
        ({"scopes": ["role.approve"]}, "scopes"),
        ({"scopes": ["nonsense.right"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": (datetime.now(UTC) + timedelta(days=400)).isoformat()}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+01:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-01:00"}, "expires_at"),
        ({"expires_at": None}, "expires_at"),
        ({"current_password": "not it"}, "current_password"),
        ({"name": ""}, "name"),
    ],
)
async def test_id6_a_key_that_may_not_be_is_refused(
    arrive: Arrive, changes: dict[str, Any], field: str
) -> None:
    person = await arrive()
    answer = await person.client.post(PATH, headers=person.bearer, json=wish(person, **changes))
    assert answer.status_code == 422
    assert {error["field"].partition(".")[0] for error in answer.json()["errors"]} == {field}
    assert await listed(person) == []


async def test_a_creation_sent_again_makes_no_second_key_and_shows_no_secret(arrive: Arrive) -> None:
    person = await arrive()
    headers = {**person.bearer, "Idempotency-Key": "once-only"}
    body = wish(person)
    first, second = [await person.client.post(PATH, headers=headers, json=body) for _ in "ab"]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    assert second.json()["secret"] is None
    assert len(await listed(person)) == 1


@pytest.mark.parametrize("how", ["revoked", "suspended", "expired", "role"])
async def test_a27_a_key_ends_within_a_second(
    client: httpx.AsyncClient, app: FastAPI, quick: Settings, secrets: SecretStore, how: str
) -> None:
    person = Person(client)
    user = await provision(quick, secrets, person, "doctor")
    await person.login()
    made = await make(person)
    assert (await caller(app, made["secret"])).role == "doctor"
    if how == "revoked":
        path = f"{PATH}/{made['id']}"
        assert (await client.delete(path, headers=person.bearer)).status_code == 204
        assert (await client.delete(path, headers=person.bearer)).status_code == 404
    elif how == "suspended":
        await on_accounts(quick, secrets, "set_status", user, "suspended")
    elif how == "expired":
        await change(quick, secrets, UUID(made["id"]), "expires_at = now()")
    else:
        await on_accounts(quick, secrets, "set_role", user, "admin")
    await asyncio.sleep(0.6)
    if how == "role":
        found = await caller(app, made["secret"])
        assert found.role == "admin"
        assert not app.state.edge.policy.allows(found.role, "document.read"), "the role decides too"
    else:
        with pytest.raises(TokenRefused):
            await caller(app, made["secret"])


async def test_id6_a_key_follows_its_owner_into_a_role_that_needs_a_second_factor(
    arrive: Arrive, quick: Settings, secrets: SecretStore
) -> None:
    """Made by a patient, used by a doctor: closed until the doctor has set a second factor up."""
    person = await arrive()
    user = UUID((await person.me()).json()["id"])
    bearer = {"Authorization": f"Bearer {(await make(person, scopes=['document.list']))['secret']}"}
    auth = quick.auth.model_copy(update={"mfa_required_roles": ("doctor",)})
    documents = build_documents(quick.model_copy(update={"auth": auth}), secrets)

    async def listed() -> tuple[int, str | None]:
        await asyncio.sleep(0.6)
        answer = await client.get("/api/v1/documents", headers=bearer)
        return answer.status_code, answer.json().get("code")

    async with documents.router.lifespan_context(documents), client_of(documents) as client:
        assert await listed() == (200, None)
        await on_accounts(quick, secrets, "set_role", user, "doctor")
        assert await listed() == (403, "auth.mfa_setup_required")
        await person.login()
        await enrolled(person)
        assert await listed() == (200, None)


async def test_nobody_revokes_another_ones_key(arrive: Arrive, app: FastAPI) -> None:
    person, stranger = await arrive(), await arrive()
    made = await make(person)
    answer = await stranger.client.delete(f"{PATH}/{made['id']}", headers=stranger.bearer)
    assert answer.status_code == 404
    assert (await caller(app, made["secret"])).role == "patient"


async def test_made_up_keys_are_refused_and_counted(app: FastAPI, arrive: Arrive) -> None:
    person = await arrive()
    made = await make(person)
    prefix = made["prefix"]
    async with client_of(app, "203.0.113.90") as http:
        answers = [
            await http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {key}"})
            for key in ("ms_", "ms_a_b", f"ms_{prefix}_" + "x" * 42, f"ms_{prefix}_" + "x" * 43)
        ]
        assert [answer.status_code for answer in answers] == [401] * 4
        assert {answer.json()["code"] for answer in answers} == {"auth.invalid_token"}
        many = {"Authorization": "Bearer ms_000000000000_" + "x" * 43}
        statuses = [(await http.get("/api/v1/users/me", headers=many)).status_code for _ in range(62)]
        right = await http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {made['secret']}"})
    assert statuses[:50] == [401] * 50
    assert statuses[-1] == 429
    assert right.json()["code"] == "access.key_scope", "whoever has a key is not refused for a neighbour"
    with pytest.raises((TokenRefused, TooMany)):
        await caller(app, "ms_000000000000_" + "x" * 43)


async def change(settings: Settings, secrets: SecretStore, key: UUID, assignment: str) -> None:
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await connection.execute(f"UPDATE api_key SET {assignment} WHERE id = $1", key)
    await db.close()
