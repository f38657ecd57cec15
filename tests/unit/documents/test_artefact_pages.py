"""Artefacts are read page by page: the same as read whole, and no more than the page costs."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from deployments.documents.artefacts import mentions_of, opened, page_of
from domain.errors import NotFound
from domain.text import Annotation, Extraction, Mention, MentionType, Page, Passage
from models.artefacts import (
    ArtefactFormat,
    dump_annotation,
    dump_extraction,
    load_annotation,
    load_extraction,
)
from tests.unit.actors.doubles import MemoryBlobs

PAGES = 2000


class Metered(MemoryBlobs):
    """Counts the bytes that are read."""

    seen = 0

    async def read(self, key: str, *, start: int = 0, size: int | None = None) -> bytes:
        content = await super().read(key, start=start, size=size)
        self.seen += len(content)
        return content


def mention(page: int, start: int) -> Mention:
    return Mention(page, start, start + 5, f"m{page}.{start}", MentionType.DRUG)


EXTRACTION = Extraction(
    "application/pdf",
    tuple(
        Page(number, f"Page {number}. " + "No evidence of pneumonia. " * 20) for number in range(1, PAGES + 1)
    ),
    unreadable_pages=(7,),
    warnings=("page_unreadable",),
    parser="p@1",
)
ANNOTATION = Annotation(
    (),
    (Passage(0, 1, 0, 4, None, "text"),),
    tuple(mention(page, start) for page in range(2, PAGES, 2) for start in (30, 10, 20)),
    ("m@1",),
)
IN_ORDER = sorted(ANNOTATION.mentions, key=lambda one: (one.page, one.start))


def first_version(kind: str, value: Any) -> bytes:
    """An artefact as it was written before pages could be read one by one."""
    content = TypeAdapter(type(value)).dump_python(value, mode="json", exclude_defaults=True)
    return gzip.compress(json.dumps({"kind": kind, "version": 1, "value": content}).encode())


@pytest.fixture(params=["paged", "first version"])
async def blobs(request: pytest.FixtureRequest) -> Metered:
    blobs = Metered()
    old = request.param == "first version"
    extraction = first_version("extraction", EXTRACTION) if old else dump_extraction(EXTRACTION)
    annotation = first_version("annotation", ANNOTATION) if old else dump_annotation(ANNOTATION)
    await blobs.put("extraction", extraction)
    await blobs.put("annotation", annotation)
    return blobs


async def test_a_page_is_what_it_is_in_the_whole(blobs: Metered) -> None:
    assert load_extraction(blobs.content["extraction"]) == EXTRACTION
    extraction = await opened(blobs, "extraction", "extraction")
    assert extraction.pages == PAGES
    for number in (1, 2, 7, PAGES):
        page = await page_of(extraction, number)
        assert page is not None
        assert (page.text, page.readable) == (EXTRACTION.pages[number - 1].text, number != 7)
    assert await page_of(extraction, PAGES + 1) is None


async def test_mentions_are_paged_over_pages_and_within_one(blobs: Metered) -> None:
    assert load_annotation(blobs.content["annotation"]) == ANNOTATION
    annotation = await opened(blobs, "annotation", "annotation")
    for start, limit in itertools.product((0, 1, 2, 3, 1000, len(IN_ORDER) - 1, len(IN_ORDER)), (1, 2, 7)):
        found, total = await mentions_of(annotation, None, start=start, limit=limit)
        assert (found, total) == (IN_ORDER[start : start + limit], len(IN_ORDER))
    own = [mention(4, 10), mention(4, 20), mention(4, 30)]
    assert await mentions_of(annotation, 4, start=0, limit=10) == (own, 3)
    assert await mentions_of(annotation, 4, start=1, limit=1) == (own[1:2], 3)
    for page in (1, 3, PAGES, PAGES + 1):
        assert await mentions_of(annotation, page, start=0, limit=10) == ([], 0)


async def test_the_cost_of_a_page_does_not_grow_with_the_document() -> None:
    cost = {}
    for pages in (2, PAGES):
        blobs = Metered()
        await blobs.put("e", dump_extraction(Extraction("text/plain", EXTRACTION.pages[:pages])))
        assert await page_of(await opened(blobs, "e", "extraction"), 2) is not None
        cost[pages] = blobs.seen
    assert cost[PAGES] == cost[2]
    whole = Metered()
    await whole.put("a", dump_annotation(ANNOTATION))
    await mentions_of(await opened(whole, "a", "annotation"), 4, start=0, limit=10)
    assert whole.seen < len(whole.content["a"]) / 100


@pytest.mark.parametrize("cut", [0, 10, 64, 100, -1])
async def test_a_damaged_artefact_is_told(cut: int) -> None:
    blobs = Metered()
    small = Extraction("text/plain", EXTRACTION.pages[:2])
    await blobs.put("e", dump_extraction(small)[:cut])
    with pytest.raises(ArtefactFormat):
        await page_of(await opened(blobs, "e", "extraction"), 2)


async def test_another_kind_and_a_lost_artefact_are_told() -> None:
    blobs = Metered()
    await blobs.put("a", dump_annotation(ANNOTATION))
    with pytest.raises(ArtefactFormat):
        await opened(blobs, "a", "extraction")
    with pytest.raises(NotFound):
        await opened(blobs, "none", "extraction")
