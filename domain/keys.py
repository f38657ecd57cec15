"""Keys by name, and the ring that says which of them is in use: pure, without a secret.

A purpose that *signs* has a `next` key, published before it signs anything, so that nobody meets a signature
of a key that they have not seen. A purpose that *seals* opens with its retired keys for as long as there is
something sealed under them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from domain.tokens import LEEWAY_SECONDS, MAX_LIFE_SECONDS

OVERLAP = timedelta(seconds=MAX_LIFE_SECONDS + LEEWAY_SECONDS)
"""How long a retired token key still verifies: the life of the last token that it signed."""

_NUMBERED = re.compile(r"(?P<base>.+?)(?:-(?P<number>[1-9][0-9]*))?")


class Purpose(StrEnum):
    """What a key is for; the value names the secret that holds the first key (`NAME-2` the second)."""

    TOKEN = "auth-signing-key"  # noqa: S105 - a name
    ACCOUNT_FIELD = "account-field-key"
    """Second factors, and links in mails."""
    AUDIT_FIELD = "audit-field-key"
    """Query text and names in the audit trail."""
    AUDIT_HEAD = "audit-head-key"
    """Heads of the audit chain."""

    @property
    def signs(self) -> bool:
        """Ed25519, with a public half; other purposes seal and make codes with a secret of 256 bits."""
        return self in (Purpose.TOKEN, Purpose.AUDIT_HEAD)

    @property
    def lasts(self) -> bool:
        """Whether what was made with a retired key must stay readable or verifiable."""
        return self is not Purpose.TOKEN

    @classmethod
    def of(cls, name: str) -> Purpose | None:
        """The purpose of the key called `name`."""
        found = _NUMBERED.fullmatch(name)
        return next((purpose for purpose in cls if found and purpose == found["base"]), None)

    def name_of(self, number: int) -> str:
        """Name of the `number`-th key, from 1."""
        return self.value if number == 1 else f"{self.value}-{number}"


def number_of(name: str) -> int:
    """Inverse of `Purpose.name_of`."""
    found = _NUMBERED.fullmatch(name)
    return int(found["number"] or 1) if found else 1


class KeyState(StrEnum):
    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key. `until`: when a retired one stops to count (None: never). `since`: its state's beginning."""

    name: str
    purpose: Purpose
    kid: str
    """Thumbprint of a signing key (its JOSE `kid`), a digest of a sealing one: tells that a secret was changed."""
    public: str | None
    """Public half of a signing key, as the `x` of its JWK."""
    state: KeyState
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ring:
    """All keys that count. Every change is a new ring; the state of a key that is handed in does not matter."""

    keys: tuple[KeyInfo, ...] = ()

    def of(self, purpose: Purpose) -> list[KeyInfo]:
        """Next, current, then retired ones, the youngest first."""
        order = list(KeyState)
        found = [key for key in self.keys if key.purpose is purpose]
        return sorted(found, key=lambda key: (order.index(key.state), -key.since.timestamp()))

    def one(self, purpose: Purpose, state: KeyState) -> KeyInfo | None:
        return next((key for key in self.of(purpose) if key.state is state), None)

    def named(self, name: str) -> list[KeyInfo]:
        """More than one when the secret of a signing key was replaced by hand."""
        return [key for key in self.keys if key.name == name]

    def fresh_number(self, purpose: Purpose) -> int:
        """Above every number of the purpose's keys."""
        return max((number_of(key.name) for key in self.of(purpose)), default=0) + 1

    def begun(self, purpose: Purpose, found: Sequence[KeyInfo], now: datetime) -> Ring:
        """A ring for the keys that are there, oldest first: the last one is current, those before retired.

        Of several token keys the last one is next: that is what it was when the ring was lost.
        """
        ring = self
        *known, last = found
        waits = purpose is Purpose.TOKEN and bool(known)
        for key in known if waits else found:
            ring = ring.promoted(key, now)
        return ring.announced(last, now) if waits else ring

    def announced(self, key: KeyInfo, now: datetime) -> Ring:
        """`key` is the next one of its purpose, published from now on; a former next one is dropped."""
        kept = (one for one in self.keys if not (one.purpose is key.purpose and one.state is KeyState.NEXT))
        return Ring((*kept, replace(key, state=KeyState.NEXT, since=now, until=None)))

    def promoted(self, key: KeyInfo, now: datetime) -> Ring:
        """`key` signs or seals from now on; the former current key is retired."""
        kept = (
            self._retired(one, now) if one.purpose is key.purpose and one.state is KeyState.CURRENT else one
            for one in self.keys
            if one.kid != key.kid
        )
        return Ring((*kept, replace(key, state=KeyState.CURRENT, since=now, until=None)))

    def replaced(self, old: KeyInfo, new: KeyInfo, now: datetime) -> Ring:
        """The secret of a signing key holds another key: it takes the old one's place."""
        kept = tuple(one for one in self.keys if one.kid != old.kid)
        known = (self._retired(old, now),) if old.state is KeyState.CURRENT else ()
        return Ring((*kept, *known, replace(new, state=old.state, since=now, until=None)))

    def remembered(self, key: KeyInfo, now: datetime) -> Ring:
        """Also verify with `key`, as with one retired now."""
        if any(one.kid == key.kid for one in self.keys):
            return self
        return Ring((*self.keys, self._retired(key, now)))

    def without(self, name: str) -> Ring:
        """Forget the keys called `name`: what they signed counts no more."""
        return Ring(tuple(key for key in self.keys if key.name != name))

    def lasting(self, now: datetime) -> Ring:
        """Without keys whose time is over."""
        return Ring(tuple(key for key in self.keys if key.until is None or key.until > now))

    @staticmethod
    def _retired(key: KeyInfo, now: datetime) -> KeyInfo:
        until = None if key.purpose.lasts else now + OVERLAP
        return replace(key, state=KeyState.RETIRED, since=now, until=until)
