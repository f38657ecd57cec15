"""Ownership, locks, keeping a server alive: on small processes of the tests' own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.platform import keeper as keeping
from cluster.platform import ownership
from cluster.platform.identity import ForeignPackage
from cluster.platform.keeper import Keeper, Server, ServerFailed
from cluster.platform.lock import AlreadyRunning, PlatformLock, holder
from cluster.platform.ownership import Session, mark
from cluster.platform.ports import NeededPort, PortTaken, check_ports
from cluster.servers.lifeline import tied
from config.settings import Settings
from tests.platform import free_ports, until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()


def test_marked_processes_and_their_children_are_owned_and_no_others(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    unmarking = "import os, subprocess, sys; subprocess.run(sys.argv[1:], env={})"
    parent = _spawn(started, [sys.executable, "-c", unmarking, *SLEEP], mark("ray", tmp_path))
    _spawn(started, SLEEP, mark("redis", tmp_path))
    _spawn(started, SLEEP, mark("ray", tmp_path / "other"))
    _spawn(started, SLEEP, {})
    child = until(lambda: psutil.Process(parent.pid).children(), 10)[0]
    assert {one.pid for one in ownership.owned(tmp_path, part="ray")} == {parent.pid, child.pid}
    assert len(ownership.owned(tmp_path)) == 3
    parent.kill()
    parent.wait()
    assert child.is_running()
    ownership.kill([child])


def test_members_of_a_servers_session_are_owned_even_when_they_hide_their_environment(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    leader = _spawn(started, SLEEP, {}, start_new_session=True)
    session = Session.led_by(leader.pid)
    assert [one.pid for one in ownership.owned(tmp_path, [session])] == [leader.pid]
    assert ownership.owned(tmp_path, [Session(leader.pid, session.started + 60)]) == []


def test_this_process_and_its_ancestors_are_never_owned(tmp_path: Path) -> None:
    session = Session(os.getsid(0), 0)
    assert os.getpid() not in {one.pid for one in ownership.owned(tmp_path, [session])}


def test_what_ignores_sigterm_is_killed(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    deaf = "from signal import *; signal(SIGTERM, SIG_IGN); print(flush=True); pause()"
    process = _spawn(started, [sys.executable, "-c", deaf], mark("ray", tmp_path), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert ownership.terminate([psutil.Process(process.pid)], 0.2) == []
    assert not psutil.pid_exists(process.pid)


def test_a_tied_server_ends_with_the_process_that_started_it(started: list[subprocess.Popen[bytes]]) -> None:
    starter = (
        "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); sys.stdin.read()"
    )
    process = _spawn(
        started,
        [sys.executable, "-c", starter, *tied(SLEEP)],
        {},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    server = psutil.Process(int(process.stdout.readline()))
    python = str(Path(sys.executable).resolve())
    until(
        lambda: psutil.Process(server.pid).exe() == python, 5
    )  # past the wrapper; a Process keeps its first answer
    process.kill()
    process.communicate()
    until(lambda: not ownership.alive(server), 5)


def test_a_held_lock_names_its_holder_and_a_dead_holders_lock_is_free(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    path = tmp_path / "platform" / "lock"
    holding = (
        "import sys, pathlib; from cluster.platform.lock import PlatformLock;"
        "lock = PlatformLock(pathlib.Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    other = _spawn(
        started, [sys.executable, "-c", holding, str(path)], {}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    assert holder(path) == other.pid
    with pytest.raises(AlreadyRunning, match=f"process {other.pid}"):
        PlatformLock(path)
    other.kill()
    other.communicate()
    assert holder(path) is None
    lock = PlatformLock(path)
    assert holder(path) == os.getpid()
    lock.release()
    assert holder(path) is None


def test_a_taken_port_is_named_with_its_setting_and_a_free_one_is_not() -> None:
    http, gcs, dashboard = free_ports(3)
    settings = Settings.model_validate(
        {"http": {"port": http}, "ray": {"gcs_port": gcs, "dashboard_port": dashboard}}
    )
    check_ports(settings)
    with socket.socket() as other:
        other.bind(("127.0.0.1", gcs))
        other.listen()
        with pytest.raises(PortTaken, match="MEDSEARCH_RAY__GCS_PORT") as raised:
            check_ports(settings)
        assert "MEDSEARCH_HTTP__PORT" not in raised.value.message
        assert not NeededPort("x", "127.0.0.1", gcs, "x").free


def test_a_foreign_package_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("")
    check = "from cluster.platform.identity import check_packages; check_packages()"
    done = subprocess.run(
        [sys.executable, "-c", check],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=_no_safe_path(),
    )
    assert done.returncode == 1
    assert ForeignPackage.__name__ in done.stderr
    assert str(tmp_path / "models.py") in done.stderr


async def test_a_keeper_starts_notices_death_and_revives(tmp_path: Path) -> None:
    changes: list[int | None] = []
    keeper = Keeper(_server(tmp_path), tmp_path, lambda: changes.append(keeper.pid))
    await keeper.start()
    first = keeper.pid
    assert first
    os.kill(first, signal.SIGKILL)
    await asyncio.wait_for(keeper.died(), 5)
    await keeper.revive()
    assert keeper.pid not in (None, first)
    assert keeper.restarts == 1
    await keeper.stop()
    assert keeper.pid is None
    assert ownership.owned(tmp_path) == []


async def test_a_keeper_clears_what_a_dead_server_left(tmp_path: Path) -> None:
    child = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(60)"
    keeper = Keeper(_server(tmp_path, [sys.executable, "-c", child, *SLEEP]), tmp_path, lambda: None)
    await keeper.start()
    assert keeper.pid
    until(lambda: len(ownership.owned(tmp_path)) == 2, 5)
    os.kill(keeper.pid, signal.SIGKILL)
    await keeper.died()
    await keeper.revive()
    assert keeper.pid in {one.pid for one in ownership.owned(tmp_path)}
    assert len(ownership.owned(tmp_path)) <= 2
    await keeper.stop()
    assert ownership.owned(tmp_path) == []


async def test_a_server_that_ends_while_starting_says_where_to_read_why(tmp_path: Path) -> None:
    keeper = Keeper(_server(tmp_path, ["false"], ready=False), tmp_path, lambda: None)
    with pytest.raises(ServerFailed, match=r"some\.log"):
        await asyncio.wait_for(keeper.start(), 5)


async def test_a_server_that_stops_answering_counts_as_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "HEALTH_PERIOD", 0)
    answers = iter([True, False, True, False, False])
    server = _server(tmp_path, health=lambda: next(answers))
    keeper = Keeper(server, tmp_path, lambda: None)
    await keeper.start()
    await asyncio.wait_for(keeper.died(), 10)
    assert keeper.pid is not None
    assert list(answers) == []
    await keeper.stop()


def test_waits_grow_with_quick_deaths() -> None:
    assert list(keeping.BACKOFF) == sorted(keeping.BACKOFF)
    assert keeping.BACKOFF[0] < 1 < keeping.BACKOFF[-1] <= 30


def _server(
    tmp_path: Path, argv: list[str] | None = None, *, ready: bool = True, health: object = None
) -> Server:
    async def answers() -> None:
        if not ready:
            await asyncio.Event().wait()

    async def healthy() -> bool:
        return bool(health())  # type: ignore[operator]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv or SLEEP, env={**os.environ, **mark("some", tmp_path)}, start_new_session=True
        )

    return Server(
        name="some",
        start=start,
        ready=answers,
        log=tmp_path / "some.log",
        healthy=healthy if health else None,
        health_failures=2,
    )


def _spawn(
    started: list[subprocess.Popen[bytes]], argv: list[str], extra: dict[str, str], **options: object
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv, env={**os.environ, **extra}, **options)  # type: ignore[call-overload]
    started.append(process)
    deadline = time.monotonic() + 5
    while not psutil.Process(process.pid).cmdline() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process  # type: ignore[no-any-return]


def _no_safe_path() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
