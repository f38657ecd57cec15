"""From a token to a caller, and from the caller's role to the route: the decisions of the edge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends

from config.account_settings import AuthSettings
from config.policy import AccessPolicy
from deployments.edge.application import create_app
from deployments.edge.authentication import anyone, requires
from deployments.edge.schemas import Line, StrictModel
from domain.access import Caller
from domain.ids import new_id
from tests.unit.edge.doubles import Stand

POLICY = AccessPolicy.load()
router = APIRouter()


@router.get("/open", dependencies=[Depends(anyone)])
async def opened() -> dict[str, bool]:
    return {"open": True}


class Question(StrictModel):
    text: Line


@router.post("/ask")
async def ask(
    question: Question, caller: Annotated[Caller, Depends(requires("search.query"))]
) -> dict[str, str]:
    return {"role": caller.role}


def route_of(permission: str) -> None:
    needed = Depends(requires(permission))

    async def answer(caller: Caller = needed) -> dict[str, Any]:
        return {"role": caller.role, "principals": sorted(caller.principals), "user": caller.user_id}

    router.get(f"/{permission}")(answer)


for name in POLICY.table:
    route_of(name)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path, rate_limit_per_minute=100_000)


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(stand) as client:
        yield client


def client_of(stand: Stand) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(stand.edge, title="test", routers=[router]))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.parametrize("role", POLICY.roles)
async def test_ac6_a_route_opens_to_the_roles_of_its_permission(
    stand: Stand, client: httpx.AsyncClient, role: str
) -> None:
    headers = stand.bearer(role)
    for permission in POLICY.table:
        status = (await client.get(f"/{permission}", headers=headers)).status_code
        assert status == (200 if POLICY.allows(role, permission) else 403), permission
    denials = [(entry.event, entry.outcome) for entry in stand.audit.entries]
    assert denials == [("access.denied", "denied")] * (len(POLICY.table) - len(POLICY.permissions(role)))


async def test_without_a_token_only_public_routes_answer(client: httpx.AsyncClient) -> None:
    assert (await client.get("/open")).status_code == 200
    for permission in POLICY.table:
        assert (await client.get(f"/{permission}")).status_code == 401


@pytest.mark.parametrize(
    "state",
    [
        {"active": False},
        {"token_version": 2},
        {"principals": frozenset({"role:doctor"})},
        {"principals": frozenset({f"user:{new_id()}", "role:doctor"})},
    ],
    ids=["ended", "changed", "nobody", "another"],
)
async def test_a27_what_the_directory_says_counts(
    stand: Stand, client: httpx.AsyncClient, state: dict[str, Any]
) -> None:
    answer = await client.get("/document.read", headers=stand.bearer("doctor", **state))
    assert answer.status_code == 401


async def test_a_token_of_a_newer_version_than_the_directory_knows_is_good(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    assert (await client.get("/document.read", headers=stand.bearer("doctor", version=2))).status_code == 200


async def test_a27_a_session_that_the_directory_does_not_know(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    headers = stand.bearer("doctor")
    stand.sessions.states.clear()
    assert (await client.get("/document.read", headers=headers)).status_code == 401


@pytest.mark.parametrize("also", [(), ("role:admin",)])
async def test_one_role_and_it_is_the_directorys(
    stand: Stand, client: httpx.AsyncClient, also: tuple[str, ...]
) -> None:
    headers = stand.bearer("doctor", also=also)
    assert (await client.get("/document.read", headers=headers)).status_code == (401 if also else 200)
    ((session, state),) = stand.sessions.states.items()
    users = frozenset(principal for principal in state.principals if principal.startswith("user:"))
    for principals, status in ((users, 401), (users | {"role:nurse"}, 200)):
        stand.sessions.states[session] = type(state)(True, 1, principals)
        answer = await client.get("/document.read", headers=headers)
        assert answer.status_code == status
    assert answer.json()["role"] == "nurse"


@pytest.mark.parametrize("role", POLICY.roles)
async def test_ac9_of_the_principals_those_of_the_role_count(
    stand: Stand, client: httpx.AsyncClient, role: str
) -> None:
    (permission, *_) = sorted(POLICY.permissions(role))
    also = ("department:a", "self:L|1", "treating:L|1", "breakglass:L|1")
    answer = (await client.get(f"/{permission}", headers=stand.bearer(role, also=also))).json()
    counted = {principal.partition(":")[0] for principal in answer["principals"]}
    assert counted == POLICY.kinds(role)
    assert f"user:{answer['user']}" in answer["principals"]


async def test_two_headers_or_another_scheme_are_no_token(stand: Stand, client: httpx.AsyncClient) -> None:
    (value,) = stand.bearer("doctor").values()
    token = value.removeprefix("Bearer ")
    for headers in (
        [("Authorization", value), ("Authorization", value)],
        [("Authorization", f"Basic {token}")],
        [("Authorization", token)],
    ):
        assert (await client.get("/document.read", headers=headers)).status_code == 401


async def held(client: httpx.AsyncClient, headers: dict[str, str], change: Callable[[], None]) -> int:
    """The status of a question whose end is held back until something has changed."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"text": "feve'
        change()
        yield b'r"}'

    headers = {**headers, "Content-Type": "application/json"}
    return (await client.post("/ask", headers=headers, content=body())).status_code


