"""docs/asvs.md answers each requirement once, and names only rows, tests, settings and pages that exist."""

from __future__ import annotations

import re
from pathlib import Path

from config.reference import entries

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "asvs.md").read_text()
LINES = re.findall(r"^\| (\d+\.\d+\.\d+) \| [^|]+ \| (yes|\*\*no\*\*|-) \| ([^|]+) \|$", PAGE, re.MULTILINE)
LENGTHS = {
    "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4,
    "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2,
    "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1,
}  # fmt: skip
"""How many requirements of levels 1 and 2 each section has: they are its first ones."""
BEYOND = {"6.3.8", "8.3.2"}
"""Of level 3, and expected all the same."""


def test_each_requirement_is_answered_once() -> None:
    expected = {f"{section}.{number + 1}" for section, length in LENGTHS.items() for number in range(length)}
    assert sorted(number for number, *_ in LINES) == sorted(expected | BEYOND)


def test_a_reason_stands_beside_each_answer() -> None:
    assert [number for number, _, reason in LINES if len(reason) < 2] == []


def test_rows_of_the_security_page_exist() -> None:
    rows = set(
        re.findall(r"^\| ([A-Z]{1,2}\d+) \|", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    )
    named = {row for *_, reason in LINES for row in re.findall(r"\b(?:A|AC|ID)\d+\b", reason)}
    assert named <= rows


def test_tests_and_settings_exist() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert {name for name in named if f"def {name}(" not in tests} == set()
    keys = {entry.key for entry in entries()}
    assert {name for name in re.findall(r"`(auth\.\w+)`", PAGE) if name not in keys} == set()
