"""Uploads: one transaction for row, version, event and audit; nothing twice, nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.contract.documents.conftest import Account, World

PDF = b"%PDF-1.7\nsome bytes"


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


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


async def test_a_form_says_the_same_as_a_raw_body(world: World) -> None:
    doctor = world.account()
    fields = {"title": "A title", "patient": "MRN|1", "document_type": "radiology"}
    answer = await doctor.client.post(
        "/api/v1/documents", data=fields, files={"file": ("../x/scan.pdf", PDF)}
    )
    assert answer.status_code == 202, answer.text
    (row,) = await world.rows("SELECT * FROM document")
    assert (row["filename"], row["title"], row["patient"]) == ("scan.pdf", "A title", "MRN|1")
    assert row["sha256"] == hashlib.sha256(PDF).hexdigest()
    again = await doctor.upload(PDF, filename="other.pdf", patient="MRN|1")
    assert (again.status_code, again.json()["duplicate"]) == (200, True)


async def test_the_form_may_give_its_fields_after_the_file(world: World) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nLate\r\n--b--\r\n'
    )
    answer = await world.account().client.post(
        "/api/v1/documents", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 202
    assert [row["title"] for row in await world.rows("SELECT title FROM document")] == ["Late"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"colour": "red"}, "colour"),
        ({"patient": "4711"}, "patient"),
        ({"patient": "MRN|47|11"}, "patient"),
        ({"document_type": "novel"}, "document_type"),
        ({"document_date": "yesterday"}, "document_date"),
        ({"sensitivity": "secret"}, "sensitivity"),
        ({"title": "x" * 501}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"owner_id": "me"}, "owner_id"),
    ],
)
@pytest.mark.parametrize("form", [False, True])
async def test_a_wrong_field_is_named_and_leaves_nothing(
    world: World, fields: dict[str, str], wrong: str, form: bool
) -> None:
    client = world.account("records_manager").client
    if form:
        answer = await client.post("/api/v1/documents", data=fields, files={"file": ("a.pdf", PDF)})
    else:
        answer = await client.post("/api/v1/documents", params=fields, content=PDF)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [wrong]
    assert await world.rows("SELECT id FROM document") == []
    assert world.blobs("incoming") == []


async def test_a_field_in_address_and_form_is_refused(world: World) -> None:
    answer = await world.account().client.post(
        "/api/v1/documents", params={"title": "a"}, data={"title": "b"}, files={"file": ("a.pdf", PDF)}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "title"


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (FORM, b"", 422),
        (FORM, b"no form at all", 422),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nends early', 422),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nx\r\n--b--\r\n', 422),
        (FORM, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", 422),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n\xff\r\n--b--\r\n', 422),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="p"\r\n\r\nx\r\n' * 10_001 + b"--b--\r\n", 422),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n' * 2 + b"--b--\r\n", 422),
        ({"Content-Type": "multipart/form-data"}, b"--b--", 422),
        ({"Content-Type": "multipart/mixed; boundary=b"}, b"--b--", 415),
        ({"Content-Encoding": "gzip"}, b"\x1f\x8b", 415),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_refused(
    world: World, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await world.account().client.post("/api/v1/documents", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert await world.rows("SELECT id FROM document") == []
    assert world.blobs("incoming") == []


async def test_a_body_of_unknown_length_is_411_and_one_in_chunks_is_taken(world: World) -> None:
    client = world.account().client
    request = client.build_request("POST", "/api/v1/documents", content=PDF)
    del request.headers["Content-Length"]
    answer = await client.send(request)
    assert (answer.status_code, answer.json()["code"]) == (411, "request.length_required")
    chunked = await client.post("/api/v1/documents", content=pieces(PDF[:5], PDF[5:]))
    assert chunked.status_code == 202
    assert chunked.json()["sha256"] == hashlib.sha256(PDF).hexdigest()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413_and_leaves_nothing(small_world: World, chunked: bool) -> None:
    client = small_world.account().client
    parts = [b"x" * 1024] * 65
    answer = await client.post("/api/v1/documents", content=pieces(*parts) if chunked else b"".join(parts))
    assert answer.status_code == 413
    assert await small_world.rows("SELECT id FROM document") == []
    assert small_world.blobs("incoming") == []


async def test_an_empty_file_is_accepted_and_left_to_processing(world: World) -> None:
    answer = await world.account().upload(b"")
    assert answer.status_code == 202
    assert answer.json()["bytes"] == 0


async def test_fifty_uploads_of_the_same_bytes_at_once_are_one_document_and_one_event(world: World) -> None:
    doctor = world.account()
    answers = await asyncio.gather(*(doctor.upload(PDF, patient="MRN|1") for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await world.rows("SELECT id FROM document")) == 1
    assert len(await world.events("document.uploaded")) == 1
    assert world.blobs("incoming") == []


async def test_fifty_uses_of_one_key_at_once_have_one_answer(world: World) -> None:
    doctor = world.account()
    key = {"Idempotency-Key": "key-1"}
    answers = await asyncio.gather(*(doctor.upload(PDF, headers=key) for _ in range(50)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
    assert len(await world.events("document.uploaded")) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"patient": "MRN|1"}, {"patient": "MRN|2"}),
        ({}, {"patient": "MRN|1"}),
        ({}, {"department": "cardiology"}),
        ({}, {"sensitivity": "restricted"}),
    ],
)
async def test_the_same_bytes_for_other_readers_are_another_document(
    world: World, first: dict[str, str], second: dict[str, str]
) -> None:
    doctor = world.account()
    one, other = await doctor.uploaded(PDF, **first), await doctor.uploaded(PDF, **second)
    assert one != other
    assert [(await doctor.upload(PDF, **fields)).json()["id"] for fields in (first, second)] == [one, other]


async def test_the_same_bytes_of_another_account_are_another_document(world: World) -> None:
    assert await world.account().uploaded(PDF) != await world.account().uploaded(PDF)


async def test_the_bytes_of_a_deleted_document_are_new_again(world: World) -> None:
    doctor = world.account()
    first = await doctor.uploaded(PDF)
    assert (await doctor.client.delete(f"/api/v1/documents/{first}")).status_code == 202
    assert await doctor.uploaded(PDF) != first


async def test_a_key_for_another_request_is_422_and_leaves_nothing(world: World) -> None:
    doctor = world.account()
    key = {"Idempotency-Key": "key-1"}
    assert (await doctor.upload(PDF, headers=key)).status_code == 202
    for content, fields in ((b"other", {}), (PDF, {"title": "other"})):
        answer = await doctor.upload(content, headers=key, **fields)
        assert (answer.status_code, answer.json()["code"]) == (422, "request.idempotency_mismatch")
    assert len(await world.rows("SELECT id FROM document")) == 1
    assert world.blobs("incoming") == []
    assert (await world.account().upload(b"other", headers=key)).status_code == 202


async def test_a_key_counts_for_a_day(world: World) -> None:
    doctor = world.account()
    key = {"Idempotency-Key": "key-1"}
    await doctor.upload(PDF, headers=key)
    await world.owner.execute("UPDATE idempotency SET created_at = now() - interval '25 hours'")
    assert (await doctor.upload(b"other", headers=key)).status_code == 202
    assert (await doctor.upload(PDF, headers=key)).status_code == 422


@pytest.mark.parametrize("key", ["", "with blank", "x" * 256, "ä"])
async def test_a_malformed_key_is_422(world: World, key: str) -> None:
    answer = await world.account().client.post(
        "/api/v1/documents", content=PDF, headers=[("Idempotency-Key", key.encode())]
    )
    assert answer.status_code == 422


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


async def version(account: Account, document_id: str, content: bytes, **fields: str) -> httpx.Response:
    return await account.client.post(
        f"/api/v1/documents/{document_id}/versions", params=fields, content=content
    )


async def test_a_new_version_starts_again_and_keeps_what_was_not_said(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, filename="a.pdf", title="First", patient="MRN|1")
    await world.owner.execute("UPDATE document SET status = 'indexed', progress = 1, pages = 3, sequence = 9")
    answer = await version(doctor, document_id, b"%PDF-1.7 second", title="Second")
    assert answer.status_code == 202
    assert {name: answer.json()[name] for name in ("id", "version", "revision", "status")} == {
        "id": document_id, "version": 2, "revision": 2, "status": "received",
    }  # fmt: skip
    view = (await doctor.get(document_id)).json()
    assert (view["title"], view["filename"], view["patient"]) == ("Second", "a.pdf", "MRN|1")
    assert (view["progress"], view["pages"], view["version"]) == (0, None, 2)
    assert (await doctor.get(document_id, "/content")).content == b"%PDF-1.7 second"
    assert world.blobs(f"originals/{document_id}") == [f"originals/{document_id}/{n}" for n in (1, 2)]
    assert [(e["version"], e["revision"]) for e in await world.events("document.uploaded")] == [
        (1, 1),
        (2, 2),
    ]


async def test_the_same_bytes_are_no_new_version(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    answer = await version(doctor, document_id, PDF)
    assert (answer.status_code, answer.json()["version"], answer.json()["duplicate"]) == (200, 1, True)
    assert world.blobs("incoming") == []


async def test_versions_in_parallel_get_a_number_each_with_their_own_bytes(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    contents = [f"content {number}".encode() for number in range(8)]
    answers = await asyncio.gather(*(version(doctor, document_id, content) for content in contents))
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 10))
    for answer, content in zip(answers, contents, strict=True):
        key = f"originals/{document_id}/{answer.json()['version']}"
        assert (world.settings.blobs_path / "objects" / key).read_bytes() == content


async def test_a_blob_that_a_crash_left_under_the_next_number_is_not_taken_for_the_version(
    world: World,
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    (world.settings.blobs_path / "objects" / "originals" / document_id / "2").write_bytes(b"left by a crash")
    assert (await version(doctor, document_id, b"the second")).status_code == 202
    assert (await doctor.get(document_id, "/content")).content == b"the second"


async def test_a_version_with_the_bytes_of_another_document_is_a_conflict(world: World) -> None:
    doctor = world.account()
    await doctor.uploaded(PDF)
    other = await doctor.uploaded(b"other")
    answer = await version(doctor, other, PDF)
    assert (answer.status_code, answer.json()["code"]) == (409, "document.duplicate")
    assert (await doctor.get(other, "/content")).content == b"other"
    assert world.blobs("incoming") == []


async def test_a_repeated_key_adds_no_second_version(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    key = {"Idempotency-Key": "v"}
    answers = [
        await doctor.client.post(f"/api/v1/documents/{document_id}/versions", content=b"second", headers=key)
        for _ in range(2)
    ]
    assert answers[0].text == answers[1].text
    assert (await doctor.get(document_id)).json()["version"] == 2


async def test_who_may_add_a_version(world: World) -> None:
    doctor = world.account()
    own = await doctor.uploaded(PDF, department="cardiology")
    patients = await doctor.uploaded(b"second", patient="MRN|1")
    colleague = world.account("doctor", "department:cardiology", "treating:MRN|1")
    assert (await version(colleague, own, b"a")).status_code == 403
    assert (await version(colleague, patients, b"b")).status_code == 202
    assert (await version(world.account("doctor"), own, b"c")).status_code == 404
    assert (await version(world.account("researcher"), own, b"d")).status_code == 403
    manager = world.account("records_manager")
    assert (await version(manager, own, b"e")).status_code == 202
    assert (await manager.get(own)).status_code == 404
