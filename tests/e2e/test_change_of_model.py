"""The embedding model of a running platform is changed and changed back while it is searched."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import PASSWORD, Person
from tests.platform import Platform, until
from tests.tiny_encoder import tiny_encoder

SECONDS_EACH = 0.2
COMPLAINTS = (
    "crushing chest pain and a raised troponin",
    "fever with productive cough and crackles",
    "swollen left calf after a long flight",
    "itching rash on both forearms",
    "blurred vision and severe headache",
    "polyuria, thirst and weight loss",
    "burning pain when passing urine",
    "a fall with a painful, shortened leg",
)
QUESTIONS = (
    {"query": "heart attack", "mode": "semantic"},
    {"query": "infection of the lungs", "mode": "semantic"},
    {"query": "shortened leg after falling", "mode": "hybrid"},
)

Answer = tuple[str, ...]


class Searcher:
    """Asks the questions in turn, five a second and one after the other; keeps what came back."""

    def __init__(self, platform: Platform, email: str) -> None:
        self._client = httpx.Client(base_url=platform.base_url, timeout=60, trust_env=False)
        login = self._client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
        self._client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        self.failures: list[str] = []
        self.answers: list[tuple[int, Answer]] = []

    def ask(self, question: int) -> Answer:
        """The documents in their order; whatever is not a whole answer is a failure."""
        answer = self._client.post("/api/v1/search", json=QUESTIONS[question] | {"limit": 50})
        if answer.status_code != httpx.codes.OK or answer.json()["degraded"]:
            self.failures.append(answer.text)
            return ()
        return tuple(hit["document_id"] for hit in answer.json()["hits"])

    def close(self) -> None:
        self._client.close()

    def all_questions(self) -> list[Answer]:
        return [self.ask(question) for question in range(len(QUESTIONS))]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        ended = threading.Event()

        def work() -> None:
            for question in cycle(range(len(QUESTIONS))):
                began = time.monotonic()
                self.answers.append((question, self.ask(question)))
                if ended.wait(max(0.0, began + SECONDS_EACH - time.monotonic())):
                    return

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def several_more(self) -> None:
        """Return when each question was answered a few times more."""
        wanted = len(self.answers) + 5 * len(QUESTIONS)
        until(lambda: len(self.answers) >= wanted, 300, lambda: self.failures)


@pytest.fixture
def searcher(demo: Platform, person: Callable[[], Person], tmp_path: Path) -> Iterator[Searcher]:
    doctor = person()
    doctor.login()
    letters = []
    for number, complaint in enumerate(COMPLAINTS):
        letters.append(tmp_path / f"letter-{number}.txt")
        letters[-1].write_text(
            f"Clinic note\n\nHISTORY OF PRESENT ILLNESS:\nThe patient came with {complaint}.\n"
        )
    done = doctor.medsearch("upload", *map(str, letters), "--wait", timeout=300)
    assert done.returncode == 0, done.stderr
    searcher = Searcher(demo, doctor.email)
    yield searcher
    searcher.close()


def index(platform: Platform, *arguments: str) -> str:
    done = platform.medsearch("index", *arguments, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def states(platform: Platform) -> dict[str, Any]:
    return {row["name"]: row["state"] for row in json.loads(index(platform, "status", "--json"))}


def test_no_search_fails_and_the_results_switch_once(
    demo: Platform, searcher: Searcher, tmp_path: Path
) -> None:
    before = searcher.all_questions()
    [former] = states(demo)
    with searcher.at_work():
        index(demo, "build", "--encoder", str(tiny_encoder(tmp_path / "letters")))
        [new] = states(demo).keys() - {former}
        searcher.several_more()
        built = len(searcher.answers)
        index(demo, "promote", new)
        searcher.several_more()
    after = searcher.all_questions()
    assert states(demo) == {former: "retired", new: "live"}

    there = len(searcher.answers)
    with searcher.at_work():
        index(demo, "promote", former)
        searcher.several_more()
        index(demo, "drop", new)
        searcher.several_more()
    assert states(demo) == {former: "live"}

    assert searcher.failures == []
    assert all(one != other for one, other in zip(before, after, strict=True)), (before, after)
    by = ["old" if answer == before[question] else "new" for question, answer in searcher.answers]
    assert all(answer in (before[question], after[question]) for question, answer in searcher.answers), (
        searcher.answers
    )
    assert set(by[:built]) == {"old"}
    assert [model for model, _ in groupby(by[:there])] == ["old", "new"]
    assert [model for model, _ in groupby(by[there:])] == ["new", "old"]
