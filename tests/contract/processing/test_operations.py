"""`/api/v1/processing` over the real queue: who may, what is shown, what is carried out and audited."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from config.policy import AccessPolicy
from deployments.edge.environment import Edge
from deployments.edge.token_verifier import TokenVerifier
from deployments.gateway.metrics import StoreGauges
from deployments.processing.app import build_app
from domain.ids import new_id
from domain.jobs import Failure, Lane, Stage
from domain.tokens import Claims, SigningKey
from stores.audit import PostgresAudit
from stores.keyring import SecretKeys
from stores.ports import Allowance, SessionState
from stores.workers import WorkerStore
from tests.unit.edge.doubles import HeldActivity, HeldKeys

WORK = (Stage.EXTRACT, Stage.ANNOTATE, Stage.EMBED)
Client = Callable[[str], httpx.AsyncClient]


class Sessions:
    """Sessions in memory."""

    def __init__(self) -> None:
        self.states: dict[UUID, SessionState] = {}

    async def lookup(self, session_id: UUID) -> SessionState | None:
        return self.states.get(session_id)

    async def close(self) -> None: ...


class NoLimit:
    """A limiter that lets everything through."""

    async def take(self, key: str, *, limit: int, seconds: int) -> Allowance:
        return Allowance(True, limit, seconds)

    async def peek(self, key: str, *, limit: int, seconds: int) -> Allowance:
        return Allowance(True, limit, seconds)

    async def forget(self, key: str, *, limit: int, seconds: int) -> None: ...

    async def close(self) -> None: ...


@pytest.fixture
async def client(settings, secrets, jobs, tmp_path) -> AsyncIterator[Client]:
    """Makes clients of a role."""
    key, sessions = SigningKey.generate(), Sessions()
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.public_jwk()]}))
    audit = PostgresAudit.of(settings, secrets)
    tokens = TokenVerifier(jwks, issuer="medsearch", audience="medsearch-api")
    edge = Edge(
        settings,
        secrets,
        AccessPolicy.load(),
        sessions,
        audit,
        NoLimit(),
        tokens,
        SecretKeys.of(settings, secrets),
        activity=HeldActivity(),
        api_keys=HeldKeys(),
    )
    app = build_app(settings, secrets, edge=edge)
    opened: list[httpx.AsyncClient] = []

    def of(role: str) -> httpx.AsyncClient:
        user, session, now = new_id(), new_id(), int(time.time())
        sessions.states[session] = SessionState(True, 1, frozenset({f"user:{user}", f"role:{role}"}))
        claims = Claims(user, session, role, 1, now, now + 600, new_id())
        token = key.issue(claims, issuer="medsearch", audience="medsearch-api")
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token}"}
        opened.append(httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers))
        return opened[-1]

    async with app.router.lifespan_context(app):
        yield of
        for one in opened:
            await one.aclose()
    await audit.close()


@pytest.fixture
def audited(processing):
    """Audit records on their way to the trail, in order."""

    async def records() -> list[dict[str, Any]]:
        async with processing.connection() as connection:
            rows = await connection.fetch("SELECT body FROM outbox WHERE kind = 'audit' ORDER BY id")
        return [row["body"] for row in rows]

    return records


@pytest.fixture
def quarantined(jobs, upload, rules):
    """Make a document that ended in quarantine; its id."""

    async def make() -> UUID:
        document = await upload()
        for _ in range(rules.max_lost_leases):
            await jobs.claim(WORK, "w")
            await jobs.release_holder("w")
        return document

    return make


@pytest.mark.parametrize(
    ("role", "status"),
    [
        *((role, 200) for role in ("records_manager", "admin")),
        *(
            (role, 403)
            for role in ("patient", "nurse", "doctor", "researcher", "privacy_officer", "department_admin")
        ),
    ],
)
async def test_only_operators_may(client, role, status):
    caller = client(role)
    answers = [
        await caller.get("/api/v1/processing/stats"),
        await caller.get("/api/v1/processing/jobs"),
        await caller.put("/api/v1/processing/claiming", json={"paused": False}),
    ]
    assert [answer.status_code for answer in answers] == [status] * 3
    if status == 403:
        retry = await caller.post(f"/api/v1/processing/documents/{new_id()}/retry")
        assert (retry.status_code, retry.json()["code"]) == (403, "access.forbidden")


async def test_without_a_token_nothing_is_shown(client):
    stranger = client("admin")
    del stranger.headers["Authorization"]
    assert (await stranger.get("/api/v1/processing/stats")).status_code == 401


async def test_stats_show_backlog_workers_and_decisions(client, jobs, upload, quarantined):
    await quarantined()
    await upload(lane=Lane.BULK)
    workers = WorkerStore(jobs.db)
    await workers.starting("default-1", "default", "r1")
    await workers.decided("default", 1, workers=1, backlog=1, reason="fewer than the minimum")
    stats = (await client("admin").get("/api/v1/processing/stats")).json()
    assert [(w["status"], w["stage"], w["lane"], w["count"]) for w in stats["waiting"]] == [
        ("queued", "extract", "bulk", 1)
    ]
    assert (stats["backlog"], stats["quarantined"], stats["paused"]) == (1, 1, False)
    assert stats["oldest_seconds"] >= 0
    assert [(w["name"], w["state"]) for w in stats["workers"]] == [("default-1", "starting")]
    assert [(d["delta"], d["reason"]) for d in stats["decisions"]] == [(1, "fewer than the minimum")]


async def test_metrics_say_the_same_as_the_stats(
    client, jobs, upload, quarantined, processing, settings, secrets
):
    await quarantined()
    await upload(lane=Lane.BULK)
    for ending in ("indexed", "indexed", "rejected"):
        async with processing.transaction() as connection:
            await connection.execute(
                """
                UPDATE job SET status = $2, stage = NULL, started_at = clock_timestamp(),
                    finished_at = clock_timestamp() WHERE document_id = $1
                """,
                *(await upload(), ending),
            )
    workers = WorkerStore(jobs.db)
    await workers.starting("default-1", "default", "r1")
    for delta, reason in ((1, "fewer than the minimum"), (-1, "1 jobs need 1 workers")):
        await workers.decided("default", delta, workers=1, backlog=1, reason=reason)
    now = [0.0]
    gauges = StoreGauges(settings, secrets, clock=lambda: now[0])
    stats = (await client("admin").get("/api/v1/processing/stats")).json()
    found = {
        (one.name.removeprefix("medsearch_"), *one.labels.values()): one.value
        for one in await gauges.collect()
    }
    assert found["jobs", "queued", "extract", "bulk"] == stats["backlog"] == 1
    for name in ("indexed", "rejected", "quarantined"):
        assert found[f"jobs_{name}",] == stats[name] > 0
    assert found["processing_paused",] == stats["paused"]
    assert found["processing_eta_seconds",] == pytest.approx(stats["eta_seconds"], rel=0.5)
    assert found["workers", "default", "starting"] == len(stats["workers"]) == 1
    last = stats["decisions"][0]
    assert found["pool_decision", "default", last["reason"]] == last["delta"] == -1
    assert [key for key in found if key[0] == "pool_decision"] == [
        ("pool_decision", "default", last["reason"])
    ]
    decided = datetime.fromisoformat(last["decided_at"]).timestamp()
    assert found["pool_decision_timestamp_seconds", "default"] == decided
    await upload()
    async with processing.transaction() as connection:
        await connection.execute("UPDATE job SET status = 'indexed', stage = NULL, finished_at = now()")
    for after, counted in ((59.0, 2), (60.0, 6)):
        now[0] = after
        assert next(o.value for o in await gauges.collect() if o.name == "medsearch_jobs_indexed") == counted
    await gauges.close()


async def test_jobs_are_listed_by_state_with_reasons_and_pages(client, upload, quarantined, jobs):
    stopped = await quarantined()
    others = [await upload() for _ in range(4)]
    caller = client("records_manager")
    found = (await caller.get("/api/v1/processing/jobs", params={"status": "quarantined"})).json()
    [job] = found["items"]
    assert (job["document_id"], job["stage"], job["lost_leases"]) == (str(stopped), "extract", 5)
    assert job["reason"]["code"] == "lease_lost"
    assert job["reason"]["message"]
    assert job["reason"]["action"]
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await caller.get("/api/v1/processing/jobs", params=query)).json()
        seen += [item["document_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [str(document) for document in (stopped, *others)]
    one = (await caller.get("/api/v1/processing/jobs", params={"document_id": str(others[0])})).json()
    assert [item["document_id"] for item in one["items"]] == [str(others[0])]


async def test_a_cursor_holds_for_its_question_and_its_owner_only(client, upload):
    for _ in range(3):
        await upload()
    caller = client("admin")
    cursor = (await caller.get("/api/v1/processing/jobs", params={"limit": 1})).json()["next_cursor"]
    other = await caller.get(
        "/api/v1/processing/jobs", params={"limit": 1, "cursor": cursor, "status": "queued"}
    )
    assert other.status_code == 410
    stranger = await client("admin").get("/api/v1/processing/jobs", params={"limit": 1, "cursor": cursor})
    assert stranger.status_code == 410


async def test_retry_takes_a_document_out_of_quarantine_and_is_audited(client, jobs, quarantined, audited):
    document = await quarantined()
    caller = client("records_manager")
    answer = await caller.post(f"/api/v1/processing/documents/{document}/retry")
    assert (answer.status_code, answer.json()) == (202, {"status": "queued"})
    [lease] = await jobs.claim(WORK, "w")
    assert (lease.document_id, lease.attempt) == (document, 1)
    [record] = await audited()
    assert (record["event"], record["document_ids"]) == ("processing.retry", [str(document)])


async def test_retry_of_what_is_not_in_quarantine_changes_and_audits_nothing(client, upload, jobs, audited):
    document = await upload()
    caller = client("admin")
    answer = await caller.post(f"/api/v1/processing/documents/{document}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "document.state")
    assert (await caller.post(f"/api/v1/processing/documents/{new_id()}/retry")).status_code == 404
    [lease] = await jobs.claim(WORK, "w")
    await jobs.fail(lease, Failure("encrypted", "", final=True))
    assert (await caller.post(f"/api/v1/processing/documents/{document}/retry")).status_code == 409
    assert await audited() == []


async def test_pause_and_resume(client, jobs, upload, audited):
    await upload()
    caller = client("admin")
    assert (await caller.put("/api/v1/processing/claiming", json={"paused": True})).json() == {"paused": True}
    assert await jobs.claim(WORK, "w") == []
    assert (await caller.put("/api/v1/processing/claiming", json={"paused": False})).status_code == 200
    assert len(await jobs.claim(WORK, "w")) == 1
    assert [record["event"] for record in await audited()] == ["processing.pause", "processing.resume"]


@pytest.mark.parametrize(
    "query", [{"status": "lost"}, {"limit": 0}, {"limit": 101}, {"document_id": "x"}, {"who": 1}]
)
async def test_wrong_questions_are_refused(client, query):
    assert (await client("admin").get("/api/v1/processing/jobs", params=query)).status_code == 422
