"""Results of the stages, read page by page: the cost of a page does not grow with its document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from domain.text import Mention
from models import members
from models.artefacts import (
    GZIP,
    AnnotatedPage,
    AnnotationFacts,
    ArtefactFormat,
    ExtractedPage,
    check_head,
    load_member,
    paged,
)
from stores.ports import BlobStore

T = TypeVar("T")

Read = Callable[[int, int], Awaitable[bytes]]
"""(start, size) -> that piece of the artefact."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """An extraction or annotation of `pages` pages. What is damaged raises `ArtefactFormat`."""

    pages: int
    read: Read

    async def member(self, kind: type[T], number: int) -> T:
        """What is said of page `number`, or with 0 of the document."""
        try:
            start, size = members.span(await self.read(*members.place(number)))
            content = members.inflated(await self.read(start, size))
        except ValueError as error:
            raise ArtefactFormat("The artefact is damaged.") from error
        return await asyncio.to_thread(load_member, kind, content)


async def opened(blobs: BlobStore, key: str, kind: str) -> Artefact:
    """The artefact at `key`; one of the first version is read whole. Raises `NotFound`, `ArtefactFormat`."""

    async def read(start: int, size: int) -> bytes:
        return await blobs.read(key, start=start, size=size)

    head = await read(0, members.HEAD_BYTES)
    if head.startswith(GZIP):
        content = await asyncio.to_thread(paged, kind, await blobs.read(key))
        return Artefact(check_head(kind, content) - 1, _of(content))
    return Artefact(check_head(kind, head) - 1, read)


async def page_of(extraction: Artefact, number: int) -> ExtractedPage | None:
    """The page with this number, if there is one."""
    return await extraction.member(ExtractedPage, number) if number <= extraction.pages else None


async def mentions_of(
    annotation: Artefact, page: int | None, *, start: int, limit: int
) -> tuple[list[Mention], int]:
    """`limit` mentions from the `start`-th on, in the order of the text, of one page or all; and how many there are."""
    counts = (await annotation.member(AnnotationFacts, 0)).mentions
    found: list[Mention] = []
    passed = 0
    for number, count in enumerate(counts, 1):
        if page not in (None, number):
            continue
        if count and passed < start + limit and passed + count > start:
            own = (await annotation.member(AnnotatedPage, number)).mentions
            ordered = sorted(own, key=lambda mention: (mention.start, mention.end))
            found += ordered[max(0, start - passed) : max(0, start + limit - passed)]
        passed += count
    return found, passed


def _of(content: bytes) -> Read:
    async def read(start: int, size: int) -> bytes:
        return members.piece(content, start, size)

    return read
