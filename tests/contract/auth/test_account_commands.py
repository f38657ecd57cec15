"""The commands of sessions, second factor and API keys, against the application on a port."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
import uvicorn
from click.testing import Result
from fastapi import FastAPI
from typer.testing import CliRunner

from cluster.cli import mfa
from cluster.cli.__main__ import app as commands
from tests.contract.auth.people import Person


@pytest.fixture(scope="module")
async def url(app: FastAPI) -> AsyncIterator[str]:
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it tells by nothing else
        await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


Run = Callable[..., Any]


@pytest.fixture
def run(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as one user, with a home of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    async def invoke(*words: str, said: str | None = None) -> Result:
        arguments = [*words, "--url", url]
        return await asyncio.to_thread(lambda: CliRunner().invoke(commands, arguments, input=said))

    return invoke


@pytest.fixture
async def person(client: httpx.AsyncClient) -> Person:
    return await Person(client).arrive()


def printed(result: Result) -> str:
    """What the command wrote, without the log of the application in the same process."""
    return re.sub(r"(?m)^\d{4}-\d\d-\d\d .*\n", "", result.output)


async def test_sessions_are_listed_and_ended(run: Run, person: Person) -> None:
    said = f"{person.password}\n"
    assert (await run("login", person.email, "--password-stdin", said=said)).exit_code == 0
    listed = json.loads(printed(await run("sessions", "list", "--json")))
    assert sorted(one["current"] for one in listed) == [False, True]
    assert "last seen" in (await run("sessions", "list")).output
    assert (await run("sessions", "end")).exit_code == 2
    assert (await run("sessions", "end", "--others")).exit_code == 0
    (left,) = json.loads(printed(await run("sessions", "list", "--json")))
    assert left["current"]


async def test_a_key_is_made_listed_and_revoked(run: Run, person: Person) -> None:
    said = f"{person.password}\n"
    await run("login", person.email, "--password-stdin", said=said)
    wanted = ("api-keys", "create", "nightly", "--scope", "search.query", "--password-stdin")
    made = await run(*wanted, "--days", "30", said=said)
    assert made.exit_code == 0, made.output
    assert printed(made).startswith("ms_")
    (key,) = json.loads(printed(await run("api-keys", "list", "--json")))
    assert (key["name"], key["secret"]) == ("nightly", None)
    assert "nightly" in (await run("api-keys", "list")).output
    assert (await run("api-keys", "revoke", key["id"])).exit_code == 0
    assert json.loads(printed(await run("api-keys", "list", "--json"))) == []
    refused = await run("api-keys", "create", "n", "--scope", "profile.self", "--password-stdin", said=said)
    assert (refused.exit_code, "scopes" in refused.output) == (1, True)


async def test_a_second_factor_is_set_up_asked_for_and_done_without(
    run: Run, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"{person.password}\n"
    await run("login", person.email, "--password-stdin", said=said)
    shown: list[str] = []
    monkeypatch.setattr(mfa.typer, "echo", lambda text, **_: shown.append(str(text)))
    monkeypatch.setattr(mfa, "code", lambda given: given or pyotp.TOTP(shown[0].split()[1]).now())
    enrolled = await run("mfa", "enrol", "--password-stdin", said=said)
    assert enrolled.exit_code == 0, shown
    codes = [line.strip() for line in shown[-10:]]
    monkeypatch.undo()
    assert (await person.login()).json()["code"] == "auth.otp_required"
    assert (await person.login(otp=codes[0])).status_code == 200


async def test_the_command_asks_for_the_code_that_is_missing(run: Run, person: Person) -> None:
    path = "/api/v1/users/me/mfa/totp"
    proposed = await person.client.post(
        path, headers=person.bearer, json={"current_password": person.password}
    )
    otp = pyotp.TOTP(proposed.json()["secret"]).now()
    confirmed = await person.client.post(f"{path}/confirm", headers=person.bearer, json={"otp": otp})
    codes = confirmed.json()["recovery_codes"]
    asked = await run("login", person.email, said=f"{person.password}\n{codes[0]}\n")
    assert asked.exit_code == 0, asked.output
    assert "Code of the second factor" in asked.output
    without = await run("login", person.email, "--password-stdin", said=f"{person.password}\n")
    assert (without.exit_code, "auth.otp_required" in without.output) == (1, True)
    given = await run(
        "login", person.email, "--password-stdin", "--otp", codes[1], said=f"{person.password}\n"
    )
    assert given.exit_code == 0, given.output
    done = await run("mfa", "disable", "--otp", codes[2], "--password-stdin", said=f"{person.password}\n")
    assert done.exit_code == 0, done.output
    assert (await person.login()).status_code == 200
