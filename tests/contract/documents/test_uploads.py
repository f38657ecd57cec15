"""Uploads: one transaction for row, version, event and audit; who may upload what; names of files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.contract.documents.conftest import World
from tests.contract.documents.uploading import PDF, pieces


async def test_an_upload_is_a_row_a_version_a_blob_an_event_and_an_audit_record(world: World) -> None:
    doctor = world.account("doctor")
    answer = await doctor.upload(
        PDF, filename="Letter.pdf", patient="MRN|4711", department="cardiology", document_type="referral",
        document_date="2024-05-06", headers={"X-Request-ID": "request-0001"},
    )  # fmt: skip
    assert answer.status_code == 202
    receipt = answer.json()
    document_id = receipt["id"]
    assert receipt == {
        "id": document_id, "version": 1, "revision": 1, "status": "received", "duplicate": False,
        "status_url": f"/api/v1/documents/{document_id}/status", "bytes": len(PDF),
        "sha256": hashlib.sha256(PDF).hexdigest(),
    }  # fmt: skip
    assert answer.headers["Location"] == f"/api/v1/documents/{document_id}"
    (row,) = await world.rows("SELECT * FROM document")
    assert (row["title"], row["filename"], row["media_type"]) == ("Letter", "Letter.pdf", "application/pdf")
    principals = {f"user:{doctor.id}", "self:MRN|4711", "treating:MRN|4711", "breakglass:MRN|4711"}
    assert set(row["access"]) == set(row["readers"]) == principals
    (version,) = await world.rows("SELECT * FROM document_version")
    assert version["blob_key"] == f"originals/{document_id}/1"
    assert world.blobs(f"originals/{document_id}") == [f"originals/{document_id}/1"]
    assert (world.settings.blobs_path / "objects" / version["blob_key"]).read_bytes() == PDF
    assert await world.events("document.uploaded") == [
        {
            "document_id": document_id, "version": 1, "revision": 1, "owner_id": doctor.id, "lane": "online",
            "blob_key": f"originals/{document_id}/1", "sha256": receipt["sha256"],
            "media_type": "application/pdf",
        }
    ]  # fmt: skip
    (record,) = await world.audited("document.upload")
    assert (record["action"], record["patient"], record["actor"]) == ("C", "MRN|4711", f"user:{doctor.id}")
    assert record["document_ids"] == [document_id]
    assert record["request_id"] == "request-0001"
    assert world.blobs("incoming") == []


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize("change", [{"active": False}, {"token_version": 2}, {"principals": frozenset()}])
async def test_a27_a35_an_upload_whose_end_is_held_back_gains_no_time(
    world: World, form: bool, change: dict[str, Any]
) -> None:
    doctor = world.account()
    ((session, state),) = world.sessions.states.items()
    headers = {"Content-Type": "multipart/form-data; boundary=x"} if form else {}
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
    begin, end = (part + PDF, b"\r\n--x--\r\n") if form else (PDF, b"the end")

    async def body() -> AsyncIterator[bytes]:
        yield begin
        await asyncio.sleep(0.6)
        world.sessions.states[session] = replace(state, **change)
        yield end

    held = await doctor.client.post("/api/v1/documents", content=body(), headers=headers)
    assert held.status_code == 401
    assert await world.rows("SELECT id FROM document") == []
    assert world.blobs("incoming") == []
    world.sessions.states[session] = state
    accepted = await doctor.client.post("/api/v1/documents", content=pieces(begin, end), headers=headers)
    assert accepted.status_code == 202


async def test_events_carry_no_phi(world: World) -> None:
    await world.account().uploaded(
        PDF, filename="Miller.pdf", title="Miller", patient="MRN|4711", department="oncology"
    )
    outbox = str(await world.rows("SELECT body FROM outbox WHERE kind = 'event'"))
    assert not any(word in outbox for word in ("Miller", "4711", "oncology"))
    audit = str(await world.rows("SELECT body FROM outbox WHERE kind = 'audit'"))
    assert "Miller" not in audit


async def test_ac11_who_may_upload_what(world: World) -> None:
    own = world.account("patient", "self:MRN|1")
    assert (await own.upload(b"1", patient="MRN|1")).status_code == 202
    assert (await own.upload(b"2")).status_code == 202
    assert (await own.upload(b"3", patient="MRN|2")).status_code == 403
    assert (await world.account("researcher").upload(b"4")).status_code == 403
    assert (await world.account("admin").upload(b"5")).status_code == 403
    form = await own.client.post("/api/v1/documents", data={"patient": "MRN|2"}, files={"file": ("a", b"6")})
    assert form.status_code == 403
    placed = await own.upload(b"7", department="cardiology")
    assert (placed.status_code, placed.json()["code"]) == (403, "access.forbidden")
    assert "`department`" in placed.json()["detail"]
    denied = [record for record in await world.audited("document.upload") if record["outcome"] == "denied"]
    assert [(record["actor"], record["patient"]) for record in denied][-3:] == [
        *[(f"user:{own.id}", "MRN|2")] * 2,
        (f"user:{own.id}", None),
    ]
    assert len(await world.rows("SELECT id FROM document")) == 2
    assert world.blobs("incoming") == []


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_a_document_may_speak_of_the_first_and_the_last_day(world: World, day: str) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, document_date=day)
    assert (await doctor.get(document_id)).json()["document_date"] == day


async def test_only_records_managers_upload_for_others(world: World) -> None:
    doctor, manager = world.account("doctor"), world.account("records_manager")
    assert (await manager.upload(PDF, owner_id=doctor.id)).status_code == 202
    (row,) = await world.rows("SELECT * FROM document")
    assert (str(row["owner_id"]), str(row["uploaded_by"])) == (doctor.id, manager.id)
    assert row["access"] == [f"user:{doctor.id}"]
    (record,) = await world.audited("document.upload")
    assert (record["actor"], record["on_behalf_of"]) == (f"user:{manager.id}", f"user:{doctor.id}")
    assert (await doctor.upload(b"x", owner_id=manager.id)).status_code == 403
    assert (await doctor.upload(b"x", owner_id=doctor.id)).status_code == 202


async def test_without_a_valid_token_nothing_is_read(world: World) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    client = httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://test")
    answer = await client.post("/api/v1/documents", content=never())
    assert answer.status_code == 401
    await client.aclose()


NAMES = [
    ("../../etc/passwd", "passwd"),
    ("C:\\temp\\scan.pdf", "scan.pdf"),
    ("a\r\nSet-Cookie: x.pdf", "aSet-Cookie_ x.pdf"),
    ("\u202efdp.exe", "fdp.exe"),
    ("x" * 4096, "x" * 255),
    ("x" * 4092 + ".pdf", "x" * 251 + ".pdf"),
    ("CON.pdf", "_CON.pdf"),
    ("", "document"),
    ("...", "document"),
    ("Entlassbrief Müller.pdf", "Entlassbrief Müller.pdf"),
]


@pytest.mark.parametrize(("given", "kept"), NAMES)
async def test_file_names_are_made_harmless_everywhere(world: World, given: str, kept: str) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, filename=given)
    assert (await doctor.get(document_id)).json()["filename"] == kept
    disposition = (await doctor.get(document_id, "/content")).headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="')
    assert "\r" not in disposition
    assert "\n" not in disposition


@pytest.mark.parametrize("name", ["a%00b.pdf", "%ff.pdf"])
async def test_names_that_are_no_text_are_refused(world: World, name: str) -> None:
    answer = await world.account().client.post(f"/api/v1/documents?filename={name}", content=PDF)
    assert answer.status_code == 422
