"""The part with mailed links: proving an address, and setting a forgotten password."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.auth.recovery import RecoveryService
from deployments.auth.recovery_routes import router
from deployments.auth.shared import Part, Shared


def services(shared: Shared) -> Mapping[str, object]:
    recovery = RecoveryService(
        shared.db,
        credentials=shared.credentials,
        trail=shared.trail,
        limits=shared.mail_limits,
        unlock=shared.throttle.forget,
    )
    return {"recovery": recovery}


PART = Part(router, services)
