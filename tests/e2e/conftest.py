"""One platform with the demonstration for the folder; a test that adds documents has its own account."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from deployments.auth.provisioning import Provisioning
from domain.ids import new_id
from tests.platform import Platform, running_platform

PASSWORD = "copper-lantern-meadow-64"


@pytest.fixture(scope="package")
def demo() -> Iterator[Platform]:
    with running_platform(AUTH__DEMO_ACCOUNTS="true") as platform:
        yield platform


@pytest.fixture
def untouched(demo: Platform) -> Platform:
    """The platform as it started: tests that ask for this come before those that change it (`tests/conftest.py`)."""
    return demo


@dataclass(frozen=True)
class Person:
    """An approved account at a terminal of its own."""

    platform: Platform
    username: str
    home: Path

    @property
    def email(self) -> str:
        return f"{self.username}@example.org"

    def medsearch(
        self, *arguments: str, stdin: str = "", timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line as this person."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "cluster.cli", *arguments],
            env={**self.platform.environment, "XDG_CONFIG_HOME": str(self.home), "COLUMNS": "160"},
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def login(self) -> None:
        done = self.medsearch("login", self.email, "--password-stdin", stdin=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def person(demo: Platform, tmp_path: Path) -> Callable[[str], Person]:
    """Makes people of a role."""

    def make(role: str = "doctor") -> Person:
        username = f"{role.replace('_', '-')}-{new_id().hex[-8:]}"
        home = tmp_path / username
        home.mkdir()
        asyncio.run(provision(demo, username, role))
        return Person(demo, username, home)

    return make


async def provision(platform: Platform, username: str, role: str, *, domain: str = "example.org") -> UUID:
    """An approved account with the password of all; its id."""
    provisioning = Provisioning.of(platform.settings, platform.secrets)
    try:
        return await provisioning.create_account(
            email=f"{username}@{domain}",
            username=username,
            password=PASSWORD,
            first_name="Test",
            last_name="Person",
            role=role,
        )
    finally:
        await provisioning.close()
