"""Keys whose values are secrets: `PURPOSE`, `PURPOSE-2`, ..., from the environment or files (`config.secrets`).

Which of them is in use stands in the ring's file; the public token keys are published beside it, as the JWK Set
that every application verifies with. Both change only under the ring's lock, the published file first: nobody
signs with a key that is not published.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from config.secrets import SecretMissing, SecretStore, fresh_value
from config.settings import Settings
from domain.keys import KeyInfo, KeyState, Purpose, Ring
from domain.tokens import PublicKeys, SigningKey, public_jwk
from stores.field_cipher import FieldCipher
from stores.ports import KeyUnknown, Sealed
from stores.ring_file import RingFile, replace_file

GAP = 20
"""How many numbers may be missing in a row when the keys of a purpose are looked for."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. `missing`: the secret to supply, so that there is a next key again."""

    current: KeyInfo
    missing: str | None = None


class SecretKeys:
    """`Keys` over `SecretStore`. `generate`: make keys that are missing, instead of raising `SecretMissing`."""

    def __init__(
        self,
        secrets: SecretStore,
        ring: RingFile,
        published: Path,
        *,
        generate: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._secrets = secrets
        self._file = ring
        self._published = published
        self._generate = generate
        self._clock = clock
        self._begun: set[Purpose] = set()
        self._signing: dict[str, SigningKey] = {}
        self._ciphers: dict[str, FieldCipher] = {}

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> SecretKeys:
        """Opens nothing: a purpose's keys are looked at, or made, when they are first asked for."""
        ring = RingFile(settings.keyring_path)
        return cls(secrets, ring, settings.jwks_path, generate=not settings.production)

    def list(self, purpose: Purpose) -> tuple[KeyInfo, ...]:
        return tuple(self._ring(purpose).of(purpose))

    def seal(self, purpose: Purpose, plain: bytes, context: bytes) -> Sealed:
        return self._cipher(self._current(purpose)).seal(plain, context)

    def open(self, sealed: Sealed, context: bytes) -> bytes:
        return self._cipher(self._sealing(sealed.key_name)).open(sealed, context)

    def mac(self, purpose: Purpose, message: bytes, *, key_name: str | None = None) -> bytes:
        return self._cipher(self._sealing(key_name) if key_name else self._current(purpose)).mac(message)

    def signing(self, purpose: Purpose) -> SigningKey:
        return self._signing_key(self._current(purpose))

    def public(self, purpose: Purpose) -> PublicKeys:
        return PublicKeys.parse(_key_set(self._ring(purpose), purpose))

    def rotate(self, purpose: Purpose) -> Rotation:
        """The next key, or a new one, is current from now on. The former one goes on to verify and to open.

        Raises `SecretMissing` with the name to supply when there is no key to rotate to and none can be made.
        """
        self._ring(purpose)
        with self._file.locked() as ring:
            now = self._clock()
            key = ring.one(purpose, KeyState.NEXT) or self._successor(ring, purpose)
            if purpose.signs:
                self._signing_key(key)  # raises before anything is changed
            turned = ring.promoted(key, now)
            missing = None
            if purpose is Purpose.TOKEN:
                try:
                    turned = turned.announced(self._successor(turned, purpose), now)
                except SecretMissing:
                    missing = purpose.name_of(turned.fresh_number(purpose))
            self._save(ring, turned.lasting(now))
        return Rotation(key, missing)

    def retire(self, name: str) -> None:
        """For a key that others have got hold of: it is used no more, and tokens that it signed are refused.

        What it sealed is still opened, and heads of the audit chain that it signed still verify. Its secret should be
        removed where it lies, but for those. Raises `KeyUnknown`.
        """
        purpose = Purpose.of(name)
        known = self._ring(purpose).named(name) if purpose else []
        if not purpose or not known:
            raise _unknown(name)
        if any(key.state is KeyState.CURRENT for key in known):
            self.rotate(purpose)
        if purpose.lasts:
            return
        with self._file.locked() as ring:
            left = ring.without(name)
            if any(key.state is KeyState.NEXT for key in ring.named(name)):
                left = left.announced(self._successor(ring, purpose), self._clock())
            self._save(ring, left)

    def _ring(self, purpose: Purpose) -> Ring:
        """The ring, in which the purpose has its keys, without keys whose time is over."""
        ring, now = self._file.read(), self._clock()
        over = any(key.until is not None and key.until <= now for key in ring.of(purpose))
        if purpose in self._begun and ring.of(purpose) and not over:
            return ring
        with self._file.locked() as ring:
            begun = ring if ring.of(purpose) else self._first(ring, purpose, now)
            checked = self._checked(begun, purpose, now) if purpose.signs else begun
            self._save(ring, checked.lasting(now), purpose=purpose)
        self._begun.add(purpose)
        return self._file.read()

    def _first(self, ring: Ring, purpose: Purpose, now: datetime) -> Ring:
        """The ring with what there is of the purpose, and what may be made of it."""
        found = self._found(purpose)
        if not found:
            name = purpose.name_of(1)
            if not self._generate:
                self._secrets.resolve(name)
            self._secrets.ensure(name, fresh_secret(purpose))
            found = [self._info(name, purpose)]
        begun = ring.begun(purpose, found, now)
        if purpose is not Purpose.TOKEN:
            return begun
        if self._generate and begun.one(purpose, KeyState.NEXT) is None:
            name = purpose.name_of(begun.fresh_number(purpose))
            self._secrets.ensure(name, fresh_secret(purpose))
            begun = begun.announced(self._info(name, purpose), now)
        for kid, public in _published_keys(self._published).items():
            key = KeyInfo(purpose.value, purpose, kid, public, KeyState.RETIRED, now)
            begun = begun.remembered(key, now)
        return begun

    def _found(self, purpose: Purpose) -> Sequence[KeyInfo]:
        """The keys whose secrets are there, in the order of their numbers."""
        found, number, last = [], 1, 0
        while number - last <= GAP:
            name = purpose.name_of(number)
            if self._secrets.find(name) is not None:
                found.append(self._info(name, purpose))
                last = number
            number += 1
        return found

    def _checked(self, ring: Ring, purpose: Purpose, now: datetime) -> Ring:
        """The ring, in which a signing key whose secret was replaced by hand is the one that is there."""
        for key in ring.of(purpose):
            if key.state is not KeyState.RETIRED and self._secrets.find(key.name) is not None:
                there = self._info(key.name, purpose)
                ring = ring if there.kid == key.kid else ring.replaced(key, there, now)
        return ring

    def _successor(self, ring: Ring, purpose: Purpose) -> KeyInfo:
        """A key above all others: the secret that was supplied, else a fresh one; else `SecretMissing`."""
        name = purpose.name_of(ring.fresh_number(purpose))
        if self._secrets.find(name) is None:
            try:
                self._secrets.create(name, fresh_secret(purpose))
            except OSError:
                self._secrets.resolve(name)
        return self._info(name, purpose)

    def _save(self, before: Ring, ring: Ring, *, purpose: Purpose = Purpose.TOKEN) -> None:
        if purpose is Purpose.TOKEN and ring.of(purpose):
            document = _key_set(ring, purpose)
            if not self._published.exists() or self._published.read_bytes() != document:
                replace_file(self._published, document, mode=0o644)
        if ring != before:
            self._file.write(ring)

    def _current(self, purpose: Purpose) -> KeyInfo:
        key = self._ring(purpose).one(purpose, KeyState.CURRENT)
        if key is None:
            raise _unknown(purpose.value)
        return key

    def _sealing(self, name: str) -> KeyInfo:
        purpose = Purpose.of(name)
        known = self._ring(purpose).named(name) if purpose and not purpose.signs else []
        if not known:
            raise _unknown(name)
        return known[0]

    def _signing_key(self, key: KeyInfo) -> SigningKey:
        known = self._signing.get(key.kid)
        if known is None:
            known = _parsed(key.name, self._value(key.name))
            if known.kid != key.kid:
                raise _unknown(key.name)
            self._signing[key.kid] = known
        return known

    def _cipher(self, key: KeyInfo) -> FieldCipher:
        known = self._ciphers.get(key.kid)
        if known is None:
            known = FieldCipher(key.name, self._value(key.name))
            if known.kid != key.kid:
                raise _unknown(key.name)
            self._ciphers[key.kid] = known
        return known

    def _info(self, name: str, purpose: Purpose) -> KeyInfo:
        value = self._secrets.resolve(name).get_secret_value()
        if purpose.signs:
            key = _parsed(name, value)
            return KeyInfo(name, purpose, key.kid, key.public, KeyState.NEXT, self._clock())
        return KeyInfo(name, purpose, FieldCipher(name, value).kid, None, KeyState.NEXT, self._clock())

    def _value(self, name: str) -> str:
        try:
            return self._secrets.resolve(name).get_secret_value()
        except SecretMissing:
            raise _unknown(name) from None


def fresh_secret(purpose: Purpose) -> str:
    """A new value for a key: a private JWK (RFC 8037), or 256 random bits as text."""
    return SigningKey.generate().to_secret() if purpose.signs else fresh_value()


def _parsed(name: str, secret: str) -> SigningKey:
    try:
        return SigningKey.parse(secret)
    except ValueError as error:
        raise KeyUnknown(f"The secret '{name}' is no signing key: {error}.") from None


def _key_set(ring: Ring, purpose: Purpose) -> bytes:
    """The JWK Set (RFC 7517) of a purpose that signs."""
    keys = [public_jwk(key.kid, key.public) for key in ring.of(purpose) if key.public is not None]
    return json.dumps({"keys": keys}, indent=1).encode()


def _published_keys(path: Path) -> dict[str, str]:
    """`kid` and public half of what was published before there was a ring."""
    try:
        entries = json.loads(path.read_bytes())["keys"]
        return {entry["kid"]: entry["x"] for entry in entries}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _unknown(name: str) -> KeyUnknown:
    return KeyUnknown(
        f"The key '{name}' is not there, or its secret is another one than it was. Bring the secret back."
    )
