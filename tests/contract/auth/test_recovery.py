"""Links in mails: rows A4, A7, A12, A14, A15, A17, A31 and A33 of docs/security.md, and changes of address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyotp
import pytest
from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import HttpSettings, Settings
from deployments.auth.app import build_app
from tests.contract.auth.mailbox import Mailbox
from tests.contract.auth.people import Person, client_of, on_accounts

Arrive = Callable[[], Awaitable[Person]]
NEW = "another long secret"
PUBLIC = "https://search.hospital.example"


@pytest.fixture(scope="module")
def proving(quick: Settings) -> Settings:
    """Addresses must be proven, and users come by another address than the tests."""
    auth = quick.auth.model_copy(update={"verify_email": True})
    http = HttpSettings(public_url=PUBLIC, rate_limit_per_minute=1_000_000)
    return quick.model_copy(update={"auth": auth, "http": http})


@pytest.fixture(scope="module")
async def strict(proving: Settings, secrets: SecretStore) -> AsyncIterator[httpx.AsyncClient]:
    application = build_app(proving, secrets)
    async with application.router.lifespan_context(application), client_of(application) as http:
        yield http


@pytest.fixture(scope="module")
async def mailbox(
    proving: Settings, secrets: SecretStore, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mailbox]:
    box = Mailbox(proving, secrets, tmp_path_factory.mktemp("mail"))
    yield box
    await box.close()


@pytest.fixture(autouse=True)
async def own_mails(mailbox: Mailbox) -> None:
    """What other tests left to be sent is thousands of mails, and nobody's here."""
    async with mailbox.db.connection() as connection:
        await connection.execute("DELETE FROM mail")


async def verify(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/api/v1/auth/verify-email", json={"token": token})


async def forgot(http: httpx.AsyncClient, email: str, **more: Any) -> httpx.Response:
    return await http.post("/api/v1/auth/forgot-password", json={"email": email}, **more)


async def reset(http: httpx.AsyncClient, token: str, password: str = NEW) -> httpx.Response:
    return await http.post("/api/v1/auth/reset-password", json={"token": token, "new_password": password})


def is_bad(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json().get("code")) == (400, "auth.link_invalid")


async def audited(mailbox: Mailbox, event: str) -> list[dict[str, Any]]:
    """What was written for the trail of this event, oldest first."""
    async with mailbox.db.connection() as connection:
        rows = await connection.fetch("SELECT body FROM outbox WHERE kind = 'audit' ORDER BY id")
    return [row["body"] for row in rows if row["body"]["event"] == event]


async def test_a4_nothing_is_possible_before_the_address_is_proven(
    strict: httpx.AsyncClient, mailbox: Mailbox
) -> None:
    person = Person(strict)
    assert (await person.register()).status_code == 202
    refused = await person.login()
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.email_not_verified")
    assert (await person.login(password="wrong password 1")).status_code == 401
    (link,) = await mailbox.links(person.email)
    assert link.startswith(f"{PUBLIC}/account/verify#token=")
    assert (await verify(strict, await mailbox.token(person.email))).status_code == 204
    assert (await person.login()).status_code == 200
    assert (await person.me()).json()["email_verified"] is True


async def test_a31_a_verification_link_is_used_once_and_only_the_newest(
    strict: httpx.AsyncClient, mailbox: Mailbox
) -> None:
    person = Person(strict)
    await person.register()
    old = await mailbox.token(person.email)
    again = await strict.post("/api/v1/auth/resend-verification", json={"email": person.email.upper()})
    assert (again.status_code, again.json()) == (202, {"status": "accepted"})
    newest = await mailbox.token(person.email)
    assert newest != old
    assert is_bad(await verify(strict, old))
    assert (await verify(strict, newest)).status_code == 204
    assert is_bad(await verify(strict, newest))
    before = len(await mailbox.mails(person.email))
    for email in (person.email, f"nobody-{person.email}"):
        answer = await strict.post("/api/v1/auth/resend-verification", json={"email": email})
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert len(await mailbox.mails(person.email)) == before
    assert await mailbox.mails(f"nobody-{person.email}") == []


async def test_a31_a_link_is_void_when_the_address_has_changed(
    strict: httpx.AsyncClient, mailbox: Mailbox, proving: Settings, secrets: SecretStore
) -> None:
    person = Person(strict)
    await person.register()
    token = await mailbox.token(person.email)
    async with mailbox.db.transaction() as connection:
        await connection.execute(
            "UPDATE account SET email = $2, email_key = $2 WHERE email = $1",
            *(person.email, f"other-{person.email}"),
        )
    assert is_bad(await verify(strict, token))


async def test_registering_a_taken_address_tells_its_owner_and_proves_nothing(
    strict: httpx.AsyncClient, mailbox: Mailbox
) -> None:
    squatter, owner = Person(strict), Person(strict)
    await squatter.register(email=owner.email)
    await mailbox.links(owner.email)
    answer = await owner.register()
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert (await mailbox.subjects(owner.email))[1:] == ["You already have an account"]
    assert len(await mailbox.links(owner.email)) == 1
    await forgot(strict, owner.email)
    assert (await reset(strict, await mailbox.token(owner.email))).status_code == 204
    assert (await owner.login(password=squatter.password)).status_code == 401
    assert (await owner.login(password=NEW)).status_code == 200


async def test_registering_a_taken_name_tells_the_one_who_asked(
    strict: httpx.AsyncClient, mailbox: Mailbox, arrive: Arrive
) -> None:
    taken, person = await arrive(), Person(strict)
    answer = await person.register(username=taken.name.upper())
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert await mailbox.subjects(person.email) == ["Choose another user name"]


async def test_a7_known_and_unknown_addresses_get_the_same_answer_and_rows(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox, quick: Settings, secrets: SecretStore
) -> None:
    person, suspended, stranger = await arrive(), await arrive(), Person(client)
    account = (await suspended.me()).json()["id"]
    await on_accounts(quick, secrets, "set_status", account, "suspended")
    await mailbox.mails("")
    rows = []
    for email in (person.email, suspended.email, stranger.email, "not an address"):
        before = await _counts(mailbox)
        answer = await forgot(client, email)
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
        rows.append({name: count - before[name] for name, count in (await _counts(mailbox)).items()})
    assert rows == [{"mail": 1, "outbox": 2, "email_token": 0}] * 4
    assert [len(await mailbox.links(who.email)) for who in (person, suspended, stranger)] == [1, 0, 0]


async def test_a7_a_mail_server_that_is_down_is_not_noticed(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    assert (await forgot(client, person.email)).status_code == 202  # no mailer runs while it is answered
    assert len(await mailbox.links(person.email)) == 1


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


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"},
        {"Forwarded": "host=evil.example"},
    ],
)
async def test_a14_links_begin_with_the_address_of_the_settings(
    strict: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox, headers: dict[str, str]
) -> None:
    person = await arrive()
    assert (await forgot(strict, person.email, headers=headers)).status_code == 202
    (link,) = await mailbox.links(person.email)
    assert link.startswith(f"{PUBLIC}/account/reset#token=")


