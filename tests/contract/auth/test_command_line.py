"""`medsearch admin`, `share` and `break-glass` as people type them, against the real applications on a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import uvicorn
from click.testing import Result
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from typer.testing import CliRunner

from cluster.cli import client
from cluster.cli.__main__ import app as commands
from config.secrets import SecretStore
from config.settings import Settings
from deployments.documents.app import build_app as build_documents
from tests.contract.auth.people import PASSWORD, Person
from tests.contract.auth.staff import Staff


@dataclass
class Terminal:
    """One user's command line; logins are kept below `home`."""

    url: str
    home: Path
    settings: Settings
    monkeypatch: pytest.MonkeyPatch

    async def run(self, *words: str, typed: str = "", code: int = 0) -> str:
        self.monkeypatch.setenv("XDG_CONFIG_HOME", str(self.home))
        result: Result = await asyncio.to_thread(CliRunner().invoke, commands, list(words), typed)
        assert result.exit_code == code, result.output
        return result.output

    async def remote(self, *words: str, typed: str = "", code: int = 0) -> str:
        return await self.run(*words, "--url", self.url, typed=typed, code=code)

    async def answer(self, *words: str, typed: str = "") -> dict[str, Any]:
        return dict(json.loads(await self.remote(*words, "--json", typed=typed)))

    async def login(self, email: str) -> None:
        await self.remote("login", email, "--password-stdin", typed=f"{PASSWORD}\n")


