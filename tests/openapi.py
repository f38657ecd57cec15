"""The merged OpenAPI document as tests walk through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.gateway.catalogue import merged_openapi, slice_routers
from deployments.gateway.routes import router as gateway


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint; `permission` is the policy's name for it, or `anyone`."""

    method: str
    path: str
    permission: str
    detail: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def takes_json(self) -> bool:
        return "application/json" in self.detail.get("requestBody", {}).get("content", {})


def document() -> dict[str, Any]:
    """What `/openapi.json` answers."""
    return merged_openapi([*slice_routers(), gateway])


def operations(of: Mapping[str, Any] | None = None) -> list[Operation]:
    """All endpoints of all services, in the document's order."""
    return [
        Operation(method.upper(), path, detail.get("x-permission", ""), detail)
        for path, methods in (of or document())["paths"].items()
        for method, detail in methods.items()
    ]


def asked(operation: Operation) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Names and schemas of everything that a request may carry, but for bytes of documents."""
    for parameter in operation.detail.get("parameters", []):
        yield f"{parameter['in']} {parameter['name']}", parameter["schema"]
    for kind, content in operation.detail.get("requestBody", {}).get("content", {}).items():
        if kind == "application/json":
            yield "body", content["schema"]
