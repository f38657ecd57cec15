"""Against guessing: row A10, and a login that races with a change of the password (A15)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.app import build_app
from deployments.auth.hashing import PasswordHasher
from deployments.auth.identifiers import email_key
from deployments.auth.shared import Shared
from domain.errors import Unavailable
from stores.accounts import Accounts
from stores.postgres import Postgres
from tests.contract.auth.people import Person, client_of

Arrive = Callable[[], Awaitable[Person]]


AT_ONCE = 8
"""Fewer than a replica lets wait for their hash."""


async def side_by_side(one: Callable[[int], Awaitable[httpx.Response]], count: int) -> list[httpx.Response]:
    room = asyncio.Semaphore(AT_ONCE)

    async def in_turn(number: int) -> httpx.Response:
        async with room:
            return await one(number)

    return list(await asyncio.gather(*(in_turn(number) for number in range(count))))


async def guess(app: FastAPI, name: str, addresses: list[str], *, parallel: bool) -> list[httpx.Response]:
    """100 wrong passwords on one account, from these addresses in turn."""
    clients = [client_of(app, one) for one in addresses]

    def one(number: int) -> Awaitable[httpx.Response]:
        person = Person(clients[number % len(clients)], name=name)
        return person.login(password=f"a wrong guess {number}")

    if parallel:
        answers = await side_by_side(one, 100)
    else:
        answers = [await one(number) for number in range(100)]
    for client in clients:
        await client.aclose()
    return answers


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("addresses", [1, 50])
@pytest.mark.parametrize("known", [False, True])
async def test_a10_ten_of_a_hundred_are_looked_at(
    app: FastAPI, client: httpx.AsyncClient, arrive: Arrive, parallel: bool, addresses: int, known: bool
) -> None:
    """Also from the address that the owner uses, when nobody has guessed elsewhere."""
    person = await arrive() if known else Person(client)
    source = ["192.0.2.1"] if known and addresses == 1 else [f"198.51.100.{n}" for n in range(addresses)]
    answers = await guess(app, person.name, source, parallel=parallel)
    assert [answer.status_code for answer in answers].count(401) == 10
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 90
    waits = [int(answer.headers["retry-after"]) for answer in refused]
    assert max(waits) <= 900 + 901
    if not parallel:
        assert waits[:8] == sorted(waits[:8])
        assert waits[0] < waits[7]


@asynccontextmanager
async def occupied(hasher: PasswordHasher, waiting: int) -> AsyncIterator[None]:
    """So many wait for their hash meanwhile."""
    work = threading.Event()
    tasks = [asyncio.create_task(hasher._in_thread(work.wait)) for _ in range(waiting)]
    try:
        await asyncio.sleep(0)
        yield
    finally:
        work.set()
        await asyncio.gather(*tasks)


async def test_what_strangers_want_hashed_is_refused_at_once_while_much_waits_and_nothing_else_is(
    app: FastAPI, client: httpx.AsyncClient, arrive: Arrive
) -> None:
    """Nothing is counted: afterwards the owner gets in, and no window has been used."""
    person = await arrive()
    hasher = app.state.accounts._credentials._hasher
    async with occupied(hasher, hasher._logins):
        refused = [await person.login(password="a wrong one") for _ in range(12)]
        refused.append(await Person(client).register())
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "auth.busy")}
        assert all(answer.headers["retry-after"] for answer in refused)
        assert (await person.me()).status_code == 200
    assert (await person.login()).status_code == 200


@asynccontextmanager
async def limited(quick: Settings, secrets: SecretStore, **limits: int) -> AsyncIterator[FastAPI]:
    login = quick.auth.login.model_copy(update=limits)
    settings = quick.model_copy(update={"auth": quick.auth.model_copy(update={"login": login})})
    application = build_app(settings, secrets)
    async with application.router.lifespan_context(application):
        yield application


@asynccontextmanager
async def three_from(
    quick: Settings, secrets: SecretStore, address: str
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """An application that looks at three wrong passwords from an address, and a client there."""
    async with (
        limited(quick, secrets, address_attempts=3) as application,
        client_of(application, address) as http,
    ):
        yield application, http


@pytest.fixture(scope="module")
async def crowded(quick: Settings, secrets: SecretStore) -> AsyncIterator[FastAPI]:
    """Limits of an address and of all together that are soon reached."""
    async with limited(quick, secrets, address_attempts=12, everybody_attempts=12) as application:
        yield application


async def test_a11_the_limit_of_an_address_holds_when_all_guess_at_once(
    quick: Settings, secrets: SecretStore, arrive: Arrive
) -> None:
    """One password on 100 accounts; right logins take nothing of it."""
    owner = await arrive()
    async with (
        limited(quick, secrets, address_attempts=12) as application,
        client_of(application, "203.0.113.77") as http,
    ):
        moved = Person(http, name=owner.name)
        assert [(await moved.login()).status_code for _ in range(20)] == [200] * 20
        answers = await side_by_side(lambda _: Person(http).login(), 100)
        assert [answer.status_code for answer in answers].count(401) == 12
        assert (await Person(http).login()).status_code == 429
        assert (await moved.login()).status_code == 200


async def test_a11_the_limit_of_an_address_counts_the_network_of_an_ipv6_address(
    quick: Settings, secrets: SecretStore
) -> None:
    async with limited(quick, secrets, address_attempts=3) as application:

        async def tried(address: str) -> int:
            async with client_of(application, address) as http:
                return (await Person(http).login()).status_code

        assert [await tried(f"2001:db8:b:1:{n}::{n}") for n in range(5)] == [401] * 3 + [429] * 2
        assert await tried("2001:db8:b:2::1") == 401
        mapped = ("::ffff:203.0.113.82", "203.0.113.82", "::ffff:cb00:7152", "203.0.113.82")
        assert [await tried(address) for address in mapped] == [401] * 3 + [429]


async def test_a11_who_shares_an_address_with_a_flood_still_logs_in_and_refreshes(
    quick: Settings, secrets: SecretStore, arrive: Arrive
) -> None:
    owner = await arrive()
    few = quick.http.model_copy(update={"rate_limit_per_minute": 8})
    application = build_app(quick.model_copy(update={"http": few}), secrets)
    async with (
        application.router.lifespan_context(application),
        client_of(application, "203.0.113.81") as http,
    ):
        neighbour = Person(http, name=owner.name)
        assert [(await http.get("/api/v1/auth/jwks")).status_code for _ in range(9)][-1] == 429
        assert (await neighbour.login()).status_code == 200
        assert [(await Person(http).login()).status_code for _ in range(8)][-1] == 429
        assert (await neighbour.refresh()).status_code == 200


async def test_a_login_that_nobody_waits_for_is_not_counted_as_wrong(
    quick: Settings, secrets: SecretStore
) -> None:
    """Its client hangs up, or its time is over, before the password was looked at."""
    async with three_from(quick, secrets, "203.0.113.79") as (application, http):
        hasher = application.state.accounts._credentials._hasher
        busy = quick.auth.hash_workers
        async with occupied(hasher, busy):
            logins = [asyncio.create_task(Person(http).login()) for _ in range(3)]
            while hasher._waiting < busy + 3:  # noqa: ASYNC110 - it tells by nothing else
                await asyncio.sleep(0.01)
            for login in logins:
                login.cancel()
            await asyncio.gather(*logins, return_exceptions=True)
        answers = [(await Person(http).login()).status_code for _ in range(4)]
    assert answers == [401] * 3 + [429]


class LostTrail:
    """Nothing can be written down."""

    async def record(self, *_: object, **__: object) -> None:
        raise Unavailable("The trail is away.")


async def test_a_wrong_password_counts_though_it_cannot_be_written_down(
    quick: Settings, secrets: SecretStore
) -> None:
    async with three_from(quick, secrets, "203.0.113.80") as (application, http):
        logins = application.state.logins
        trail, logins._trail = logins._trail, LostTrail()
        assert [(await Person(http).login()).status_code for _ in range(3)] == [503] * 3
        logins._trail = trail
        assert (await Person(http).login()).status_code == 429


async def test_registrations_from_one_address_have_a_limit_before_they_are_hashed(
    quick: Settings, secrets: SecretStore
) -> None:
    async with three_from(quick, secrets, "203.0.113.78") as (application, http):
        assert [(await Person(http).register()).status_code for _ in range(3)] == [202] * 3
        hasher = application.state.accounts._credentials._hasher
        hasher.close()  # whatever would be hashed now fails
        answer = await Person(http).register()
    assert (answer.status_code, answer.json()["code"]) == (429, "auth.throttled")
    assert answer.headers["retry-after"]


async def test_a10_the_limits_of_all_keep_no_owner_out(crowded: FastAPI, arrive: Arrive) -> None:
    owner, stranger = await arrive(), await arrive()
    async with client_of(crowded, "203.0.113.200") as http:
        answers = [await Person(http).login() for _ in range(20)]
        assert answers[-1].status_code == 429
        assert (await Person(http, name=stranger.name).login()).status_code == 429
    async with client_of(crowded, "192.0.2.1") as http:
        assert (await Person(http, name=owner.name).login()).status_code == 200
        assert (await Person(http).login()).status_code == 429


async def test_a10_a_login_of_the_owner_gives_nobody_else_another_try(app: FastAPI, arrive: Arrive) -> None:
    owner = await arrive()

    async def guesses(address: str, count: int) -> list[int]:
        async with client_of(app, address) as http:
            guesser = Person(http, name=owner.name)
            return [(await guesser.login(password="a wrong one")).status_code for _ in range(count)]

    assert await guesses("203.0.113.204", 6) == [401] * 6
    assert [(await owner.login()).status_code for _ in range(3)] == [200] * 3
    assert await guesses("203.0.113.205", 6) == [401] * 4 + [429] * 2
    assert await guesses("192.0.2.1", 9) == [401] * 9
    assert (await owner.login()).status_code == 200
    assert await guesses("192.0.2.1", 9) == [401] * 9, "the owner's own window starts anew"


async def test_a10_after_a_mailed_link_or_an_unlock_the_owner_gets_in(
    app: FastAPI, arrive: Arrive, quick: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    await guess(app, person.name, ["203.0.113.203", "203.0.113.202"], parallel=True)
    async with client_of(app, "203.0.113.203") as http:
        moved = Person(http, name=person.name)
        assert (await moved.login()).status_code == 429
        shared = Shared.of(quick, secrets, app.state.edge)
        await shared.throttle.forget(email_key(person.email))
        assert (await moved.login()).status_code == 200
        await shared.close()


async def test_a10_guesses_from_outside_do_not_keep_a_session_from_changing_its_password(
    app: FastAPI, arrive: Arrive, client: httpx.AsyncClient
) -> None:
    person = await arrive()
    await guess(app, person.name, ["192.0.2.1"], parallel=True)

    async def change(current: str) -> httpx.Response:
        body = {"current_password": current, "new_password": "Another-Pass-77!"}
        return await client.post("/api/v1/auth/change-password", json=body, headers=person.bearer)

    assert [(await change("not it")).status_code for _ in range(4)] == [422] * 4
    assert (await change(person.password)).status_code == 204
    answers = [(await change("not it")).status_code for _ in range(8)]
    assert answers == [422] * 5 + [429] * 3


async def test_a10_a_window_is_reported_once(
    app: FastAPI, arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    before = len(await audited(settings, secrets, "auth.lockout"))
    await guess(app, person.name, ["203.0.113.210", "203.0.113.211"], parallel=True)
    assert len(await audited(settings, secrets, "auth.lockout")) == before + 1


async def test_a4_an_unverified_login_is_audited(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    user = (await person.me()).json()["id"]
    await unverify(settings, secrets, UUID(user))
    answer = await person.login()
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.email_not_verified")
    rows = [row for row in await audited(settings, secrets, "auth.login") if row["outcome"] == "failure"]
    assert [row["reason"] for row in rows if row["on_behalf_of"] == f"user:{user}"] == [
        "auth.email_not_verified"
    ]
    assert (await person.login(password="a wrong one")).status_code == 401


@pytest.mark.parametrize("change", ["password", "suspended"])
async def test_a15_a_login_that_races_with_a_change_does_not_survive_it(
    arrive: Arrive, settings: Settings, secrets: SecretStore, change: str
) -> None:
    """The change holds the account's row; the login has compared the old password, and waits for the row."""
    person = await arrive()
    user = UUID((await person.me()).json()["id"])
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        accounts = Accounts(connection)
        await accounts.by_id(user, lock=True)
        login = asyncio.create_task(person.login())
        await asyncio.sleep(0.3)
        assert not login.done()
        if change == "password":
            await accounts.set_password(
                user, "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"
            )
        else:
            await accounts.set_status(user, "suspended")
    answer = await login
    await db.close()
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.invalid_credentials")


async def audited(settings: Settings, secrets: SecretStore, event: str) -> list[dict[str, Any]]:
    """What waits for the trail, of this event."""
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT body FROM outbox WHERE kind = 'audit' ORDER BY id")
    await db.close()
    return [row["body"] for row in rows if row["body"]["event"] == event]


async def unverify(settings: Settings, secrets: SecretStore, account: UUID) -> None:
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await connection.execute("UPDATE account SET email_verified_at = NULL WHERE id = $1", account)
    await db.close()
