"""The commands of the documentation's pages are run as they stand there, on a whole platform.

Whose terminal a command is typed at is the word behind `console` of its block: `operator` is the shell of the server, the
others are people. The shell has the variables that the pages use for ids. Prompts are answered as the person would. What
stands in no such block, and why: `tests/unit/docs/test_named_commands.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import pyotp
import pytest

from tests.e2e.conftest import PASSWORD, provision
from tests.e2e.tour import Step, normalised, steps
from tests.platform import Platform

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.stem: list(steps(path.read_text())) for path in sorted(DOCS.glob("*.md"))}
PEOPLE = {"doctor": ("ada", "doctor"), "officer": ("per", "privacy_officer")}
"""Who is logged in at a terminal: user name and role. `head` is made by the page that tells of them."""
VARIABLES = ("ACCOUNT", "DOCUMENT", "KEY")
SECONDS = 120
SECRET = re.compile(r"^Secret:\s+(\w+)", re.MULTILINE)
RECOVERY_CODE = re.compile(r"^\s+([a-z2-7]{4}(?:-[a-z2-7]{4}){5})\s*$", re.MULTILINE)
PROMPT = re.compile(r"(?P<password>[Pp]assword|confirmation)\b[^\n]*: $|Code of [^\n]*: $|\[y/N\]: $")


@dataclass
class Terminal:
    """A shell of somebody, whose answers to prompts are known."""

    platform: Platform
    home: Path
    recovery_codes: list[str] = field(default_factory=list)

    def run(self, command: str, **variables: str) -> tuple[int, str]:
        """Exit code, and everything that the screen showed."""
        keyboard, screen = pty.openpty()
        environment = {
            **self.platform.environment,
            **variables,
            "XDG_CONFIG_HOME": str(self.home),
            "COLUMNS": "200",
            "TERM": "dumb",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with subprocess.Popen(
            ["bash", "-c", command],
            env=environment,
            cwd=self.home.parent,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        ) as process:
            os.close(screen)
            try:
                shown = self._converse(keyboard)
            finally:
                os.close(keyboard)
                if process.poll() is None:
                    process.terminate()
        return process.returncode, shown

    def _converse(self, keyboard: int) -> str:
        """Read until the command ends; answer what it asks."""
        shown, answered, until = "", 0, time.monotonic() + SECONDS
        while True:
            assert select.select([keyboard], [], [], max(0, until - time.monotonic()))[0], f"no end:\n{shown}"
            try:
                piece = os.read(keyboard, 65536)
            except OSError:  # Linux: nobody has the other end open
                piece = b""
            if not piece:
                return shown
            shown += piece.decode(errors="replace").replace("\r\n", "\n")
            if asked := PROMPT.search(shown, answered):
                answered = len(shown)
                os.write(keyboard, f"{self._answer(asked, shown)}\n".encode())

    def _answer(self, asked: re.Match[str], shown: str) -> str:
        if asked["password"]:
            return PASSWORD
        if asked[0].startswith("[y/N]"):
            return "y"
        if secret := SECRET.search(shown):
            return pyotp.TOTP(secret[1]).now()
        return self.recovery_codes.pop()


@dataclass
class House:
    """The people of the pages, and what they have."""

    platform: Platform
    folder: Path
    terminals: dict[str, Terminal] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)

    def at(self, who: str) -> Terminal:
        if who not in self.terminals:
            home = self.folder / who
            home.mkdir()
            self.terminals[who] = Terminal(self.platform, home)
        return self.terminals[who]

    def run(self, step: Step) -> tuple[int, str]:
        assert step.who, f"the block of '{step.command}' does not say at whose terminal it is typed"
        used = {name: self.value(name) for name in VARIABLES if f"${name}" in step.command}
        code, shown = self.at(step.who).run(step.command, **used)
        self.at(step.who).recovery_codes += RECOVERY_CODE.findall(shown)
        return code, shown

    def value(self, name: str) -> str:
        """What a variable of the pages stands for: the doctor's."""
        doctor = self.at("doctor")
        match name:
            case "ACCOUNT":
                return str(self.ids["ada"])
            case "DOCUMENT":
                letter = self.folder / "letter.txt"
                letter.write_text("Clinic note. No evidence of pneumonia.\n")
                return str(self.answer(doctor, f"medsearch upload {letter} --wait --json")[0]["id"])
            case _:
                return str(self.answer(doctor, "medsearch api-keys list --json")[0]["id"])

    @staticmethod
    def answer(terminal: Terminal, command: str) -> list[dict[str, object]]:
        code, shown = terminal.run(f"{command} 2>/dev/null")
        assert code == 0, shown
        found: list[dict[str, object]] = json.loads(shown)
        return found


@pytest.fixture(scope="module")
def house(demo: Platform, tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(demo, tmp_path_factory.mktemp("house"))
    for who, (name, role) in PEOPLE.items():
        house.ids[name] = asyncio.run(provision(demo, name, role, domain="hospital.example"))
        code, shown = house.at(who).run(f"medsearch login {name}@hospital.example")
        assert code == 0, shown
    applicant = {
        "email": "noor@hospital.example",
        "username": "noor",
        "password": PASSWORD,
        "first_name": "Noor",
        "last_name": "Haas",
        "role": "doctor",
    }
    url = f"{demo.base_url}/api/v1/auth/register"
    assert httpx.post(url, json=applicant, trust_env=False, timeout=60).status_code == 202
    return house


@pytest.mark.parametrize("page", [name for name, commands in PAGES.items() if commands])
def test_commands_do_what_the_page_says(page: str, house: House) -> None:
    """Each ends well, or shows what the page shows below it."""
    for step in PAGES[page]:
        code, shown = house.run(step)
        assert code == 0 or step.output, f"$ {step.command}\n{shown}"
        assert normalised(step.output) in normalised(shown)
