"""Second factors: set up, asked for, used up, done without. Guessing codes is guessing (A10); A5 for wrong codes."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pyotp
import pytest
from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.app import build_app
from deployments.auth.shared import Shared
from domain.errors import Invalid
from stores.postgres import Postgres
from tests.contract.auth.people import Person, client_of

PATH = "/api/v1/users/me/mfa"
Arrive = Callable[[], Awaitable[Person]]


async def ask(person: Person, path: str, **body: Any) -> httpx.Response:
    return await person.client.post(PATH + path, headers=person.bearer, json=body)


async def enrolled(person: Person) -> tuple[pyotp.TOTP, list[str]]:
    """The authenticator, and the recovery codes."""
    proposed = await ask(person, "/totp", current_password=person.password)
    assert proposed.status_code == 201, proposed.text
    totp = pyotp.TOTP(proposed.json()["secret"])
    confirmed = await ask(person, "/totp/confirm", otp=totp.now())
    assert confirmed.status_code == 200, confirmed.text
    return totp, confirmed.json()["recovery_codes"]


def next_code(totp: pyotp.TOTP) -> str:
    """Of the step after this one: not used up by the confirmation."""
    return totp.at(int(time.time()) + 30)


async def test_a_second_factor_is_asked_for_once_confirmed(arrive: Arrive) -> None:
    person = await arrive()
    proposed = await ask(person, "/totp", current_password=person.password)
    assert proposed.json()["otpauth_uri"].startswith("otpauth://totp/medsearch:")
    assert (await person.login()).status_code == 200, "unconfirmed, it is not asked for"
    totp, codes = await enrolled(person)
    assert (len(codes), len(set(codes))) == (10, 10)
    assert (await person.me()).json()["mfa_enabled"] is True
    missing = await person.login()
    assert (missing.status_code, missing.json()["code"]) == (401, "auth.otp_required")
    assert (await person.login(otp=next_code(totp))).status_code == 200
    listed = await person.client.get("/api/v1/users/me/sessions", headers=person.bearer)
    assert [one["mfa"] for one in listed.json()["items"] if one["current"]] == [True]


async def test_a5_a_wrong_code_answers_as_a_wrong_password(arrive: Arrive) -> None:
    person = await arrive()
    await enrolled(person)
    answers = [
        await person.login(otp="000000"),
        await person.login(password="a wrong one"),
        await person.login(password="a wrong one", otp="000000"),
    ]
    bodies = [{**answer.json(), "instance": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert bodies[0] == bodies[1] == bodies[2]


async def test_a10_guessing_codes_with_the_right_password_is_limited(app: FastAPI, arrive: Arrive) -> None:
    person = await arrive()
    await enrolled(person)
    async with client_of(app, "203.0.113.50") as http:
        thief = Person(http, name=person.name)
        answers = [await thief.login(otp=f"{n:06}") for n in range(20)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 10


async def test_id5_a_code_is_taken_once(arrive: Arrive) -> None:
    person = await arrive()
    totp, _ = await enrolled(person)
    code = next_code(totp)
    answers = await asyncio.gather(*(Person(person.client, name=person.name).login(otp=code) for _ in "abcd"))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert (await person.login(otp=totp.now())).status_code == 401, "an earlier step is used up too"


async def test_id5_a_recovery_code_is_taken_once_and_audited(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    _, codes = await enrolled(person)
    spelled = codes[0].upper().replace("-", " ")
    answers = await asyncio.gather(
        *(Person(person.client, name=person.name).login(otp=spelled) for _ in "abcd")
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert (await person.login(otp=codes[0])).status_code == 401
    assert (await person.login(otp=codes[1])).status_code == 200
    user = (await person.me()).json()["id"]
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        used = await connection.fetchval(
            "SELECT count(*) FROM outbox WHERE kind = 'audit' AND body->>'event' = 'auth.recovery_code_used' "
            "AND body->>'actor' = $1",
            f"user:{user}",
        )
    await db.close()
    assert used == 2


async def test_id5_secrets_lie_sealed_and_codes_hashed(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    totp, codes = await enrolled(person)
    user = UUID((await person.me()).json()["id"])
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        sealed = await connection.fetchval("SELECT sealed FROM totp WHERE account_id = $1", user)
        digests = await connection.fetch("SELECT code_sha256 FROM recovery_code WHERE account_id = $1", user)
    await db.close()
    assert totp.secret.encode() not in sealed
    assert len(digests) == len(set(codes)) == 10
    assert all(len(base64.b32decode(code.replace("-", "").upper())) == 15 for code in codes)
    assert all(code.encode() not in row["code_sha256"] for row in digests for code in codes)


async def test_new_recovery_codes_replace_the_former(arrive: Arrive) -> None:
    person = await arrive()
    _, codes = await enrolled(person)
    renewed = await ask(person, "/recovery-codes", current_password=person.password, otp=codes[0])
    assert renewed.status_code == 200
    assert (await person.login(otp=codes[1])).status_code == 401
    assert (await person.login(otp=renewed.json()["recovery_codes"][1])).status_code == 200


async def test_doing_without_needs_password_and_code(arrive: Arrive) -> None:
    person = await arrive()
    _, codes = await enrolled(person)
    again = await ask(person, "/totp", current_password=person.password)
    assert (again.status_code, again.json()["code"]) == (409, "mfa.enrolled")
    wrong = await ask(person, "/disable", current_password="a wrong one", otp=codes[0])
    assert (wrong.status_code, wrong.json()["code"]) == (422, "auth.wrong_password")
    wrong = await ask(person, "/disable", current_password=person.password, otp="123456")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "otp")
    done = await ask(person, "/disable", current_password=person.password, otp=codes[0])
    assert done.status_code == 204
    assert (await person.login()).status_code == 200
    nothing = await ask(person, "/disable", current_password=person.password, otp=codes[1])
    assert (nothing.status_code, nothing.json()["code"]) == (409, "mfa.not_enrolled")


async def test_a_proposal_needs_the_password_and_the_first_code(arrive: Arrive) -> None:
    person = await arrive()
    assert (await ask(person, "/totp", current_password="a wrong one")).status_code == 422
    assert (await ask(person, "/totp/confirm", otp="123456")).status_code == 422
    await ask(person, "/totp", current_password=person.password)
    answers = [await ask(person, "/totp/confirm", otp="123456") for _ in range(8)]
    assert answers[-1].status_code == 429


async def test_confirming_by_password_asks_for_the_code_where_it_is_wanted(
    app: FastAPI, arrive: Arrive, quick: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    _, codes = await enrolled(person)
    user = UUID((await person.me()).json()["id"])
    shared = Shared.of(quick, secrets, app.state.edge)
    confirm = shared.credentials.confirm
    assert (await confirm(user, person.password)).id == user
    with pytest.raises(Invalid) as missing:
        await confirm(user, person.password, None)
    assert missing.value.code == "auth.otp_required"
    assert (await confirm(user, person.password, codes[0])).id == user
    await shared.close()


@pytest.fixture(scope="module")
async def strict(quick: Settings, secrets: SecretStore) -> AsyncIterator[httpx.AsyncClient]:
    """Where patients need a second factor."""
    auth = quick.auth.model_copy(update={"mfa_required_roles": ("patient",)})
    application = build_app(quick.model_copy(update={"auth": auth}), secrets)
    async with application.router.lifespan_context(application), client_of(application) as http:
        yield http


async def test_a_role_that_needs_a_second_factor_sets_it_up_first(strict: httpx.AsyncClient) -> None:
    person = await Person(strict).arrive()
    assert await restriction(person) == "mfa"
    assert (await person.me()).status_code == 200
    _, codes = await enrolled(person)
    assert await restriction(person) is None
    assert (await person.login(otp=codes[0])).status_code == 200
    assert await restriction(person) is None
    refused = await ask(person, "/disable", current_password=person.password, otp=codes[1])
    assert (refused.status_code, refused.json()["code"]) == (409, "mfa.required")


async def restriction(person: Person) -> str | None:
    """What the published view says, as every application reads it."""
    transport = person.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    edge = transport.app.state.edge  # type: ignore[attr-defined]
    claims = edge.tokens.verify(person.tokens["access_token"].encode())
    edge.sessions._known.clear()
    state = await edge.sessions.lookup(claims.session)
    return None if state is None else state.restriction


async def test_a10_a_complete_login_resets_the_window(app: FastAPI, arrive: Arrive) -> None:
    person = await arrive()
    _, codes = await enrolled(person)
    async with client_of(app, "203.0.113.51") as http:
        one = Person(http, name=person.name)
        for code in codes[:4]:
            assert [(await one.login()).status_code for _ in range(4)] == [401] * 4
            assert (await one.login(otp=code)).status_code == 200


async def test_a15_setting_up_or_giving_up_a_second_factor_ends_every_other_session(arrive: Arrive) -> None:
    person = await arrive()
    elsewhere = Person(person.client, name=person.name)
    assert (await elsewhere.login()).status_code == 200
    totp, codes = await enrolled(person)
    await asyncio.sleep(0.6)
    assert ((await elsewhere.me()).status_code, (await elsewhere.refresh()).status_code) == (401, 401)
    assert (await person.me()).status_code == 200
    assert (await elsewhere.login(otp=next_code(totp))).status_code == 200
    given_up = await ask(person, "/disable", current_password=person.password, otp=codes[0])
    assert given_up.status_code == 204, given_up.text
    await asyncio.sleep(0.6)
    assert ((await elsewhere.me()).status_code, (await elsewhere.refresh()).status_code) == (401, 401)
    assert (await person.me()).status_code == 200
