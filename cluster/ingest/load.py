"""The bulk load itself: store the files, a few at once, and follow their documents until all have settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cluster.ingest.listing import Listing
from cluster.ingest.report import Fate, Ledger, Pace, progress_line, unreadable_fates
from domain.errors import MedsearchError, StorageFull, Unavailable
from domain.lifecycle import Status

WATCHED_AT_ONCE = 2000
"""Documents asked about at once; the lane is first in, first out, so the oldest settle first."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document for a file; `known` when it had been there before."""

    document_id: str
    known: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a document stands; `reason` in words when it failed."""

    status: Status
    reason: str | None = None


class Documents(Protocol):
    """What a bulk load asks of the document service."""

    async def store(self, file: Path) -> Stored:
        """Make the file a document, once, however often this is called.

        Raises `OSError` when the file cannot be read and `MedsearchError` when the platform does not take it.
        """
        ...

    async def standings(self, document_ids: Sequence[str]) -> Mapping[str, Standing]: ...


@dataclass(frozen=True, slots=True)
class Tempo:
    """How many files at once, and how often things are looked at, in seconds."""

    at_once: int = 4
    poll: float = 2.0
    line: float = 5.0
    patience: float = 900.0
    """How long an unreachable store is waited for."""


class BulkLoad:
    """One run over a listing. `write` gets a line for people every few seconds."""

    def __init__(self, documents: Documents, write: Callable[[str], None], tempo: Tempo = Tempo()) -> None:
        self._documents = documents
        self._write = write
        self._tempo = tempo

    async def run(self, listing: Listing, root: Path) -> Ledger:
        """Store and follow everything; returns when nothing is under way any more.

        Raises `StorageFull` when there is no room, `Unavailable` when a store stays away. Run it again then.
        """
        ledger = Ledger(len(listing.files) + len(listing.unreadable))
        for fate in unreadable_fates([(_name(path, root), reason) for path, reason in listing.unreadable]):
            ledger.add(fate)
        files = iter(listing.files)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(ledger))
                for _ in range(self._tempo.at_once):
                    group.create_task(self._store_all(files, root, ledger))
        except* MedsearchError as errors:
            raise errors.exceptions[0] from None
        return ledger

    async def _store_all(self, files: Iterator[Path], root: Path, ledger: Ledger) -> None:
        for file in files:
            ledger.add(await self._store(file, _name(file, root)))

    async def _store(self, file: Path, name: str) -> Fate:
        try:
            stored = await self._patiently(file)
        except OSError as error:
            return Fate(name, reason=f"It cannot be read: {error.strerror or type(error).__name__}.")
        except Unavailable:
            raise
        except MedsearchError as error:
            return Fate(name, reason=error.message)
        return Fate(name, stored.document_id, known=stored.known)

    async def _patiently(self, file: Path) -> Stored:
        deadline = time.monotonic() + self._tempo.patience
        while True:
            try:
                return await self._documents.store(file)
            except StorageFull:
                raise
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(min(error.retry_after or 1, self._tempo.poll))

    async def _follow(self, ledger: Ledger) -> None:
        pace, line_due = Pace(time.monotonic()), time.monotonic() + self._tempo.line
        while ledger.settled < ledger.total:
            await asyncio.sleep(self._tempo.poll)
            await self._look(ledger)
            if time.monotonic() >= line_due:
                line_due = time.monotonic() + self._tempo.line
                self._write(progress_line(ledger, pace.mark(time.monotonic(), ledger.settled)))

    async def _look(self, ledger: Ledger) -> None:
        try:
            found = await self._documents.standings(ledger.pending[:WATCHED_AT_ONCE])
        except Unavailable:
            return  # it is asked again in a moment; the stores' own patience ends the run if need be
        for document_id, standing in found.items():
            ledger.settle(document_id, standing.status, standing.reason)


def _name(path: Path, root: Path) -> str:
    return printable(str(path.relative_to(root) if path.is_relative_to(root) else path))


def printable(name: str) -> str:
    """The name with control characters and undecodable bytes written as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
