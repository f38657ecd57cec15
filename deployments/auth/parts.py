"""Every part of the application at `/api/v1`: one line each, sorted. The gateway describes them too."""

from __future__ import annotations

from deployments.administration import part as administration
from deployments.auth import (
    accounts,
    mailed_links,
    mfa,
    sessions,
)
from deployments.auth.shared import Part

PARTS: tuple[Part, ...] = (
    accounts.PART,
    administration.ADMINISTRATION,
    administration.EMERGENCY,
    mailed_links.PART,
    mfa.PART,
    sessions.PART,
)
