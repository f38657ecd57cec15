"""Authorization server metadata (RFC 8414): where the keys are that access tokens are verified with."""

from __future__ import annotations

from deployments.edge.schemas import StrictModel


class ServerMetadata(StrictModel):
    """Logins are calls of our own (`POST /api/v1/auth/login`), so no OAuth flow is offered here."""

    issuer: str
    jwks_uri: str
    response_types_supported: list[str]
    grant_types_supported: list[str]
    service_documentation: str


def server_metadata(issuer: str, origin: str) -> ServerMetadata:
    """`issuer`: `iss` of the tokens; `origin`: the address that users see."""
    return ServerMetadata(
        issuer=issuer,
        jwks_uri=f"{origin}/.well-known/jwks.json",
        response_types_supported=[],
        grant_types_supported=[],
        service_documentation=f"{origin}/docs",
    )
