"""Secrets by name: `postgres-auth` is the environment's `MEDSEARCH_SECRET_POSTGRES_AUTH` or a file of that
name.

Only names travel between processes; each process resolves what it needs, when it needs it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

ENVIRONMENT_PREFIX = "MEDSEARCH_SECRET_"
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


class SecretMissing(LookupError):
    """The named secret is neither in the environment nor in the folder."""


@dataclass(frozen=True, slots=True)
class SecretStore:
    """Looks secrets up, first in the environment, then in a folder with one 0600 file a name."""

    folder: Path

    def resolve(self, name: str, environment: Mapping[str, str] | None = None) -> SecretStr:
        """The secret called `name`; raises `SecretMissing` with where it was looked for."""
        value = self.find(name, environment)
        if value is None:
            raise SecretMissing(
                f"secret '{name}' is missing: set {variable(name)} or write {self.folder / name}"
            )
        return value

    def find(self, name: str, environment: Mapping[str, str] | None = None) -> SecretStr | None:
        """As `resolve`, but None when there is none."""
        given = (os.environ if environment is None else environment).get(variable(name))
        if given:
            return SecretStr(given)
        try:
            return SecretStr((self.folder / name).read_text(encoding="utf-8").rstrip("\n"))
        except FileNotFoundError:
            return None

    def ensure(self, name: str, value: str | None = None) -> SecretStr:
        """The secret, made (256 random bits unless `value` is given) when it does not exist yet."""
        existing = self.find(name)
        if existing is not None:
            return existing
        fresh = value or fresh_value()
        if self.create(name, fresh):
            self._mark(name).write_text(_digest(fresh), encoding="ascii")
        return self.resolve(name)

    def create(self, name: str, value: str) -> bool:
        """Write the file durably, for its owner alone; False, and nothing done, when there is one."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self.folder / f".{name}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, self.folder / name)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def names(self) -> list[str]:
        """The secrets in the folder."""
        files = self.folder.iterdir() if self.folder.is_dir() else []
        return sorted(file.name for file in files if _NAME.fullmatch(file.name))

    def is_generated(self, name: str) -> bool:
        """Whether the current value of `name` was made by `ensure`, not by a person."""
        value = self.find(name)
        try:
            return value is not None and self._mark(name).read_text(encoding="ascii") == _digest(
                value.get_secret_value()
            )
        except FileNotFoundError:
            return False

    def origin(self, name: str, environment: Mapping[str, str] | None = None) -> str | None:
        """Where `name` would be taken from: a variable, a file (and whether it was generated), or None."""
        if self.find(name, environment) is None:
            return None
        if (os.environ if environment is None else environment).get(variable(name)):
            return variable(name)
        return f"{self.folder / name}" + (" (generated)" if self.is_generated(name) else "")

    def _mark(self, name: str) -> Path:
        """Holds the digest of a generated value: what a person writes later does not count as generated."""
        return self.folder / f".{name}.generated"


def fresh_value() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def variable(name: str) -> str:
    """The environment variable that may carry the secret `name`."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' is not a secret's name")
    return ENVIRONMENT_PREFIX + name.upper().replace("-", "_")
