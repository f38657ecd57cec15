"""Search as a user has it: both legs, the query encoder in a deployment of its own, the vocabulary at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Person

LETTER = """Clinic note

HISTORY OF PRESENT ILLNESS:
Sudden crushing chest pain. The troponin was raised and he had an acute myocardial infarction.

IMPRESSION:
Myocardial infarction. No evidence of pulmonary embolism.
"""


@pytest.fixture
def doctor(person: Callable[[], Person], tmp_path: Path) -> Person:
    doctor = person()
    doctor.login()
    letter = tmp_path / "letter.txt"
    letter.write_text(LETTER)
    done = doctor.medsearch("upload", str(letter), "--wait")
    assert done.returncode == 0, done.stderr
    return doctor


def found(doctor: Person, *arguments: str) -> dict[str, Any]:
    done = doctor.medsearch("search", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_words_meaning_and_other_names(doctor: Person) -> None:
    near = found(doctor, "coronary thrombosis with blocked artery", "--mode", "semantic")
    assert (near["legs"], len(near["hits"])) == (["semantic"], 1)

    named = found(doctor, "heart attack", "--explain")
    assert (named["legs"], named["degraded"]) == (["lexical", "semantic"], [])
    (hit,) = named["hits"]
    assert hit["explanation"]["terms"] == ["heart", "attack"]
    assert "ICD10CM:I21.9" in hit["explanation"]["concepts"]
    assert hit["explanation"]["assertion"] == 1.0

    denied = found(doctor, "pulmonary embolism", "--explain")
    assert denied["hits"][0]["explanation"]["assertion"] == 0.5


def test_queries_that_come_together_are_embedded_each_for_itself(doctor: Person) -> None:
    queries = ["chest pain", "income tax return", "myocardial infarction", "recipe for apple pie"]
    with ThreadPoolExecutor(len(queries)) as several:
        answers = list(several.map(lambda query: found(doctor, query, "--mode", "semantic"), queries))
    assert [answer["total"]["value"] for answer in answers] == [1, 0, 1, 0]
