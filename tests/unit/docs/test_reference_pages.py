"""The documentation names everything that the code has: settings, events, states, reasons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster.databases import OWNER, READERS
from config.reference import entries, markdown
from config.settings import SERVICES, PostgresSettings
from domain.events import EventType, Topic
from domain.jobs import QUARANTINES, REJECTIONS
from domain.lifecycle import Status

DOCS = Path(__file__).parents[3] / "docs"


def test_settings_page_is_what_the_settings_say() -> None:
    assert (DOCS / "settings.md").read_text() == markdown(), "run: make docs"


def test_every_setting_has_a_description() -> None:
    assert [entry.key for entry in entries() if len(entry.description) < 10] == []


@pytest.mark.parametrize("name", [*(kind.value for kind in EventType), *(topic.value for topic in Topic)])
def test_event_is_documented(name: str) -> None:
    assert f"`{name}`" in (DOCS / "events.md").read_text()


def test_what_is_not_emitted_yet_is_said() -> None:
    """By the code's text: an emitter names the type, and so do these readers of the log."""
    readers = (
        "domain/events.py",
        "stores/intake.py",
        "stores/visibility.py",
        "stores/document_projection.py",
    )
    code = "".join(
        path.read_text()
        for folder in ("domain", "stores", "actors", "deployments", "cluster")
        for path in (DOCS.parent / folder).rglob("*.py")
        if path.relative_to(DOCS.parent).as_posix() not in readers
    )
    silent = {kind.value for kind in EventType if f"EventType.{kind.name}" not in code}
    said = set(re.findall(r"\| `(\S+)` \| \*not emitted yet", (DOCS / "events.md").read_text()))
    assert said == silent


@pytest.mark.parametrize("status", list(Status))
def test_state_has_its_row(status: Status) -> None:
    assert f"\n| `{status}` |" in (DOCS / "architecture.md").read_text()


@pytest.mark.parametrize("code", [*REJECTIONS, *QUARANTINES])
def test_reason_is_documented(code: str) -> None:
    assert f"| `{code}` |" in (DOCS / "documents.md").read_text()


def test_the_connections_of_all_processes_fit_into_the_server() -> None:
    limits = PostgresSettings()
    rows = re.findall(
        r"^\| [\w ]+ \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$",
        (DOCS / "architecture.md").read_text(),
        re.MULTILINE,
    )
    budget = [tuple(map(int, row)) for row in rows]
    assert len(budget) == 11
    for number, pools, single, connections in budget:
        assert connections == number * (pools * limits.pool_max + single)
    together = sum(connections for *_, connections in budget)
    assert f"| together | | | | {together} |" in (DOCS / "architecture.md").read_text()
    assert together < limits.max_connections - 3


@pytest.mark.parametrize("account", [OWNER, *SERVICES, *READERS])
def test_database_role_is_documented(account: str) -> None:
    assert f"`medsearch_{account.replace('-', '_')}`" in (DOCS / "architecture.md").read_text()