async def test_a14_one_recipient_the_stored_address(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    assert (await forgot(client, person.email.upper())).status_code == 202
    assert (await forgot(client, f"{person.email},thief@evil.example")).status_code == 202
    for wrong in (f"{person.email}\r\nBcc: thief@evil.example", [person.email, "thief@evil.example"]):
        answer = await client.post("/api/v1/auth/forgot-password", json={"email": wrong})
        assert answer.status_code == 422
    twice = f'{{"email":"{person.email}","email":"thief@evil.example"}}'.encode()
    sent = await client.post(
        "/api/v1/auth/forgot-password", content=twice, headers={"Content-Type": "application/json"}
    )
    assert sent.status_code == 422
    assert len(await mailbox.mails(person.email)) == 2  # welcome, and one link
    assert await mailbox.mails("thief@evil.example") == []


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


async def test_asking_for_another_link_is_audited_whoever_it_is(
    strict: httpx.AsyncClient, mailbox: Mailbox
) -> None:
    person = Person(strict)
    await person.register()
    before = len(await audited(mailbox, "auth.verification_requested"))
    for email in (person.email, f"nobody-{person.email}"):
        await strict.post("/api/v1/auth/resend-verification", json={"email": email})
    known, unknown = (await audited(mailbox, "auth.verification_requested"))[before:]
    assert (known["outcome"], known["actor"], bool(known["on_behalf_of"])) == ("success", "anonymous", True)
    assert (unknown["outcome"], unknown["on_behalf_of"]) == ("failure", None)
    for entry in (known, unknown):
        assert entry["sealed"]
        assert person.email not in json.dumps(entry)


async def test_a15_the_owner_is_told_of_a_changed_password(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    change = {"current_password": person.password, "new_password": NEW}
    answer = await client.post("/api/v1/auth/change-password", headers=person.bearer, json=change)
    assert answer.status_code == 204
    assert (await mailbox.subjects(person.email))[-1] == "Your password was changed"


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


async def test_a17_the_owner_is_told_of_a_copied_token(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    old = person.tokens["refresh_token"]
    assert (await person.refresh()).status_code == 200
    assert (await person.refresh(old)).status_code == 401
    assert (await mailbox.subjects(person.email))[-1] == "One of your sessions was ended"


async def test_one_address_gets_so_many_mails_whoever_asks(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox, quick: Settings
) -> None:
    person = await arrive()
    answers = [await forgot(client, person.email) for _ in range(quick.auth.login.mails + 3)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"status":"accepted"}')}
    assert len(await mailbox.mails(person.email)) == 1 + quick.auth.login.mails  # the welcome besides


async def test_a10_other_mails_do_not_use_up_the_link_that_lets_the_owner_in(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox, quick: Settings
) -> None:
    person = await arrive()
    for _ in range(quick.auth.login.mails + 1):
        await client.post("/api/v1/auth/resend-verification", json={"email": person.email})
        await Person(client).register(email=person.email)
    await forgot(client, person.email)
    assert (await reset(client, await mailbox.token(person.email))).status_code == 204


async def test_one_network_address_asks_so_often(quick: Settings, secrets: SecretStore) -> None:
    login = quick.auth.login.model_copy(update={"address_attempts": 3})
    limited = quick.model_copy(update={"auth": quick.auth.model_copy(update={"login": login})})
    application = build_app(limited, secrets)
    async with (
        application.router.lifespan_context(application),
        client_of(application, "203.0.113.212") as http,
    ):
        answers = [await forgot(http, f"nobody-{n}@example.com") for n in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_a11_mails_are_counted_by_the_network_of_an_ipv6_address(
    quick: Settings, secrets: SecretStore
) -> None:
    login = quick.auth.login.model_copy(update={"address_attempts": 3})
    limited = quick.model_copy(update={"auth": quick.auth.model_copy(update={"login": login})})
    application = build_app(limited, secrets)
    async with application.router.lifespan_context(application):
        answers = []
        for host in ("1::1", "1::2", "1:ffff::3", "1::4", "2::1"):
            async with client_of(application, f"2001:db8:a:{host}") as http:
                answers.append((await forgot(http, "nobody@example.com")).status_code)
    assert answers == [202, 202, 202, 429, 202]


async def test_another_address_counts_when_its_link_was_used(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    new = f"new-{person.email}"
    put = {"email": new}
    refused = await client.put("/api/v1/users/me", headers=person.bearer, json=put)
    assert (refused.status_code, refused.json()["code"]) == (422, "auth.wrong_password")
    put["current_password"] = person.password
    changed = await client.put("/api/v1/users/me", headers=person.bearer, json=put)
    assert (changed.status_code, changed.json()["email"], changed.json()["pending_email"]) == (
        200, person.email, new
    )  # fmt: skip
    assert (await person.login(email=new)).status_code == 401
    assert (await mailbox.subjects(person.email))[-1] == "Your e-mail address is about to be changed"
    assert (await verify(client, await mailbox.token(new))).status_code == 204
    assert (await person.login()).status_code == 401
    assert (await person.login(email=new.upper())).status_code == 200
    profile = (await person.me()).json()
    assert (profile["email"], profile["pending_email"], profile["email_verified"]) == (new, None, True)
    assert (await mailbox.subjects(person.email))[-1] == "Your e-mail address was changed"


async def test_a_wish_is_replaced_by_the_next_and_taken_back(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    tokens = []
    for name in ("one", "two"):
        put = {"email": f"{name}-{person.email}", "current_password": person.password}
        assert (await client.put("/api/v1/users/me", headers=person.bearer, json=put)).status_code == 200
        tokens.append(await mailbox.token(put["email"]))
    assert is_bad(await verify(client, tokens[0]))
    back = {"email": person.email, "current_password": person.password}
    answer = await client.put("/api/v1/users/me", headers=person.bearer, json=back)
    assert answer.json()["pending_email"] is None
    assert is_bad(await verify(client, tokens[1]))


async def test_a_taken_address_is_told_to_its_owner_alone(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person, owner = await arrive(), await arrive()
    free = f"free-{person.email}"
    answers = []
    for email in (free, owner.email):
        put = {"email": email, "current_password": person.password}
        answer = await client.put("/api/v1/users/me", headers=person.bearer, json=put)
        answers.append((answer.status_code, answer.json() | {"pending_email": ""}))
    assert answers[0] == answers[1]
    assert (await mailbox.subjects(owner.email))[-1] == "Somebody wanted to use your e-mail address"
    assert await mailbox.links(owner.email) == []


async def test_an_address_taken_meanwhile_cannot_be_confirmed(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person, quicker = await arrive(), Person(client)
    put = {"email": quicker.email, "current_password": person.password}
    await client.put("/api/v1/users/me", headers=person.bearer, json=put)
    token = await mailbox.token(quicker.email)
    await quicker.arrive()
    assert is_bad(await verify(client, token))
    assert (await person.me()).json()["email"] == person.email


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


async def _counts(mailbox: Mailbox) -> dict[str, int]:
    async with mailbox.db.connection() as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("mail", "outbox", "email_token")
        }
