"""Settings of accounts and mail: what is derived, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from config.loading import WrongSettings, load_settings, settings_environment
from config.settings import Settings

PROVIDER = {"issuer": "https://login.hospital.example/realms/main", "client_id": "medsearch"}


def test_roles_that_are_not_named_keep_their_times() -> None:
    environment = {
        "MEDSEARCH_CONFIG": "",
        "MEDSEARCH_AUTH__IDLE_SECONDS__DOCTOR": "600",
        "MEDSEARCH_AUTH__SESSION_SECONDS": '{"nurse": 28800}',
    }
    settings = load_settings(environment).settings
    assert (settings.auth.idle_seconds["doctor"], settings.auth.idle_seconds["admin"]) == (600, 1800)
    assert (settings.auth.session_seconds["nurse"], settings.auth.session_seconds["doctor"]) == (28800, 86400)
    assert load_settings(settings_environment(settings)).settings == settings


def test_providers_are_tables_by_name() -> None:
    environment = {
        "MEDSEARCH_CONFIG": "",
        "MEDSEARCH_AUTH__OIDC__HOSPITAL__ISSUER": PROVIDER["issuer"],
        "MEDSEARCH_AUTH__OIDC__HOSPITAL__CLIENT_ID": "medsearch",
    }
    settings = load_settings(environment).settings
    assert settings.auth.oidc["hospital"].scopes == ("openid", "email", "profile")
    with pytest.raises(WrongSettings, match="no setting MEDSEARCH_AUTH__OIDC__HOSPITAL__SECRET"):
        load_settings({**environment, "MEDSEARCH_AUTH__OIDC__HOSPITAL__SECRET": "x"})


def test_what_follows_from_the_address_that_users_see() -> None:
    settings = Settings.model_validate({"http": {"public_url": "https://search.hospital.example:8443/"}})
    assert settings.token_issuer == "https://search.hospital.example:8443"
    assert settings.mail_sender == "medsearch <no-reply@search.hospital.example>"
    assert Settings.model_validate({"auth": {"issuer": "x"}}).token_issuer == "x"
    assert Settings().mail_path == Settings().data_dir / "mail"


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("auth", {"session_seconds": {"doctor": 86401}}, "doctor: a session of a professional lasts 86400"),
        ("auth", {"session_seconds": {"patient": 31 * 86400}}, "less than or equal to 2592000"),
        ("auth", {"idle_seconds": {"surgeon": 600}}, "surgeon"),
        ("auth", {"idle_seconds": 600}, "valid dictionary"),
        ("auth", {"mfa_required_roles": ["boss"]}, "mfa_required_roles"),
        ("auth", {"oidc": {"Hospital Login": PROVIDER}}, "match pattern"),
        ("auth", {"oidc": {"h": PROVIDER | {"issuer": "login.example"}}}, "must look like https://"),
        ("auth", {"oidc": {"h": PROVIDER | {"scopes": ["email"]}}}, "openid must be among"),
        ("mail", {"username": "m", "tls": "none"}, "in clear"),
        ("mail", {"sender": "nobody"}, "must be one address"),
        ("mail", {"sender": "a@x.example\nBcc: b@x.example"}, "must be one address"),
        ("outbound", {"allowed_networks": ["10.0.0.300/8"]}, "allowed_networks"),
    ],
)
def test_what_cannot_be_is_refused(section: str, value: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings.model_validate({section: value})
