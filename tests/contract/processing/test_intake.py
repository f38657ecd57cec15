"""From document events to jobs: idempotent, and what comes late loses. F22 begins here."""

from __future__ import annotations

from uuid import UUID

import pytest

from domain.errors import LeaseLost
from domain.events import Event, EventType, LoggedEvent, Position, Topic
from domain.ids import new_id
from domain.jobs import Failure, JobKind, Lane, Stage
from stores.intake import processing_intake
from stores.job_reports import JobReports

NEW_VERSION = [(JobKind.PROCESS, 2, 2), (JobKind.UPDATE, 2, 2)]
"""The new version's processing, and the hiding of the old one in the index."""


async def kinds(reports: JobReports, document: UUID) -> list[tuple[JobKind, int, int]]:
    page = await reports.page(statuses=(), document_id=document, after=None, limit=100)
    return [(entry.job.kind, entry.job.version, entry.job.revision) for entry in page]


async def test_an_upload_becomes_one_job(jobs, upload, reports, published):
    document = await upload(lane=Lane.BULK)
    await upload(document, lane=Lane.BULK)
    assert await kinds(reports, document) == [(JobKind.PROCESS, 1, 1)]
    [lease] = await jobs.claim([Stage.EXTRACT], "w")
    assert (lease.blob_key, lease.lane, lease.request_id) == (f"originals/{document}/1", Lane.BULK, "req-1")
    first = (await published())[0]
    assert (first["status"], first["stage"], first["version"]) == ("queued", "extract", 1)


async def test_a_new_version_replaces_the_old_ones_job_under_work(jobs, upload, reports):
    document = await upload()
    [lease] = await jobs.claim([Stage.EXTRACT], "w")
    await upload(document, version=2, revision=2)
    assert await kinds(reports, document) == NEW_VERSION
    with pytest.raises(LeaseLost):
        await jobs.complete_stage(lease, "x", {}, keep=True)
    assert await jobs.heartbeat([lease]) == [lease]
    await upload(document, version=1, revision=1)
    assert await kinds(reports, document) == NEW_VERSION


async def test_a_new_version_leaves_a_revocation_on_its_way_to_the_index(jobs, upload, tell, reports):
    document = await upload()
    await tell(EventType.DOCUMENT_ACCESS_CHANGED, document, version=1, revision=2)
    [lease] = await jobs.claim([Stage.INDEX], "w")
    await jobs.postpone(lease, Failure("index_unavailable", "away"), 60)
    await upload(document, version=2, revision=3)
    assert (JobKind.UPDATE, 1, 2) in await kinds(reports, document)
    assert (JobKind.PROCESS, 2, 3) in await kinds(reports, document)


async def test_a_deletion_replaces_everything_and_stays(jobs, upload, tell, reports):
    document = await upload(version=3)
    await tell(EventType.DOCUMENT_METADATA_CHANGED, document, revision=2)
    [lease] = await jobs.claim([Stage.EXTRACT], "w")
    await tell(EventType.DOCUMENT_DELETED, document, revision=4)
    await tell(EventType.DOCUMENT_DELETED, document, revision=4)
    await upload(document, version=4, revision=3)
    await tell(EventType.DOCUMENT_ACCESS_CHANGED, document, revision=3)
    assert await kinds(reports, document) == [(JobKind.DELETE, 3, 4)]
    with pytest.raises(LeaseLost):
        await jobs.fail(lease, None)


async def test_waiting_changes_are_joined(jobs, tell, reports):
    document = new_id()
    for revision in (2, 3, 4, 4):
        await tell(EventType.DOCUMENT_ACCESS_CHANGED, document, revision=revision)
    assert await kinds(reports, document) == [(JobKind.UPDATE, 0, 4)]


async def test_a_change_under_work_does_not_swallow_the_next(jobs, tell, reports):
    document = new_id()
    await tell(EventType.DOCUMENT_ACCESS_CHANGED, document, revision=2)
    [lease] = await jobs.claim([Stage.INDEX], "w")
    await tell(EventType.DOCUMENT_ACCESS_CHANGED, document, revision=3)
    assert [revision for _, _, revision in await kinds(reports, document)] == [2, 3]
    await jobs.finish([lease], "g1")
    assert [revision for _, _, revision in await kinds(reports, document)] == [3]


async def test_a_replayed_batch_changes_nothing(jobs, reports):
    intake = processing_intake(jobs)
    offset = max((position.offset for position in await intake.positions()), default=0) + 1
    document = new_id()
    data = {"document_id": str(document), "version": 1, "revision": 1, "lane": "online", "blob_key": "k"}
    event = Event(EventType.DOCUMENT_UPLOADED, str(document), data, "/medsearch/documents")
    batch = [LoggedEvent(event, Position(Topic.DOCUMENT, 0, offset))]
    for _ in range(2):
        await processing_intake(jobs).handle(batch)
    assert await kinds(reports, document) == [(JobKind.PROCESS, 1, 1)]
    assert await intake.positions() == [Position(Topic.DOCUMENT, 0, offset)]


async def test_a_requeued_update_of_an_indexed_document_is_not_told(jobs, tell, published):
    await tell(EventType.DOCUMENT_METADATA_CHANGED, new_id(), revision=2)
    [lease] = await jobs.claim([Stage.INDEX], "w")
    await jobs.finish([lease], "g1")
    assert await published() == []
