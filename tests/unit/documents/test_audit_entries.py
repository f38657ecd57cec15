"""What is recorded of an act on a document."""

from __future__ import annotations

from deployments.documents.events import entry
from domain.access import Caller
from domain.audit import AuditEvent


def through(caller: Caller | None) -> str | None:
    return entry(caller, "R", AuditEvent.DOCUMENT_LIST).session_id


def test_a_record_names_the_login_or_the_key_that_was_used() -> None:
    assert through(Caller("1", "doctor", frozenset(), session_id="s1")) == "s1"
    assert (
        through(Caller("1", "doctor", frozenset(), scopes=frozenset(), api_key="0123456789ab"))
        == "key:0123456789ab"
    )
    assert through(None) is None
