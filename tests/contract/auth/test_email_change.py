"""Changes of address: the new one counts when its link was used."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.auth.links import Arrive, is_bad, verify
from tests.contract.auth.mailbox import Mailbox
from tests.contract.auth.people import Person

pytestmark = pytest.mark.usefixtures("own_mails")


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
