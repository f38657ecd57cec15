"""Workers on a Ray that is told of one GPU: a pool's fractions are placed, what does not fit waits its turn."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from cluster.databases import OWNER
from cluster.platform.log_files import log_files
from stores.postgres import connect, database
from tests.platform import START_SECONDS, Platform, only, running_platform
from tests.waiting import until

POOLS = {
    "text": {"stages": ["extract", "annotate"], "min_workers": 1, "max_workers": 1},
    "vectors": {"stages": ["embed"], "num_gpus": 0.5, "min_workers": 3, "max_workers": 3},
}
TOLD = re.compile(r"^.*models_loaded.*$", re.MULTILINE)


@pytest.fixture(scope="module")
def gpu_platform(vocabulary_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    settings = {
        "RAY__NUM_GPUS": "1",
        "PROCESSING__POOLS": json.dumps(POOLS),
        "MODELS__RECOGNIZER": "dictionary",
    }
    config = only(tmp_path_factory.mktemp("serve"), "processing")
    with running_platform(config, models=vocabulary_cache, **settings) as platform:
        yield platform


@pytest.fixture
async def workers(gpu_platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database(gpu_platform.settings, "processing", OWNER), gpu_platform.secrets)
    yield connection
    await connection.close()


def placed(platform: Platform) -> dict[str, tuple[str, float]]:
    """Of each worker by name: its state in Ray, and the GPUs that it asked for."""
    answer = platform.serve_api("GET", "/api/v0/actors?detail=true&limit=1000")
    actors = answer.json()["data"]["result"]["result"]
    return {
        actor["name"]: (actor["state"], actor["required_resources"].get("GPU", 0))
        for actor in actors
        if actor["class_name"] == "StageWorkerActor"
    }


def visible(platform: Platform) -> Counter[tuple[str, str]]:
    """How many workers of each pool said that they see which GPUs."""
    text = "\n".join(
        path.read_text(errors="replace")
        for name, path in log_files(platform.layout).items()
        if "worker-" in name
    )
    lines = {json.dumps(json.loads(line), sort_keys=True) for line in TOLD.findall(text)}
    return Counter((told["pool"], told["gpus"]) for told in map(json.loads, lines))


async def test_a_gpu_is_shared_by_fractions_and_the_next_worker_waits_for_its_turn(
    gpu_platform: Platform, workers: asyncpg.Connection
) -> None:
    async def states() -> Counter[tuple[str, str]]:
        rows = await workers.fetch("SELECT pool, state FROM worker WHERE ended_at IS NULL")
        return Counter((row["pool"], row["state"]) for row in rows)

    full = Counter({("text", "running"): 1, ("vectors", "running"): 2, ("vectors", "starting"): 1})

    async def as_full() -> bool:
        return await states() == full

    async def all_told() -> bool:
        return visible(gpu_platform).total() >= 3

    await until(as_full, START_SECONDS)
    await until(all_told, START_SECONDS)
    by_name = placed(gpu_platform)
    running = await workers.fetch("SELECT name, pool, pid FROM worker WHERE state = 'running'")
    assert {(row["pool"], by_name[row["name"]]) for row in running} == {
        ("text", ("ALIVE", 0)),
        ("vectors", ("ALIVE", 0.5)),
    }
    waiting = await workers.fetchval("SELECT name FROM worker WHERE state = 'starting'")
    assert by_name[waiting] == ("PENDING_CREATION", 0.5)
    assert visible(gpu_platform) == Counter({("vectors", "0"): 2, ("text", ""): 1})

    os.kill(next(row["pid"] for row in running if row["pool"] == "vectors"), signal.SIGKILL)

    async def its_turn() -> bool:
        return await workers.fetchval("SELECT state FROM worker WHERE name = $1", waiting) == "running"

    await until(its_turn, START_SECONDS)
    await until(as_full, START_SECONDS)
