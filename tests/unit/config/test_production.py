"""The production profile refuses what the local one generates or leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.production import production_problems
from config.secrets import SecretStore
from config.settings import Profile, Settings

SOUND: dict[str, Any] = {
    "profile": Profile.PRODUCTION,
    "http": {
        "public_url": "https://search.hospital.example",
        "cors_origins": ("https://portal.hospital.example",),
    },
    "mail": {"host": "smtp.hospital.example"},
}


def test_a_sound_platform_has_no_problem(tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("0123456789abcdef0123")
    assert production_problems(Settings(**SOUND), SecretStore(tmp_path), ("redis",)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"http": {"public_url": "https://x.example", "cors_origins": ("*",)}}, "http.cors_origins"),
        ({"http": {"public_url": None}}, "http.public_url must be set"),
        ({"http": {"public_url": "http://x.example"}}, "https://"),
        ({"ray": {"auth": False}}, "ray.auth"),
        ({"auth": {"demo_accounts": True}}, "auth.demo_accounts"),
        ({"auth": {"verify_email": False}}, "auth.verify_email"),
        ({"auth": {"oidc": {"x": {"issuer": "http://x.example", "client_id": "m"}}}}, "auth.oidc"),
        ({"mail": {}}, "mail.host"),
        ({"mail": {"host": "smtp.hospital.example", "tls": "none"}}, "mail.tls"),
    ],
)
def test_each_open_door_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (problem,) = production_problems(Settings(**{**SOUND, **change}), SecretStore(tmp_path))
    assert said in problem


def test_a_mail_relay_on_this_machine_needs_no_tls(tmp_path: Path) -> None:
    relay = {"host": "localhost", "port": 25, "tls": "none"}
    assert production_problems(Settings(**{**SOUND, "mail": relay}), SecretStore(tmp_path)) == []


def test_missing_generated_and_short_secrets_are_named_with_their_place(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    store.ensure("redis")
    (tmp_path / "edge-key").write_text("short")
    found = production_problems(Settings(**SOUND), store, ("edge-key", "ray-token", "redis"))
    assert [("is shorter" in one, "is missing" in one, "was generated" in one) for one in found] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert all("MEDSEARCH_SECRET_" in one and str(tmp_path) in one for one in found)
