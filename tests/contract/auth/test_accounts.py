"""Register, profile, passwords: rows A1, A2, A5, A15, A16 and A32 of docs/security.md."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import bcrypt
import httpx
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.decoys import Decoys
from deployments.auth.provisioning import Provisioning
from domain.errors import Invalid
from domain.tokens import PublicKeys, verify
from stores.postgres import Postgres
from tests.contract.auth.people import Person, client_of, on_accounts, principals
from tests.contract.auth.staff import Staff

Arrive = Callable[[], Awaitable[Person]]


async def test_the_contract_as_printed(client: httpx.AsyncClient) -> None:
    person = Person(client, name="drsmith")
    contract = person.wish(
        email="doctor@example.com", specialty="cardiology", institution="City Hospital", role="doctor"
    )
    registered = await client.post("/api/v1/auth/register", json=contract)
    assert (registered.status_code, registered.json()) == (202, {"status": "accepted"})
    login = await client.post(
        "/api/v1/auth/login", json={"email": "doctor@example.com", "password": "SecurePass123!"}
    )
    assert login.status_code == 200
    tokens = login.json()
    assert set(tokens) == {
        "access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in"
    }  # fmt: skip
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 1800)
    me = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    profile = me.json()
    assert me.status_code == 200
    assert profile | {"id": "", "created_at": ""} == {
        "id": "", "email": "doctor@example.com", "username": "drsmith", "first_name": "John",
        "last_name": "Smith", "role": "patient", "requested_role": "doctor", "status": "active",
        "specialty": "cardiology", "institution": "City Hospital", "departments": [],
        "email_verified": True, "pending_email": None, "mfa_enabled": False, "created_at": "",
    }  # fmt: skip


async def test_a1_a_doctor_by_registration_has_no_professional_right(
    arrive: Arrive, quick: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    keys = PublicKeys.parse(quick.jwks_path.read_bytes())
    token = person.tokens["access_token"].encode()
    claims = verify(token, keys, issuer=quick.token_issuer, audience="medsearch-api", now=_now())
    assert claims.role == "patient"
    assert await principals(quick, secrets, claims.session) == {f"user:{claims.subject}", "role:patient"}


@pytest.mark.parametrize(
    "more",
    [
        {"role": "admin"},
        {"role": "privacy_officer"},
        {"role": "service"},
        {"role": ["doctor", "admin"]},
        {"is_active": True},
        {"is_verified": True},
        {"permissions": ["audit.read"]},
        {"id": "00000000-0000-0000-0000-000000000000"},
        {"profile": {"role": "admin"}},
    ],
)
async def test_a2_privileged_fields_are_refused_and_audited(
    client: httpx.AsyncClient, settings: Settings, secrets: SecretStore, servers: Any, more: dict[str, Any]
) -> None:
    person = Person(client)
    answer = await client.post(
        "/api/v1/auth/register", json=person.wish(**more), headers={"X-Request-ID": f"a2-{person.name}"}
    )
    assert answer.status_code == 422
    assert next(iter(more)) in {error["field"].split(".")[0] for error in answer.json()["errors"]}
    assert (await person.login()).status_code == 401
    assert await _audited(settings, secrets, f"a2-{person.name}") == [("auth.register", "denied")]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"role":"doctor","role":"admin"}', "application/json"),
        (b"role=admin&email=a%40example.com", "application/x-www-form-urlencoded"),
        (b'{"email":{"role":"admin"}}', "application/json"),
        (b"\xff\xfe{}", "application/json"),
        (b"[]", "application/json"),
        (b'{"email":"a\\u0000b@example.com"}', "application/json"),
        (b'{"email":"\\ud800"}', "application/json"),
        (b'{"role":1e400}', "application/json"),
        (b"[" * 10_000, "application/json"),
    ],
)
async def test_a2_other_shapes_are_refused(client: httpx.AsyncClient, content: bytes, kind: str) -> None:
    answer = await client.post("/api/v1/auth/register", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a5_every_reason_for_refusal_looks_the_same(
    client: httpx.AsyncClient, arrive: Arrive, quick: Settings, secrets: SecretStore
) -> None:
    person, suspended = await arrive(), await arrive()
    suspended_id = UUID((await suspended.me()).json()["id"])
    await on_accounts(quick, secrets, "set_status", suspended_id, "suspended")
    answers = [
        await person.login(password="wrong password 1"),
        await Person(client).login(),
        await suspended.login(),
        await suspended.login(password="wrong password 1"),
        await person.login(email="not an address"),
    ]
    bodies = {tuple(sorted((answer.json() | {"instance": ""}).items())) for answer in answers}
    assert {answer.status_code for answer in answers} == {401}
    assert len(bodies) == 1
    assert dict(bodies.pop())["code"] == "auth.invalid_credentials"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "too_short"),
        ("x" * 129, "too_long"),
        ("y" * 1000, "too_long"),
        ("Password1234!", "common"),
        ("aaaaaaaaaaaaaaa", "repeated"),
        ("abcdefghijkl", "sequence"),
        ("xx-{name}-xx", "own_name"),
    ],
)
async def test_a16_refused_passwords_say_why(client: httpx.AsyncClient, password: str, code: str) -> None:
    person = Person(client)
    answer = await person.register(password=password.replace("{name}", person.name))
    assert answer.status_code == 422
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("password", code)]


@pytest.mark.parametrize("own", ["{name}", "{name}@EXAMPLE.com", "Wilhelmina", "ﬁtzgerald", "FITZGERALD"])
async def test_a16_own_names_are_refused_wherever_a_password_is_set(
    client: httpx.AsyncClient, quick: Settings, secrets: SecretStore, own: str
) -> None:
    """Registered, changed, and made for somebody; a reset is with the links."""
    person = Person(client)
    password = f"7 {own.replace('{name}', person.name)} 7-more"
    names = {"first_name": "Wilhelmina", "last_name": "Fitzgerald"}
    refused = await person.register(password=password, **names)
    assert [error["code"] for error in refused.json()["errors"]] == ["own_name"]
    assert (await person.register(**names)).status_code == 202
    await person.login()
    body = {"current_password": person.password, "new_password": password}
    refused = await client.post("/api/v1/auth/change-password", json=body, headers=person.bearer)
    assert [error["code"] for error in refused.json()["errors"]] == ["own_name"]
    provisioning = Provisioning.of(quick, secrets)
    with pytest.raises(Invalid, match="your name"):
        await provisioning.create_account(
            email=person.email, username=person.name, password=password, role="nurse", **names
        )
    await provisioning.close()


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        " leading and trailing ",
        "пароль-из-двух-слов",
        "🐴🔋📎🐎🌵🍋🚲🎻🧊🪁🥝🧵",
        "pW9#" * 2 + "q7Zk!mR2" * 15,
    ],
)
async def test_a16_long_and_unicode_passwords_are_taken_verbatim(
    client: httpx.AsyncClient, password: str
) -> None:
    person = Person(client, password=password)
    assert (await person.register()).status_code == 202
    assert (await person.login()).status_code == 200
    assert (await person.login(password=password[:-1])).status_code == 401


async def test_a16_a_password_is_compared_in_its_normal_form(client: httpx.AsyncClient) -> None:
    person = Person(client, password="Café-crème-ﬁn-12")
    assert (await person.register()).status_code == 202
    assert (await person.login(password="Cafe\u0301-cre\u0300me-fin-12")).status_code == 200


async def test_a15_a_changed_password_ends_every_other_session(
    client: httpx.AsyncClient, arrive: Arrive
) -> None:
    person = await arrive()
    other = Person(client, name=person.name)
    assert (await other.login()).status_code == 200
    change = {"current_password": person.password, "new_password": "another long secret"}
    wrong = await client.post(
        "/api/v1/auth/change-password", headers=person.bearer, json=change | {"current_password": "no"}
    )
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "current_password")
    answer = await client.post("/api/v1/auth/change-password", headers=person.bearer, json=change)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await person.me()).status_code == 200
    assert (await other.refresh()).status_code == 401
    await asyncio.sleep(0.6)
    assert (await other.me()).status_code == 401
    assert (await person.login()).status_code == 401
    assert (await person.login(password="another long secret")).status_code == 200


async def test_a_profile_changes_field_by_field(client: httpx.AsyncClient, arrive: Arrive) -> None:
    person = await arrive()
    put = {"first_name": "Joan", "specialty": "surgery", "institution": None}
    changed = await client.put("/api/v1/users/me", headers=person.bearer, json=put)
    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in put} == put
    again = await client.put(
        "/api/v1/users/me", headers=person.bearer, json={"specialty": None, "last_name": None}
    )
    assert (again.json()["specialty"], again.json()["last_name"]) == (None, "Smith")
    refused = await client.put("/api/v1/users/me", headers=person.bearer, json={"role": "admin"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "extra_forbidden")


async def test_a_taken_name_cannot_be_changed_to(client: httpx.AsyncClient, arrive: Arrive) -> None:
    person, other = await arrive(), await arrive()
    answer = await client.put(
        "/api/v1/users/me", headers=person.bearer, json={"username": other.name.upper()}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "account.taken")
    assert (await person.me()).json()["username"] == person.name


async def test_id9_names_are_tried_five_times_and_each_that_is_taken_is_recorded(
    client: httpx.AsyncClient, arrive: Arrive, staff: Staff
) -> None:
    person, other = await arrive(), await arrive()
    user = (await person.me()).json()["id"]

    async def change(**changes: str) -> int:
        answer = await client.put("/api/v1/users/me", headers=person.bearer, json=changes)
        return answer.status_code

    assert [await change(username=person.name, first_name=f"Joan {n}") for n in "abcdefg"] == [200] * 7
    assert [await change(username=other.name) for _ in range(7)] == [409] * 5 + [429] * 2
    assert await change(first_name="Jane") == 200
    records = [one for one in await staff.records("account.update") if one["actor"] == f"user:{user}"]
    failed = [one["reason"] for one in records if one["outcome"] == "failure"]
    assert failed == ["account.taken"] * 5
    assert other.name not in str(records)


async def test_a32_one_address_is_one_account(
    client: httpx.AsyncClient, settings: Settings, secrets: SecretStore
) -> None:
    person = Person(client)
    local = person.name
    variants = [local, local.upper(), local.title(), "\uff55" + local[1:]]
    addresses = [f"{variants[n % 4]}@{'EXAMPLE' if n % 2 else 'example'}.com" for n in range(50)]
    answers = await asyncio.gather(
        *(person.register(email=address, username=f"{local}-{n}") for n, address in enumerate(addresses))
    )
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"status":"accepted"}')}
    tagged = await person.register(email=f"{local}+x@example.com", username=f"{local}-x")
    assert tagged.status_code == 202
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT email_key FROM account WHERE username LIKE $1", f"{local}-%")
    await db.close()
    assert sorted(row["email_key"] for row in rows) == [f"{local}+x@example.com", f"{local}@example.com"]


async def test_a6_decoys_are_of_the_kinds_that_are_stored(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    await arrive()
    db = Postgres.of(settings, secrets, "auth")
    decoys = Decoys("secret", "usual")
    async with db.connection() as connection:
        changes = connection.transaction()
        await changes.start()
        first = await decoys.of(connection, "nobody@example.com")
        assert first.startswith("$argon2id$v=19$m=")
        await connection.execute("UPDATE account SET password_hash = '$2b$07$' || id")
        assert await decoys.of(connection, "nobody@example.com") == first
        found = await Decoys("secret", "usual").of(connection, "nobody@example.com")
        assert (found[:7], len(found)) == ("$2b$07$", 60)
        await connection.execute("UPDATE account SET password_hash = NULL")
        assert await Decoys("secret", "usual").of(connection, "nobody@example.com") == "usual"
        await changes.rollback()
    await db.close()


async def test_id2_a_bcrypt_hash_verifies_and_is_upgraded(
    client: httpx.AsyncClient, arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    user = UUID((await person.me()).json()["id"])
    legacy = bcrypt.hashpw(b"legacy secret 42", bcrypt.gensalt(4)).decode()
    await on_accounts(settings, secrets, "set_password", user, legacy)
    assert (await person.login(password="legacy secret 43")).status_code == 401
    assert (await person.login(password="legacy secret 42")).status_code == 200
    account = await on_accounts(settings, secrets, "by_id", user)
    assert account.password_hash.startswith("$argon2id$")
    assert (await person.login(password="legacy secret 42")).status_code == 200
    assert (await person.login(password="legacy secret 42" + "x" * 100)).status_code == 401


async def test_a33_nothing_secret_is_stored_or_published(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relowner = 'medsearch_owner'::regrole"
        )
        readable = [row["relname"] for row in tables if row["relname"] != "alembic_version"]
        dump = "".join([str(await connection.fetch(f"SELECT t::text FROM {table} t")) for table in readable])
        outbox = await connection.fetch("SELECT body::text AS body FROM outbox")
    await db.close()
    assert "account" in readable
    for secret in (person.password, person.tokens["refresh_token"], person.tokens["access_token"]):
        assert secret not in dump
    assert not [row for row in outbox if person.email in row["body"]]


async def _audited(settings: Settings, secrets: SecretStore, request: str) -> list[tuple[str, str]]:
    db = Postgres.of(settings, secrets, "audit", "owner")
    async with db.connection() as connection:
        rows = await connection.fetch(
            "SELECT event, outcome FROM audit_record WHERE request_id = $1", request
        )
    await db.close()
    return [tuple(row) for row in rows]


def _now() -> float:
    return time.time()


async def test_from_elsewhere_the_same_application_answers(app: Any) -> None:
    async with client_of(app, "198.51.100.7") as elsewhere:
        assert (await Person(elsewhere).arrive()).tokens
