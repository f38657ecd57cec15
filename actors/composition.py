"""Builds the actors' plain classes from the settings: what runs in a Ray actor, and in a test without Ray.

Nothing connects before it is needed; a secret is resolved in the process that uses it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psutil
import structlog

from actors.audit_sealer import AuditSealer
from actors.embedders import Embedders
from actors.event_pump import EventPump
from actors.generations import Generations
from actors.glass_closer import GlassCloser
from actors.heart import Heart
from actors.index_writer import IndexWriter
from actors.leading import lead
from actors.mailer import Mailer
from actors.metrics import Meter
from actors.parser import SandboxedParser, say_when_not_isolated
from actors.pool_supervisor import Launcher, PoolSupervisor
from actors.pulses import LeasePulse, WorkerPulse
from actors.session_keeper import SessionKeeper
from actors.stage_worker import StageWorker
from actors.stages import Stages
from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Service, Settings
from domain.jobs import Stage
from domain.mail import RetryPlan
from domain.search import Generation
from models import analysis
from models.embedding import encoder_identity, load_embedder
from stores import job_rows
from stores.audit import PostgresAudit
from stores.audit_sealing import AuditSealing
from stores.blobs import DiskBlobs
from stores.break_glass_ends import BreakGlassEnds
from stores.document_directory import PostgresDocumentDirectory
from stores.document_projection import document_projection
from stores.event_log import PostgresEventLog
from stores.generation_jobs import GenerationJobs
from stores.intake import processing_intake
from stores.job_reports import JobReports
from stores.jobs import JobStore
from stores.keyring import SecretKeys
from stores.leadership import Leadership
from stores.listening import Listener
from stores.mail.queue import CHANNEL as MAIL_CHANNEL
from stores.mail.rendering import Templates
from stores.mail.senders import open_mail
from stores.ports import Keys, MailSender
from stores.postgres import Postgres, database
from stores.relay import Relay
from stores.search import open_index
from stores.visibility import PostgresVisibility, visibility_subscription
from stores.workers import WorkerState, WorkerStore

SENDERS: tuple[Service, ...] = ("auth", "document", "processing", "search")
"""Services with an outbox."""

ORPHAN_SECONDS = 120.0
"""How long a worker goes on without a supervisor: longer than a killed one needs to come back."""

log = structlog.get_logger(__name__)

Closing = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Running:
    """Something that works until it is stopped; `closing` is called last to first when it ends."""

    work: Callable[[], Awaitable[None]]
    closing: list[Closing] = field(default_factory=list)

    async def run(self) -> None:
        try:
            await self.work()
        finally:
            for close in reversed(self.closing):
                await close()


def release_of(settings: Settings) -> str:
    """Names code, models and settings: workers of another release are replaced."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    here = Path(__file__).parent.parent
    for package in ("actors", "config", "domain", "models", "stores"):
        for source in sorted((here / package).rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def generation_of(settings: Settings) -> Generation:
    """The generation that the configured models write."""
    encoder, dimension = encoder_identity(settings.models)
    return Generation("g1", encoder, dimension, analysis.VERSION, source=settings.models.encoder)


def stage_worker(
    settings: Settings, secrets: SecretStore, pool: str, name: str
) -> tuple[StageWorker, Running]:
    """A worker of `pool`, and its life: it ends when the worker was drained, and says so in its row."""
    from models.annotation import load_annotator

    rules = settings.processing
    db = Postgres.of(settings, secrets, "processing")
    blobs = DiskBlobs(settings.blobs_path)
    parser = SandboxedParser(rules.parser)
    index = open_index(settings, secrets)
    workers = WorkerStore(db)
    listener = Listener(db.target, secrets, job_rows.WORK)
    loop = asyncio.get_running_loop()

    def pulse() -> WorkerPulse:
        own = _single(settings, secrets)
        return WorkerPulse(
            LeasePulse(own, JobStore(own, rules)),
            WorkerStore(own),
            name,
            orphan_seconds=ORPHAN_SECONDS,
            on_orphaned=lambda: _call(loop, worker.drain),
        )

    heart = _heart(settings, pulse)
    stages = [Stage(stage) for stage in rules.pools[pool].stages]
    runner = Stages(
        blobs,
        parser,
        lambda: load_annotator(settings.models, cache_dir=settings.models_path),
        Embedders(index.generations, lambda wanted: load_embedder(settings.models, wanted)),
    )
    worker = StageWorker(
        name,
        stages,
        queue=JobStore(db, rules),
        runner=runner,
        blobs=blobs,
        heart=heart,
        waker=listener,
        poll_seconds=rules.poll_seconds,
    )

    async def work() -> None:
        await workers.seen(name, pid=os.getpid(), node=os.uname().nodename)
        heart.start()
        if Stage.EXTRACT in stages:
            parser.start()
            if settings.production:
                await say_when_not_isolated()
        await runner.load(stages)
        _tell_loaded(pool)
        await worker.run()
        await workers.move(name, WorkerState.STOPPED)

    async def close() -> None:
        await asyncio.to_thread(heart.stop)
        parser.close()

    return worker, Running(work, [db.close, index.close, listener.close, close])


def index_writer(settings: Settings, secrets: SecretStore, name: str) -> Running:
    """The writer of the index, standing by or leading."""
    rules = settings.processing
    db = Postgres.of(settings, secrets, "processing")
    documents = Postgres.of(settings, secrets, "document", "document-reader")
    search = Postgres.of(settings, secrets, "search")
    listener = Listener(db.target, secrets, job_rows.INDEX)
    office = Leadership(db.target, secrets, "index-writer", silence_seconds=rules.lease_seconds / 2)

    def pulse() -> LeasePulse:
        own = _single(settings, secrets)
        return LeasePulse(own, JobStore(own, rules))

    heart = _heart(settings, pulse)

    async def duty() -> None:
        """The index is opened by the leader alone: there may be only one writer."""
        index = open_index(settings, secrets, writer=True)
        jobs, blobs = JobStore(db, rules), DiskBlobs(settings.blobs_path)
        first = generation_of(settings)
        try:
            await IndexWriter(
                name,
                jobs=jobs,
                index=index,
                generations=Generations(index, GenerationJobs(db), jobs, first),
                directory=PostgresDocumentDirectory(documents),
                visibility=PostgresVisibility(search),
                blobs=blobs,
                heart=heart,
                waker=listener,
                batch=rules.index_batch,
                poll_seconds=rules.poll_seconds,
                away_seconds=rules.backoff_seconds[0],
            ).run()
        finally:
            await index.close()

    async def work() -> None:
        heart.start()
        await lead(office, duty, standby_seconds=rules.poll_seconds)

    async def stop_heart() -> None:
        await asyncio.to_thread(heart.stop)

    return Running(work, [db.close, documents.close, search.close, listener.close, stop_heart])


def event_pump(settings: Settings, secrets: SecretStore) -> Running:
    """Relay, all subscribers, and what else one process alone does, standing by or leading."""
    databases: dict[str, Postgres] = {service: Postgres.of(settings, secrets, service) for service in SENDERS}
    reader = Postgres.of(settings, secrets, "document", "document-reader")
    event_log = PostgresEventLog.of(settings, secrets)
    audit = PostgresAudit.of(settings, secrets)
    relay = Relay(databases, event_log, audit, secrets)
    blobs = DiskBlobs(settings.blobs_path)
    sender = open_mail(settings, secrets)
    waker = Listener(databases["auth"].target, secrets, MAIL_CHANNEL)
    mailer = mailer_of(settings, databases["auth"], sender, SecretKeys.of(settings, secrets), waker)
    sealing = AuditSealing.of(settings, secrets)
    sealer = AuditSealer(sealing, seconds=settings.audit.seal_seconds)
    closer = GlassCloser(databases["auth"], BreakGlassEnds(audit, AccessPolicy.load().roles_of("breakglass")))
    keeper = SessionKeeper(
        databases["auth"],
        [databases["auth"], databases["document"]],
        kept=timedelta(days=settings.auth.ended_sessions_days),
    )
    pump = EventPump(
        relay,
        [
            processing_intake(JobStore(databases["processing"], settings.processing)),
            document_projection(databases["document"], blobs),
            visibility_subscription(databases["search"], PostgresDocumentDirectory(reader)),
        ],
        event_log,
        kept=timedelta(days=settings.events.retention_days),
        duties=[mailer, closer, sealer],
        keepers=[mailer, keeper],
    )
    office = Leadership(database(settings, "event"), secrets, "event-pump", silence_seconds=15)

    async def work() -> None:
        await lead(office, pump.run, standby_seconds=settings.processing.poll_seconds)

    closing: list[Closing] = [
        sealing.close,
        *(db.close for db in databases.values()),
        reader.close,
        event_log.close,
        audit.close,
        relay.close,
        waker.close,
        sender.close,
    ]
    return Running(work, closing)


def mailer_of(settings: Settings, db: Postgres, sender: MailSender, keys: Keys, waker: Listener) -> Mailer:
    """The mailer as the settings want it."""
    return Mailer(
        db,
        sender,
        keys=keys,
        templates=Templates(settings.origin),
        origin=settings.origin,
        retry=RetryPlan(settings.mail.retry_seconds),
        timeout=settings.mail.timeout_seconds,
        waker=waker,
    )


def pool_supervisor(
    settings: Settings, secrets: SecretStore, name: str, launcher: Launcher, meter: Meter
) -> Running:
    """The supervisor of all pools, standing by or leading."""
    rules = settings.processing
    db = Postgres.of(settings, secrets, "processing")
    supervisor = PoolSupervisor(
        name,
        rules.pools,
        release=release_of(settings),
        launcher=launcher,
        workers=WorkerStore(db),
        jobs=JobStore(db, rules),
        reports=JobReports(db),
        meter=meter,
        turn_seconds=rules.poll_seconds / 2,
        silent_seconds=rules.lease_seconds * 2,
    )
    office = Leadership(db.target, secrets, "pool-supervisor", silence_seconds=rules.lease_seconds / 2)

    async def work() -> None:
        await lead(office, supervisor.run, standby_seconds=rules.poll_seconds)

    return Running(work, [db.close])


def _tell_loaded(pool: str) -> None:
    """What the models of a worker take, and the GPUs that Ray lets it see."""
    resident = psutil.Process().memory_info().rss
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    log.info("models_loaded", pool=pool, resident_bytes=resident, gpus=gpus)


def _single(settings: Settings, secrets: SecretStore) -> Postgres:
    return Postgres(database(settings, "processing"), secrets, size=1)


def _heart(settings: Settings, pulse: Callable[[], LeasePulse | WorkerPulse]) -> Heart:
    rules = settings.processing
    return Heart(
        pulse,
        seconds=rules.heartbeat_seconds,
        lease_seconds=rules.lease_seconds,
        stuck_seconds=rules.stage_seconds,
        on_stuck=lambda: os._exit(1),
    )


def _call(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(action)
