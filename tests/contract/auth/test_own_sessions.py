"""One's own sessions, their idle and absolute ends, and what survives Redis: rows A19, A27, A30."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from actors.session_keeper import SessionKeeper
from cluster.databases import OWNER
from config.account_settings import IDLE_SECONDS
from config.secrets import SecretStore
from config.settings import RedisSettings, Settings
from deployments.auth.app import build_app
from stores.account_lists import AccountLists
from stores.activity import RedisSessionActivity
from stores.postgres import Postgres, connect, database
from stores.redis import open_redis
from stores.refresh_tokens import Sessions
from tests.contract.auth.people import Person, client_of, on_accounts

PATH = "/api/v1/users/me/sessions"
Arrive = Callable[[], Awaitable[Person]]


async def listed(person: Person, **query: str) -> list[dict[str, object]]:
    answer = await person.client.get(PATH, headers=person.bearer, params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def again(person: Person) -> Person:
    """The same account, logged in once more."""
    other = Person(person.client, name=person.name)
    assert (await other.login()).status_code == 200
    return other


async def test_a_session_says_where_it_was_begun(app: FastAPI, arrive: Arrive) -> None:
    person = await arrive()
    async with client_of(app, "198.51.100.7") as http:
        http.headers["User-Agent"] = "Firefox/9\t<b>" + "x" * 500
        elsewhere = Person(http, name=person.name)
        await elsewhere.login()
    mine, other = sorted(await listed(person), key=lambda one: not one["current"])
    assert (mine["current"], other["current"]) == (True, False)
    assert (other["address"], other["method"], other["mfa"]) == ("198.51.100.7", "password", False)
    agent = str(other["user_agent"])
    assert agent.startswith("Firefox/9 <b>xx")
    assert len(agent) <= 200
    seen = datetime.fromisoformat(str(mine["last_seen_at"]))
    assert abs(datetime.now(UTC) - seen) < timedelta(seconds=15)


async def test_the_list_has_pages_and_shows_nobody_elses(arrive: Arrive) -> None:
    person = await arrive()
    await arrive()
    for _ in range(2):
        await again(person)
    first = await person.client.get(PATH, headers=person.bearer, params={"limit": "2"})
    cursor = first.json()["next_cursor"]
    rest = await person.client.get(PATH, headers=person.bearer, params={"limit": "2", "cursor": cursor})
    assert rest.json()["next_cursor"] is None
    ids = [one["id"] for one in first.json()["items"] + rest.json()["items"]]
    assert len(set(ids)) == 3
    assert ids == sorted(ids, reverse=True)
    stranger = await arrive()
    stolen = await stranger.client.get(PATH, headers=stranger.bearer, params={"cursor": cursor})
    assert stolen.status_code == 410


async def test_a27_an_ended_session_is_refused_within_a_second(arrive: Arrive) -> None:
    person = await arrive()
    other = await again(person)
    ended = next(one for one in await listed(person) if not one["current"])
    path = f"{PATH}/{ended['id']}"
    stranger = await arrive()
    refused = await stranger.client.delete(path, headers=stranger.bearer)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert (await person.client.delete(path, headers=person.bearer)).status_code == 204
    assert (await person.client.delete(path, headers=person.bearer)).status_code == 404
    assert (await person.client.delete(f"{PATH}/{uuid4()}", headers=person.bearer)).status_code == 404
    await asyncio.sleep(0.6)
    assert (await other.me()).status_code == 401
    assert (await other.refresh()).status_code == 401
    assert (await person.me()).status_code == 200


async def test_a27_all_other_sessions_end_at_once(arrive: Arrive) -> None:
    person = await arrive()
    others = [await again(person) for _ in range(2)]
    assert (await person.client.delete(PATH, headers=person.bearer)).status_code == 204
    await asyncio.sleep(0.6)
    assert [(await other.me()).status_code for other in others] == [401, 401]
    assert [one["current"] for one in await listed(person)] == [True]


@pytest.fixture(scope="module")
async def redisless(quick: Settings, secrets: SecretStore) -> AsyncIterator[FastAPI]:
    """The application where nothing answers as Redis; idle doctors are out after a minute."""
    away = RedisSettings(url="redis://127.0.0.1:1/0", timeout_seconds=0.2)
    application = build_app(quick.model_copy(update={"redis": away}), secrets)
    async with application.router.lifespan_context(application):
        yield application


async def test_a19_without_redis_a_used_refresh_token_stays_used(redisless: FastAPI) -> None:
    async with client_of(redisless) as http:
        person = await Person(http).arrive()
        old = person.tokens["refresh_token"]
        assert (await person.refresh()).status_code == 200
        assert (await person.refresh(old)).status_code == 401


@pytest.mark.parametrize("how", ["logout", "suspended", "closed"])
async def test_a27_without_redis_a_token_ends_as_well(
    redisless: FastAPI, settings: Settings, secrets: SecretStore, how: str
) -> None:
    async with client_of(redisless) as http:
        person = await Person(http).arrive()
        user = UUID((await person.me()).json()["id"])
        if how == "logout":
            await http.post("/api/v1/auth/logout", headers=person.bearer)
        else:
            await on_accounts(settings, secrets, "set_status", user, how)
        await asyncio.sleep(0.6)
        assert (await person.me()).status_code == 401
        assert (await person.refresh()).status_code == 401
        assert (await person.login()).status_code == (200 if how == "logout" else 401)


async def test_a30_a_login_does_not_take_over_a_session(arrive: Arrive, client: httpx.AsyncClient) -> None:
    """Neither a token that is sent along nor an earlier session becomes the new one."""
    person = await arrive()
    before = {one["id"] for one in await listed(person)}
    body = {"email": person.email, "password": person.password}
    answer = await client.post("/api/v1/auth/login", json=body, headers=person.bearer)
    assert answer.status_code == 200
    person.tokens = answer.json()
    assert {one["id"] for one in await listed(person) if one["current"]}.isdisjoint(before)


async def test_id4_an_idle_session_ends_at_its_next_renewal(
    arrive: Arrive, quick: Settings, settings: Settings, secrets: SecretStore
) -> None:
    """A patient's (registered, not yet approved) idle time is a day: an hour is fine, two days are not."""
    person = await arrive()
    session = UUID(str((await listed(person))[0]["id"]))
    for ago, status in ((timedelta(hours=1), 200), (timedelta(days=2), 401)):
        await unused_since(settings, secrets, session, datetime.now(UTC) - ago)
        application = build_app(quick, secrets)  # another process: it has not seen the session
        async with application.router.lifespan_context(application), client_of(application) as http:
            answer = await Person(http).refresh(person.tokens["refresh_token"])
        assert answer.status_code == status
        person.tokens = answer.json() if status == 200 else person.tokens
    assert (await ended(settings, secrets, session)) == "idle"


