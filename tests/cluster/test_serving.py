"""Through Serve's proxy: rolling redeployment, the body limit, the headers that clients may not send."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from cluster.platform.serve_api import read_config
from tests.cluster.conftest import STAND_IN
from tests.platform import Platform, until


def test_a_changed_version_replaces_the_replicas_without_a_failed_request(platform: Platform) -> None:
    config = read_config(platform.settings, STAND_IN)
    old = _answer(platform)
    new = "2" if old["version"] == "1" else "1"
    config["applications"][0]["args"]["version"] = new
    with UnderLoad(platform) as statuses:
        assert platform.serve_api("PUT", "/api/serve/applications/", json=config).status_code == 200
        until(lambda: len({_answer(platform)["version"] for _ in range(10)} - {old["version"]}) == 1, 60)
        until(lambda: {_answer(platform)["version"] for _ in range(20)} == {new}, 60)
    assert len(statuses) > 50
    assert set(statuses) == {200}


def test_the_deployed_file_has_no_key_that_serve_ignores(platform: Platform) -> None:
    details = platform.serve_api("GET", "/api/serve/applications/").json()
    deployed = details["applications"]["stand-in"]["deployed_app_config"]["deployments"][0]
    written = yaml.safe_load(STAND_IN.read_text())["applications"][0]["deployments"][0]
    assert {name: deployed[name] for name in written} == written


def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(platform: Platform) -> None:
    limit = platform.settings.http.body_limit_bytes
    answer = httpx.post(f"{platform.base_url}/stand-in/body", content=b"x" * (limit + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_endless_body_is_refused_early(platform: Platform) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200_000_000:
            sent += 65536
            yield b"x" * 65536

    try:
        answer = httpx.post(f"{platform.base_url}/stand-in/body", content=endless(), timeout=30)
    except httpx.WriteError:
        pass  # the proxy closed while we were still writing
    else:
        assert answer.status_code == 413
    assert sent < 20_000_000
    assert _answer(platform)


def test_a_body_up_to_the_limit_arrives_whole(platform: Platform) -> None:
    limit = platform.settings.http.body_limit_bytes
    answer = httpx.post(f"{platform.base_url}/stand-in/body", content=b"x" * limit)
    assert answer.json()["bytes"] == limit


@pytest.mark.parametrize(
    "name",
    [
        "x-request-timeout-seconds",
        "X-Request-Disconnect-Disabled",
        "serve_multiplexed_model_id",
        "x-session-id",
    ],
)
def test_headers_that_serve_obeys_do_not_get_through(platform: Platform, name: str) -> None:
    answer = httpx.post(f"{platform.base_url}/stand-in/body", headers={name: "0.001"})
    assert answer.status_code == 200
    assert name.lower() not in answer.json()["headers"]


def test_the_request_id_is_kept_when_well_formed_and_replaced_otherwise(platform: Platform) -> None:
    kept = httpx.post(f"{platform.base_url}/stand-in/body", headers={"X-Request-ID": "order-66.of-8"})
    assert kept.json()["headers"]["x-request-id"] == "order-66.of-8"
    assert kept.headers.get_list("x-request-id") == ["order-66.of-8"]
    replaced = httpx.post(f"{platform.base_url}/stand-in/body", headers={"X-Request-ID": "a b<script>"})
    (given,) = replaced.headers.get_list("x-request-id")
    assert given == replaced.json()["headers"]["x-request-id"]
    assert "script" not in given


def test_serves_own_errors_are_problems_too(platform: Platform) -> None:
    answer = httpx.get(f"{platform.base_url}/no-such-application")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


def _answer(platform: Platform) -> dict[str, Any]:
    answer = httpx.get(f"{platform.base_url}/stand-in")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


class UnderLoad:
    """Requests one after the other in a thread; gives the list of their status codes."""

    def __init__(self, platform: Platform) -> None:
        self._url = f"{platform.base_url}/stand-in"
        self._statuses: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> list[int]:
        self._thread.start()
        return self._statuses

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client() as client:
            while not self._stop.is_set():
                try:
                    self._statuses.append(client.get(self._url).status_code)
                except httpx.TransportError:
                    self._statuses.append(0)