@pytest.fixture
def doubting(tmp_path: Path) -> Stand:
    """What is known of a session is never believed for long."""
    return Stand(tmp_path, auth=AuthSettings(session_cache_seconds=0))


@pytest.mark.parametrize(
    "change",
    [
        {"active": False},
        {"token_version": 2},
        {"restriction": "mfa"},
        {"principals": frozenset({"role:doctor"})},
    ],
    ids=["ended", "changed", "restricted", "nobody"],
)
async def test_a27_a_body_that_is_held_back_gains_no_time(doubting: Stand, change: dict[str, Any]) -> None:
    headers = doubting.bearer("doctor")
    ((session, state),) = doubting.sessions.states.items()

    def changed() -> None:
        doubting.sessions.states[session] = replace(state, **change)

    async with client_of(doubting) as client:
        assert await held(client, headers, changed) == 401


async def test_a27_rights_that_ended_while_the_body_was_held_back_open_nothing(doubting: Stand) -> None:
    headers = doubting.bearer("doctor", also=("treating:L|1",))
    ((session, state),) = doubting.sessions.states.items()

    def changed() -> None:
        doubting.sessions.states[session] = replace(state, principals=state.principals - {"treating:L|1"})

    async with client_of(doubting) as client:
        assert await held(client, headers, changed) == 401
        assert await held(client, headers, lambda: None) == 200


@pytest.mark.parametrize("change", [{"active": False}, {"principals": frozenset({"user:1", "role:admin"})}])
async def test_a27_a_key_that_ends_or_loses_a_right_while_the_body_is_held_back(
    doubting: Stand, change: dict[str, Any]
) -> None:
    headers = doubting.api_key("doctor", principals=frozenset({"user:1", "role:doctor"}))
    ((prefix, state),) = doubting.api_keys.states.items()

    def changed() -> None:
        doubting.api_keys.states[prefix] = replace(state, **change)

    async with client_of(doubting) as client:
        assert await held(client, headers, lambda: None) == 200
        assert await held(client, headers, changed) == 401


async def test_a_body_that_comes_at_once_is_no_reason_to_ask_again(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    assert await held(client, stand.bearer("doctor"), lambda: None) == 200
    assert stand.sessions.asked == 1


@pytest.mark.parametrize(("role", "second_factor", "status"), [
    ("doctor", False, 403), ("doctor", True, 200), ("nurse", False, 200),
])  # fmt: skip
async def test_id6_a_key_of_a_role_that_needs_a_second_factor_opens_nothing_without_one(
    tmp_path: Path, role: str, second_factor: bool, status: int
) -> None:
    stand = Stand(tmp_path, auth=AuthSettings(mfa_required_roles=("doctor",)))
    async with client_of(stand) as client:
        headers = stand.api_key(role, second_factor=second_factor)
        answer = await client.get("/document.read", headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == "auth.mfa_setup_required"
