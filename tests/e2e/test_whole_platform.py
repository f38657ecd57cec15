"""The deployed platform as a whole: closed to outside, silent on secrets, replaced while it is used (F24)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import httpx

from cluster.platform.needed_secrets import needed_secrets
from cluster.platform.serve_api import read_config
from domain.keys import Purpose
from tests.e2e.conftest import PASSWORD, Person
from tests.platform import Platform, is_loopback, until

SERVE = "/api/serve/applications/"


def test_every_listening_socket_of_every_application_is_on_loopback(demo: Platform) -> None:
    listening = demo.listening()
    assert demo.settings.http.port in {port for _, port in listening}
    assert [address for address in listening if not is_loopback(address[0])] == []


def test_no_secret_appears_where_others_could_read_it_and_all_are_listed(demo: Platform) -> None:
    names = set(demo.secrets.names())
    needed = set(needed_secrets(demo.settings))
    assert needed <= names
    assert {Purpose.of(name) for name in names - needed} <= {Purpose.TOKEN}, (
        "keys that were rotated out of use"
    )
    text = demo.readable()
    assert not [name for name in names if demo.secrets.resolve(name).get_secret_value() in text]


def test_a_redeploy_during_uploads_and_searches_fails_and_loses_nothing(
    demo: Platform, person: Callable[[], Person]
) -> None:
    config = read_config(demo.settings)
    for application in config["applications"]:
        application["args"]["version"] = "redeployed"
    before = _replicas(demo)
    with Visitor(demo, person()) as visitor:
        assert demo.serve_api("PUT", SERVE, json=config).status_code == 200
        until(
            lambda: _settled(demo) and before.isdisjoint(_replicas(demo)), 300, lambda: str(_replicas(demo))
        )
        until(lambda: len(visitor.uploaded) >= 5, 60)
        visitor.leave()
        assert visitor.failures == []
        assert len(visitor.searches) >= 5
        until(lambda: {visitor.status(document) for document in visitor.uploaded} == {"indexed"}, 300)


def _details(platform: Platform) -> Iterator[dict[str, object]]:
    yield from platform.serve_api("GET", SERVE).json()["applications"].values()


def _settled(platform: Platform) -> bool:
    return all(application["status"] == "RUNNING" for application in _details(platform))


def _replicas(platform: Platform) -> set[str]:
    return {
        replica["replica_id"]
        for application in _details(platform)
        for deployment in application["deployments"].values()  # type: ignore[attr-defined]
        for replica in deployment["replicas"]
    }


class Visitor:
    """Uploads and searches in turns, in a thread; one retry of a 503 or a lost connection is allowed."""

    def __init__(self, platform: Platform, account: Person) -> None:
        self._client = httpx.Client(base_url=platform.base_url, timeout=60)
        login = {"email": account.email, "password": PASSWORD}
        token = self._client.post("/api/v1/auth/login", json=login).json()["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self.uploaded: list[str] = []
        self.searches: list[int] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        self._client.close()

    def leave(self) -> None:
        """Ask for nothing more."""
        self._stop.set()
        self._thread.join()

    def status(self, document: str) -> str:
        return str(self._client.get(f"/api/v1/documents/{document}/status").json().get("status"))

    def _visit(self) -> None:
        for number in itertools.count():
            if self._stop.wait(0.1):
                return
            content = f"Clinic note number {number}. No evidence of pneumonia.".encode()
            upload = self._once_more("POST", "/api/v1/documents?filename=note.txt", content=content)
            if upload is not None:
                self.uploaded.append(upload.json()["id"])
            search = self._once_more("POST", "/api/v1/search", json={"query": "pneumonia"})
            if search is not None:
                self.searches.append(search.json()["total"]["value"])

    def _once_more(self, method: str, path: str, **options: object) -> httpx.Response | None:
        seen = []
        for _ in range(2):
            try:
                answer = self._client.request(method, path, **options)  # type: ignore[arg-type]
            except httpx.TransportError as error:
                seen.append(type(error).__name__)
                continue
            if answer.is_success:
                return answer
            seen.append(f"{answer.status_code} {answer.text[:200]}")
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
        self.failures.append(f"{method} {path}: {seen}")
        return None
