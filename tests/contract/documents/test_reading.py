"""Reading: who may, what is recorded before the answer leaves, and what is answered when it cannot be."""

from __future__ import annotations

import pytest

from domain.ids import new_id
from tests.contract.documents.conftest import World
from tests.contract.documents.processed import Processing
from tests.contract.documents.uploading import PDF, version

PATHS = ["", "/content", "/pages/1/text", "/entities"]
EVENTS = {
    "": "document.view",
    "/content": "document.download",
    "/pages/1/text": "document.text",
    "/entities": "document.entities",
}


async def test_a_document_is_described_as_documented(world: World, processing: Processing) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(
        PDF, filename="a.pdf", document_type="radiology", document_date="2024-05-06"
    )
    await processing.index(document_id)
    view = (await doctor.get(document_id)).json()
    assert view.pop("created_at").endswith("Z")
    assert view.pop("updated_at").endswith("Z")
    assert view.pop("sha256")
    assert view == {
        "id": document_id, "version": 1, "revision": 1, "filename": "a.pdf", "media_type": "application/pdf",
        "bytes": len(PDF), "title": "a", "document_type": "radiology", "document_date": "2024-05-06",
        "patient": None, "owner_id": doctor.id, "department": None, "sensitivity": "normal",
        "access": [f"user:{doctor.id}"], "status": "indexed", "stage": None, "progress": 1.0,
        "eta_seconds": None, "failures": 0, "reason": None, "pages": 3, "unreadable_pages": [2],
        "warnings": ["page_unreadable"],
    }  # fmt: skip


async def test_the_original_comes_as_an_attachment_that_no_browser_guesses_at(world: World) -> None:
    doctor = world.account()
    page = b"<html><script>alert(1)</script>" + b"x" * 700_000
    document_id = await doctor.uploaded(page, filename="Müller.html")
    answer = await doctor.get(document_id, "/content")
    assert answer.content == page
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"M_ller.html\"; filename*=UTF-8''M%C3%BCller.html"
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "html" not in answer.headers["Content-Type"]
    assert answer.headers["Content-Length"] == str(len(page))


@pytest.mark.parametrize("ranges", ["bytes=0-1", "bytes=" + ",".join(f"{n}-{n}" for n in range(5000))])
async def test_a_range_is_answered_with_the_whole(world: World, ranges: str) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    answer = await doctor.client.get(f"/api/v1/documents/{document_id}/content", headers={"Range": ranges})
    assert (answer.status_code, answer.content) == (200, PDF)


async def test_the_text_of_a_page_and_what_was_found_in_it(world: World, processing: Processing) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.index(document_id)
    assert (await doctor.get(document_id, "/pages/1/text")).json() == {
        "document_id": document_id, "version": 1, "page": 1, "pages": 3, "readable": True,
        "text": "No evidence of pneumonia.",
    }  # fmt: skip
    assert (await doctor.get(document_id, "/pages/2/text")).json()["readable"] is False
    items = (await doctor.get(document_id, "/entities")).json()["items"]
    assert items[0] == {
        "page": 1, "start": 15, "end": 24, "text": "pneumonia", "type": "problem", "concept": "ICD10CM:J18.9",
        "label": "Pneumonia, unspecified organism", "codes": ["ICD10CM:J18.9", "MESH:D011014"],
        "assertion": "negated", "polarity": "negated", "certainty": "certain", "temporality": "current",
        "experiencer": "patient", "cue": {"start": 0, "end": 14, "text": "No evidence of"},
        "section": "impression",
    }  # fmt: skip
    assert [item["text"] for item in items] == ["pneumonia", "Fever"]
    (fever,) = (await doctor.get(document_id, "/entities", page=3)).json()["items"]
    assert (fever["text"], fever["concept"], fever["cue"]) == ("Fever", None, None)


async def test_entities_are_paged(world: World, processing: Processing) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.index(document_id)
    first = (await doctor.get(document_id, "/entities", limit=1)).json()
    second = (await doctor.get(document_id, "/entities", limit=1, cursor=first["next_cursor"])).json()
    assert [page["items"][0]["text"] for page in (first, second)] == ["pneumonia", "Fever"]
    assert second["next_cursor"] is None
    foreign = await doctor.get(document_id, "/entities", page=1, cursor=first["next_cursor"])
    assert foreign.status_code == 410


async def test_a_cursor_of_entities_ends_with_the_version(world: World, processing: Processing) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.index(document_id)
    first = (await doctor.get(document_id, "/entities", limit=1)).json()
    await version(doctor, document_id, b"another text")
    await processing.index(document_id, version=2)
    assert (await doctor.get(document_id, "/entities", limit=1)).status_code == 200
    later = await doctor.get(document_id, "/entities", limit=1, cursor=first["next_cursor"])
    assert (later.status_code, later.json()["code"]) == (410, "cursor.gone")


@pytest.mark.parametrize("path", ["/pages/1/text", "/entities"])
async def test_what_was_not_read_yet_is_a_conflict(world: World, path: str) -> None:
    doctor = world.account()
    answer = await doctor.get(await doctor.uploaded(PDF), path)
    assert (answer.status_code, answer.json()["code"]) == (409, "document.not_ready")