@pytest.fixture
async def url(app: FastAPI, quick: Settings, secrets: SecretStore) -> AsyncIterator[str]:
    """The accounts and the documents application behind one address, as the proxy of the platform has them."""
    documents = build_documents(quick, secrets)

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        about_documents = scope["path"].startswith("/api/v1/documents")
        await (documents if about_documents else app)(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(both, lifespan="off", log_level="warning", ws="none"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        async with documents.router.lifespan_context(documents):
            task = asyncio.create_task(server.serve(sockets=[listening]))
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def terminal(
    url: str, tmp_path: Path, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    """The applications' log is kept out of what the commands print."""
    monkeypatch.setattr(client, "settings", lambda: quick)
    with structlog.testing.capture_logs():
        yield Terminal(url, tmp_path, quick, monkeypatch)


async def first_administrator(terminal: Terminal) -> Person:
    person = Person(httpx.AsyncClient())
    await person.client.aclose()
    words = ["admin", "create", person.email, "--username", person.name, "--password-stdin"]
    said = await terminal.run(*words, "--first-name", "Ada", "--last-name", "Marsh", typed=f"{PASSWORD}\n")
    assert said.startswith(f"Made admin '{person.name}'")
    await terminal.login(person.email)
    return person


async def test_the_first_administrator_administers(terminal: Terminal, staff: Staff) -> None:
    admin = await first_administrator(terminal)
    (row,) = await staff.fetch("SELECT id, role FROM account WHERE username = $1", admin.name)
    (made,) = await staff.records("account.create", row["id"])
    assert (row["role"], made["actor"], made["outcome"]) == ("admin", "operator", "success")
    person = await staff.applicant()
    why = ("--reason", "as agreed")
    assert person.name in await terminal.remote("admin", "list", "--q", person.name, "--requested", "any")
    assert (await terminal.answer("admin", "approve", person.name, "doctor"))["role"] == "doctor"
    refused = await terminal.remote("admin", "approve", person.email, "doctor", code=1)
    assert "account.request_changed" in refused
    assert (await terminal.answer("admin", "suspend", person.email, *why))["status"] == "suspended"
    assert (await terminal.answer("admin", "activate", person.name, *why))["status"] == "active"
    assert (await terminal.answer("admin", "unlock", str(staff.ids[person.name]), *why))["status"] == "active"
    assert (await terminal.answer("admin", "departments", person.name, "icu"))["departments"] == ["icu"]
    assert (await terminal.answer("admin", "departments", person.name))["departments"] == []
    assert (await terminal.answer("admin", "own-record", person.name, "LAB|1"))["own_record"] == "LAB|1"
    assert (await terminal.answer("admin", "own-record", person.name, "--remove"))["own_record"] is None
    assert (await terminal.answer("admin", "role", person.name, "nurse", *why))["role"] == "nurse"
    begun = await terminal.answer("admin", "treatment", "start", person.name, "LAB|2", "--until", _tomorrow())
    listed = await terminal.answer("admin", "treatment", "list", "--account", person.name, "--current")
    assert listed["items"] == [begun]
    ended = await terminal.answer("admin", "treatment", "end", begun["id"], *why)
    assert ended["ends_at"] < begun["ends_at"]
    assert "nurse" in await terminal.remote("admin", "show", person.name)
    other = await staff.applicant(role="nurse")
    assert (await terminal.answer("admin", "refuse", other.name, *why))["requested_role"] is None


@pytest.mark.parametrize(
    ("changes", "typed", "code", "said"),
    [
        ({}, "short\n", 1, "at least 12"),
        ({}, "Lovelace-Lovelace-1\n", 1, "your name"),
        ({"--role": "service"}, f"{PASSWORD}\n", 2, "there are: patient"),
        ({"--first-name": None}, f"{PASSWORD}\n", 2, "--first-name"),
    ],
)
async def test_an_account_is_made_by_the_rules(
    terminal: Terminal, changes: dict[str, str | None], typed: str, code: int, said: str
) -> None:
    options = {"--username": "head", "--first-name": "Ada", "--last-name": "Lovelace"} | changes
    words = [word for name, value in options.items() if value for word in (name, value)]
    output = await terminal.run(
        "admin", "create", "head@example.com", *words, "--password-stdin", typed=typed, code=code
    )
    assert said in output
    assert typed.strip() not in output


async def test_an_account_that_is_there_is_left_alone(terminal: Terminal, staff: Staff) -> None:
    doctor = await staff.person("doctor")
    options = ["--first-name", "Ada", "--last-name", "Marsh", "--password-stdin"]
    for email, username in ((f"x-{doctor.email}", doctor.name), (doctor.email, f"x{doctor.name}")):
        output = await terminal.run(
            "admin", "create", email, "--username", username, *options, typed="another long secret\n", code=1
        )
        assert doctor.name in output
    assert (await doctor.login()).status_code == 200
    assert (await doctor.me()).json()["role"] == "doctor"


async def test_a_document_is_shared_and_glass_broken(terminal: Terminal, staff: Staff, url: str) -> None:
    doctor = await staff.person("doctor")
    await terminal.login(doctor.email)
    async with httpx.AsyncClient(base_url=url, headers=doctor.bearer) as http:
        document = (await http.post("/api/v1/documents", content=b"%PDF-1.4 x")).json()["id"]
    granted = await terminal.answer("share", "grant", document, "department:icu")
    assert [item["principal"] for item in granted["items"]][-1] == "department:icu"
    assert "department:icu" in await terminal.remote("share", "list", document)
    restricted = await terminal.answer("share", "sensitivity", document, "restricted", "--reason", "VIP")
    assert restricted["sensitivity"] == "restricted"
    revoked = await terminal.answer("share", "revoke", document, "department:icu")
    assert len(revoked["items"]) == 1
    refused = await terminal.remote("share", "grant", document, "role:researcher", code=1)
    assert "request.invalid" in refused

    why = ("--reason", "Unconscious in the emergency room", "--minutes", "5", "--password-stdin")
    opened = await terminal.answer("break-glass", "start", "LAB|7", *why, typed=f"{PASSWORD}\n")
    assert opened["patient"] == "LAB|7"
    second = await terminal.remote("break-glass", "start", "LAB|8", *why, typed=f"{PASSWORD}\n", code=1)
    assert "breakglass.open" in second
    assert await terminal.remote("break-glass", "stop") == "Ended.\n"
    assert await terminal.remote("break-glass", "stop") == "Nothing was open.\n"


def _tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%d")