async def test_id4_an_idle_session_is_refused_before_its_token_ends(
    quick: Settings, secrets: SecretStore, settings: Settings
) -> None:
    auth = quick.auth.model_copy(update={"idle_seconds": {**IDLE_SECONDS, "patient": 60}})
    clock = [datetime.now(UTC).timestamp()]
    application = build_app(quick.model_copy(update={"auth": auth}), secrets)
    application.state.edge.activity._clock = lambda: clock[0]
    async with application.router.lifespan_context(application), client_of(application) as http:
        person = await Person(http).arrive()
        for _ in range(3):
            clock[0] += 50
            assert (await person.me()).status_code == 200
        clock[0] += 61
        assert (await person.me()).status_code == 401
        assert (await person.refresh()).status_code == 401
        assert (await person.login()).status_code == 200


async def test_id4_a_shorter_life_of_another_role_counts_for_sessions_that_are_open(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    session = UUID(str((await listed(person))[0]["id"]))
    user = UUID((await person.me()).json()["id"])
    await on_accounts(settings, secrets, "set_role", user, "doctor")
    renewed = await person.refresh()
    assert renewed.json()["refresh_expires_in"] <= 24 * 3600
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await connection.execute(
            "UPDATE session SET created_at = now() - interval '25 h' WHERE id = $1", session
        )
    await db.close()
    assert (await person.refresh(renewed.json()["refresh_token"])).status_code == 401
    assert (await ended(settings, secrets, session)) == "expired"


async def test_activity_is_shared_and_survives_an_emptied_redis(
    settings: Settings, secrets: SecretStore
) -> None:
    now, session = [1_000_000.0], uuid4()
    here, there = (RedisSessionActivity(open_redis(settings, secrets), clock=lambda: now[0]) for _ in "ab")
    issued = datetime.fromtimestamp(now[0], UTC)
    assert await here.use(session, issued_at=issued, idle_seconds=100)
    now[0] += 90
    assert await there.use(session, issued_at=issued, idle_seconds=100)
    now[0] += 90
    assert (await here.last_used([session]))[session].timestamp() == now[0] - 90
    assert await here.use(session, issued_at=issued, idle_seconds=100)
    redis = open_redis(settings, secrets)
    await redis.flushall()
    await redis.aclose()
    now[0] += 95
    assert await here.use(session, issued_at=issued, idle_seconds=100)
    now[0] += 101
    assert not await here.use(session, issued_at=issued, idle_seconds=100)
    assert not await there.use(session, issued_at=issued, idle_seconds=100)
    await here.close()
    await there.close()


async def unused_since(settings: Settings, secrets: SecretStore, session: UUID, at: datetime) -> None:
    """As if the session's last request and renewal had been then."""
    redis = open_redis(settings, secrets)
    await redis.delete(f"session:used:{session}")
    await redis.aclose()
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await connection.execute(
            "UPDATE refresh_token SET created_at = $2 WHERE session_id = $1", session, at
        )
    await db.close()


async def ended(settings: Settings, secrets: SecretStore, session: UUID) -> str | None:
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        reason = await connection.fetchval("SELECT revoked_reason FROM session WHERE id = $1", session)
    await db.close()
    return None if reason is None else str(reason)


async def test_sessions_and_used_keys_go_a_while_after_their_end(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    """By the services' own roles; an emergency access that nobody has closed keeps its session."""
    person = await arrive()
    await person.refresh()
    user = UUID((await person.me()).json()["id"])
    owner = await connect(database(settings, "auth", OWNER), secrets)
    own = UUID(str((await listed(person))[0]["id"]))
    ends = {
        "expired": ("now() - interval '31 days'", "NULL"),
        "revoked": ("now() + interval '1 day'", "now() - interval '31 days'"),
        "lately": ("now() - interval '29 days'", "NULL"),
        "glass": ("now() - interval '31 days'", "NULL"),
    }
    ids = {}
    for name, (expires, revoked) in ends.items():
        ids[name] = uuid4()
        await owner.execute(
            f"""
            INSERT INTO session (id, account_id, expires_at, revoked_at, address)
            VALUES ($1, $2, {expires}, {revoked}, '')
            """,
            *(ids[name], user),
        )
    token = "INSERT INTO refresh_token (token_sha256, session_id) VALUES (sha256($1::text::bytea), $2)"
    await owner.execute(token, str(ids["expired"]), ids["expired"])
    await owner.execute(
        """
        INSERT INTO break_glass (id, account_id, session_id, patient, started_at, ends_at)
        VALUES (gen_random_uuid(), $1, $2, 'LAB|1', now() - interval '31 days', now() - interval '31 days' + interval '1 h')
        """,
        *(user, ids["glass"]),
    )
    for old in (True, False):
        await owner.execute(
            """
            INSERT INTO idempotency (account, operation, key, fingerprint, created_at)
            VALUES ($1, 'test', $2, '', now() - $3::interval)
            """,
            *(user, f"old {old}", timedelta(hours=25 if old else 23)),
        )
    auth, document = (Postgres.of(settings, secrets, service) for service in ("auth", "document"))
    keeper = SessionKeeper(auth, [auth, document], kept=timedelta(days=30))
    assert await keeper.forget() >= 3
    left = await owner.fetch("SELECT id FROM session WHERE account_id = $1", user)
    assert {row["id"] for row in left} == {own, ids["lately"], ids["glass"]}
    assert await owner.fetchval("SELECT count(*) FROM refresh_token WHERE session_id = $1", own) == 2
    assert await owner.fetchval("SELECT key FROM idempotency WHERE account = $1", user) == "old False"
    assert (await person.me()).status_code == 200
    await owner.execute("DELETE FROM break_glass WHERE account_id = $1", user)
    await auth.close()
    await document.close()
    await owner.close()


async def test_an_accounts_last_session_stays_and_says_when_the_last_login_was(
    arrive: Arrive, settings: Settings, secrets: SecretStore
) -> None:
    person = await arrive()
    await again(person)
    user = UUID((await person.me()).json()["id"])
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await connection.execute(
            """
            UPDATE session SET created_at = created_at - interval '40 days', expires_at = now() - interval '32 days'
            WHERE account_id = $1
            """,
            user,
        )
        before = await AccountLists(connection).one(user)
    await SessionKeeper(db, [], kept=timedelta(days=30)).forget()
    async with db.transaction() as connection:
        assert await connection.fetchval("SELECT count(*) FROM session WHERE account_id = $1", user) == 1
        assert await AccountLists(connection).one(user) == before
    assert before is not None
    assert before.last_login_at is not None
    await db.close()


async def test_ended_sessions_are_found_by_their_end(settings: Settings, secrets: SecretStore) -> None:
    """Not by looking at every session there is: asked of the planner as of a large table."""
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        for plan in ("seqscan", "mergejoin", "hashjoin"):
            await connection.execute(f"SET LOCAL enable_{plan} = off")
        await Sessions(connection).forget(timedelta(days=3650), limit=1)
        scans = await connection.fetchval("SELECT pg_stat_get_xact_numscans('session_end'::regclass)")
    await db.close()
    assert scans > 0
