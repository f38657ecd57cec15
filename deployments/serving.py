"""Everything of Ray Serve that is alpha, in one place: applications built in the replica, and deployment
actors.

Used: `__serve_build_asgi_app__`, `DeploymentActorConfig`, `BackpressureConfig`, and one private function (Ray
2.60).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ray import serve
from ray.serve import Application, Deployment
from ray.serve.config import BackpressureConfig, DeploymentActorConfig
from starlette.types import ASGIApp, Receive, Scope, Send

OVERLOADED = BackpressureConfig(status_code=429, retry_after_s=1)
"""The answer while the queue of an application is full."""


class FullPaths:
    """Lets an application see whole paths: Serve says by `root_path` where it is mounted, our routes are
    complete.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": ""} if "root_path" in scope else scope, receive, send)


def asgi_deployment(name: str, build_app: Callable[..., ASGIApp], **options: Any) -> Deployment:
    """A deployment whose replicas call `build_app` where they run; the app opens its clients in its lifespan.

    Bind it (`.bind(other, ...)`) and `build_app` gets the handles of the bound deployments as arguments.
    """

    class Replica:
        def __init__(self, *handles: Any) -> None:
            keep_replica_on_loopback()
            self._handles = handles

        def __serve_build_asgi_app__(self) -> ASGIApp:
            return FullPaths(build_app(*self._handles))

    Replica.__name__ = Replica.__qualname__ = name
    return serve.deployment(name=name, backpressure_config=OVERLOADED, **options)(serve.ingress()(Replica))


def keep_replica_on_loopback(environment: Mapping[str, str] = os.environ) -> None:
    """To be called in the constructor of every deployment: no replica of a local node listens beyond
    loopback.

    Every replica opens a gRPC port for other replicas on all interfaces and unpickles what it gets there; no
    option moves it, and nothing uses it unless Serve's gRPC transport is switched on. On clusters it stays as
    it is.
    """
    if environment.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") != "0":
        return
    from ray._common.tls_utils import add_port_to_grpc_server
    from ray.serve._private import replica

    def on_loopback(server: Any, address: str) -> Any:
        return add_port_to_grpc_server(server, address.replace("[::]", "127.0.0.1"))

    replica.add_port_to_grpc_server = on_loopback


def deployment_actor(
    name: str, path: str, options: Mapping[str, Any], **arguments: Any
) -> DeploymentActorConfig:
    """An actor that lives as long as a version of the application and comes back when it dies.

    `path` is `module:Class` of a class decorated with `@ray.remote`; `arguments` go to its constructor. While
    a version replaces another, the actors of both live.
    """
    return DeploymentActorConfig(
        name=name, actor_class=path, init_kwargs=arguments, actor_options=dict(options)
    )


__all__ = [
    "Application",
    "Deployment",
    "FullPaths",
    "asgi_deployment",
    "deployment_actor",
    "keep_replica_on_loopback",
]
