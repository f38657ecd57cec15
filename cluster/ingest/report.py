"""What became of each file of a bulk load, how far it is, and the closing report.

File names may tell of patients: all of this goes to the job's own output and the report file, never to a log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.lifecycle import Status


@dataclass(slots=True)
class Fate:
    """One file: stored or not, and where its document stands."""

    file: str
    document_id: str | None = None
    known: bool = False
    """The document was there before this run."""
    same_as: str | None = None
    """Another file of this run with the same content; there is one document for both."""
    status: Status | None = None
    reason: str | None = None
    """Why it failed, in words: what happened and what to do."""

    @property
    def failed(self) -> bool:
        return self.reason is not None

    @property
    def settled(self) -> bool:
        return self.failed or self.same_as is not None or (self.status is not None and self.status.terminal)

    @property
    def outcome(self) -> str:
        if self.same_as is not None:
            return "same content as another file"
        if self.status is not None and (self.status.terminal or self.failed):
            return self.status.value
        return "not stored" if self.failed else "under way"


@dataclass(slots=True)
class Ledger:
    """The fates of all files of one run. `total` is known at once; fates arrive as files are stored."""

    total: int
    fates: list[Fate] = field(default_factory=list)
    _by_document: dict[str, Fate] = field(default_factory=dict)

    def add(self, fate: Fate) -> None:
        """Take the next file; one whose document is another file's in this run refers to that."""
        first = self._by_document.get(fate.document_id or "")
        if first is not None:
            fate.same_as = first.file
        elif fate.document_id is not None:
            self._by_document[fate.document_id] = fate
        self.fates.append(fate)

    def settle(self, document_id: str, status: Status, reason: str | None) -> None:
        """Note where a document stands."""
        fate = self._by_document[document_id]
        fate.status, fate.reason = status, reason

    @property
    def pending(self) -> list[str]:
        """Documents that are still under way."""
        return [document_id for document_id, fate in self._by_document.items() if not fate.settled]

    @property
    def settled(self) -> int:
        return sum(fate.settled for fate in self.fates)

    @property
    def failed(self) -> list[Fate]:
        return [fate for fate in self.fates if fate.failed]

    def counts(self) -> Counter[str]:
        return Counter(fate.outcome for fate in self.fates)


class Pace:
    """How fast files settle, from the last minute or so, and how long the rest will take."""

    def __init__(self, now: float, settled: int = 0, *, window_seconds: float = 60) -> None:
        self._window = window_seconds
        self._marks = [(now, settled)]

    def mark(self, now: float, settled: int) -> float:
        """Note the count at `now` (seconds); returns files a second."""
        self._marks.append((now, settled))
        while len(self._marks) > 2 and now - self._marks[1][0] >= self._window:
            self._marks.pop(0)
        then, before = self._marks[0]
        return (settled - before) / (now - then) if now > then else 0.0


def progress_line(ledger: Ledger, rate: float) -> str:
    """`1204 of 2000 files stored, 1100 done, 3 failed; 14.2/s, about 1 min 3 s left`."""
    parts = [f"{len(ledger.fates)} of {ledger.total} files stored", f"{ledger.settled} done"]
    if ledger.failed:
        parts.append(f"{len(ledger.failed)} failed")
    left = ledger.total - ledger.settled
    pace = f"{rate:.1f}/s, about {span(left / rate)} left" if rate > 0 else "no pace known yet"
    return f"{', '.join(parts)}; {pace}"


def span(seconds: float) -> str:
    """`48 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def closing_lines(ledger: Ledger, skipped: Counter[str], seconds: float) -> Iterator[str]:
    """The report for people: counts by outcome, then every file that failed and why."""
    yield f"{ledger.total} files in {span(seconds)}:"
    for outcome, count in sorted(ledger.counts().items()):
        yield f"  {count:>7}  {outcome}"
    known = sum(fate.known for fate in ledger.fates)
    if known:
        yield f"  {known:>7}  of them were there before this run"
    for reason, count in sorted(skipped.items()):
        yield f"  {count:>7}  left out: {_SKIPPED[reason]}"
    if ledger.failed:
        yield f"{len(ledger.failed)} failed:"
        yield from (f"  {fate.file}: {fate.reason}" for fate in ledger.failed)
    else:
        yield "Nothing failed."


def as_json(ledger: Ledger, skipped: Counter[str], seconds: float) -> dict[str, Any]:
    """The same for machines, with every file."""
    return {
        "files": ledger.total,
        "seconds": round(seconds, 1),
        "counts": dict(ledger.counts()),
        "skipped": dict(skipped),
        "failed": [
            {"file": fate.file, "outcome": fate.outcome, "reason": fate.reason} for fate in ledger.failed
        ],
        "documents": [_entry(fate) for fate in ledger.fates if fate.document_id],
    }


_SKIPPED = {
    "hidden": "hidden files and folders",
    "outside": "links out of the folder",
    "special": "not regular files",
}


def _entry(fate: Fate) -> dict[str, Any]:
    return {
        "file": fate.file,
        "document_id": fate.document_id,
        "outcome": fate.outcome,
        "known": fate.known,
        "same_as": fate.same_as,
    }


def unreadable_fates(paths: Sequence[tuple[str, str]]) -> list[Fate]:
    """Files that were not stored because they could not be opened."""
    return [Fate(path, reason=f"It cannot be read: {reason}.") for path, reason in paths]
