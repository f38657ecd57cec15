"""The Ray actors: plain classes of this package, built where they run. The only module here that knows Ray.

Supervisor, index writer and event pump read the settings of their node; their loop starts with them, and
they stand by until they lead. Workers get the supervisor's settings as a value and resolve secrets
themselves; they are detached: they outlive a supervisor, and its successor finds them by name.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import ray
import structlog
from ray.exceptions import ActorDiedError, RayError

from actors import composition
from actors.composition import Running
from actors.metrics import RayMeter
from config.loading import load_settings
from config.logs import configure_logging
from config.secrets import SecretStore
from config.settings import Settings
from domain.ids import new_id

NAMESPACE = "medsearch"
ASK_SECONDS = 5.0
"""How long an actor may take to answer a small question."""

STAY_SECONDS = 2.0
"""How long an ended worker stays for those who wait for its end."""

log = structlog.get_logger(__name__)


class _Residence:
    """Keeps something running in an actor's event loop."""

    def __init__(self, settings: Settings, component: str) -> None:
        configure_logging(settings.log, component=component)
        self.settings = settings
        self.secrets = SecretStore(settings.secrets_path)
        self.life: asyncio.Task[None] | None = None

    @classmethod
    def here(cls, component: str) -> _Residence:
        """With the settings of this node."""
        return cls(load_settings().settings, component)

    def settle(self, running: Running) -> None:
        self.life = asyncio.get_running_loop().create_task(running.run())
        self.life.add_done_callback(_leave)


def _leave(life: asyncio.Task[None]) -> None:
    """The process ends with its life; it only ends by itself when drained or broken."""
    broken = not life.cancelled() and life.exception() is not None
    if broken:
        log.error("actor_broken", exc_info=life.exception())
    asyncio.get_running_loop().call_later(STAY_SECONDS, os._exit, 1 if broken else 0)


@ray.remote
class StageWorkerActor:
    """One worker of a pool."""

    def __init__(self, settings: Settings, pool: str, name: str) -> None:
        home = _Residence(settings, f"worker:{pool}")
        self._worker, running = composition.stage_worker(settings, home.secrets, pool, name)
        self._home = home
        home.settle(running)

    async def drain(self) -> None:
        """Finish the stage at hand and end."""
        self._worker.drain()

    async def ended(self) -> None:
        """Return when the worker ends."""
        assert self._home.life is not None  # noqa: S101 - set with the actor
        await asyncio.wait([self._home.life])


class _Standing:
    """What stands by until it leads. One coroutine method makes it an async actor: its constructor has a loop."""

    _home: _Residence

    async def lives(self) -> bool:
        """Whether its loop still runs."""
        return self._home.life is not None and not self._home.life.done()


@ray.remote
class PoolSupervisorActor(_Standing):
    """Supervises all pools when it leads."""

    def __init__(self) -> None:
        home = self._home = _Residence.here("pool-supervisor")
        name = f"supervisor-{new_id()}"
        launcher = RayLauncher(home.settings)
        home.settle(composition.pool_supervisor(home.settings, home.secrets, name, launcher, RayMeter()))


@ray.remote
class IndexWriterActor(_Standing):
    """Writes the index when it leads."""

    def __init__(self) -> None:
        home = self._home = _Residence.here("index-writer")
        home.settle(composition.index_writer(home.settings, home.secrets, f"index-writer-{new_id()}"))


@ray.remote
class EventPumpActor(_Standing):
    """Moves events when it leads."""

    def __init__(self) -> None:
        home = self._home = _Residence.here("event-pump")
        home.settle(composition.event_pump(home.settings, home.secrets))


class RayLauncher:
    """Workers as detached, named Ray actors (`actors.pool_supervisor.Launcher`)."""

    def __init__(self, settings: Settings, *, ask_again_seconds: float = 1.0) -> None:
        self._settings = settings
        self._ask_again_seconds = ask_again_seconds

    async def start(self, name: str, pool: str) -> None:
        rule = self._settings.processing.pools[pool]
        options: dict[str, Any] = {
            "name": name,
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "max_restarts": 0,
            "num_cpus": rule.num_cpus,
            "num_gpus": rule.num_gpus,
        }
        if rule.memory_bytes:
            options["memory"] = rule.memory_bytes
        if rule.label_selector:
            options["label_selector"] = rule.label_selector
        worker: Any = StageWorkerActor
        await asyncio.to_thread(worker.options(**options).remote, self._settings, pool, name)

    async def ended(self, name: str) -> None:
        """An actor that cannot be reached may still work: only its death, or the end of its name, is the end."""
        while True:
            try:
                handle = await self._find(name)
                if handle is not None:
                    await handle.ended.remote()
                return
            except ActorDiedError as error:
                log.info("worker_ended", worker=name, how=type(error).__name__)
                return
            except RayError as error:
                log.warning("worker_unheard", worker=name, how=type(error).__name__)
                await asyncio.sleep(self._ask_again_seconds)

    async def drain(self, name: str) -> None:
        handle = await self._find(name)
        if handle is not None:
            try:
                await asyncio.wait_for(handle.drain.remote(), ASK_SECONDS)
            except (RayError, TimeoutError) as error:
                log.warning("drain_unheard", worker=name, how=type(error).__name__)

    async def kill(self, name: str) -> None:
        handle = await self._find(name)
        if handle is not None:
            await asyncio.to_thread(ray.kill, handle)

    async def _find(self, name: str) -> Any | None:
        try:
            return await asyncio.to_thread(ray.get_actor, name, NAMESPACE)
        except ValueError:
            return None
