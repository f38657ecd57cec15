"""`medsearch up` and `medsearch down`: one supervisor in the foreground, or detached, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.platform import ownership, state
from cluster.platform.identity import check_packages
from cluster.platform.layout import Layout
from cluster.platform.lock import PlatformLock, holder
from cluster.platform.needed_secrets import given_secrets, needed_secrets
from cluster.platform.ports import check_ports
from cluster.platform.serve_api import CONFIG, read_config
from cluster.platform.state import PlatformState, fresh_state
from config.logs import configure_logging
from config.production import production_problems
from config.secrets import SecretStore
from config.settings import ModelSettings, Settings
from domain.errors import MedsearchError

if TYPE_CHECKING:
    from cluster.platform.supervisor import Supervisor

STOP_SECONDS = 20
DEMO = "cluster.demo.load"

Notify = Callable[[str], None]


class NotFitForProduction(MedsearchError):
    """The production profile refuses to start like this."""

    code = "platform.production"


class StartFailed(MedsearchError):
    """The detached platform ended before it was ready."""

    code = "platform.start_failed"


async def run(
    settings: Settings, secrets: SecretStore, notify: Notify, ready: Callable[[], None], file: Path = CONFIG
) -> None:
    """Run the platform until SIGINT, SIGTERM or SIGHUP; `ready` is called once, when everything answers.

    Raises `MedsearchError` when it cannot start; nothing is left running then either.
    """
    check_packages()
    check_production(settings, secrets)
    check_models(settings.models)
    layout = Layout.of(settings)
    layout.prepare()
    lock = PlatformLock(layout.lock)
    try:
        await _run_locked(settings, secrets, notify, ready, file)
    finally:
        layout.state.unlink(missing_ok=True)
        lock.release()


async def _run_locked(
    settings: Settings, secrets: SecretStore, notify: Notify, ready: Callable[[], None], file: Path
) -> None:
    from cluster.platform.supervisor import Supervisor

    layout = Layout.of(settings)
    stopping = _stop_event()
    ownership.adopt_orphans()
    with (layout.logs / "platform.log").open("a", encoding="utf-8") as stream:
        configure_logging(settings.log, component="platform", stream=stream)
        status = fresh_state(layout.state, state.read(layout.state))
        supervisor = Supervisor(settings, secrets, read_config(settings, file), status, notify)
        try:
            await supervisor.clear_remains()
            check_ports(settings)
            if await _unless(stopping, _start(supervisor, settings, secrets, notify)):
                ready()
                await stopping.wait()
        finally:
            notify("everything to stop")
            await supervisor.stop()


async def _start(supervisor: Supervisor, settings: Settings, secrets: SecretStore, notify: Notify) -> None:
    await supervisor.start()
    if settings.demo and find_spec("cluster.demo") and find_spec(DEMO):
        await import_module(DEMO).load_demo(settings, secrets, notify)
    supervisor.declare_ready()


def check_production(settings: Settings, secrets: SecretStore) -> None:
    """Raises `NotFitForProduction` with every reason; does nothing in the local profile."""
    if not settings.production:
        return
    problems = production_problems(settings, secrets, needed_secrets(settings), given_secrets(settings))
    if problems:
        raise NotFitForProduction(
            "\n".join(["profile=production refuses to start:", *(f"  - {one}" for one in problems)])
        )


def check_models(models: ModelSettings) -> None:
    """Raises `ModelUnavailable` for models that are not here or not whole: without them no document is read.

    A model of the hub that this machine does not have yet is fetched.
    """
    from models.encoders import locate, verify
    from models.recognition.loading import check_recogniser

    verify(locate(models.encoder))
    check_recogniser(models)


def detach(settings: Settings, notify: Notify, file: Path = CONFIG) -> None:
    """Start `medsearch up` as a process of its own and return when it is ready; raises `StartFailed`."""
    layout = Layout.of(settings)
    layout.prepare()
    output = layout.logs / "up.log"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cluster.cli", "up", "--serve-config", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    while process.poll() is None:
        current = state.read(layout.state)
        if current is not None and current.pid == process.pid:
            notify(current.waiting_for)
            if current.phase == "ready":
                return
        time.sleep(0.2)
    raise StartFailed(
        f"The platform could not be started:\n{output.read_text(errors='replace').strip()[-2000:]}"
    )


def running(settings: Settings) -> PlatformState | None:
    """The state of the platform on this data folder, or None when none runs."""
    layout = Layout.of(settings)
    return state.read(layout.state) if holder(layout.lock) else None


def down(settings: Settings) -> bool:
    """Stop the platform of this data folder, or what a crash left of it.

    Returns whether there was anything.
    """
    layout = Layout.of(settings)
    sessions = known.sessions if (known := state.read(layout.state)) else ()
    supervisor = holder(layout.lock)
    if supervisor is not None:
        _end(supervisor, layout.lock)
    remains = ownership.owned(settings.data_dir, sessions)
    ownership.kill(remains)
    return supervisor is not None or bool(remains)


def _end(supervisor: int, lock: Path) -> None:
    os.kill(supervisor, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while holder(lock) == supervisor and time.monotonic() < deadline:
        time.sleep(0.05)
    if holder(lock) == supervisor:
        os.kill(supervisor, signal.SIGKILL)


def _stop_event() -> asyncio.Event:
    event = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


async def _unless(stopping: asyncio.Event, work: Awaitable[None]) -> bool:
    """Do `work`, given up when asked to stop; returns whether it was done."""
    doing, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    await asyncio.wait([doing, stop], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if doing.done():
        doing.result()
        return True
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    return False
