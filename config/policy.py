"""The access policy: which role may do which operation, within which scope (`access_policy.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

SCOPES = frozenset(
    {
        "all",
        "own",
        "listed",
        "readable",
        "deidentified",
        "blind",
        "reasoned",
        "department",
        "others",
        "figures",
    }
)

PRINCIPAL_KINDS = frozenset({"user", "role", "department", "self", "treating", "breakglass"})


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The table as a value. What it does not name is not allowed."""

    roles: tuple[str, ...]
    requestable: tuple[str, ...]
    """Roles that a registration may ask for."""
    table: Mapping[str, Mapping[str, str]]
    """permission -> role -> scope."""
    principals: Mapping[str, frozenset[str]]
    """role -> kinds of principal that count for it."""

    @classmethod
    def load(cls) -> AccessPolicy:
        """The policy that ships with the platform."""
        return cls.parse(files("config").joinpath("access_policy.yaml").read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> AccessPolicy:
        """Read the YAML form; raises `ValueError` for a role, scope or kind that does not exist."""
        content: dict[str, Any] = yaml.safe_load(text)
        roles = tuple(content["roles"])
        table = {name: MappingProxyType(dict(row)) for name, row in content["permissions"].items()}
        for name, row in table.items():
            if unknown := (set(row) - set(roles)) | (set(row.values()) - SCOPES):
                raise ValueError(f"{name}: unknown {sorted(unknown)}")
        if unknown := set(content["requestable"]) - set(roles):
            raise ValueError(f"requestable: unknown {sorted(unknown)}")
        kinds = {role: frozenset(row) for role, row in content["principals"].items()}
        if unknown := (set(kinds) - set(roles)) | (frozenset().union(*kinds.values()) - PRINCIPAL_KINDS):
            raise ValueError(f"principals: unknown {sorted(unknown)}")
        return cls(roles, tuple(content["requestable"]), MappingProxyType(table), MappingProxyType(kinds))

    def scope(self, role: str, permission: str) -> str | None:
        """Within what the role has the permission (a word of the file's head), or None when it has not.

        Raises `KeyError` for a permission that the policy does not know: a typing error is no denial.
        """
        return self.table[permission].get(role)

    def allows(self, role: str, permission: str) -> bool:
        return self.scope(role, permission) is not None

    def kinds(self, role: str) -> frozenset[str]:
        """Kinds of principal that count for the role; none for a role that the policy does not name."""
        return self.principals.get(role, frozenset())

    def roles_of(self, kind: str) -> frozenset[str]:
        """Roles for which principals of that kind count."""
        return frozenset(role for role, kinds in self.principals.items() if kind in kinds)
