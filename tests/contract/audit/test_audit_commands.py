"""`medsearch audit` as people type it: reading over HTTP, verifying and pruning on the databases themselves."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import stat
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from cluster.cli.__main__ import app as commands
from cluster.cli.tokens import FileTokens, Tokens, login_folder
from domain.audit import AuditEvent
from domain.ids import new_id
from tests.contract.audit.conftest import Office, Trail


async def invoke(*words: str, typed: str = "", code: int = 0) -> str:
    """What the command wrote, without the log of the application in the same process."""
    result = await asyncio.to_thread(CliRunner().invoke, commands, ["audit", *words], typed)
    assert result.exit_code == code, result.output
    return re.sub(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[.*\n", "", result.output)


@dataclass
class Terminal:
    """Somebody's command line, logged in at the office."""

    office: Office
    url: str

    def login(self, role: str = "privacy_officer", *principals: str) -> None:
        tokens = Tokens(self.office.token(role, *principals), "none", time.time() + 600)
        FileTokens(login_folder(), self.url).write(tokens)

    async def run(self, *words: str, code: int = 0) -> str:
        return await invoke(*words, "--url", self.url, code=code)

    async def answer(self, *words: str) -> dict[str, Any]:
        return dict(json.loads(await self.run(*words, "--json")))


