"""Real PDFs (guidelines, two-column articles, tables): each ends, each can be found by what its last pages say."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.data import evaluation_data
from tests.e2e.conftest import PASSWORD, Person

TERMINAL = ("indexed", "rejected", "quarantined")
WORDS_IN_A_ROW = re.compile(r"\b(?:[A-Za-z]{2,} ){5}[A-Za-z]{2,}\b")
LAST_PAGES = 3

pytestmark = pytest.mark.data


@pytest.fixture
def http(person: Callable[[], Person]) -> Iterator[httpx.Client]:
    doctor = person()
    with httpx.Client(base_url=doctor.platform.base_url, timeout=60, trust_env=False) as client:
        answer = client.post("/api/v1/auth/login", json={"email": doctor.email, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        yield client


def upload(http: httpx.Client, path: Path) -> str:
    fields = {"filename": path.name}
    return str(
        http.post("/api/v1/documents", params=fields, content=path.read_bytes())
        .raise_for_status()
        .json()["id"]
    )


def finished(http: httpx.Client, document: str, seconds: float = 600) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        answer: dict[str, Any] = http.get(f"/api/v1/documents/{document}").raise_for_status().json()
        if answer["status"] in TERMINAL:
            return answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.3)


def phrase(http: httpx.Client, document: str, pages: int) -> tuple[int, str] | None:
    """Six words in a row from one of the last pages that stand on no other page, and that page's number."""
    texts = {
        number: http.get(f"/api/v1/documents/{document}/pages/{number}/text")
        .raise_for_status()
        .json()["text"]
        for number in range(1, pages + 1)
    }
    for number in sorted(texts, reverse=True)[:LAST_PAGES]:
        for words in WORDS_IN_A_ROW.findall(texts[number]):
            if sum(words.lower() in " ".join(text.lower().split()) for text in texts.values()) == 1:
                return number, words
    return None


def test_every_file_ends_and_is_found_by_its_last_pages(http: httpx.Client) -> None:
    files = sorted(evaluation_data("documents/pdf").iterdir())
    documents = {path: upload(http, path) for path in files}
    contents = {hashlib.sha256(path.read_bytes()).digest() for path in files}
    assert len(set(documents.values())) == len(contents) < len(files), "byte-equal files are one document"
    searched = 0
    for path, document in documents.items():
        state = finished(http, document)
        assert (state["status"] == "indexed") == (state["reason"] is None), path.name
        found = phrase(http, document, state["pages"]) if state["status"] == "indexed" else None
        if found is None:
            continue
        page, words = found
        answer = (
            http.post("/api/v1/search", json={"query": f'"{words}"', "mode": "lexical"})
            .raise_for_status()
            .json()
        )
        hits = {
            hit["document_id"]: {passage["page"] for passage in hit["passages"]} for hit in answer["hits"]
        }
        assert page in hits.get(document, set()), (path.name, page, words, hits)
        searched += 1
    assert searched >= len(contents) // 2
