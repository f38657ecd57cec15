"""The file that says which keys are in use. It holds names, states and public halves: no secret."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from domain.errors import Unavailable
from domain.keys import KeyInfo, KeyState, Purpose, Ring


class KeyringDamaged(Unavailable):
    """The file cannot be read as a ring: nothing is signed, sealed or opened until a person has looked (503)."""

    code = "keys.ring_damaged"


class _Key(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    purpose: Purpose
    kid: str
    public: str | None
    state: KeyState
    since: AwareDatetime
    until: AwareDatetime | None


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    keys: tuple[_Key, ...]


class RingFile:
    """Read again when it has changed (by its stat), written in one step by whoever holds the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._ring = Ring()

    def read(self) -> Ring:
        """The ring; an empty one while there is no file. Raises `KeyringDamaged`."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._ring = None, Ring()
            return self._ring
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp != self._stamp:
            self._ring = self._parsed(self._path.read_bytes())
            self._stamp = stamp
        return self._ring

    @contextmanager
    def locked(self) -> Iterator[Ring]:
        """The ring, which no other process or thread changes until the block ends."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self.read()
        finally:
            os.close(descriptor)

    def write(self, ring: Ring) -> None:
        """Replace the file durably; call it while it is `locked`."""
        keys = TypeAdapter(tuple[KeyInfo, ...]).dump_python(ring.keys, mode="json")
        content = _Content.model_validate({"version": 1, "keys": keys})
        replace_file(self._path, content.model_dump_json(indent=1).encode(), mode=0o600)

    def _parsed(self, document: bytes) -> Ring:
        try:
            content = _Content.model_validate_json(document)
        except ValidationError as error:
            raise self._damaged(f"{error.error_count()} errors") from None
        ring = Ring(tuple(KeyInfo(**dict(key)) for key in content.keys))
        for purpose in Purpose:
            states = [key.state for key in ring.of(purpose)]
            if states and (states.count(KeyState.CURRENT) != 1 or states.count(KeyState.NEXT) > 1):
                raise self._damaged(f"{purpose.value} has not one current key")
        return ring

    def _damaged(self, why: str) -> KeyringDamaged:
        return KeyringDamaged(
            f"{self._path} is damaged ({why}). Bring it back from a backup; without one, remove it: it is made "
            "anew from the secrets that are there."
        )


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Write `path` durably in one step: readers see the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
