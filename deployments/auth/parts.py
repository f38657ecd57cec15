"""Every part of the application at `/api/v1`: one line each, sorted. The gateway describes them too."""

from __future__ import annotations

from deployments.administration import part as administration
from deployments.audit import part as audit
from deployments.auth import (
    accounts,
    api_keys,
    mailed_links,
    mfa,
    oidc,
    sessions,
)
from deployments.auth.shared import Part

PARTS: tuple[Part, ...] = (
    accounts.PART,
    administration.ADMINISTRATION,
    administration.EMERGENCY,
    api_keys.PART,
    audit.PART,
    mailed_links.PART,
    mfa.PART,
    oidc.PART,
    sessions.PART,
)
