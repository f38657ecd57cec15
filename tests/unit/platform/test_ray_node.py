"""What the Ray node is started with."""

from __future__ import annotations

from pathlib import Path

from cluster.platform import ray_node
from cluster.platform.layout import Layout
from config.loading import load_settings
from config.secrets import SecretStore
from config.settings import Settings


def test_the_node_gets_the_settings_as_they_were_read_and_no_others(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, http={"port": 9999})  # type: ignore[arg-type]
    inherited = {
        "MEDSEARCH_HTTP__PORT": "1",
        "MEDSEARCH_CONFIG": "/some/file.toml",
        "MEDSEARCH_SECRET_REDIS": "kept for those who resolve it",
        "RAY_ADDRESS": "ray://elsewhere",
        "RAY_AUTH_TOKEN": "somebody's",
        "PATH": "/usr/bin",
    }
    environment = ray_node.environment(settings, inherited)
    assert load_settings(environment).settings == settings
    assert environment["MEDSEARCH_SECRET_REDIS"] == inherited["MEDSEARCH_SECRET_REDIS"]
    assert not {"RAY_ADDRESS", "RAY_AUTH_TOKEN"} & environment.keys()
    assert environment["PATH"].endswith(":/usr/bin")


def test_authentication_is_on_unless_switched_off(tmp_path: Path) -> None:
    on = ray_node.environment(Settings(data_dir=tmp_path), {})
    assert on["RAY_AUTH_MODE"] == "token"
    assert on["RAY_AUTH_TOKEN_PATH"] == str(Layout(tmp_path).ray_token)
    off = ray_node.environment(Settings(data_dir=tmp_path, ray={"auth": False}), {})  # type: ignore[arg-type]
    assert off["RAY_AUTH_MODE"] == "disabled"


def test_bytecode_goes_to_the_data_folder_only_where_it_may_not_lie_beside_the_sources(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path)
    assert "PYTHONPYCACHEPREFIX" not in ray_node.environment(settings, {})
    redirected = ray_node.environment(settings, {"PYTHONDONTWRITEBYTECODE": "1"})
    assert Path(redirected["PYTHONPYCACHEPREFIX"]).is_relative_to(tmp_path)
    assert "PYTHONDONTWRITEBYTECODE" not in redirected
    chosen = ray_node.environment(settings, {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/c"})
    assert chosen["PYTHONPYCACHEPREFIX"] == "/c"


def test_the_arguments_carry_ports_and_sizes_and_no_secret(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, ray={"num_cpus": 3, "gcs_port": 7001})  # type: ignore[arg-type]
    Layout(tmp_path).prepare()
    token = ray_node.write_token(settings, SecretStore(settings.secrets_path))
    argv = ray_node.command(settings)
    assert {
        "--num-cpus=3",
        "--port=7001",
        "--dashboard-host=127.0.0.1",
        "--node-ip-address=127.0.0.1",
    } <= set(argv)
    assert not any(argument.startswith("--num-gpus") for argument in argv)
    assert token.read_text() not in " ".join(argv)
    assert token.stat().st_mode & 0o777 == 0o600


def test_a_long_data_folder_gets_its_sockets_elsewhere(tmp_path: Path) -> None:
    long = Layout(tmp_path / ("x" * 80))
    assert not long.ray.is_relative_to(tmp_path)
    assert long.ray != Layout(tmp_path / ("y" * 80)).ray
    assert Layout(Path("/srv/data")).ray == Path("/srv/data/ray")
