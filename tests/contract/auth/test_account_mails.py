"""Who gets which mails, and how many: rows A7, A10, A11, A14, A15 and A17 of docs/security.md."""

from __future__ import annotations

import httpx
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.app import build_app
from tests.contract.auth.links import NEW, PUBLIC, Arrive, forgot, reset
from tests.contract.auth.mailbox import Mailbox
from tests.contract.auth.people import Person, client_of, on_accounts

pytestmark = pytest.mark.usefixtures("own_mails")


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


async def test_a15_the_owner_is_told_of_a_changed_password(
    client: httpx.AsyncClient, arrive: Arrive, mailbox: Mailbox
) -> None:
    person = await arrive()
    change = {"current_password": person.password, "new_password": NEW}
    answer = await client.post("/api/v1/auth/change-password", headers=person.bearer, json=change)
    assert answer.status_code == 204
    assert (await mailbox.subjects(person.email))[-1] == "Your password was changed"


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


async def _counts(mailbox: Mailbox) -> dict[str, int]:
    async with mailbox.db.connection() as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("mail", "outbox", "email_token")
        }
