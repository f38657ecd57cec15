"""The HTTP side of the benchmarks: log in, upload, wait, and time requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from cluster.demo.people import Clinician


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of repeated calls."""

    p50: float
    p99: float
    calls: int

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        milliseconds = np.array(seconds) * 1000
        return cls(
            round(float(np.percentile(milliseconds, 50)), 2),
            round(float(np.percentile(milliseconds, 99)), 2),
            len(seconds),
        )


def timed(call: Callable[[int], object], times: int, warm_up: int = 10) -> Latency:
    """Call `call(0), call(1), ...` one after the other; the first `warm_up` do not count."""
    seconds = []
    for number in range(times + warm_up):
        began = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - began)
    return Latency.of(seconds[warm_up:])


class Client:
    """One account at one platform, over one kept connection. Logs in anew before the token ends."""

    def __init__(self, base_url: str, person: Clinician) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=120, trust_env=False)
        self._person = person
        self._until = 0.0

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        if time.monotonic() > self._until:
            answer = self._http.post(
                "/api/v1/auth/login", json={"email": self._person.email, "password": self._person.password}
            ).raise_for_status()
            self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            self._until = time.monotonic() + 1200
        return self._http.request(method, path, **options).raise_for_status()

    def search(self, query: str, mode: str) -> dict[str, object]:
        found: dict[str, object] = self.request(
            "POST", "/api/v1/search", json={"query": query, "mode": mode}
        ).json()
        return found

    def upload(self, content: bytes, **fields: str) -> str:
        """The new document's id."""
        return str(self.request("POST", "/api/v1/documents", params=fields, content=content).json()["id"])

    def wait(self, document_id: str, seconds: float = 120) -> str:
        """Poll until the document is in a terminal state, which is returned."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status: str = self.request("GET", f"/api/v1/documents/{document_id}/status").json()["status"]
            if status in ("indexed", "rejected", "quarantined"):
                return status
            time.sleep(0.02)
        raise TimeoutError(f"{document_id} is not done after {seconds} s")

    def close(self) -> None:
        self._http.close()
