"""Bodies of uploads, raw or as a form: what is wrong with one is named, and nothing is left behind."""

from __future__ import annotations

import hashlib

import pytest

from tests.contract.documents.conftest import World
from tests.contract.documents.uploading import PDF, pieces


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