@pytest.fixture
async def terminal(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Terminal]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    server = uvicorn.Server(uvicorn.Config(office.app, port=0, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it tells by nothing else
        await asyncio.sleep(0.02)
    made = Terminal(office, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    made.login()
    yield made
    server.should_exit = True
    await serving


@pytest.fixture
def here(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> Trail:
    """The trail of the platform that the commands find on this machine."""
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(trail.settings.data_dir))
    return trail


async def test_records_are_listed_by_condition_and_page_by_page(terminal: Terminal) -> None:
    trail, actor, document = terminal.office.trail, new_id(), new_id()
    await trail.write(3, actor=f"user:{actor}", patient="LAB|1", document_ids=(document,), query="fever")
    await trail.write(1, actor="operator", event=AuditEvent.KEY_ROTATED, outcome="failure", action="U")
    conditions = (
        ("--patient", "LAB|1"),
        ("--document", str(document)),
        ("--actor", str(actor)),
        ("--event", "document.view"),
        ("--action", "R", "--outcome", "success", "--from", "2020-01-01", "--to", "2100-01-01", "--actor", f"user:{actor}"),
    )  # fmt: skip
    for asked in conditions:
        first = await terminal.answer("list", *asked, "--limit", "2")
        rest = await terminal.answer("list", *asked, "--limit", "2", "--cursor", first["next_cursor"])
        found = [one["actor"] for one in (*first["items"], *rest["items"])]
        assert found == [f"user:{actor}"] * 3, asked
    (failed,) = (await terminal.answer("list", "--actor", "operator", "--outcome", "failure"))["items"]
    assert failed["event"] == "keys.rotate"
    assert (await terminal.answer("list", "--to", "2020-01-01"))["items"] == []
    printed = await terminal.run("list", "--event", "document.view", "--limit", "2")
    assert "document.view" in printed
    assert "fever" in printed
    assert "There are more" in printed


async def test_au5_who_saw_a_patient_is_printed(terminal: Terminal) -> None:
    await terminal.office.trail.write(2, actor="user:1", patient="LAB|1")
    (reader,) = (await terminal.answer("readers", "LAB|1"))["items"]
    assert (reader["actor"], reader["count"]) == ("user:1", 2)
    assert "user:1" in await terminal.run("readers", "LAB|1", "--from", "2020-01-01")
    assert "user:1" not in await terminal.run("readers", "LAB|1", "--to", "2020-01-01")


async def test_a_patient_sees_accesses_to_the_own_record_and_nothing_else(terminal: Terminal) -> None:
    await terminal.office.trail.write(1, actor="user:1", patient="LAB|1")
    await terminal.office.trail.write(1, actor="user:2", patient="LAB|2")
    terminal.login("patient", "self:LAB|1")
    printed = await terminal.run("own")
    assert "user:1" in printed
    assert "user:2" not in printed
    assert "access.forbidden" in await terminal.run("readers", "LAB|1", code=1)
    assert "audit.not_own_record" in await terminal.run("own", "--patient", "LAB|2", code=1)


async def test_an_export_is_a_whole_file_for_its_owner_alone(terminal: Terminal, tmp_path: Path) -> None:
    await terminal.office.trail.write(3, patient="LAB|1")
    file = tmp_path / "audit.csv"
    await terminal.run("export", "--patient", "LAB|1", "--output", str(file))
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [row["patient"] for row in rows] == ["LAB|1"] * 4  # the export itself is a record of the patient
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(csv.DictReader(io.StringIO(await terminal.run("export", "--event", "document.view")))) != []


async def test_an_export_that_is_refused_leaves_no_file(terminal: Terminal, tmp_path: Path) -> None:
    terminal.login("doctor")
    await terminal.run("export", "--output", str(tmp_path / "audit.csv"), code=1)
    terminal.login()
    said = await terminal.run("export", "--output", str(tmp_path / "none" / "audit.csv"), code=1)
    assert "cannot be written" in said
    assert [file.name for file in tmp_path.iterdir() if "audit" in file.name] == []


async def test_au2_heads_that_were_kept_show_a_tail_that_was_cut_off(
    terminal: Terminal, here: Trail, tmp_path: Path
) -> None:
    await here.write(6)
    await here.seal(batch=3)
    kept = tmp_path / "heads.json"
    assert "1 heads are in" in await terminal.run("heads", "--output", str(kept))
    assert here.now.date().isoformat() in await terminal.run("heads", "--from", "2020-01-01")
    assert (await terminal.answer("heads"))["items"] == json.loads(kept.read_text())["items"]
    await invoke("verify", "--heads", str(kept))
    for table in ("audit_head", "audit_link"):
        await here.owner.execute(f"DELETE FROM {table} WHERE seq > 3")
    await invoke("verify", "--unrecorded")
    said = await invoke("verify", "--heads", str(kept), code=1)
    assert "cut_tail" in said


async def test_au2_a_verification_names_the_first_broken_record_and_is_recorded(here: Trail) -> None:
    await here.write(4)
    await here.seal()
    assert "as it was sealed" in await invoke("verify")
    victim = await here.record_at(2)
    await here.owner.execute("UPDATE audit_record SET actor = 'user:2' WHERE id = $1", victim)
    said = await invoke("verify", code=1)
    assert f"Broken (changed) at link 2 of {here.now.date()}, record {victim}." in said
    found = json.loads(await invoke("verify", "--json", "--unrecorded", code=1))
    assert (found["broken"]["record_id"], found["broken"]["fault"]) == (str(victim), "changed")
    rows = await here.owner.fetch("SELECT * FROM audit_record WHERE event = 'audit.verify' ORDER BY position")
    assert [(row["outcome"], row["actor"], row["reason"]) for row in rows] == [
        ("success", "operator", "4 links"),
        ("failure", "operator", "changed at 2"),
    ]


async def test_a_file_of_other_things_is_no_file_of_heads(here: Trail, tmp_path: Path) -> None:
    (tmp_path / "heads.json").write_text('{"items": [{"seq": 1}]}')
    assert "no file of exported heads" in await invoke(
        "verify", "--heads", str(tmp_path / "heads.json"), code=1
    )


async def test_pruning_asks_removes_old_days_and_is_recorded(
    here: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSEARCH_AUDIT__RETENTION_DAYS", "400")
    today = here.now
    here.now = today - timedelta(days=401)
    await here.write(2)
    await here.seal()
    here.now = today
    await here.write(1)
    await here.seal()
    await invoke("prune", typed="n\n", code=1)
    assert await here.owner.fetchval("SELECT count(*) FROM audit_record") == 3
    assert "Removed 2 records of 1 days" in await invoke("prune", "--yes")
    assert json.loads(await invoke("prune", "--yes", "--json")) == {"days": 0, "records": 0, "until": None}
    row = await here.owner.fetchrow("SELECT * FROM audit_record WHERE event = 'audit.prune'")
    assert (row["actor"], row["action"]) == ("operator", "D")
    assert row["reason"] == f"2 records of {(today - timedelta(days=401)).date()}"
    assert "as it was sealed" in await invoke("verify")


async def test_without_the_password_the_command_says_who_may(
    here: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSEARCH_SECRETS_DIR", str(tmp_path / "none"))
    assert "as the platform's user" in await invoke("verify", code=1)
