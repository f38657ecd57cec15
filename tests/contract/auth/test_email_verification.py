"""Addresses are proven by a mailed link: rows A4 and A31 of docs/security.md, and addresses that are taken."""

from __future__ import annotations

import json

import httpx
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from tests.contract.auth.links import NEW, PUBLIC, Arrive, audited, forgot, is_bad, reset, verify
from tests.contract.auth.mailbox import Mailbox
from tests.contract.auth.people import Person

pytestmark = pytest.mark.usefixtures("own_mails")


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
