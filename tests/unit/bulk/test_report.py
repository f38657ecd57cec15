"""The ledger of a bulk load: outcomes, pace and the closing report."""

from __future__ import annotations

from collections import Counter

import pytest

from cluster.ingest.report import Fate, Ledger, Pace, as_json, closing_lines, progress_line, span
from domain.lifecycle import Status


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger(5)
    ledger.add(Fate("a.pdf", "one"))
    ledger.add(Fate("b.pdf", "two", known=True))
    ledger.add(Fate("copy of a.pdf", "one", known=True))
    ledger.add(Fate("locked.pdf", reason="It cannot be read: Permission denied."))
    return ledger


def test_what_is_not_settled_is_pending(ledger: Ledger) -> None:
    assert ledger.pending == ["one", "two"]
    ledger.settle("one", Status.PROCESSING, None)
    assert ledger.pending == ["one", "two"]
    ledger.settle("one", Status.INDEXED, None)
    ledger.settle("two", Status.REJECTED, "The file is empty.")
    assert ledger.pending == []
    assert ledger.settled == 4


def test_one_document_for_equal_content(ledger: Ledger) -> None:
    assert ledger.fates[2].same_as == "a.pdf"
    assert ledger.counts()["same content as another file"] == 1


def test_counts_by_outcome(ledger: Ledger) -> None:
    ledger.settle("one", Status.INDEXED, None)
    ledger.settle("two", Status.QUARANTINED, "Reading the file took too long.")
    expected = {"indexed": 1, "quarantined": 1, "same content as another file": 1, "not stored": 1}
    assert ledger.counts() == expected
    assert [fate.file for fate in ledger.failed] == ["b.pdf", "locked.pdf"]


def test_the_closing_report_names_each_failure(ledger: Ledger) -> None:
    ledger.settle("one", Status.INDEXED, None)
    ledger.settle("two", Status.INDEXED, None)
    text = "\n".join(closing_lines(ledger, Counter(hidden=3), 65))
    assert "5 files in 1 min 5 s" in text
    assert "locked.pdf: It cannot be read: Permission denied." in text
    assert "3  left out: hidden files" in text
    assert "1 failed" in text
    assert as_json(ledger, Counter(), 65)["failed"] == [
        {"file": "locked.pdf", "outcome": "not stored", "reason": "It cannot be read: Permission denied."}
    ]


def test_a_clean_load_says_so() -> None:
    ledger = Ledger(1)
    ledger.add(Fate("a", "one", status=Status.INDEXED))
    assert list(closing_lines(ledger, Counter(), 1))[-1] == "Nothing failed."


def test_progress_with_time_left(ledger: Ledger) -> None:
    assert progress_line(ledger, 0.5) == "4 of 5 files stored, 2 done, 1 failed; 0.5/s, about 6 s left"
    assert progress_line(ledger, 0).endswith("no pace known yet")


def test_the_pace_forgets_what_is_long_past() -> None:
    pace = Pace(0)
    assert pace.mark(10, 100) == 10
    for second in range(20, 200, 10):
        rate = pace.mark(second, 100 + second - 10)
    assert rate == 1


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (48, "48 s"), (185, "3 min 5 s"), (7810, "2 h 10 min")]
)
def test_spans_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words
