"""Where the command line keeps a login: one file of the user's own, mode 0600, with tokens by origin."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Tokens:
    """One login; `expires_at` is the access token's end in seconds since the epoch."""

    access_token: str
    refresh_token: str
    expires_at: float


class TokenStore(Protocol):
    """The login of one origin, shared by every process that uses it."""

    def read(self) -> Tokens | None: ...

    def write(self, tokens: Tokens | None) -> None: ...

    def exclusive(self) -> Any:
        """A context in which nobody else renews: a refresh token may be used once only."""
        ...


class MemoryTokens:
    """The login of this process alone."""

    def __init__(self) -> None:
        self._tokens: Tokens | None = None

    def read(self) -> Tokens | None:
        return self._tokens

    def write(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        yield


class FileTokens:
    """Tokens of `origin` in `folder`/logins.json."""

    def __init__(self, folder: Path, origin: str) -> None:
        self._path = folder / "logins.json"
        self._origin = origin

    def read(self) -> Tokens | None:
        entry = self._all().get(self._origin)
        return Tokens(**entry) if entry else None

    def write(self, tokens: Tokens | None) -> None:
        """Replace the login, or forget it; the file is replaced in one step."""
        entries = self._all()
        entries.pop(self._origin, None)
        if tokens is not None:
            entries[self._origin] = asdict(tokens)
        temporary = self._path.with_suffix(f".{os.getpid()}")
        self._prepare()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(entries, file)
        temporary.replace(self._path)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        self._prepare()
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _all(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return {}

    def _prepare(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def login_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's configuration folder (XDG base directories)."""
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "medsearch"