@pytest.mark.parametrize("path", ["/pages/1/text", "/entities"])
@pytest.mark.parametrize("lost", [True, False])
async def test_a_result_that_cannot_be_read_is_a_conflict_and_says_nothing_of_blobs(
    world: World, processing: Processing, path: str, lost: bool
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.index(document_id)
    for stage in ("extract", "annotate"):
        key = f"artefacts/{document_id}/1/{stage}.1"
        await processing.blobs.delete(key)
        if not lost:
            await processing.blobs.put(key, b"damaged")
    answer = await doctor.get(document_id, path)
    assert (answer.status_code, answer.json()["code"]) == (409, "document.not_ready")
    assert "artefacts" not in answer.text


async def test_a_page_that_is_not_there_is_404(world: World, processing: Processing) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.index(document_id)
    assert (await doctor.get(document_id, "/pages/4/text")).status_code == 404
    beyond = await doctor.get(document_id, "/entities", page=4)
    assert (beyond.status_code, beyond.json()["code"]) == (404, "document.page_not_found")
    assert (await doctor.get(document_id, "/pages/0/text")).status_code == 422


@pytest.mark.parametrize("path", PATHS)
async def test_every_read_is_recorded_before_it_is_answered(
    world: World, processing: Processing, path: str
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, patient="MRN|7")
    await processing.index(document_id)
    reader = world.account("nurse", "treating:MRN|7")
    assert (await reader.get(document_id, path)).status_code == 200
    record = (await world.audited(EVENTS[path]))[-1]
    assert (record["actor"], record["action"], record["outcome"]) == (f"user:{reader.id}", "R", "success")
    assert [str(found) for found in record["document_ids"]] == [document_id]
    assert (record["patient"], record["version"]) == ("MRN|7", 1)
    world.audit.away = True
    refused = await reader.get(document_id, path)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert "pneumonia" not in refused.text


async def test_the_status_is_small_and_needs_no_record(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, title="Miller")
    world.audit.away = True
    answer = await doctor.get(document_id, "/status")
    assert answer.status_code == 200
    assert set(answer.json()) == {
        "id", "version", "revision", "status", "stage", "progress", "eta_seconds", "failures", "reason",
        "updated_at",
    }  # fmt: skip


@pytest.mark.parametrize("path", [*PATHS, "/status"])
async def test_ac7_what_is_hidden_looks_as_what_is_missing(
    world: World, processing: Processing, path: str
) -> None:
    document_id = await world.account().uploaded(PDF)
    await processing.index(document_id)
    stranger = world.account("doctor", "department:cardiology")
    hidden, missing = await stranger.get(document_id, path), await stranger.get(str(new_id()), path)
    assert hidden.status_code == missing.status_code == 404

    def shape(answer: object) -> dict[str, object]:
        return {name: value for name, value in answer.json().items() if name != "instance"}  # type: ignore[attr-defined]

    assert shape(hidden) == shape(missing)
    ignored = {"x-request-id", "ratelimit"}
    assert {k: v for k, v in hidden.headers.items() if k not in ignored} == {
        k: v for k, v in missing.headers.items() if k not in ignored
    }
    world.audit.away = True
    assert (await stranger.get(document_id, path)).status_code == 503
    assert (await stranger.get(str(new_id()), path)).status_code == 503


async def test_a_refused_look_is_recorded(world: World) -> None:
    document_id = await world.account().uploaded(PDF)
    stranger = world.account()
    await stranger.get(document_id)
    record = (await world.audited("document.view"))[-1]
    assert (record["actor"], record["outcome"]) == (f"user:{stranger.id}", "denied")
    assert [str(found) for found in record["document_ids"]] == [document_id]


@pytest.mark.parametrize(
    ("fields", "role", "principals", "status"),
    [
        ({"department": "cardiology"}, "doctor", ["department:cardiology"], 200),
        ({"department": "cardiology"}, "nurse", ["department:oncology"], 404),
        ({"patient": "MRN|1"}, "doctor", ["treating:MRN|1"], 200),
        ({"patient": "MRN|1"}, "patient", ["self:MRN|1"], 200),
        ({"patient": "MRN|1", "department": "cardiology"}, "doctor", ["department:cardiology"], 404),
        ({"patient": "MRN|1", "sensitivity": "restricted"}, "doctor", ["treating:MRN|1"], 404),
        ({"patient": "MRN|1", "sensitivity": "restricted"}, "doctor", ["breakglass:MRN|1"], 200),
        ({"sensitivity": "deidentified"}, "researcher", [], 200),
        ({"department": "cardiology"}, "researcher", ["department:cardiology"], 404),
        ({"department": "cardiology"}, "admin", ["department:cardiology"], 403),
        ({"department": "cardiology"}, "records_manager", ["department:cardiology"], 404),
    ],
)
async def test_ac1_who_may_read_what(
    world: World, fields: dict[str, str], role: str, principals: list[str], status: int
) -> None:
    document_id = await world.account().uploaded(PDF, **fields)
    reader = world.account(role, *principals)
    assert (await reader.get(document_id)).status_code == status
    assert (await reader.get(document_id, "/content")).status_code == status


async def test_a_records_manager_follows_what_he_uploaded_for_others_but_does_not_read_it(
    world: World, processing: Processing
) -> None:
    doctor, manager = world.account(), world.account("records_manager")
    document_id = await manager.uploaded(PDF, owner_id=doctor.id)
    await processing.index(document_id)
    assert (await manager.get(document_id)).json()["status"] == "indexed"
    assert (await manager.get(document_id, "/status")).status_code == 200
    for path in ("/content", "/pages/1/text", "/entities"):
        assert (await manager.get(document_id, path)).status_code == 403
    assert (await doctor.get(document_id, "/content")).status_code == 200
    other = world.account("records_manager")
    assert (await other.get(document_id)).status_code == 404


@pytest.mark.parametrize(
    "path", ["/api/v1/documents/nonsense", "/api/v1/documents/00000000-0000-0000-0000-00000000000"]
)
async def test_an_id_that_is_none_is_422(world: World, path: str) -> None:
    assert (await world.account().client.get(path)).status_code == 422
