"""The annotate stage: sections, passages, mentions with their assertions, out of the pages of a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from config.settings import ModelSettings
from domain.documents import DocumentType
from domain.text import Annotation, Extraction, Mention, Page, Section, by_page
from models.assertion import AssertionModel
from models.assertion.context import ContextRules
from models.document_types import guess_document_type
from models.encoders import locate
from models.passages import PassageSplitter, WordPieceTokenizer
from models.recognition import Recogniser
from models.recognition.loading import load_recogniser
from models.sections import PageSections, find_sections

_SURELY = 0.9
"""Confidence from which a document counts as an article: a note judged as one loses negations."""


class Annotator:
    """Puts recogniser, assertion and passages together; holds no state between documents."""

    def __init__(self, recogniser: Recogniser, assertion: AssertionModel, passages: PassageSplitter) -> None:
        self._recogniser = recogniser
        self._assertion = assertion
        self._passages = passages

    @property
    def models(self) -> tuple[str, ...]:
        """`name@version` of the models that have a part."""
        return self._recogniser.name, self._assertion.name

    def annotate(self, extraction: Extraction) -> Annotation:
        """The annotation of a document; every mention's span is the text it claims."""
        sections = find_sections(extraction.pages)
        mentions = self._recogniser.recognise(extraction.pages)
        return Annotation(
            sections,
            self._passages.split(extraction.pages, sections),
            tuple(self._asserted(extraction.pages, mentions, sections)),
            self.models,
        )

    def _asserted(
        self, pages: Sequence[Page], mentions: Sequence[Mention], sections: Sequence[Section]
    ) -> Iterator[Mention]:
        by_number, on_page = {page.number: page for page in pages}, by_page(sections)
        guess = guess_document_type(pages, sections)
        article = guess.type is DocumentType.ARTICLE and guess.confidence >= _SURELY
        for number, group in groupby(mentions, key=lambda mention: mention.page):
            own = list(group)
            assertions = self._assertion.assess(
                by_number[number], own, on_page.get(number, ()), article=article
            )
            placed = PageSections(on_page.get(number, ()))
            for mention, assertion in zip(own, assertions, strict=True):
                section = placed.at(mention.start)
                yield replace(mention, assertion=assertion, section=section.name if section else None)


def load_annotator(settings: ModelSettings, *, cache_dir: Path | None = None) -> Annotator:
    """The annotator of the settings. The vocabulary is kept below `cache_dir` and built there once."""
    splitter = PassageSplitter(
        WordPieceTokenizer(locate(settings.encoder).folder / "tokenizer.json"),
        max_tokens=settings.passage_tokens,
        overlap=settings.passage_overlap,
    )
    return Annotator(load_recogniser(settings, cache_dir=cache_dir), ContextRules(), splitter)
