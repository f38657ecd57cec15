"""The running platform: starts the servers, deploys the applications, brings back what dies, stops all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from cluster.platform import ownership, ray_node, schemas, servers
from cluster.platform.keeper import Keeper, Server
from cluster.platform.serve_api import ServeApi, ServeFailed, ServeSilent
from cluster.platform.state import StateFile
from cluster.servers import postgres
from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import MedsearchError

READY_SECONDS = 600
SERVE_STOP_SECONDS = 4

log = structlog.get_logger("platform")


class Supervisor:
    """One platform on one data folder, whose lock the caller holds.

    `notify` hears what is being waited for.
    """

    def __init__(
        self,
        settings: Settings,
        secrets: SecretStore,
        config: dict[str, Any],
        state: StateFile,
        notify: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._config = config
        self._state = state
        self._notify = notify
        token = ray_node.write_token(settings, secrets).read_text(encoding="ascii")
        self._api = ServeApi(settings, token)
        self._stores = self._own_stores()
        self._ray = None if settings.ray.address else self._keeper(servers.ray_server(settings, self._api))
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """From nothing to all applications answering, from then on kept alive; raises `MedsearchError`."""
        self._waiting("Postgres, Redis and Ray")
        if self._settings.postgres.url is None:
            await asyncio.to_thread(postgres.prepare, self._settings, self._secrets)
        await asyncio.gather(self._prepare_stores(), *([self._ray.start()] if self._ray else []))
        await self._deploy()
        self._tasks = [asyncio.create_task(self._keep(keeper)) for keeper in self._keepers]
        self._tasks.append(asyncio.create_task(self._reap()))

    def declare_ready(self) -> None:
        """Everything that belongs to a start has been done."""
        self._state.update(phase="ready", waiting_for="")
        log.info("platform.ready")

    async def stop(self) -> None:
        """End everything that belongs to this platform, applications first."""
        self._state.update(phase="stopping")
        log.info("platform.stopping")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ray is not None:
            if self._ray.pid is not None:
                await self._api.shutdown(SERVE_STOP_SECONDS)
            await self._ray.stop()
        await asyncio.gather(*(keeper.stop() for keeper in self._stores))
        await self.clear_remains()
        log.info("platform.stopped")

    @property
    def _keepers(self) -> list[Keeper]:
        return [*self._stores, *([self._ray] if self._ray else [])]

    def _own_stores(self) -> list[Keeper]:
        settings, secrets = self._settings, self._secrets
        own = [] if settings.postgres.url else [servers.postgres_server(settings, secrets)]
        own += [] if settings.redis.url else [servers.redis_server(settings, secrets)]
        return [self._keeper(server) for server in own]

    def _keeper(self, server: Server) -> Keeper:
        return Keeper(server, self._settings.data_dir, self._publish)

    async def _prepare_stores(self) -> None:
        await asyncio.gather(*(keeper.start() for keeper in self._stores))
        await schemas.prepare(self._settings, self._secrets)

    async def clear_remains(self) -> None:
        """End what an earlier supervisor of this data folder left when it was killed."""
        sessions = self._state.state.sessions
        remains = await asyncio.to_thread(ownership.owned, self._settings.data_dir, sessions)
        if remains:
            log.warning("platform.remains", processes=len(remains))
            await asyncio.to_thread(ownership.terminate, remains, 3)

    async def _deploy(self) -> None:
        await self._api.deploy(self._config)
        deadline = time.monotonic() + READY_SECONDS
        while pending := await self._pending():
            if time.monotonic() > deadline:
                raise ServeFailed(f"Not ready after {READY_SECONDS} s: {', '.join(pending)}.")
            if self._ray is not None and self._ray.pid is None:
                raise ServeFailed("Ray ended while the applications were starting.")
            self._waiting(", ".join(pending))
            await asyncio.sleep(0.3)

    async def _pending(self) -> list[str]:
        try:
            status = await self._api.status()
        except ServeSilent:
            return ["Ray Serve"]
        for name, message in status.failed.items():
            raise ServeFailed(f"The application '{name}' cannot be started: {message[-1500:]}")
        if status.pending or self._ray is None:
            return status.pending
        return await self._api.unknown_routes(self._config)

    async def _keep(self, keeper: Keeper) -> None:
        name = keeper.server.name
        while True:
            await keeper.died()
            self._state.update(phase="recovering")
            log.warning("platform.server_died", server=name)
            try:
                await self._recover(keeper)
            except MedsearchError as error:
                self._state.update(problem=error.message)
                log.error("platform.server_failed", server=name, reason=error.message)
            else:
                log.info("platform.server_back", server=name)

    async def _recover(self, keeper: Keeper) -> None:
        await keeper.revive()
        if keeper is self._ray:
            try:
                await self._deploy()
            except MedsearchError:
                await keeper.clear()
                raise
        if all(other.pid for other in self._keepers):
            self._state.update(phase="ready", problem="", waiting_for="")

    async def _reap(self) -> None:
        """Collect adopted orphans; what is dead in two rounds is nobody else's to collect."""
        before: set[int] = set()
        while True:
            dead = ownership.adopted_zombies({keeper.pid for keeper in self._keepers if keeper.pid})
            ownership.reap(dead & before)
            before = dead
            await asyncio.sleep(1)

    def _waiting(self, what: str) -> None:
        self._state.update(waiting_for=what)
        self._notify(what)

    def _publish(self) -> None:
        running = {keeper.server.name: keeper.pid for keeper in self._keepers if keeper.pid}
        self._state.update(
            servers=running,
            sessions=tuple(keeper.session for keeper in self._keepers if keeper.session),
            restarts={keeper.server.name: keeper.restarts for keeper in self._keepers},
        )
