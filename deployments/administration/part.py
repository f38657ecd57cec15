"""Administration and emergency access as parts of the authentication application."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.administration import emergency, routes
from deployments.administration.break_glass import BreakGlassService
from deployments.administration.notices import QueuedNotices
from deployments.administration.rights import AdministrationRights
from deployments.administration.service import AdministrationService
from deployments.administration.subjects import Subjects
from deployments.administration.treatments import TreatmentService
from deployments.auth.shared import Part, Shared
from deployments.edge.cursors import CursorSigner
from stores.break_glass_ends import BreakGlassEnds


def administration(shared: Shared) -> Mapping[str, object]:
    auth = shared.settings.auth
    subjects = Subjects(shared.db, AdministrationRights(shared.edge.policy), shared.trail)
    service = AdministrationService(
        subjects,
        trail=shared.trail,
        throttle=shared.throttle,
        ends=_ends(shared),
        session_seconds=auth.session_seconds,
        mfa_roles=auth.mfa_required_roles,
    )
    return {
        "administration": service,
        "treatments": TreatmentService(subjects),
        "administration_cursors": CursorSigner(shared.secrets),
    }


def emergency_access(shared: Shared) -> Mapping[str, object]:
    service = BreakGlassService(
        shared.db,
        credentials=shared.credentials,
        trail=shared.trail,
        ends=_ends(shared),
        notices=QueuedNotices(),
    )
    return {"break_glass": service}


def _ends(shared: Shared) -> BreakGlassEnds:
    return BreakGlassEnds(shared.edge.audit, shared.edge.policy.roles_of("breakglass"))


ADMINISTRATION = Part(routes.router, administration)
EMERGENCY = Part(emergency.router, emergency_access)
