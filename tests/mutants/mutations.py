"""What is done wrong: in a file, a piece of its text becomes another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutation:
    """`old` must be in the file exactly once."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Rewrite the file below `root`; raises `ValueError` when the code is no longer as it was."""
        path = root / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: {self.old!r} is there {text.count(self.old)} times")
        path.write_text(text.replace(self.old, self.new))


def of(file: str, *pairs: tuple[str, str]) -> list[Mutation]:
    return [Mutation(file, old, new) for old, new in pairs]


MUTATIONS = [
    *of(
        "domain/access.py",
        (
            'frozenset({"user", "self", "breakglass"})',
            'frozenset({"user", "self", "breakglass", "treating"})',
        ),
        ('frozenset({"user", "self", "breakglass"})', 'frozenset({"user", "self"})'),
        ("if kind(p) in RESTRICTED_KINDS)", "if kind(p) not in RESTRICTED_KINDS)"),
        ("return access.principals - {RESEARCHERS}", "return access.principals"),
        ("return access.principals | {RESEARCHERS}", "return access.principals"),
        (" if kind(principal) in kinds)", ")"),
        ("return not effective_principals(access)", "return effective_principals(access)"),
        ("not effective_principals(access).isdisjoint", "not access.principals.isdisjoint"),
        ('f"department:{department}"', 'f"role:{department}"'),
        ('return caller.principals & {f"user:{caller.user_id}"}', "return caller.principals"),
        ("return caller.principals & {RESEARCHERS}", "return caller.principals"),
        ("if any(kind(principal) not in KINDS", "if any(kind(principal) in ()"),
        ('principal.partition(":")[0]', 'principal.partition(":")[2]'),
    ),
    *of(
        "config/policy.py",
        ("return self.table[permission].get(role)", "return self.table.get(permission, {}).get(role)"),
        ("self.scope(role, permission) is not None", "self.scope(role, permission) is None"),
        ("self.principals.get(role, frozenset())", "self.principals.get(role, PRINCIPAL_KINDS)"),
        ("if role in row)", "if role not in row)"),
        ("(set(row) - set(roles))", "set()"),
    ),
    *of(
        "config/access_policy.yaml",
        ("researcher: deidentified, records_manager: own}", "researcher: listed, records_manager: own}"),
        ("metrics.read: {admin: all}", "metrics.read: {admin: all, doctor: all}"),
        ("  patient: [user, role, self]", "  patient: [user, role, self, treating]"),
        ("&trail {privacy_officer: all}", "&trail {privacy_officer: all, admin: all}"),
    ),
    *of(
        "deployments/edge/authentication.py",
        ("if state is None or not state.active or", "if state is None or"),
        ("claims.token_version < state.token_version", "claims.token_version > state.token_version"),
        ("if user not in state.principals or", "if"),
        ("len(roles) != 1", "len(roles) < 1"),
        ("counting(state.principals, self._policy.kinds(roles[0]))", "state.principals"),
        ("Caller(str(claims.subject), roles[0]", "Caller(str(claims.subject), claims.role"),
        ("if not self._policy.allows(caller.role, permission):", "if not permission:"),
        ("await self._authorise(scope, facts, facts.permission)", "pass"),
        ("if len(given) != 1 or", "if"),
    ),
    *of(
        "deployments/documents/rights.py",
        (
            "may_read(self._principals(caller), document.access)",
            "may_read(caller.principals, document.access)",
        ),
        ("str(document.uploaded_by) == caller.user_id", "str(document.uploaded_by) != caller.user_id"),
        ("follows = self._for_others(caller) and", "follows ="),
        ('return scope == "blind" or', 'return scope == "own" or'),
        (
            "caller.user_id in (str(document.owner_id), str(document.uploaded_by))",
            "caller.user_id not in (str(document.owner_id), str(document.uploaded_by))",
        ),
        ('f"self:{named}" not in caller.principals', 'f"self:{named}" in caller.principals'),
        ("if for_other and not self._for_others(caller)", "if for_other and self._for_others(caller)"),
        ("patients = document.metadata.patient is not None and", "patients ="),
        ('(scope == "readable" and (own or patients))', 'scope == "readable"'),
        ("if scope else frozenset()", "if scope else caller.principals"),
        ('caller.role == "department_admin"\n        and ', ""),
    ),
    *of(
        "stores/search/conditions.py",
        ("*(() if also else [visible(access)]),", ""),
        ("filters=(visible(access), Match(should=", "filters=(Match(should="),
        ('OneOf("access", ', 'OneOf("department", '),
        ("if not isinstance(access, AccessFilter):", "if not access:"),
    ),
    *of(
        "stores/search/reading.py",
        ("filters=(visible(access), *selected(filters))", "filters=(*selected(filters),)"),
    ),
    *of(
        "deployments/search/service.py",
        ("AccessFilter(within_scope(caller, allowed))", "AccessFilter(caller.principals)"),
    ),
    *of(
        "domain/tokens.py",
        ('stated.get("aud") != audience', "False"),
        ("expires <= now", "expires < now - 60"),
    ),
]
