"""The composition root of the HTTP side: one builder for each application of `serve_config.yaml`.

A builder runs in a Ray task; the applications themselves are built in their replicas, from the environment of
the node, so that nothing but names travels. Sizes (replicas, CPUs, queues) are in `serve_config.yaml`.
"""

# No `from __future__ import annotations`: Ray Serve reads the builders' annotations to validate `args`.

import functools
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray.serve import Application, Deployment
from starlette.types import ASGIApp

from config.loading import load_settings
from config.logs import configure_logging
from config.secrets import SecretStore
from deployments.serving import asgi_deployment, deployment_actor

DEPLOYMENT_ACTORS = {
    "pool-supervisor": "actors.remote:PoolSupervisorActor",
    "index-writer": "actors.remote:IndexWriterActor",
    "event-pump": "actors.remote:EventPumpActor",
}
"""What works behind the processing application: each stands by until it holds its advisory lock."""


class ApplicationArgs(BaseModel):
    """`args` of every application.

    They come back in clear from Serve's REST API: names only, never secrets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(
        "1", max_length=64, description="Another value replaces all replicas, new ones first."
    )


def gateway(args: ApplicationArgs) -> Application:
    """Documentation, health, metrics: whatever no longer prefix takes."""
    return _deployment("gateway").bind()


def auth(args: ApplicationArgs) -> Application:
    """Accounts, sessions, tokens."""
    return _deployment("auth").bind()


def documents(args: ApplicationArgs) -> Application:
    """Uploads, documents, their state."""
    return _deployment("documents").bind()


def search(args: ApplicationArgs) -> Application:
    """Search; query texts are embedded by a deployment of their own, in batches."""
    from deployments.query_encoder.deployment import query_encoder

    return _deployment("search").bind(query_encoder().bind())


def processing(args: ApplicationArgs) -> Application:
    """Operating the pools; the actors that do the work belong to this application."""
    actors = [deployment_actor(name, path, {"num_cpus": 0}) for name, path in DEPLOYMENT_ACTORS.items()]
    return _deployment("processing", deployment_actors=actors).bind()


def _deployment(name: str, **options: Any) -> Deployment:
    queued = load_settings().settings.http.max_queued_requests
    return asgi_deployment(name, functools.partial(build, name), max_queued_requests=queued, **options)


def build(name: str, *handles: Any) -> ASGIApp:
    """The application of the slice `deployments.NAME`, in the process that will answer."""
    settings = load_settings().settings
    configure_logging(settings.log, component=name)
    app: ASGIApp = import_module(f"deployments.{name}.app").build_app(
        settings, SecretStore(settings.secrets_path), *handles
    )
    return app
