"""The client's commands against a whole platform, as a person uses them."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Person

LETTER = """Clinic note

HISTORY OF PRESENT ILLNESS:
Two weeks of fever after a journey. The blood film showed malaria.

FAMILY HISTORY:
Mother had breast cancer.

IMPRESSION:
Malaria. No evidence of typhoid fever.
"""


@pytest.fixture
def doctor(person: Callable[[], Person]) -> Person:
    doctor = person()
    doctor.login()
    return doctor


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    file = tmp_path / "letter.txt"
    file.write_text(LETTER)
    return file


def test_login_is_kept_for_its_user_only(doctor: Person) -> None:
    (file,) = doctor.home.rglob("logins.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_wrong_password_is_told(person: Callable[[], Person]) -> None:
    done = person().medsearch("login", "nobody@example.org", "--password-stdin", stdin="not my password\n")
    assert done.returncode == 1
    assert "auth.invalid_credentials" in done.stderr


def test_from_a_file_to_a_hit_that_tells_negation_apart(doctor: Person, letter: Path) -> None:
    about = (
        "--title",
        "Fever after travel",
        "--type",
        "clinic_note",
        "--date",
        "2025-05-01",
        "--patient",
        "TEST|77",
    )
    done = doctor.medsearch("upload", str(letter), *about, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)
    assert report["status"] == "indexed"

    status = doctor.medsearch("status", report["id"])
    assert status.returncode == 0, status.stderr
    for words in ("indexed", "Fever after travel", "TEST|77", "clinic_note"):
        assert words in status.stdout

    found = doctor.medsearch("search", "typhoid fever", "--facet", "document_type", "--explain")
    assert found.returncode == 0, found.stderr
    assert "1 document in" in found.stdout
    assert "[typhoid]" in found.stdout
    assert "✗ negated (cue: No evidence of)" in found.stdout
    assert "why: lexical rank 1" in found.stdout

    seen = doctor.medsearch("entities", report["id"], "--type", "problem")
    assert seen.returncode == 0, seen.stderr
    assert "negated (No evidence of)" in seen.stdout
    every = json.loads(doctor.medsearch("entities", report["id"], "--json").stdout)
    assert all(LETTER[each["start"] : each["end"]] == each["text"] for each in every)

    affirmed = json.loads(doctor.medsearch("search", "--affirmed", "ICD10CM:B54", "--json").stdout)
    assert [hit["document_id"] for hit in affirmed["hits"]] == [report["id"]]
    denied = json.loads(doctor.medsearch("search", "--affirmed", "ICD10CM:A01.00", "--json").stdout)
    assert denied["total"]["value"] == 0

    again = doctor.medsearch("upload", str(letter), "--patient", "TEST|77")
    assert "was there before" in again.stdout


def test_another_account_finds_nothing(doctor: Person, person: Callable[[], Person], letter: Path) -> None:
    report = json.loads(doctor.medsearch("upload", str(letter), "--wait", "--json").stdout)[0]
    other = person()
    other.login()
    assert json.loads(other.medsearch("search", "malaria", "--json").stdout)["total"]["value"] == 0
    status = other.medsearch("status", report["id"])
    assert status.returncode == 1
    assert "not_found" in status.stderr


def test_a_file_that_cannot_be_processed_fails_with_its_reason(doctor: Person, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pdf"
    empty.touch()
    done = doctor.medsearch("upload", str(empty), "--wait")
    assert done.returncode == 1
    assert "The file is empty." in done.stdout + done.stderr


def test_a_wrong_field_is_told(doctor: Person, letter: Path) -> None:
    done = doctor.medsearch("upload", str(letter), "--patient", "no system")
    assert done.returncode == 1
    assert "patient" in done.stdout + done.stderr


def test_after_logout_nothing_is_left(doctor: Person) -> None:
    assert doctor.medsearch("logout").returncode == 0
    done = doctor.medsearch("search", "fever")
    assert (done.returncode, "medsearch login" in done.stderr) == (4, True)
