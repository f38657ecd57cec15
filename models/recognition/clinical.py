"""The trained recogniser: six types of mention by the network, their codes by the dictionary."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from config.settings import ModelSettings
from domain.text import Concept, Mention, MentionType, Page
from models.encoders import ModelUnavailable, locate, verify
from models.recognition.dictionary import DictionaryRecogniser
from models.terminology import Vocabulary

WEIGHTS = Path(__file__).parent / "data"
CARD = "recogniser.json"
HEAD_SCORE = 0.7
"""Of a concept that a mention's last words name, not the mention as a whole."""


class Finder(Protocol):
    """Mentions of a text: (start, end, type), in order, not overlapping."""

    def find(self, text: str) -> list[tuple[int, int, MentionType]]: ...


class ClinicalRecogniser:
    """Finds mentions by the network; one that the dictionary knows by name has its concepts."""

    def __init__(self, finder: Finder, vocabulary: Vocabulary, *, name: str) -> None:
        self._finder = finder
        self._vocabulary = vocabulary
        self._dictionary = DictionaryRecogniser(vocabulary)
        self.name = f"{name}+{self._dictionary.name}"

    def recognise(self, pages: Sequence[Page]) -> list[Mention]:
        """Mentions of all pages; an abbreviation that the document defines has the codes of what it means."""
        named: dict[int, list[Mention]] = {}
        for mention in self._dictionary.recognise(pages):
            named.setdefault(mention.page, []).append(mention)
        return [mention for page in pages for mention in self._on_page(page, named.get(page.number, []))]

    def _on_page(self, page: Page, named: list[Mention]) -> Iterator[Mention]:
        starts = [mention.start for mention in named]
        for start, end, kind in self._finder.find(page.text):
            first, behind = bisect_left(starts, start), bisect_left(starts, end)
            inside = [mention for mention in named[first:behind] if mention.end <= end]
            surface = page.text[start:end]
            yield Mention(page.number, start, end, surface, kind, self._concepts(surface, start, end, inside))

    def _concepts(self, surface: str, start: int, end: int, inside: Sequence[Mention]) -> tuple[Concept, ...]:
        """Of the whole name, else of the name that it ends with: "basal pneumonia" is a pneumonia."""
        meaning = self._vocabulary.lookup(surface)
        if meaning is not None and not meaning.capitals:
            return meaning.concepts
        last = inside[-1] if inside and inside[-1].end == end else None
        if last is None:
            return ()
        if last.start == start:
            return last.concepts
        return tuple(replace(concept, score=concept.score * HEAD_SCORE) for concept in last.concepts)


def load_clinical(
    settings: ModelSettings, vocabulary: Vocabulary, *, folder: Path = WEIGHTS
) -> ClinicalRecogniser:
    """The shipped recogniser, on the device of the settings.

    Raises `ModelUnavailable` when its weights are absent or not those that its card describes.
    """
    from models.recognition.finder import load_finder

    card = read_card(folder)
    encoder = verify(locate(card["encoder"].partition("@")[0]))
    if encoder.name != card["encoder"]:
        raise ModelUnavailable(
            f"The recogniser was trained on {card['encoder']}, but {encoder.name} is here."
        )
    finder = load_finder(
        encoder.folder, folder / card["weights"], vocabulary, device=settings.device, threads=settings.threads
    )
    return ClinicalRecogniser(finder, vocabulary, name=card["name"])


def read_card(folder: Path) -> dict[str, Any]:
    """What is known of the weights in a folder, after a look at whether they are the ones it describes."""
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        digest = sha256((folder / card["weights"]).read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"There is no whole recogniser in {folder}: train one (make train-recogniser), or use the dictionary."
        ) from error
    if digest != card["sha256"]:
        raise ModelUnavailable(f"The recogniser's weights in {folder} were altered: install medsearch again.")
    return card
