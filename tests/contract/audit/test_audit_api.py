"""Reading the trail over HTTP: who may, what it shows, and that the reader is recorded first."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from domain.api_keys import ApiKey
from domain.audit import AuditEvent
from domain.ids import new_id
from domain.tokens import PublicKeys
from stores.audit_heads import Signed, parse_heads
from stores.ports import ApiKeyState
from tests.contract.audit.conftest import Office

PATHS = ["/audit", "/audit/readers?patient=LAB|1", "/audit/figures", "/audit/export", "/audit/heads"]


async def items(client: httpx.AsyncClient, path: str = "/audit", **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_a_record_is_shown_with_query_and_names_in_clear(office: Office) -> None:
    document = new_id()
    await office.trail.write(
        event=AuditEvent.SEARCH_PERFORMED, action="E", query="Müller\x00\ud800", names={"title": "Letter"},
        patient="LAB|1", patients=("LAB|2",), document_ids=(document,), reason="why", purpose="care",
        address="192.0.2.7", session_id="s", on_behalf_of="user:9",
    )  # fmt: skip
    (shown,) = await items(office.somebody(), event="search.performed")
    assert shown.pop("id")
    assert abs(datetime.fromisoformat(shown.pop("at")) - datetime.now(UTC)) < timedelta(minutes=1)
    assert shown == {
        "event": "search.performed", "action": "E", "outcome": "success", "actor": "user:1", "role": "doctor",
        "on_behalf_of": "user:9", "patient": "LAB|1", "patients": ["LAB|1", "LAB|2"],
        "document_ids": [str(document)], "version": None, "reason": "why", "purpose": "care",
        "address": "192.0.2.7", "request_id": "r0", "session_id": "s", "query": "Müller\x00?",
        "names": {"title": "Letter"}, "readable": True,
    }  # fmt: skip


async def test_the_filters_select(office: Office) -> None:
    document, actor = new_id(), f"user:{new_id()}"
    await office.trail.write(3)
    await office.trail.write(
        event=AuditEvent.DOCUMENT_DELETE, action="D", outcome="denied", actor=actor, patients=("LAB|1", "LAB|2"),
        document_id=document, request_id="wanted",
    )  # fmt: skip
    officer = office.somebody()
    for query in (
        {"patient": "LAB|2"}, {"document_id": str(document)}, {"actor": actor}, {"event": "document.delete"},
        {"action": "D"}, {"outcome": "denied"},
    ):  # fmt: skip
        found = [one["request_id"] for one in await items(officer, **query) if one["event"] != "audit.read"]
        assert found == ["wanted"], query
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert await items(officer, **{"from": later}) == []
    assert len(await items(officer, to=later, event="document.view")) == 3
    assert await items(officer, patient="LAB|3", event="document.view") == []


async def test_pages_are_newest_first_without_gaps(office: Office) -> None:
    await office.trail.write(7)
    officer, cursor, seen = office.somebody(), None, []
    for _ in range(3):
        query = {"event": "document.view", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await officer.get("/audit", params=query)).json()
        seen += [one["request_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == ([f"r{number}" for number in reversed(range(7))], None)
    page = (await officer.get("/audit", params={"event": "document.view", "limit": 3})).json()
    for other, query in ((officer, {}), (office.somebody(), {"event": "document.view"})):
        answer = await other.get("/audit", params=query | {"cursor": page["next_cursor"]})
        assert (answer.status_code, answer.json()["code"]) == (410, "cursor.gone")


async def test_au5_who_saw_a_patient_is_answered_with_times_and_emergencies(office: Office) -> None:
    trail, one = office.trail, (new_id(),)
    await trail.write(2, actor="user:a", patient="LAB|1", document_ids=one)
    await trail.write(
        1, actor="user:b", event=AuditEvent.SEARCH_PERFORMED, patients=("LAB|2", "LAB|1"), document_ids=one
    )
    await trail.write(
        1, actor="user:b", role="nurse", event=AuditEvent.DOCUMENT_LIST, patients=("LAB|1",), document_ids=one
    )
    await trail.write(1, actor="user:c", event=AuditEvent.BREAKGLASS_STARTED, patient="LAB|1")
    await trail.write(1, actor="user:c", patient="LAB|1", document_ids=one)
    await trail.write(1, actor="user:d", outcome="denied", patient="LAB|1", document_ids=one)
    await trail.write(1, actor="user:e", event=AuditEvent.SEARCH_PERFORMED, patient="LAB|1")
    await trail.write(1, actor="user:f", patient="LAB|2", document_ids=one)
    await trail.write(1, actor="user:g", event=AuditEvent.AUDIT_READ, patient="LAB|1")
    found = await items(office.somebody(), "/audit/readers", patient="LAB|1")
    assert [(one["actor"], one["role"], one["count"], one["break_glass"]) for one in found] == [
        ("user:c", "doctor", 1, True), ("user:b", "nurse", 1, False), ("user:b", "doctor", 1, False),
        ("user:a", "doctor", 2, False),
    ]  # fmt: skip
    assert found[-1]["first_at"] < found[-1]["last_at"]
    past = datetime.now(UTC) - timedelta(hours=1)
    assert await items(office.somebody(), "/audit/readers", patient="LAB|1", to=past.isoformat()) == []


async def test_au5_administrators_who_were_shown_a_patient_saw_the_patient(office: Office) -> None:
    await office.trail.write(1, actor="user:a", event=AuditEvent.ACCOUNT_VIEWED, patient="LAB|1")
    await office.trail.write(1, actor="user:b", event=AuditEvent.ACCOUNTS_LISTED, patients=("LAB|2", "LAB|1"))
    await office.trail.write(1, actor="user:c", event=AuditEvent.TREATMENTS_LISTED, patients=("LAB|1",))
    await office.trail.write(1, actor="user:d", event=AuditEvent.ACCOUNTS_LISTED, patients=("LAB|2",))
    found = await items(office.somebody(), "/audit/readers", patient="LAB|1")
    assert [one["actor"] for one in found] == ["user:c", "user:b", "user:a"]


async def test_a_patient_sees_the_accesses_to_the_own_record_and_nothing_of_others(office: Office) -> None:
    mine, theirs = new_id(), new_id()
    await office.trail.write(1, patient="LAB|1", document_id=mine, version=1)
    await office.trail.write(
        1, patients=("LAB|1", "LAB|2"), document_ids=(mine, theirs), reason="about LAB|2"
    )
    await office.trail.write(1, patient="LAB|2", document_id=theirs)
    patient = office.somebody("patient", "self:LAB|1")
    answer = await patient.get("/audit/own")
    shown = answer.json()["items"]
    assert [(one["actor"], one["document_id"]) for one in shown] == [("user:1", None), ("user:1", str(mine))]
    assert "LAB|2" not in answer.text
    assert str(theirs) not in answer.text
    assert {"query", "names", "address", "reason"}.isdisjoint(shown[0])


async def test_a_patient_account_reads_only_its_own_record(office: Office) -> None:
    patient = office.somebody("patient", "self:LAB|1")
    answer = await patient.get("/audit/own", params={"patient": "LAB|2"})
    assert (answer.status_code, answer.json()["code"]) == (403, "audit.not_own_record")
    assert (await office.recorded("audit.own"))[-1]["outcome"] == "denied"
    both = office.somebody("patient", "self:LAB|1", "self:LAB|2")
    assert (await both.get("/audit/own")).json()["code"] == "audit.patient_needed"
    await office.trail.write(1, patient="LAB|2")
    newest, *_ = await items(both, "/audit/own", patient="LAB|2")
    assert newest["event"] == "document.view"
    assert await items(office.somebody("patient"), "/audit/own") == []


async def test_figures_count_by_day_event_and_outcome(office: Office) -> None:
    await office.trail.write(2)
    await office.trail.write(1, outcome="denied")
    await office.trail.owner.execute(
        "UPDATE audit_record SET at = at - interval '40 days' WHERE outcome = 'denied'"
    )
    admin, now = office.somebody("admin"), datetime.now(UTC)
    today = now.date().isoformat()
    assert await items(admin, "/audit/figures") == [
        {"day": today, "event": "document.view", "outcome": "success", "count": 2}
    ]
    earlier = {"from": (now - timedelta(days=60)).isoformat(), "to": (now - timedelta(days=30)).isoformat()}
    assert [one["outcome"] for one in await items(admin, "/audit/figures", **earlier)] == ["denied"]
    long = {"from": (now - timedelta(days=400)).isoformat()}
    assert (await admin.get("/audit/figures", params=long)).json()["code"] == "audit.period_too_long"


async def test_the_export_is_csv_without_formulas(office: Office) -> None:
    await office.trail.write(450)
    await office.trail.write(
        1,
        query='=HYPERLINK("http://x")',
        reason="@SUM(1)",
        purpose=" +1",
        names={"a": "b"},
        request_id="last",
    )
    answer = await office.somebody().get("/audit/export", params={"event": "document.view"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["request_id"] for row in rows] == [*(f"r{number}" for number in range(450)), "last"]
    last = rows[-1]
    assert (last["query"], last["reason"], last["purpose"], last["names"]) == (
        "'=HYPERLINK(\"http://x\")", "'@SUM(1)", "' +1", '{"a": "b"}',
    )  # fmt: skip


async def test_heads_are_answered_with_the_keys_that_verify_them(office: Office) -> None:
    await office.trail.write(3)
    await office.trail.seal(batch=2)
    answer = await office.somebody().get("/audit/heads")
    (head,) = parse_heads(answer.text)
    keys = PublicKeys.parse(answer.content)
    assert (head.seq, head.count, head.check(keys)) == (3, 3, Signed.GOOD)
    assert (await office.trail.verify([head])).broken is None
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert await items(office.somebody(), "/audit/heads", **{"from": tomorrow}) == []


@pytest.mark.parametrize("path", PATHS)
async def test_reading_is_recorded_first_and_fails_closed(office: Office, path: str) -> None:
    officer = office.somebody()
    await office.trail.write(1, patient="LAB|1")
    assert (await officer.get(path)).status_code == 200
    event = "audit.read" if path == "/audit" else path[1:].partition("?")[0].replace("/", ".")
    (record,) = await office.recorded(event)
    assert (record["action"], record["outcome"], record["role"]) == ("R", "success", "privacy_officer")
    assert record["patient"] == ("LAB|1" if "patient" in path else None)
    office.audit.away = True
    refused = await officer.get(path)
    assert refused.status_code == 503
    assert "user:1" not in refused.text


async def test_own_accesses_fail_closed_too(office: Office) -> None:
    office.audit.away = True
    assert (await office.somebody("patient", "self:LAB|1").get("/audit/own")).status_code == 503


@pytest.mark.parametrize(
    "role", ["patient", "nurse", "doctor", "researcher", "records_manager", "department_admin", "admin"]
)
async def test_others_may_not_read_the_trail(office: Office, role: str) -> None:
    somebody = office.somebody(role, "self:LAB|1")
    for path in PATHS:
        allowed = role == "admin" and path == "/audit/figures"
        assert (await somebody.get(path)).status_code == (200 if allowed else 403), path
    assert (await somebody.get("/audit/own")).status_code == (200 if role == "patient" else 403)
    assert {one["role"] for one in await office.recorded("access.denied")} == {role}


@pytest.mark.parametrize(
    "query",
    [
        {"event": "document.guess"}, {"action": "X"}, {"actor": "user:1' OR true"}, {"patient": "1"},
        {"document_id": "x"}, {"from": "2026-01-01T00:00:00"}, {"limit": "101"}, {"colour": "red"},
    ],
)  # fmt: skip
async def test_a_wrong_condition_is_refused(office: Office, query: dict[str, str]) -> None:
    assert (await office.somebody().get("/audit", params=query)).status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        {"from": "0001-01-01T00:00:00+01:00"}, {"from": "9999-12-31T23:59:59Z"},
        {"to": "9999-12-31T23:59:59-01:00"}, {"to": "0001-01-05T00:00:00Z"},
    ],
)  # fmt: skip
async def test_times_at_the_ends_of_the_calendar_are_refused(office: Office, query: dict[str, str]) -> None:
    officer, patient = office.somebody(), office.somebody("patient", "self:LAB|1")
    asked = [(officer, path) for path in PATHS if path != "/audit/heads"] + [(patient, "/audit/own")]
    for client, path in asked:
        answer = await client.get(
            path.partition("?")[0], params={"patient": "LAB|1", **query} if "?" in path else query
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid"), path
    for day in ("0001-01-01", "9999-12-31"):
        assert (await officer.get("/audit/heads", params={"from": day})).status_code == 200


async def test_what_no_key_opens_is_shown_as_unreadable(office: Office) -> None:
    await office.trail.write(1)
    await office.trail.owner.execute("UPDATE audit_record SET key_name = 'audit-field-key-9'")
    (shown,) = await items(office.somebody(), event="document.view")
    assert (shown["query"], shown["names"], shown["readable"]) == (None, {}, False)


async def test_what_an_api_key_does_is_recorded_with_the_key(office: Office) -> None:
    key, user = ApiKey.generate(), new_id()
    principals = frozenset({f"user:{user}", "role:privacy_officer"})
    office.keys.states[key.prefix] = ApiKeyState(key.digest, True, frozenset({"audit.read"}), principals)
    async with office.somebody() as client:
        client.headers["Authorization"] = f"Bearer {key.text}"
        assert (await client.get("/audit")).status_code == 200
        assert (await client.get("/audit/figures")).status_code == 403
    for event in ("audit.read", "access.denied"):
        (row,) = await office.recorded(event)
        assert (row["actor"], row["session_id"]) == (f"user:{user}", f"key:{key.prefix}")
        assert key.secret not in str(row)
