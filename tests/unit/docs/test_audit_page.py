"""docs/audit.md names every audited event, every field of a record and every fault of the chain; and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from deployments.audit.schemas import AuditView
from domain.audit import AuditEvent
from stores.audit_chain import Fault

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "audit.md").read_text()
READERS = ("domain/audit.py", "stores/audit_reader.py")
"""Code that names events without recording them."""


def section(title: str) -> str:
    """The text below a heading, up to the next."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(title: str) -> list[str]:
    """What stands in `code` in the first column of the section's tables."""
    rows = re.findall(r"^\| (`[^|]+) \|", section(title), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_event_has_its_row() -> None:
    assert sorted(first_cells("What is recorded")) == sorted(event.value for event in AuditEvent)


def test_what_is_not_recorded_yet_is_said() -> None:
    code = "".join(
        path.read_text()
        for folder in ("stores", "actors", "deployments", "cluster")
        for path in (ROOT / folder).rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in READERS
    )
    silent = {event.value for event in AuditEvent if not re.search(rf"AuditEvent\.{event.name}\b", code)}
    said = re.findall(r"^\| `(\S+)` \| \*not recorded yet:", section("What is recorded"), re.MULTILINE)
    assert set(said) == silent


def test_every_field_of_a_record_is_explained() -> None:
    assert set(first_cells("A record")) == set(AuditView.model_fields) - {"readable"}


def test_every_fault_is_explained() -> None:
    assert set(first_cells("The chain")) == {fault.value for fault in Fault}
