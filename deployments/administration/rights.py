"""Whose accounts somebody administers: everybody's or those of the own departments, and never the own one."""

from __future__ import annotations

from config.policy import AccessPolicy
from domain.access import Caller
from domain.errors import Conflict, Forbidden, NotFound
from stores.account_lists import SeenAccount

DEPARTMENT = "department:"


class AdministrationRights:
    """Answers by policy. That a role has a permission at all was checked by the route."""

    def __init__(self, policy: AccessPolicy) -> None:
        self._policy = policy

    def within(self, caller: Caller, permission: str) -> frozenset[str] | None:
        """The departments that the caller's right ends at; None: it goes everywhere."""
        match self._policy.scope(caller.role, permission):
            case "department":
                own = (name for name in caller.principals if name.startswith(DEPARTMENT))
                return frozenset(name.removeprefix(DEPARTMENT) for name in own)
            case "all" | "others":
                return None
        return frozenset()

    def check_seen(self, caller: Caller, permission: str, subject: SeenAccount | None) -> SeenAccount:
        """The account, if it is in the caller's reach; else it is missing (`NotFound`)."""
        within = self.within(caller, permission)
        if subject is None or (within is not None and within.isdisjoint(subject.departments)):
            raise missing()
        return subject

    def check_change(self, caller: Caller, permission: str, subject: SeenAccount | None) -> SeenAccount:
        """As `check_seen`; raises `Forbidden` for the own account.

        Department administrators also leave alone who administers or supervises: only roles that a registration
        can ask for are theirs.
        """
        found = self.check_seen(caller, permission, subject)
        if str(found.account.id) == caller.user_id:
            raise Forbidden("This is your own account: somebody else must do that.")
        limited = self.within(caller, permission) is not None
        if limited and found.account.role not in self._policy.requestable:
            raise Forbidden(f"Only an administrator changes an account in the role '{found.account.role}'.")
        return found

    def check_counts(self, role: str, kind: str) -> None:
        """Raises `Conflict` when principals of that kind open nothing for the role."""
        if kind not in self._policy.kinds(role):
            raise Conflict(
                f"This opens nothing for an account in the role '{role}'. Give it another role first.",
                code="account.role_unsuited",
            )


def missing() -> NotFound:
    return NotFound("There is no such account, or you do not administer it.", code="account.not_found")
