"""What a started platform promises: ready, on loopback, guarded by tokens, alone on its folder, silent on
secrets.
"""

from __future__ import annotations

import signal

import httpx
import pytest

from tests.cluster.conftest import STAND_IN
from tests.platform import Platform, free_ports, is_loopback, start_platform


def test_it_answers_on_full_paths_from_the_data_folder(platform: Platform) -> None:
    answer = httpx.get(f"{platform.base_url}/stand-in").json()
    assert answer["version"]
    assert answer["cwd"] == str(platform.settings.data_dir)


def test_r1_every_listening_socket_is_on_loopback(platform: Platform) -> None:
    listening = platform.listening()
    ray, http = platform.settings.ray, platform.settings.http
    assert {http.port, ray.gcs_port, ray.dashboard_port} <= {port for _, port in listening}
    assert [address for address in listening if not is_loopback(address[0])] == []


@pytest.mark.parametrize(
    "path", ["/api/serve/applications/", "/api/jobs/", "/api/v0/actors", "/nodes?view=summary"]
)
def test_r1_the_dashboard_answers_only_with_the_token(platform: Platform, path: str) -> None:
    assert platform.serve_api("GET", path, token=False).status_code == 401
    assert platform.serve_api("GET", path).status_code == 200


def test_the_token_file_is_private(platform: Platform) -> None:
    assert platform.layout.ray_token.stat().st_mode & 0o077 == 0
    assert platform.settings.data_dir.stat().st_mode & 0o077 == 0


def test_a_second_up_on_the_same_folder_is_refused_clearly(platform: Platform) -> None:
    done = platform.medsearch("up", "--serve-config", str(STAND_IN))
    assert done.returncode == 1
    assert f"already runs on {platform.settings.data_dir} (process {platform.process.pid})" in done.stderr
    assert httpx.get(f"{platform.base_url}/stand-in").status_code == 200


def test_taken_ports_are_named_with_their_settings(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (free,) = free_ports(1)
    taken = platform.settings.http.port
    second = start_platform(
        tmp_path_factory.mktemp("second"), STAND_IN, HTTP__PORT=str(taken), RAY__GCS_PORT=str(free)
    )
    assert second.process.wait(60) == 1
    message = second.output.read_text()
    assert f"Port {taken} on 127.0.0.1 (the API) cannot be used" in message
    assert "MEDSEARCH_HTTP__PORT" in message
    assert "MEDSEARCH_RAY__GCS_PORT" not in message
    assert second.processes() == []


def test_a33_no_secret_appears_where_others_could_read_it(platform: Platform) -> None:
    secrets = [platform.secrets.resolve(name).get_secret_value() for name in platform.secrets.names()]
    assert len(secrets) > 10
    text = platform.readable()
    assert "platform.ready" in text
    assert not any(secret in text for secret in secrets)


def test_a33_the_query_string_is_not_logged(platform: Platform) -> None:
    httpx.get(f"{platform.base_url}/stand-in?q=haemochromatosis")
    logs = platform.layout.ray / "session_latest" / "logs"
    assert not any(b"haemochromatosis" in path.read_bytes() for path in logs.rglob("*") if path.is_file())


def test_status_tells_phase_servers_and_applications(platform: Platform) -> None:
    done = platform.medsearch("status")
    assert done.returncode == 0, done.stderr
    for word in ("ready", "postgres", "redis", "ray", "stand-in", "running"):
        assert word in done.stdout


def test_logs_are_found_by_name(platform: Platform) -> None:
    assert "platform" in platform.medsearch("logs").stdout.split()
    assert "platform.ready" in platform.medsearch("logs", "platform", "-n", "1000").stdout
    assert "raylet" in platform.medsearch("logs").stdout


def test_down_leaves_no_process_and_the_folder_can_be_used_again(platform: Platform) -> None:
    before = platform.processes()
    assert len(before) > 10
    done = platform.medsearch("down", timeout=20)
    assert done.returncode == 0, done.stderr
    assert platform.processes() == []
    assert platform.process.wait(1) == 0
    assert platform.medsearch("status").returncode == 3
    _start_again(platform)


def test_after_kill_9_of_the_supervisor_the_next_up_takes_over(platform: Platform) -> None:
    platform.process.send_signal(signal.SIGKILL)
    platform.process.wait()
    _start_again(platform)
    assert httpx.get(f"{platform.base_url}/stand-in").status_code == 200


def _start_again(platform: Platform) -> None:
    again = start_platform(
        platform.settings.data_dir,
        STAND_IN,
        **{
            name.removeprefix("MEDSEARCH_"): value
            for name, value in platform.environment.items()
            if name.startswith("MEDSEARCH_") and name != "MEDSEARCH_CONFIG"
        },
    )
    platform.process = again.process
    platform.wait_ready()
