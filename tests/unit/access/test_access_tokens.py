"""Rows A20 to A26 of docs/security.md: what is not exactly one of our tokens is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from domain.tokens import Claims, PublicKeys, SigningKey, TokenRefused, verify

NOW = 1_800_000_000
KEY = SigningKey.generate()
KEYS = PublicKeys.parse(json.dumps({"keys": [KEY.public_jwk()]}).encode())
CLAIMS = Claims(UUID(int=1), UUID(int=2), "doctor", 3, NOW, NOW + 1800, UUID(int=4))
TOKEN = KEY.issue(CLAIMS, issuer="medsearch", audience="api")
HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.kid}
PAYLOAD: dict[str, Any] = {
    "iss": "medsearch", "aud": "api", "sub": str(UUID(int=1)), "sid": str(UUID(int=2)), "iat": NOW,
    "nbf": NOW, "exp": NOW + 1800, "jti": str(UUID(int=4)), "roles": ["doctor"], "ver": 3,
}  # fmt: skip


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def text(value: Any) -> str:
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def private(key: SigningKey = KEY) -> Ed25519PrivateKey:
    seed = json.loads(key.to_secret())["d"]
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(seed + "="))


def signed(header: Any = None, payload: Any = None) -> str:
    """A token with a right signature over whatever header and payload are given."""
    body = f"{text(HEADER if header is None else header)}.{text(PAYLOAD if payload is None else payload)}"
    return f"{body}.{b64(private().sign(body.encode()))}"


def accepted(token: str | bytes, keys: PublicKeys = KEYS, now: float = NOW) -> Claims:
    raw = token if isinstance(token, bytes) else token.encode()
    return verify(raw, keys, issuer="medsearch", audience="api", now=now)


def reason(token: str | bytes, keys: PublicKeys = KEYS, now: float = NOW) -> str:
    with pytest.raises(TokenRefused) as refused:
        accepted(token, keys, now)
    assert refused.value.code in ("auth.invalid_token", "auth.token_expired")
    return refused.value.reason


def test_id3_our_own_token_is_accepted() -> None:
    assert accepted(TOKEN) == CLAIMS
    assert accepted(signed()) == CLAIMS


def test_a_key_survives_its_secret() -> None:
    again = SigningKey.parse(KEY.to_secret())
    assert accepted(again.issue(CLAIMS, issuer="medsearch", audience="api")) == CLAIMS
    with pytest.raises(ValueError):
        SigningKey.parse(json.dumps({"kty": "oct", "k": "AA"}))


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", None, 0, [], "HS256", "EdDSA ", "eddsa", "Ed25519"]
)
def test_a20_no_other_algorithm(alg: Any) -> None:
    header, payload = text(HEADER | {"alg": alg}), text(PAYLOAD)
    assert reason(f"{header}.{payload}.{TOKEN.split('.')[2]}") == "algorithm_or_type"
    assert reason(signed(HEADER | {"alg": alg})) == "algorithm_or_type"
    assert reason(f"{header}.{payload}.") == "malformed"
    assert reason(f"{header}.{payload}") == "malformed"


def test_a20_an_empty_signature_or_half_of_one() -> None:
    header, payload, signature = TOKEN.split(".")
    assert reason(f"{header}.{payload}.") == "malformed"
    assert reason(f"{header}.{payload}.{signature[:43]}") in ("malformed", "algorithm_or_type")


@pytest.mark.parametrize("form", ["pem", "der", "jwk", "raw", "x"])
def test_a21_the_public_key_is_no_shared_secret(form: str) -> None:
    public = private().public_key()
    encoding, layout = serialization.Encoding, serialization.PublicFormat
    secret = {
        "pem": public.public_bytes(encoding.PEM, layout.SubjectPublicKeyInfo),
        "der": public.public_bytes(encoding.DER, layout.SubjectPublicKeyInfo),
        "raw": public.public_bytes(encoding.Raw, layout.Raw),
        "jwk": json.dumps(KEY.public_jwk()).encode(),
        "x": KEY.public_jwk()["x"].encode(),
    }[form]
    for alg in ("HS256", "EdDSA"):
        body = f"{text(HEADER | {'alg': alg})}.{text(PAYLOAD)}"
        mac = hmac.digest(secret, body.encode(), hashlib.sha512)
        assert reason(f"{body}.{b64(mac)}") in ("algorithm_or_type", "signature")


@pytest.mark.parametrize(
    "kid",
    [
        "../../dev/null",
        "' OR 1=1 --",
        "https://evil.example/keys",
        "unknown",
        "",
        None,
        0,
        ["a"],
        {"a": 1},
        pytest.param(KEY.kid + " ", id="ours and a blank"),
    ],
)
def test_a22_a_key_id_is_only_looked_up(kid: Any) -> None:
    assert reason(signed(HEADER | {"kid": kid})) == "unknown_key"


@pytest.mark.parametrize(
    "name", ["jku", "x5u", "jwk", "x5c", "x5t", "crit", "b64", "zip", "cty", "enc", "foo"]
)
def test_a22_a24_a_header_with_anything_more(name: str) -> None:
    assert reason(signed(HEADER | {name: "https://evil.example/"})) == "header"
    assert reason(signed(HEADER | {name: []})) == "header"


@pytest.mark.parametrize("name", ["alg", "typ", "kid"])
def test_a_header_with_anything_less(name: str) -> None:
    assert reason(signed({key: value for key, value in HEADER.items() if key != name})) == "header"


def test_a23_every_other_spelling_of_the_signature() -> None:
    """Padding, foreign characters, and the other spellings of the last character with its unused bits."""
    header, payload, signature = TOKEN.split(".")
    for odd in (
        signature + "=",
        signature + "==",
        signature + "A",
        signature + "AAAA",
        signature[:-1],
        signature + "\n",
    ):
        assert reason(f"{header}.{payload}.{odd}") != ""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    others = [signature[:-1] + letter for letter in alphabet if letter != signature[-1]]
    found = [reason(f"{header}.{payload}.{other}") for other in others]
    assert (
        sorted(found) == ["malformed"] * 60 + ["signature"] * 3
    )  # 4 of 64 spellings have their unused bits zero
    for part in range(3):
        pieces = TOKEN.split(".")
        pieces[part] = pieces[part].replace("-", "+").replace("_", "/") + ("" if "-" in pieces[part] else "=")
        assert reason(".".join(pieces)) == "malformed"


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_a23_no_single_character_can_be_changed(place: int, other: str) -> None:
    changed = TOKEN[:place] + other + TOKEN[place + 1 :]
    if changed != TOKEN:
        assert reason(changed)


@given(st.binary(max_size=300))
def test_a23_bytes_are_refused_never_a_crash(noise: bytes) -> None:
    assert reason(noise)
    header, payload, _ = TOKEN.split(".")
    assert reason(f"{header}.{payload}.".encode() + noise)


def test_a23_a_signature_with_the_order_added_is_no_second_spelling() -> None:
    header, payload, signature = TOKEN.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 2**252 + 27742317777372353535851937790883648493
    stretched = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    assert reason(f"{header}.{payload}.{b64(stretched)}") == "signature"


def test_a23_a_member_named_twice() -> None:
    twice = json.dumps(HEADER)[:-1] + ',"alg":"EdDSA"}'
    assert reason(signed(header=twice.encode())) == "malformed"
    claims = json.dumps(PAYLOAD)[:-1] + ',"ver":9}'
    assert reason(signed(payload=claims.encode())) == "signature"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"{", b"\xff", b"[" * 5000, b'{"a":NaN}', b""])
def test_a23_parts_that_are_no_json_object(body: bytes) -> None:
    assert reason(signed(header=body)) == "malformed"
    assert reason(signed(payload=body)) in ("signature", "malformed")


def _jwk(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (KEY.public_jwk() | changes).items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": ["verify", "sign"]},
        {"alg": "HS256"},
        {"crv": "Ed448"},
        {"crv": "X25519"},
        {"kty": "oct"},
        {"d": "AAAA"},
        {"x": None},
        {"x": KEY.public_jwk()["x"] + "="},
        {"x": KEY.public_jwk()["x"][:-2]},
        {"kid": "../" + KEY.kid},
        {"kid": 7},
    ],
)
def test_a23_keys_of_another_kind_do_not_verify(changes: dict[str, Any]) -> None:
    keys = PublicKeys.parse(json.dumps({"keys": [_jwk(**changes)]}).encode())
    assert keys.by_id == {}
    assert reason(TOKEN, keys) == "unknown_key"


def test_a23_a_key_id_given_twice_is_nobodys() -> None:
    other = SigningKey.generate().public_jwk() | {"kid": KEY.kid}
    third = SigningKey.generate().public_jwk()
    keys = PublicKeys.parse(json.dumps({"keys": [KEY.public_jwk(), other, third]}).encode())
    assert set(keys.by_id) == {third["kid"]}


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[],"keys":[]}', b"\xff"])
def test_a_key_file_that_is_none(document: bytes) -> None:
    with pytest.raises(ValueError):
        PublicKeys.parse(document)


def test_a23_wrong_curves_and_foreign_keys() -> None:
    body = f"{text(HEADER)}.{text(PAYLOAD)}"
    foreign = Ed25519PrivateKey.generate().sign(body.encode())
    p256 = ec.generate_private_key(ec.SECP256R1()).sign(
        body.encode(),
        ec.ECDSA(SHA256()),
    )
    for signature in (
        foreign,
        p256[:64].ljust(64, b"\0"),
        ed448.Ed448PrivateKey.generate().sign(body.encode())[:64],
    ):
        assert reason(f"{body}.{b64(signature)}") == "signature"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "other"}, "issuer_or_audience"),
        ({"iss": None}, "issuer_or_audience"),
        ({"iss": ["medsearch"]}, "issuer_or_audience"),
        ({"aud": "other"}, "issuer_or_audience"),
        ({"aud": ["api"]}, "issuer_or_audience"),
        ({"aud": ["api", "other"]}, "issuer_or_audience"),
        ({"sub": "1"}, "claims"),
        ({"sub": None}, "claims"),
        ({"sub": str(UUID(int=1)).replace("-", "")}, "claims"),
        ({"sid": str(UUID(int=2)).upper() + " "}, "claims"),
        ({"jti": 5}, "claims"),
        ({"roles": "doctor"}, "claims"),
        ({"roles": []}, "claims"),
        ({"roles": ["doctor", "admin"]}, "claims"),
        ({"roles": [1]}, "claims"),
        ({"ver": "3"}, "claims"),
        ({"ver": True}, "claims"),
        ({"ver": 3.0}, "claims"),
    ],
)
def test_a24_other_claims(changes: dict[str, Any], why: str) -> None:
    assert reason(signed(payload=PAYLOAD | changes)) == why


@pytest.mark.parametrize("typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "rt+jwt", "", None, 1])
def test_a24_another_type_of_token(typ: Any) -> None:
    assert reason(signed(HEADER | {"typ": typ})) == "algorithm_or_type"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": NOW, "iat": NOW - 100, "nbf": NOW - 100}, "expired"),
        ({"exp": NOW - 1, "iat": NOW - 100, "nbf": NOW - 100}, "expired"),
        ({"iat": NOW + 61, "exp": NOW + 100}, "not_yet"),
        ({"nbf": NOW + 61}, "not_yet"),
        ({"exp": NOW + 1801}, "lifetime"),
        ({"exp": NOW + 1800, "iat": NOW - 1}, "lifetime"),
        ({"exp": NOW, "iat": NOW, "nbf": NOW}, "lifetime"),
        ({"exp": 2**33}, "claims"),
        ({"exp": 10**400}, "claims"),
        ({"exp": -1}, "claims"),
        ({"exp": str(NOW + 100)}, "claims"),
        ({"exp": NOW + 100.0}, "claims"),
        ({"exp": None}, "claims"),
        ({"iat": True}, "claims"),
        ({"nbf": "0"}, "claims"),
    ],
)
def test_a25_times(changes: dict[str, Any], why: str) -> None:
    assert reason(signed(payload=PAYLOAD | changes)) == why


def test_a25_a_number_beyond_all_numbers() -> None:
    huge = json.dumps(PAYLOAD).replace(str(NOW + 1800), "1e400")
    assert reason(signed(payload=huge.encode())) == "claims"
    digits = json.dumps(PAYLOAD).replace(str(NOW + 1800), "9" * 5000)
    assert reason(signed(payload=digits.encode())) in ("claims", "signature")


def test_a25_clocks_may_differ_by_a_minute_but_not_at_the_end() -> None:
    assert accepted(signed(payload=PAYLOAD | {"iat": NOW + 60, "nbf": NOW + 60}))
    assert accepted(TOKEN, now=NOW + 1799.9)
    assert reason(TOKEN, now=NOW + 1800) == "expired"


def test_a26_large_tokens_and_other_serialisations() -> None:
    fat = signed(payload=PAYLOAD | {"x": "y" * 8000})
    assert reason(fat) == "too_long"
    assert reason("a" * 1_000_000) == "too_long"
    assert reason(".".join(["e30"] * 5)) == "malformed"
    nested = signed(HEADER | {"typ": "JWT"}, TOKEN.encode())
    assert reason(nested) == "algorithm_or_type"
    general = json.dumps({"payload": text(PAYLOAD), "signatures": []})
    assert reason(general) == "malformed"


@pytest.mark.parametrize("size", [8 * 1024, 1024 * 1024])
@pytest.mark.parametrize("parts", [3, 5], ids=["signed", "encrypted"])
def test_a26_large_tokens_are_refused(size: int, parts: int) -> None:
    whole = b".".join([b"A" * (size // parts)] * parts)
    assert reason(whole) == "too_long" if len(whole) > 8192 else reason(whole)
