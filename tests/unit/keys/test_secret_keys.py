"""Keys in a folder: rotation refuses no valid token, old rows stay readable, processes agree."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.secrets import SecretMissing, SecretStore
from config.settings import Settings
from domain.ids import new_id
from domain.keys import OVERLAP, KeyState, Purpose
from domain.tokens import Claims, PublicKeys, SigningKey, TokenRefused, verify
from stores.field_cipher import FieldCipher
from stores.keyring import SecretKeys, fresh_secret
from stores.ports import KeyUnknown, SealBroken, Sealed
from stores.ring_file import KeyringDamaged, RingFile

START = datetime(2030, 1, 1, tzinfo=UTC)


class Bench:
    """A data folder, and processes (`keys`) that work on it at a time that tests set."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder)
        self.secrets = SecretStore(self.settings.secrets_path)
        self.now = START

    def keys(self, *, generate: bool = True) -> SecretKeys:
        ring = RingFile(self.settings.keyring_path)
        return SecretKeys(
            self.secrets, ring, self.settings.jwks_path, generate=generate, clock=lambda: self.now
        )

    def published(self) -> list[str]:
        return [key["kid"] for key in json.loads(self.settings.jwks_path.read_bytes())["keys"]]

    def token(self, keys: SecretKeys) -> bytes:
        now = int(self.now.timestamp())
        claims = Claims(new_id(), new_id(), "doctor", 1, now, now + 1800, new_id())
        return keys.signing(Purpose.TOKEN).issue(claims, issuer="i", audience="a").encode()

    def verified(self, token: bytes) -> Claims:
        keys = PublicKeys.parse(self.settings.jwks_path.read_bytes())
        return verify(token, keys, issuer="i", audience="a", now=self.now.timestamp())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def names(keys: SecretKeys, purpose: Purpose) -> dict[str, str]:
    return {key.name: key.state.value for key in keys.list(purpose)}


def test_a_first_start_makes_a_key_and_the_next_and_publishes_both(bench: Bench) -> None:
    keys = bench.keys()
    assert names(keys, Purpose.TOKEN) == {"auth-signing-key-2": "next", "auth-signing-key": "current"}
    assert bench.published() == [key.kid for key in keys.list(Purpose.TOKEN)]
    assert names(keys, Purpose.AUDIT_FIELD) == {"audit-field-key": "current"}
    assert "d" not in bench.settings.jwks_path.read_text().replace('"kid"', "").replace("Ed25519", "").split(
        '"'
    )
    secrets = [bench.secrets.resolve(name).get_secret_value() for name in bench.secrets.names()]
    ring = bench.settings.keyring_path.read_text()
    assert not [secret for secret in secrets if secret in ring]
    assert bench.settings.keyring_path.stat().st_mode & 0o777 == 0o600


def test_a28_no_valid_token_is_refused_by_a_rotation(bench: Bench) -> None:
    issuing, rotating = bench.keys(), bench.keys()
    tokens = []
    for _ in range(4):
        tokens.append(bench.token(issuing))
        coming = rotating.list(Purpose.TOKEN)[0]
        assert rotating.rotate(Purpose.TOKEN).current.kid == coming.kid
        tokens.append(bench.token(issuing))
        assert issuing.signing(Purpose.TOKEN).kid == coming.kid
        assert all(bench.verified(token) for token in tokens)
    bench.now += timedelta(seconds=1799)
    assert all(bench.verified(token) for token in tokens)


def test_a_retired_token_key_leaves_when_its_last_token_has_ended(bench: Bench) -> None:
    keys = bench.keys()
    old = keys.signing(Purpose.TOKEN).kid
    keys.rotate(Purpose.TOKEN)
    bench.now += OVERLAP - timedelta(seconds=1)
    keys.signing(Purpose.TOKEN)
    assert old in bench.published()
    bench.now += timedelta(seconds=1)
    keys.signing(Purpose.TOKEN)
    assert old not in bench.published()
    assert names(keys, Purpose.TOKEN) == {"auth-signing-key-3": "next", "auth-signing-key-2": "current"}


def test_a27_a_leaked_key_counts_no_more(bench: Bench) -> None:
    keys, other = bench.keys(), bench.keys()
    token = bench.token(keys)
    other.retire("auth-signing-key")
    with pytest.raises(TokenRefused):
        bench.verified(token)
    assert bench.verified(bench.token(keys))
    assert names(keys, Purpose.TOKEN) == {"auth-signing-key-3": "next", "auth-signing-key-2": "current"}
    keys.retire("auth-signing-key-3")
    assert names(keys, Purpose.TOKEN) == {"auth-signing-key-4": "next", "auth-signing-key-2": "current"}
    with pytest.raises(KeyUnknown):
        keys.retire("postgres-owner")


