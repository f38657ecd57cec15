"""Every row of docs/security.md has a test that carries its name: `test_a12_…`, `test_a22_a24_…`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PAGE = Path(__file__).parents[3] / "docs" / "security.md"
ROW = re.compile(r"^\| ([A-Z]{1,2}\d+) \|", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())


@pytest.mark.parametrize("row", ROWS)
def test_row_has_a_test(row: str) -> None:
    assert row.lower() in covered(), f"no test is named test_{row.lower()}_…"


def test_rows_are_there_once() -> None:
    assert len(ROWS) == len(set(ROWS)) > 40


def test_names_are_read_as_they_are_meant() -> None:
    assert list(rows_of("test_a22_a24_a_header_with_anything_more")) == ["a22", "a24"]
    assert list(rows_of("test_id4_a_session_ends")) == ["id4"]
    assert list(rows_of("test_a_header_a24")) == []
    assert list(rows_of("helper_a24_x")) == []


def rows_of(name: str) -> Iterator[str]:
    """The rows at the front of a test's name."""
    first, *words = name.split("_")
    for word in words if first == "test" else ():
        if not re.fullmatch(r"[a-z]{1,2}\d+", word):
            return
        yield word


@cache
def covered() -> frozenset[str]:
    """The rows that names of test functions carry, read from the sources of all tests."""
    return frozenset(
        row
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for row in rows_of(node.name)
    )
