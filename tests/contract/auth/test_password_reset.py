"""A mailed link resets a password, once: rows A10, A12, A15, A16 and A33 of docs/security.md."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pyotp
import pytest
from fastapi import FastAPI

from tests.contract.auth.links import NEW, Arrive, audited, forgot, is_bad, reset, verify
from tests.contract.auth.mailbox import Mailbox
from tests.contract.auth.people import Person, client_of

pytestmark = pytest.mark.usefixtures("own_mails")


async def test_a12_a_reset_link_is_used_once(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    await forgot(client, person.email)
    token = await mailbox.token(person.email)
    answers = await asyncio.gather(*(reset(client, token) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 49
    assert is_bad(await reset(client, token))
    assert (await person.login(password=NEW)).status_code == 200


@pytest.mark.parametrize("change", ["truncated", "longer", "case", "purpose", "empty", "of a session"])
async def test_a12_what_is_no_reset_link_is_refused(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox, change: str
) -> None:
    person = await arrive()
    await forgot(client, person.email)
    token = await mailbox.token(person.email)
    changed = {
        "truncated": token[:-1],
        "longer": token + "A",
        "case": token.swapcase(),
        "purpose": token,
        "empty": "",
        "of a session": person.tokens["refresh_token"],
    }[change]
    answer = await (verify(client, changed) if change == "purpose" else reset(client, changed))
    assert is_bad(answer)
    assert (await reset(client, token)).status_code == 204


async def test_a12_only_the_newest_link_counts_and_only_for_its_account(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person, other = await arrive(), await arrive()
    tokens = []
    for email in (person.email, person.email, other.email):
        await forgot(client, email)
        tokens.append(await mailbox.token(email))
    assert is_bad(await reset(client, tokens[0]))
    assert (await reset(client, tokens[2])).status_code == 204
    assert (await person.login()).status_code == 200
    assert (await other.login()).status_code == 401
    assert (await reset(client, tokens[1])).status_code == 204


async def test_a12_a_reset_link_ends_after_30_minutes(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    await forgot(client, person.email)
    token = await mailbox.token(person.email)
    async with mailbox.db.transaction() as connection:
        lives = await connection.fetchval(
            """
            UPDATE email_token t SET expires_at = clock_timestamp() FROM account a
            WHERE a.id = t.account_id AND a.email = $1 RETURNING t.expires_at - t.created_at
            """,
            person.email,
        )
    assert lives is not None
    assert is_bad(await reset(client, token))
    assert (await person.login()).status_code == 200


async def test_a12_only_a_hash_of_the_link_is_stored(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    await forgot(client, person.email)
    token = await mailbox.token(person.email)
    async with mailbox.db.connection() as connection:
        tables = ("email_token", "mail", "outbox")
        dumps = [str(await connection.fetch(f"SELECT t::text FROM {table} t")) for table in tables]
        life = await connection.fetchval(
            """
            SELECT t.expires_at - clock_timestamp() <= interval '30 min' FROM email_token t
            JOIN account a ON a.id = t.account_id WHERE a.email = $1
            """,
            person.email,
        )
    assert token not in "".join(dumps)
    assert person.email not in "".join(dumps[1:])
    assert life is True


async def test_a15_a_reset_ends_every_session_and_tells_the_owner(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    await forgot(client, person.email)
    assert (await reset(client, await mailbox.token(person.email))).status_code == 204
    await asyncio.sleep(0.6)
    assert (await person.me()).status_code == 401
    assert (await person.refresh()).status_code == 401
    assert (await mailbox.subjects(person.email))[-1] == "Your password was changed"


async def test_a12_a_reset_does_not_pass_by_the_second_factor(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    path = "/api/v1/users/me/mfa/totp"
    password = {"current_password": person.password}
    proposed = (await client.post(path, headers=person.bearer, json=password)).json()
    first = {"otp": pyotp.TOTP(proposed["secret"]).now()}
    codes = (await client.post(f"{path}/confirm", headers=person.bearer, json=first)).json()["recovery_codes"]
    await forgot(client, person.email)
    assert (await reset(client, await mailbox.token(person.email))).status_code == 204
    person.password = NEW
    assert (await person.login()).json()["code"] == "auth.otp_required"
    assert (await person.login(otp=codes[0])).status_code == 200


async def test_a15_a_reset_revokes_api_keys_and_says_which(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    wish = {
        "name": "nightly",
        "scopes": ["search.query"],
        "expires_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
        "current_password": person.password,
    }
    path = "/api/v1/users/me/api-keys"
    made = (await client.post(path, headers=person.bearer, json=wish)).json()
    await forgot(client, person.email)
    assert (await reset(client, await mailbox.token(person.email))).status_code == 204
    person.password = NEW
    assert (await person.login()).status_code == 200
    assert (await client.get(path, headers=person.bearer)).json()["items"] == []
    revoked = [entry["reason"] for entry in await audited(mailbox, "auth.api_key_revoked")]
    assert made["prefix"] in revoked


async def test_a15_a_reset_takes_back_the_address_that_a_thief_wished_for(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    thief = f"thief-{person.email}"
    put = {"email": thief, "current_password": person.password}
    assert (await client.put("/api/v1/users/me", headers=person.bearer, json=put)).status_code == 200
    stolen = await mailbox.token(thief)
    await forgot(client, person.email)
    assert (await reset(client, await mailbox.token(person.email))).status_code == 204
    assert is_bad(await verify(client, stolen))


async def test_a10_a_mailed_link_lets_the_owner_in_again(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox, app: FastAPI
) -> None:
    person = await arrive()
    async with client_of(app, "203.0.113.210") as elsewhere:
        attacker = Person(elsewhere, name=person.name)
        for n in range(11):
            last = await attacker.login(password=f"wrong guess {n}")
        assert last.status_code == 429
        await forgot(client, person.email)
        assert (await reset(client, await mailbox.token(person.email))).status_code == 204
    async with client_of(app, "203.0.113.211") as away:
        assert (await Person(away, name=person.name).login(password=NEW)).status_code == 200


async def test_a16_a_refused_new_password_does_not_use_up_the_link(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    await forgot(client, person.email)
    token = await mailbox.token(person.email)
    named = await reset(client, token, f"my own {person.name} 77")
    assert [error["code"] for error in named.json()["errors"]] == ["own_name"]
    answer = await reset(client, token, "short")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "new_password")
    assert (await reset(client, token)).status_code == 204


async def test_a33_no_link_is_in_an_error_or_the_outbox(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    person = await arrive()
    await forgot(client, person.email)
    token = await mailbox.token(person.email)
    await reset(client, token, "short")
    await reset(client, token)
    answer = await reset(client, token)
    printed = capsys.readouterr()
    assert token not in answer.text + printed.out + printed.err
    assert person.email not in printed.out + printed.err
