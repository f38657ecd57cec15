"""What dies comes back without help (F4, F5, F6, F7, F9, F11: the part that supervision does)."""

from __future__ import annotations

import asyncio
import time

import httpx
import psutil
import pytest

from cluster.servers import postgres
from stores.postgres import Postgres
from tests.platform import Platform, until


async def test_postgres_comes_back_with_its_data(platform: Platform) -> None:
    connection = await postgres.connect(platform.settings, platform.secrets, "postgres")
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz)")
    await connection.execute("INSERT INTO kept VALUES (now())")
    await connection.close()
    _kill(platform, "postgres")
    await postgres.wait_until_ready(platform.settings, platform.secrets)
    again = await postgres.connect(platform.settings, platform.secrets, "postgres")
    assert await again.fetchval("SELECT count(*) FROM kept") >= 1
    await again.close()


def test_redis_comes_back(platform: Platform) -> None:
    _kill(platform, "redis")


@pytest.mark.parametrize("part", ["gcs_server", "raylet"])
def test_ray_comes_back_with_its_applications(platform: Platform, part: str) -> None:
    before = {process.pid for process in platform.processes("ray")}
    node = platform.pids["ray"]
    _process_of_ray(platform, part).kill()
    until(lambda: platform.state.servers.get("ray") not in (None, node), 90, lambda: str(platform.state))
    platform.wait_ready(90)
    assert httpx.get(f"{platform.base_url}/stand-in").status_code == 200
    assert before.isdisjoint(process.pid for process in platform.processes("ray"))
    assert "ray" in platform.state.restarts


def test_a_replica_that_dies_fails_at_most_what_it_was_doing(platform: Platform) -> None:
    with httpx.Client(base_url=platform.base_url) as client:
        victim = client.get("/stand-in").json()["pid"]
        psutil.Process(victim).kill()
        deadline, failed = time.monotonic() + 3, 0
        while time.monotonic() < deadline:
            answer = client.get("/stand-in")
            if answer.status_code != 200:
                failed += 1
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"]
                assert client.get("/stand-in").status_code == 200
    assert failed <= 2


def test_the_http_proxy_comes_back(platform: Platform) -> None:
    proxy = platform.ray_process("ray::ProxyActor")
    proxy.kill()
    proxy.wait()
    until(lambda: _answers(platform), 30)
    assert platform.ray_process("ray::ProxyActor").pid != proxy.pid


def test_killing_the_serve_controller_interrupts_nothing(platform: Platform) -> None:
    controller = platform.ray_process("ray::ServeController")
    controller.kill()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert httpx.get(f"{platform.base_url}/stand-in").status_code == 200
        time.sleep(0.05)
    until(lambda: platform.serve_api("GET", "/api/serve/applications/").status_code == 200, 30)


async def test_a_pool_of_connections_survives_the_restart(platform: Platform) -> None:
    pool = Postgres.of(platform.settings, platform.secrets, "event")
    async with pool.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await asyncio.to_thread(_kill, platform, "postgres")
    async with pool.connection() as connection:
        assert await connection.fetchval("SELECT 2") == 2
    await pool.close()


def _kill(platform: Platform, server: str) -> None:
    pid, restarts = platform.pids[server], platform.state.restarts.get(server, 0)
    psutil.Process(pid).kill()
    until(lambda: platform.state.restarts.get(server, 0) > restarts, 10)
    platform.wait_ready(30)
    assert platform.pids[server] != pid


def _process_of_ray(platform: Platform, executable: str) -> psutil.Process:
    return next(process for process in platform.processes("ray") if process.name() == executable)


def _answers(platform: Platform) -> bool:
    try:
        return httpx.get(f"{platform.base_url}/stand-in").status_code == 200
    except httpx.TransportError:
        return False
