"""What is on its way when the owner or an administrator changes the account does not survive the change: row A15."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import httpx
import pyotp
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from stores.accounts import Accounts
from stores.postgres import Postgres
from stores.refresh_tokens import Sessions
from tests.contract.auth.people import Person
from tests.contract.auth.test_second_factor import enrolled, next_code
from tests.waiting import until

ME = "/api/v1/users/me"
ANOTHER_HASH = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"

Arrive = Callable[[], Awaitable[Person]]
Act = Callable[[Person], Awaitable[httpx.Response]]
Change = Callable[[asyncpg.Connection, UUID], Awaitable[object]]


async def send(person: Person, method: str, path: str, **body: object) -> httpx.Response:
    return await person.client.request(method, path, headers=person.bearer, json=body)


async def password(person: Person) -> httpx.Response:
    path = "/api/v1/auth/change-password"
    body = {"current_password": person.password, "new_password": "what an intruder knows"}
    return await send(person, "POST", path, **body)


async def wanted_address(person: Person) -> httpx.Response:
    body = {"email": f"intruder-{person.email}", "current_password": person.password}
    return await send(person, "PUT", ME, **body)


async def profile(person: Person) -> httpx.Response:
    return await send(person, "PUT", ME, first_name="Mallory")


async def api_key(person: Person) -> httpx.Response:
    ends = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    body = {"scopes": ["document.read"], "expires_at": ends, "current_password": person.password}
    return await send(person, "POST", f"{ME}/api-keys", name="nightly", **body)


async def proposal(person: Person) -> httpx.Response:
    return await send(person, "POST", f"{ME}/mfa/totp", current_password=person.password)


async def confirmation(person: Person) -> Act:
    totp = pyotp.TOTP((await proposal(person)).json()["secret"])
    return lambda person: send(person, "POST", f"{ME}/mfa/totp/confirm", otp=totp.now())


async def with_code(person: Person, path: str) -> Act:
    totp, _ = await enrolled(person)
    body = {"current_password": person.password, "otp": next_code(totp)}
    return lambda person: send(person, "POST", f"{ME}/mfa/{path}", **body)


async def prepared(person: Person, act: str) -> Act:
    """The request, after what it needs to succeed."""
    match act:
        case "confirmation":
            return await confirmation(person)
        case "disable" | "recovery-codes":
            return await with_code(person, act)
    acts: list[Act] = [password, wanted_address, profile, api_key, proposal]
    return next(one for one in acts if one.__name__ == act)


async def reset(connection: asyncpg.Connection, user: UUID) -> None:
    await Accounts(connection).set_password(user, ANOTHER_HASH)


async def suspended(connection: asyncpg.Connection, user: UUID) -> None:
    await Accounts(connection).set_status(user, "suspended")


async def promoted(connection: asyncpg.Connection, user: UUID) -> None:
    await Accounts(connection).set_role(user, "doctor")


async def ended(connection: asyncpg.Connection, user: UUID) -> None:
    await Sessions(connection).end_others(user, None, "password_reset")


async def somebody_waits(connection: asyncpg.Connection) -> None:
    """Until another transaction waits for this one."""
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
    await until(lambda: connection.fetchval(waits), 10)


async def race(settings: Settings, secrets: SecretStore, person: Person, act: Act, change: Change) -> int:
    """The status of a request that was let in before the change, and wants the account's row while it is made."""
    user = UUID((await person.me()).json()["id"])
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await Accounts(connection).by_id(user, lock=True)
        request = asyncio.create_task(act(person))
        await somebody_waits(connection)
        await change(connection, user)
    answer = await request
    await db.close()
    return answer.status_code


CONFIRMED = ("password", "wanted_address", "api_key", "proposal", "disable", "recovery-codes")
"""Acts that ask for the password."""


@pytest.mark.parametrize("act", CONFIRMED)
async def test_a15_what_was_confirmed_with_the_former_password_is_not_done(
    arrive: Arrive, settings: Settings, secrets: SecretStore, act: str
) -> None:
    person = await arrive()
    assert await race(settings, secrets, person, await prepared(person, act), reset) == 401


@pytest.mark.parametrize("change", [suspended, promoted, ended])
@pytest.mark.parametrize("act", [*CONFIRMED, "profile", "confirmation"])
async def test_a15_a27_what_is_on_its_way_ends_with_account_role_and_session(
    arrive: Arrive, settings: Settings, secrets: SecretStore, act: str, change: Change
) -> None:
    person = await arrive()
    assert await race(settings, secrets, person, await prepared(person, act), change) == 401


@pytest.mark.parametrize("act", [*CONFIRMED, "profile", "confirmation"])
async def test_it_is_done_when_nothing_was_changed(
    arrive: Arrive, settings: Settings, secrets: SecretStore, act: str
) -> None:
    async def nothing(*_: object) -> None:
        """The row is held, and let go."""

    person = await arrive()
    assert await race(settings, secrets, person, await prepared(person, act), nothing) < 300
