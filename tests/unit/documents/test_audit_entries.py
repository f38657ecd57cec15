"""What is recorded of an act on a document."""

from __future__ import annotations

from pathlib import Path

from deployments.documents.events import entry
from domain.access import Caller
from domain.audit import AuditEvent

ROOT = Path(__file__).parents[3]


def through(caller: Caller | None) -> str | None:
    return entry(caller, "R", AuditEvent.DOCUMENT_LIST).session_id


def test_a_record_names_the_login_or_the_key_that_was_used() -> None:
    assert through(Caller("1", "doctor", frozenset(), session_id="s1")) == "s1"
    assert (
        through(Caller("1", "doctor", frozenset(), scopes=frozenset(), api_key="0123456789ab"))
        == "key:0123456789ab"
    )
    assert through(None) is None


def test_no_record_leaves_the_key_out() -> None:
    """Whoever records an act of a caller says by what it came: `Caller.through`."""
    code = {path.name: path.read_text() for path in (ROOT / "deployments").rglob("*.py")}
    assert [name for name, text in code.items() if "session_id=caller.session_id" in text] == []
