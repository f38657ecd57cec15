"""Settings from file and environment: precedence, provenance, refusals that say what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.loading import (
    WrongSettings,
    flatten,
    is_setting,
    known_keys,
    load_settings,
    settings_environment,
    variable_of,
)
from config.settings import Profile, Settings


def problems(environment: dict[str, str], file: Path | None = None) -> list[str]:
    with pytest.raises(WrongSettings) as raised:
        load_settings(environment, file)
    return raised.value.problems


def test_without_any_source_the_defaults_hold_and_nothing_has_a_source() -> None:
    loaded = load_settings({"MEDSEARCH_CONFIG": ""})
    assert loaded.settings == Settings()
    assert loaded.sources == {}


def test_the_environment_goes_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "medsearch.toml"
    file.write_text('profile = "production"\n[http]\nport = 9000\nhost = "0.0.0.0"\n')
    loaded = load_settings({"MEDSEARCH_HTTP__PORT": "9001", "MEDSEARCH_CONFIG": str(file)})
    assert (loaded.settings.http.port, loaded.settings.http.host) == (9001, "0.0.0.0")
    assert loaded.settings.profile is Profile.PRODUCTION
    assert loaded.sources == {
        "profile": str(file),
        "http.host": str(file),
        "http.port": "MEDSEARCH_HTTP__PORT",
    }


def test_medsearch_toml_in_the_current_folder_is_read_unless_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "medsearch.toml").write_text("[ray]\ngcs_port = 7000\n")
    assert load_settings({}).settings.ray.gcs_port == 7000
    assert load_settings({"MEDSEARCH_CONFIG": ""}).settings.ray.gcs_port == Settings().ray.gcs_port


def test_lists_mappings_and_pools_are_json_or_nested_names() -> None:
    settings = load_settings(
        {
            "MEDSEARCH_CONFIG": "",
            "MEDSEARCH_HTTP__CORS_ORIGINS": '["https://a.example"]',
            "MEDSEARCH_POSTGRES__URLS__AUTH": "postgresql://db:5433",
            "MEDSEARCH_PROCESSING__POOLS__ALL__STAGES": '["extract", "annotate", "embed"]',
            "MEDSEARCH_PROCESSING__POOLS__ALL__NUM_GPUS": "0.5",
        }
    ).settings
    assert settings.http.cors_origins == ("https://a.example",)
    assert settings.postgres.urls == {"auth": "postgresql://db:5433"}
    assert settings.processing.pools["all"].num_gpus == 0.5


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("MEDSEARCH_HTTP__PROT", "MEDSEARCH_HTTP__PORT"),
        ("MEDSEARCH_HTPP__PORT", "MEDSEARCH_HTTP__PORT"),
        ("MEDSEARCH_DATADIR", "MEDSEARCH_DATA_DIR"),
        ("MEDSEARCH_AUTH__PASSWORD__MINLENGTH", "MEDSEARCH_AUTH__PASSWORD__MIN_LENGTH"),
        ("MEDSEARCH_PROCESSING__POOLS__GPU__MAXWORKERS", "MEDSEARCH_PROCESSING__POOLS__*__MAX_WORKERS"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    (problem,) = problems({wrong: "1"})
    assert problem.startswith(f"{wrong}: ")
    assert right in problem


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text("[http]\nprot = 1\n")
    (problem,) = problems({}, file)
    assert str(file) in problem
    assert "http.port" in problem


@pytest.mark.parametrize("content", ["[http", b"\xff".decode("latin-1") + "= 1"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(content, encoding="latin-1")
    assert str(file) in problems({}, file)[0]
    assert "missing.toml" in problems({}, tmp_path / "missing.toml")[0]


def test_a_wrong_value_is_refused_with_variable_limit_and_meaning() -> None:
    (problem,) = problems({"MEDSEARCH_HTTP__PORT": "99999"})
    assert problem.startswith("MEDSEARCH_HTTP__PORT: ")
    assert "less than or equal to 65535" in problem
    assert "Port the HTTP proxy listens on" in problem


def test_what_should_be_json_and_is_not_is_refused() -> None:
    (problem,) = problems({"MEDSEARCH_HTTP__CORS_ORIGINS": "https://a.example"})
    assert problem.startswith("MEDSEARCH_HTTP__CORS_ORIGINS: must be JSON")


def test_values_are_never_repeated_because_they_may_be_secrets() -> None:
    (problem,) = problems({"MEDSEARCH_POSTGRES__URL": "postgresql://root:hunter22@db"})
    assert "hunter22" not in problem
    assert "must not carry a password" in problem


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert len(problems({"MEDSEARCH_A": "1", "MEDSEARCH_B": "1", "MEDSEARCH_HTTP__CORS_ORIGINS": "x"})) == 3
    assert len(problems({"MEDSEARCH_HTTP__PORT": "x", "MEDSEARCH_RAY__GCS_PORT": "x"})) == 2


def test_settings_that_contradict_each_other_name_their_variables() -> None:
    (problem,) = problems({"MEDSEARCH_PROCESSING__LEASE_SECONDS": "3"})
    assert problem.startswith("MEDSEARCH_PROCESSING__LEASE_SECONDS: ")
    assert "heartbeat_seconds" in problem


def test_variables_of_tests_and_secrets_are_no_settings() -> None:
    environment = {
        "MEDSEARCH_TEST_DATA": "/x",
        "MEDSEARCH_SECRET_REDIS": "y",
        "MEDSEARCH_CONFIG": "",
        "OTHER": "z",
    }
    assert load_settings(environment).settings == Settings()
    assert not any(map(is_setting, environment))


def test_the_environment_made_from_settings_gives_them_back_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = load_settings(
        {
            "MEDSEARCH_CONFIG": "",
            "MEDSEARCH_DATA_DIR": "some/folder",
            "MEDSEARCH_POSTGRES__URL": "postgresql://db:5433",
            "MEDSEARCH_RAY__NUM_GPUS": "2",
            "MEDSEARCH_PROCESSING__POOLS__ALL__STAGES": '["extract", "annotate", "embed"]',
        }
    ).settings
    monkeypatch.chdir(tmp_path)
    (tmp_path / "medsearch.toml").write_text("[http]\nport = 1234\n")
    assert load_settings(settings_environment(given)).settings == given


def test_every_default_can_be_given_by_its_variable() -> None:
    for key, value in flatten(Settings().model_dump(mode="json", exclude_none=True)):
        assert load_settings({"MEDSEARCH_CONFIG": "", **_given(key, value)}).settings == Settings(), key


def test_the_known_keys_are_the_fields() -> None:
    keys = set(known_keys())
    assert {
        "data_dir",
        "http.port",
        "postgres.urls.*",
        "processing.pools.*.num_gpus",
        "auth.password.min_length",
    } <= keys
    assert "http" not in keys


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in filter(is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEDSEARCH_LOG__LEVEL", "error")
    assert load_settings().settings.log.level == "error"


def _given(key: str, value: object) -> dict[str, str]:
    import json

    if key.startswith("processing.pools."):
        return {"MEDSEARCH_PROCESSING__POOLS": json.dumps({"default": {key.rpartition(".")[2]: value}})}
    return {variable_of(key): value if isinstance(value, str) else json.dumps(value)}
