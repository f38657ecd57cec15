"""The worker's loop: fused stages, hand-over, failures, lost leases, drain, turns of the lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from actors.heart import Heart
from actors.stage_worker import BULK_TURN, StageWorker, artefact_key, lane_order, pass_by
from actors.stages import StageResult
from domain import job_life
from domain.errors import StorageFull, Unavailable
from domain.job_life import Job
from domain.jobs import Failure, Lane, Lease, Stage
from domain.lifecycle import Status
from tests.unit.actors.doubles import MemoryBlobs, MemoryQueue, NoPulse, Runner, Waker, beating
from tests.waiting import eventually

WORK = (Stage.EXTRACT, Stage.ANNOTATE, Stage.EMBED)


class Bench:
    """A worker with everything around it."""

    def __init__(self, heart: Heart, stages: Sequence[Stage] = WORK, checkpoint=pass_by) -> None:
        self.queue = MemoryQueue()
        self.blobs = MemoryBlobs()
        self.runner = Runner()
        self.worker = StageWorker(
            "w",
            stages,
            queue=self.queue,
            runner=self.runner,
            blobs=self.blobs,
            heart=heart,
            waker=Waker(),
            poll_seconds=0.01,
            checkpoint=checkpoint,
        )

    async def until(self, *statuses: Status) -> Job:
        """Run until the first job is in one of the states, then drain."""
        running = asyncio.create_task(self.worker.run())
        await eventually(lambda: self.queue.jobs[0].state.status in statuses or running.done())
        self.worker.drain()
        await running
        return self.queue.jobs[0]


@pytest.fixture
def pulse() -> NoPulse:
    return NoPulse()


@pytest.fixture
def heart(pulse: NoPulse) -> Iterator[Heart]:
    with beating(pulse) as heart:
        yield heart


async def idle(bench: Bench) -> None:
    """Run the worker until it finds nothing more to do."""
    running = asyncio.create_task(bench.worker.run())
    await eventually(lambda: bool(bench.queue.asked) and bench.queue.asked[-1] == "nothing")
    bench.worker.drain()
    await running


async def test_all_stages_run_fused_and_hand_over_to_the_index(heart):
    bench = Bench(heart)
    bench.queue.add()
    await idle(bench)
    job = bench.queue.jobs[0]
    assert (job.state.status, job.state.stage) == (Status.QUEUED, Stage.INDEX)
    assert [stage for stage, _ in bench.runner.seen] == list(WORK)
    assert {key.rsplit("/", 1)[1]: content for key, content in bench.blobs.content.items()} == {
        "extract.1": b"extract",
        "annotate.1": b"annotate",
        "embed.1": b"embed",
    }
    assert set(job.artefacts.values()) == set(bench.blobs.content)
    assert job.facts == {"extract": True, "annotate": True, "embed": True}
    assert job.fence == 1


async def test_a_pool_of_one_stage_hands_over_after_it(heart):
    bench = Bench(heart, [Stage.EXTRACT])
    bench.queue.add()
    await idle(bench)
    assert bench.queue.jobs[0].state.stage is Stage.ANNOTATE
    assert [stage for stage, _ in bench.runner.seen] == [Stage.EXTRACT]


async def test_a_failure_is_counted_and_earlier_results_stay(heart):
    bench = Bench(heart)
    bench.queue.add()
    bench.runner.answers[Stage.ANNOTATE] = [Failure("model_failed", "no")]
    job = await bench.until(Status.RETRY_WAIT)
    assert (job.state.stage, job.failures, job.reason_code) == (Stage.ANNOTATE, 1, "model_failed")
    assert list(job.artefacts) == ["extract"]


async def test_a_retry_does_not_repeat_the_stage_before_and_clears_orphans(heart):
    bench = Bench(heart)
    job = bench.queue.add()
    [first] = await bench.queue.claim([Stage.EXTRACT], "dead")
    await bench.blobs.put(artefact_key(first), b"orphan of a crash")
    bench.queue.jobs[0] = job_life.lost(bench.queue.jobs[0], first.until, bench.queue.rules)
    await idle(bench)
    done = bench.queue.jobs[0]
    assert bench.runner.seen[0] == (Stage.EXTRACT, 2)
    assert artefact_key(first) not in bench.blobs.content
    assert done.artefacts["extract"] == f"artefacts/{job.document_id}/1/extract.2"


async def test_a_refused_fence_writes_nothing_and_leaves_no_blob(heart):
    bench = Bench(heart)
    bench.queue.add()
    bench.queue.stale.add(1)
    running = asyncio.create_task(bench.worker.run())
    await eventually(lambda: len(bench.queue.asked) >= 2)
    bench.worker.drain()
    await running
    assert bench.blobs.content == {}
    assert bench.queue.jobs[0].artefacts == {}


async def test_a_lease_lost_during_the_work_is_abandoned_at_once(heart, pulse):
    bench = Bench(heart)
    bench.queue.add()
    bench.runner.hold.clear()
    pulse.lose.add(Stage.EXTRACT)
    running = asyncio.create_task(bench.worker.run())
    await eventually(lambda: len(bench.queue.asked) >= 2)
    bench.worker.drain()
    await running
    assert bench.blobs.content == {}
    assert bench.queue.jobs[0].state.stage is Stage.EXTRACT


async def test_drain_finishes_the_stage_at_hand_only(heart):
    bench = Bench(heart)
    bench.queue.add()
    bench.runner.hold.clear()
    running = asyncio.create_task(bench.worker.run())
    await eventually(lambda: bool(bench.runner.seen))
    bench.worker.drain()
    bench.runner.hold.set()
    await running
    job = bench.queue.jobs[0]
    assert (job.state.status, job.state.stage, job.attempt) == (Status.QUEUED, Stage.ANNOTATE, 0)


async def test_an_online_document_does_not_wait_for_a_bulk_one(heart):
    bench = Bench(heart)
    bulk, go_on = bench.queue.add(Lane.BULK), asyncio.Event()
    answer = bench.runner.run

    async def run(lease: Lease) -> StageResult | Failure:
        if lease.lane is Lane.BULK:
            await go_on.wait()
        return await answer(lease)

    bench.runner.run = run
    running = asyncio.create_task(bench.worker.run())
    await eventually(lambda: bench.queue.jobs[0].state.status is Status.PROCESSING)
    for _ in range(2):
        bench.queue.add()
        await eventually(lambda: bench.queue.jobs[-1].state.stage is Stage.INDEX)
    assert bench.queue.jobs[0].state.stage is Stage.EXTRACT
    bench.worker.drain()
    bench.queue.add()
    go_on.set()
    await running
    assert bench.queue.jobs[0].id == bulk.id
    assert [job.state.stage for job in bench.queue.jobs[::3]] == [Stage.ANNOTATE, Stage.EXTRACT]


async def test_a_cancelled_worker_lets_go_of_the_bulk_document(heart):
    bench = Bench(heart)
    bench.queue.add(Lane.BULK)
    bench.runner.hold.clear()
    running = asyncio.create_task(bench.worker.run())
    await eventually(lambda: bool(bench.runner.seen))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    bench.runner.hold.set()
    await asyncio.sleep(0.01)
    assert bench.queue.jobs[0].artefacts == {}


@pytest.mark.parametrize("trouble", [Unavailable("away"), StorageFull("full")])
async def test_storage_trouble_is_nobodys_fault(heart, trouble):
    bench = Bench(heart)
    bench.queue.add()
    bench.runner.answers[Stage.EXTRACT] = [trouble]
    job = await bench.until(Status.RETRY_WAIT)
    assert (job.failures, job.attempt, job.reason_code) == (0, 0, "storage_unavailable")


async def test_checkpoints_come_in_the_order_of_the_effects(heart):
    seen: list[tuple[str, Stage]] = []

    async def note(name: str, lease: Lease) -> None:
        seen.append((name, lease.stage))

    bench = Bench(heart, [Stage.EXTRACT], checkpoint=note)
    bench.queue.add()
    await idle(bench)
    assert [name for name, _ in seen] == ["claimed", "computed", "stored", "advanced"]


async def test_the_queue_being_away_is_waited_for(heart):
    bench = Bench(heart)
    bench.queue.add()
    real = bench.queue.claim
    trouble = [Unavailable("down"), Unavailable("down")]

    async def claim(*args, **kwargs):
        if trouble:
            raise trouble.pop()
        return await real(*args, **kwargs)

    bench.queue.claim = claim
    await idle(bench)
    assert bench.queue.jobs[0].state.stage is Stage.INDEX


def test_bulk_has_its_turn_but_rarely() -> None:
    first = [lane_order(turn)[0] for turn in range(1, 10 * BULK_TURN + 1)]
    assert first.count(Lane.BULK) == 10
    assert first[0] is Lane.ONLINE


async def test_two_results_never_share_a_key(heart):
    bench = Bench(heart)
    bench.queue.add()
    [one] = await bench.queue.claim([Stage.EXTRACT], "a")
    await bench.queue.release(one)
    [two] = await bench.queue.claim([Stage.EXTRACT], "b")
    assert artefact_key(one) != artefact_key(two)
    assert StageResult(b"x").facts == {}
