"""What every application shares, built once a replica."""

from __future__ import annotations

from dataclasses import dataclass

from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Settings
from deployments.edge.token_verifier import TokenVerifier
from stores.activity import RedisSessionActivity
from stores.api_key_directory import PostgresApiKeyDirectory
from stores.audit import PostgresAudit
from stores.keyring import SecretKeys
from stores.ports import ApiKeyDirectory, AuditLog, Keys, RateLimiter, SessionActivity, SessionDirectory
from stores.postgres import Postgres
from stores.rate_limits import WindowRateLimiter
from stores.sessions import PostgresSessionDirectory


@dataclass(frozen=True, slots=True)
class Edge:
    """Settings, policy, and the ports that the middleware stack and the slices use."""

    settings: Settings
    secrets: SecretStore
    policy: AccessPolicy
    sessions: SessionDirectory
    audit: AuditLog
    limiter: RateLimiter
    tokens: TokenVerifier
    keys: Keys
    activity: SessionActivity
    api_keys: ApiKeyDirectory


def open_edge(settings: Settings, secrets: SecretStore) -> Edge:
    """The shared ports on the configured servers; nothing is connected before it is needed."""
    return Edge(
        settings=settings,
        secrets=secrets,
        policy=AccessPolicy.load(),
        sessions=PostgresSessionDirectory(
            Postgres.of(settings, secrets, "auth", "session-reader"), settings.auth.session_cache_seconds
        ),
        audit=PostgresAudit.of(settings, secrets),
        limiter=WindowRateLimiter.of(settings, secrets),
        tokens=TokenVerifier(
            settings.jwks_path, issuer=settings.token_issuer, audience=settings.auth.audience
        ),
        keys=SecretKeys.of(settings, secrets),
        activity=RedisSessionActivity.of(settings, secrets),
        api_keys=PostgresApiKeyDirectory(
            Postgres.of(settings, secrets, "auth", "api-key-reader"), settings.auth.session_cache_seconds
        ),
    )


async def close_edge(edge: Edge) -> None:
    """Close what `open_edge` opened."""
    await edge.sessions.close()
    await edge.audit.close()
    await edge.limiter.close()
    await edge.activity.close()
    await edge.api_keys.close()
