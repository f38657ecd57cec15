"""The TCP ports that the platform needs, and whether they are free."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from cluster.platform.ray_node import HOST
from config.loading import variable_of
from config.settings import Settings
from domain.errors import MedsearchError


class PortTaken(MedsearchError):
    """Another program listens where we want to."""

    code = "platform.port_taken"


@dataclass(frozen=True, slots=True)
class NeededPort:
    """A port and the setting that moves it."""

    setting: str
    host: str
    port: int
    purpose: str

    @property
    def free(self) -> bool:
        """Whether one could listen there now."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError:
                return False
            return True


def needed_ports(settings: Settings) -> list[NeededPort]:
    if settings.ray.address is not None:
        return []
    return [
        NeededPort("http.port", settings.http.host, settings.http.port, "the API"),
        NeededPort("ray.gcs_port", HOST, settings.ray.gcs_port, "Ray's control store"),
        NeededPort("ray.dashboard_port", HOST, settings.ray.dashboard_port, "Ray's dashboard"),
    ]


def check_ports(settings: Settings) -> None:
    """Raises `PortTaken` naming every taken port and how to choose another."""
    taken = [needed for needed in needed_ports(settings) if not needed.free]
    if taken:
        reasons = [
            f"Port {one.port} on {one.host} ({one.purpose}) cannot be used: another program has it. "
            f"Choose another with {variable_of(one.setting)}=..."
            for one in taken
        ]
        raise PortTaken("\n".join(reasons))
