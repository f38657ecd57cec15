"""Ray Serve's REST API as the platform uses it: deploy a configuration, read what became of it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.platform.ray_node import dashboard_url
from config.settings import Settings
from domain.errors import MedsearchError

CONFIG = Path(__file__).parents[2] / "serve_config.yaml"
APPLICATIONS = "/api/serve/applications/"
STARTED = ("RUNNING", "HEALTHY")
FAILED = ("DEPLOY_FAILED",)


class ServeFailed(MedsearchError):
    """Serve refused the configuration, or an application could not be started."""

    code = "platform.serve"


class ServeSilent(ServeFailed):
    """Serve did not answer in time: on a busy machine it may a moment later."""


@dataclass(frozen=True, slots=True)
class ServeStatus:
    """State and message by application, state by proxy."""

    applications: Mapping[str, tuple[str, str]]
    proxies: Mapping[str, str]

    @property
    def pending(self) -> list[str]:
        """What is not yet up: names of applications, and `http proxy`."""
        waiting = [name for name, (state, _) in self.applications.items() if state not in STARTED]
        up = bool(self.proxies) and all(state in STARTED for state in self.proxies.values())
        return waiting if up else [*waiting, "http proxy"]

    @property
    def failed(self) -> dict[str, str]:
        return {name: message for name, (state, message) in self.applications.items() if state in FAILED}


def read_config(settings: Settings, file: Path = CONFIG) -> dict[str, Any]:
    """The deploy file, its HTTP proxy on the address and port of the settings."""
    config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    config.setdefault("http_options", {}).update(host=settings.http.host, port=settings.http.port)
    return config


class ServeApi:
    """Calls the dashboard of one Ray; every call carries the token."""

    def __init__(self, settings: Settings, token: str) -> None:
        self._address = dashboard_url(settings)
        self._proxy = settings.local_origin
        # What speaks plain HTTP needs no certificates, and reading them takes each client 40 ms.
        secured = self._address.startswith("https:")
        self._trusted = ssl.create_default_context() if secured else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._headers = {"Authorization": f"Bearer {token}"} if settings.ray.auth else {}

    async def node_is_alive(self, seconds: float = 5) -> bool:
        """Whether dashboard and control store answer."""
        try:
            answer = await self._call("GET", "/api/gcs_healthz", seconds)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    async def deploy(self, config: Mapping[str, Any], seconds: float = 120) -> None:
        """Hand the whole configuration over; the applications start afterwards. Raises `ServeFailed`."""
        try:
            answer = await self._call("PUT", APPLICATIONS, seconds, json=config)
        except httpx.HTTPError as error:
            raise ServeFailed(f"Ray Serve does not take the applications: {type(error).__name__}.") from error
        if answer.status_code != httpx.codes.OK:
            raise ServeFailed(f"Ray Serve refused the applications: {answer.text.strip()[-500:]}")

    async def status(self, seconds: float = 10) -> ServeStatus:
        """Raises `ServeSilent` when Serve cannot be asked."""
        try:
            answer = await self._call("GET", APPLICATIONS, seconds)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise ServeSilent(f"Ray Serve does not answer: {type(error).__name__}.") from error
        details = answer.json()
        return ServeStatus(
            {name: (one["status"], _message(one)) for name, one in details["applications"].items()},
            {node: proxy["status"] for node, proxy in details["proxies"].items()},
        )

    async def unknown_routes(self, config: Mapping[str, Any], seconds: float = 5) -> list[str]:
        """Applications whose address the HTTP proxy does not know yet; it learns them a moment later."""
        try:
            async with self._client(seconds) as client:
                known = (await client.get(f"{self._proxy}/-/routes")).json()
        except (httpx.HTTPError, ValueError):
            return ["http proxy"]
        return [one["name"] for one in config["applications"] if one["route_prefix"] not in known]

    async def shutdown(self, seconds: float) -> None:
        """Ask the applications to finish what they do and end; silent when that takes longer."""
        try:
            await self._call("DELETE", APPLICATIONS, seconds)
        except httpx.HTTPError:
            return

    async def _call(self, method: str, path: str, seconds: float, json: Any = None) -> httpx.Response:
        async with self._client(seconds) as client:
            return await client.request(method, self._address + path, headers=self._headers, json=json)

    def _client(self, seconds: float) -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=False, timeout=seconds, verify=self._trusted)


def _message(application: Mapping[str, Any]) -> str:
    """Why an application is not up: its own message, and what each deployment's replicas last died of."""
    parts = [application["message"], *(one["message"] for one in application["deployments"].values())]
    return "\n".join(part.strip() for part in parts if part.strip())