@pytest.mark.parametrize("purpose", [Purpose.AUDIT_FIELD, Purpose.ACCOUNT_FIELD])
def test_what_was_sealed_is_opened_after_rotations_and_nowhere_else(bench: Bench, purpose: Purpose) -> None:
    keys, other = bench.keys(), bench.keys()
    sealed = [keys.seal(purpose, b"plain", b"row")]
    for _ in range(2):
        other.rotate(purpose)
        sealed.append(keys.seal(purpose, b"plain", b"row"))
    other.retire(sealed[-1].key_name)
    assert [one.key_name for one in sealed] == [purpose.name_of(number) for number in (1, 2, 3)]
    assert keys.seal(purpose, b"", b"").key_name == purpose.name_of(4)
    for one in sealed:
        assert keys.open(one, b"row") == other.open(one, b"row") == bench.keys().open(one, b"row") == b"plain"
        for context, changed in ((b"other row", one), (b"row", replace(one, ciphertext=one.ciphertext[:-1]))):
            with pytest.raises(SealBroken):
                keys.open(changed, context)
    assert len({one.ciphertext for one in sealed}) == 3


def test_rows_of_before_the_ring_are_opened(bench: Bench) -> None:
    secret = bench.secrets.ensure("audit-field-key").get_secret_value()
    sealed = FieldCipher("audit-field-key", secret).seal(b"query", b"row")
    assert bench.keys().open(sealed, b"row") == b"query"


@pytest.mark.parametrize(
    "name", ["audit-field-key-9", "edge-key", "postgres-owner", "auth-signing-key", "../x", ""]
)
def test_a_row_cannot_choose_a_secret(bench: Bench, name: str) -> None:
    bench.secrets.ensure("edge-key")
    bench.secrets.ensure("postgres-owner")
    with pytest.raises(KeyUnknown):
        bench.keys().open(Sealed(b"x" * 32, b"n" * 12, name), b"row")


def test_codes_are_of_one_purpose_key_and_message(bench: Bench) -> None:
    keys = bench.keys()
    code = keys.mac(Purpose.ACCOUNT_FIELD, b"message")
    assert len(code) == 32
    assert bench.keys().mac(Purpose.ACCOUNT_FIELD, b"message") == code
    assert keys.mac(Purpose.ACCOUNT_FIELD, b"massage") != code != keys.mac(Purpose.AUDIT_FIELD, b"message")
    keys.rotate(Purpose.ACCOUNT_FIELD)
    assert keys.mac(Purpose.ACCOUNT_FIELD, b"message") != code
    assert keys.mac(Purpose.ACCOUNT_FIELD, b"message", key_name="account-field-key") == code
    with pytest.raises(KeyUnknown):
        keys.mac(Purpose.ACCOUNT_FIELD, b"message", key_name="auth-signing-key")


def test_heads_verify_with_every_key_there_was(bench: Bench) -> None:
    keys = bench.keys()
    first = keys.signing(Purpose.AUDIT_HEAD)
    signature = first.sign(b"head")
    keys.rotate(Purpose.AUDIT_HEAD)
    assert keys.signing(Purpose.AUDIT_HEAD).kid != first.kid
    keys.public(Purpose.AUDIT_HEAD).by_id[first.kid].verify(signature, b"head")
    assert first.kid not in keys.public(Purpose.TOKEN).by_id


def test_production_makes_nothing_by_itself_and_says_what_to_supply(bench: Bench) -> None:
    keys = bench.keys(generate=False)
    with pytest.raises(SecretMissing, match="'auth-signing-key' is missing"):
        keys.signing(Purpose.TOKEN)
    assert bench.secrets.names() == []
    bench.secrets.create("auth-signing-key", fresh_secret(Purpose.TOKEN))
    assert names(keys, Purpose.TOKEN) == {"auth-signing-key": "current"}


def test_a_rotation_in_a_folder_that_cannot_be_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {name: fresh_secret(Purpose.TOKEN) for name in ("AUTH_SIGNING_KEY", "AUTH_SIGNING_KEY_2")}
    for name, value in values.items():
        monkeypatch.setenv(f"MEDSEARCH_SECRET_{name}", value)
    bench.secrets = SecretStore(Path("/proc/no-such-folder"))
    keys = bench.keys(generate=False)
    rotation = keys.rotate(Purpose.TOKEN)
    assert (rotation.current.name, rotation.missing) == ("auth-signing-key-2", "auth-signing-key-3")
    before = keys.list(Purpose.TOKEN)
    with pytest.raises(SecretMissing, match="auth-signing-key-3"):
        keys.rotate(Purpose.TOKEN)
    assert keys.list(Purpose.TOKEN) == before
    monkeypatch.setenv("MEDSEARCH_SECRET_AUTH_SIGNING_KEY_3", fresh_secret(Purpose.TOKEN))
    assert keys.rotate(Purpose.TOKEN).current.name == "auth-signing-key-3"


