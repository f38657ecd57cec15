"""What the stack must know of a route before the application runs: its template, who may call it, its time.

So a caller without the right is answered before a byte of the body is read, and whatever the body says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from fastapi.dependencies.models import Dependant
from fastapi.params import Body, Form
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from domain.audit import AuditEvent

SCOPE_KEY = "medsearch.route"
REQUESTS = "requests"
"""The window of the rate limit that routes count in."""
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Duration(StrEnum):
    """How long a route may take: `http.request_timeout_seconds`, `transfer_timeout_seconds`, no limit."""

    REQUEST = "request"
    TRANSFER = "transfer"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """One route as the middleware sees it."""

    template: str
    permission: str | None
    """What the caller's role must have; None on a public route."""
    duration: Duration
    json_body: bool
    query_names: frozenset[str]
    audited: AuditEvent | None
    """Event under which refused input is audited."""
    counted: bool
    """Counts against the rate limit."""
    window: str
    """In which of its windows."""


def transfer(endpoint: Endpoint) -> Endpoint:
    """Mark an upload or download: it may take `http.transfer_timeout_seconds`."""
    endpoint.__dict__["edge_duration"] = Duration.TRANSFER
    return endpoint


def stream(endpoint: Endpoint) -> Endpoint:
    """Mark a route that answers as long as the client listens."""
    endpoint.__dict__["edge_duration"] = Duration.STREAM
    return endpoint


def audit_refusals(event: AuditEvent) -> Callable[[Endpoint], Endpoint]:
    """Mark a route whose refused input is audited as `event`."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__["edge_audited"] = event
        return endpoint

    return mark


def uncounted(endpoint: Endpoint) -> Endpoint:
    """Mark a route that probes call: it does not count against the rate limit."""
    endpoint.__dict__["edge_counted"] = False
    return endpoint


def counted_apart(window: str) -> Callable[[Endpoint], Endpoint]:
    """Mark a route that counts against the rate limit in a window of that name, not together with all others."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__["edge_window"] = window
        return endpoint

    return mark


class RouteTable:
    """Finds the facts of the route that will answer."""

    def __init__(self, routes: Sequence[APIRoute]) -> None:
        """Raises `ValueError` for a route that says neither `requires(...)` nor `anyone`."""
        self._routes = [(route, facts_of_route(route)) for route in routes]

    def find(self, scope: Scope) -> RouteFacts | None:
        return next((facts for route, facts in self._routes if route.matches(scope)[0] is Match.FULL), None)


def facts_of(scope: Scope) -> RouteFacts | None:
    """What the stack has found for this request; None when no route matches."""
    found = scope.get(SCOPE_KEY)
    return found if isinstance(found, RouteFacts) else None


def facts_of_route(route: APIRoute) -> RouteFacts:
    """What a route declares; raises `ValueError` unless it says exactly once who may call it."""
    dependants = list(_flat(route.dependant))
    marks = [d.call.edge_permission for d in dependants if d.call and hasattr(d.call, "edge_permission")]
    if len(marks) != 1:
        raise ValueError(f"{route.path}: exactly one of requires(...) and anyone is needed, found {marks}")
    body = route.body_field
    return RouteFacts(
        template=route.path,
        permission=marks[0],
        duration=getattr(route.endpoint, "edge_duration", Duration.REQUEST),
        json_body=body is not None
        and isinstance(body.field_info, Body)
        and not isinstance(body.field_info, Form),
        query_names=frozenset(name for d in dependants for name in _query_names(d)),
        audited=getattr(route.endpoint, "edge_audited", None),
        counted=getattr(route.endpoint, "edge_counted", True),
        window=getattr(route.endpoint, "edge_window", REQUESTS),
    )


def _flat(dependant: Dependant) -> Sequence[Dependant]:
    return [dependant, *(found for inner in dependant.dependencies for found in _flat(inner))]


def _query_names(dependant: Dependant) -> list[str]:
    names = []
    for parameter in dependant.query_params:
        fields = getattr(parameter.field_info.annotation, "model_fields", None)
        names += [f.alias or name for name, f in fields.items()] if fields else [parameter.alias]
    return names
