"""Who may read what: principals, access lists and the one decision.

The index stores the same set that decides (`effective_principals`), so that every search filter and the decision are
one intersection. An empty principal set matches nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from domain.api_keys import NEVER

RESTRICTED_KINDS = frozenset({"user", "self", "breakglass"})
"""Kinds of principal that still count on a restricted document."""

KINDS = frozenset({"user", "role", "department", "self", "treating", "breakglass"})


class Sensitivity(StrEnum):
    NORMAL = "normal"
    RESTRICTED = "restricted"
    DEIDENTIFIED = "deidentified"


RESEARCHERS = "role:researcher"
"""The principal that opens de-identified documents, and no others, listed or not."""


@dataclass(frozen=True, slots=True)
class Access:
    """A document's access list (principals such as `user:ID`) and its sensitivity."""

    principals: frozenset[str]
    sensitivity: Sensitivity = Sensitivity.NORMAL


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated account, as derived on the server. `role` is the approved one."""

    user_id: str
    role: str
    principals: frozenset[str]
    session_id: str | None = None
    restriction: str | None = None
    """`mfa`: a second factor must be set up before anything else."""
    scopes: frozenset[str] | None = None
    """Permissions that an API key was made for; None: a session, with all of the role's."""
    api_key: str | None = None
    """Prefix of the API key that is used."""

    def __post_init__(self) -> None:
        if any(kind(principal) not in KINDS for principal in self.principals):
            raise ValueError("unknown kind of principal")

    @property
    def through(self) -> str | None:
        """What the audit trail has as the session: its id, or `key:PREFIX`."""
        return f"key:{self.api_key}" if self.api_key else self.session_id

    def granted(self, permission: str) -> bool:
        """Whether the key that is used was made for this too. Always, with a session: then the role decides."""
        return self.scopes is None or (permission in self.scopes and permission not in NEVER)


def kind(principal: str) -> str:
    """`user` of `user:ID`."""
    return principal.partition(":")[0]


def effective_principals(access: Access) -> frozenset[str]:
    """The principals that open the document. This set is what the index stores as its access list.

    Researchers read de-identified documents only: listing them elsewhere opens nothing. Sensitivity is thereby
    decided when the list is written, so that the decision and every search filter are one set intersection and
    cannot drift apart.
    """
    match access.sensitivity:
        case Sensitivity.RESTRICTED:
            return frozenset(p for p in access.principals if kind(p) in RESTRICTED_KINDS)
        case Sensitivity.DEIDENTIFIED:
            return access.principals | {RESEARCHERS}
        case Sensitivity.NORMAL:
            return access.principals - {RESEARCHERS}


def counting(principals: Iterable[str], kinds: Collection[str]) -> frozenset[str]:
    """Those of an account's principals that count for its role: the ones of `kinds` (the policy's table).

    What is left over from another role (a department, a treatment relation) opens nothing.
    """
    return frozenset(principal for principal in principals if kind(principal) in kinds)


def may_read(principals: Iterable[str], access: Access) -> bool:
    """True when one of the caller's principals opens the document."""
    return not effective_principals(access).isdisjoint(principals)


def default_access(owner_id: str, *, patient: str | None, department: str | None) -> frozenset[str]:
    """The access list of a new document.

    With a patient: the owner and that patient's self, treating and break-glass principals; the department is
    then metadata only. Without: the owner and, when given, the department.
    """
    fixed = fixed_access(owner_id, patient)
    return fixed | {f"department:{department}"} if department and patient is None else fixed


def fixed_access(owner_id: str, patient: str | None) -> frozenset[str]:
    """What every list of that owner's document of that patient has, whoever it is shared with."""
    kinds = ("self", "treating", "breakglass") if patient is not None else ()
    return frozenset({f"user:{owner_id}", *(f"{kind}:{patient}" for kind in kinds)})


def within_scope(caller: Caller, scope: str) -> frozenset[str]:
    """The caller's principals that count when the policy lets the role read within `scope`.

    `listed`: all of them; `own`: only the account itself; `deidentified`: only the researchers' principal. Raises
    `ValueError` for a scope that says nothing about reading.
    """
    match scope:
        case "listed":
            return caller.principals
        case "own":
            return caller.principals & {f"user:{caller.user_id}"}
        case "deidentified":
            return caller.principals & {RESEARCHERS}
        case _:
            raise ValueError(f"no scope for reading: {scope}")