def test_a_lost_ring_is_made_anew_from_the_secrets(bench: Bench) -> None:
    keys = bench.keys()
    sealed = keys.seal(Purpose.AUDIT_FIELD, b"plain", b"row")
    for purpose in (Purpose.TOKEN, Purpose.AUDIT_FIELD):
        keys.rotate(purpose)
    token, before = bench.token(keys), names(keys, Purpose.TOKEN)
    bench.settings.keyring_path.unlink()
    again = bench.keys()
    assert names(again, Purpose.TOKEN) == before
    assert again.open(sealed, b"row") == b"plain"
    assert bench.verified(token)
    assert again.seal(Purpose.AUDIT_FIELD, b"", b"").key_name == "audit-field-key-2"


def test_keys_published_before_there_was_a_ring_verify_to_their_end(bench: Bench) -> None:
    former = SigningKey.generate()
    bench.settings.jwks_path.parent.mkdir(parents=True)
    bench.settings.jwks_path.write_text(json.dumps({"keys": [former.public_jwk()]}))
    keys = bench.keys()
    keys.signing(Purpose.TOKEN)
    assert former.kid in bench.published()
    bench.now += OVERLAP
    keys.signing(Purpose.TOKEN)
    assert former.kid not in bench.published()


def test_a_signing_key_replaced_by_hand_is_a_rotation_too(bench: Bench) -> None:
    token = bench.token(bench.keys())
    (bench.secrets.folder / "auth-signing-key").write_text(fresh_secret(Purpose.TOKEN))
    fresh = bench.token(bench.keys())
    assert bench.verified(token) != bench.verified(fresh)
    assert len(bench.published()) == 3


def test_a_sealing_key_replaced_by_hand_is_refused(bench: Bench) -> None:
    bench.keys().seal(Purpose.AUDIT_FIELD, b"plain", b"row")
    (bench.secrets.folder / "audit-field-key").write_text(fresh_secret(Purpose.AUDIT_FIELD))
    with pytest.raises(KeyUnknown, match="another one than it was"):
        bench.keys().seal(Purpose.AUDIT_FIELD, b"plain", b"row")


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"version": 2, "keys": []}', b"\xff\xfe", b"[" * 5000])
def test_a_damaged_ring_says_so_and_nothing_is_made(bench: Bench, damage: bytes) -> None:
    bench.keys().signing(Purpose.TOKEN)
    published, secrets = bench.published(), bench.secrets.names()
    bench.settings.keyring_path.write_bytes(damage)
    for use in (
        lambda keys: keys.signing(Purpose.TOKEN),
        lambda keys: keys.rotate(Purpose.TOKEN),
        lambda keys: keys.seal(Purpose.AUDIT_FIELD, b"", b""),
    ):
        with pytest.raises(KeyringDamaged, match=r"keyring\.json is damaged"):
            use(bench.keys())
    assert (bench.published(), bench.secrets.names()) == (published, secrets)


def test_a_ring_with_two_current_keys_is_damaged(bench: Bench) -> None:
    bench.keys().signing(Purpose.TOKEN)
    text = bench.settings.keyring_path.read_text().replace('"next"', '"current"')
    bench.settings.keyring_path.write_text(text)
    with pytest.raises(KeyringDamaged, match="not one current key"):
        bench.keys().signing(Purpose.TOKEN)


def test_a_published_file_that_is_gone_is_written_again_at_a_start(bench: Bench) -> None:
    bench.keys().signing(Purpose.TOKEN)
    published = bench.settings.jwks_path.read_bytes()
    bench.settings.jwks_path.unlink()
    bench.keys().list(Purpose.TOKEN)
    assert bench.settings.jwks_path.read_bytes() == published


PROCESS = """
import sys
from pathlib import Path
from config.secrets import SecretStore
from config.settings import Settings
from domain.keys import Purpose
from stores.keyring import SecretKeys

settings = Settings(data_dir=Path(sys.argv[1]))
keys = SecretKeys.of(settings, SecretStore(settings.secrets_path))
for _ in range(5):
    keys.signing(Purpose.TOKEN)
    keys.rotate(Purpose.TOKEN)
    keys.rotate(Purpose.AUDIT_FIELD)
"""


def test_processes_that_start_and_rotate_at_once_lose_no_key(tmp_path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    settings = Settings(data_dir=tmp_path)
    keys = SecretKeys.of(settings, SecretStore(settings.secrets_path))
    tokens = keys.list(Purpose.TOKEN)
    assert [key.state for key in tokens[:2]] == [KeyState.NEXT, KeyState.CURRENT]
    assert {key.name for key in tokens} == {Purpose.TOKEN.name_of(number) for number in range(1, 18)}
    published = PublicKeys.parse(settings.jwks_path.read_bytes())
    assert set(published.by_id) == {key.kid for key in tokens}
    assert keys.list(Purpose.AUDIT_FIELD)[0].name == "audit-field-key-16"
