"""The trained recogniser: six types of mention by the network, their codes by dictionary and linker."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from config.settings import ModelSettings
from domain.text import Concept, Mention, MentionType, Page, by_page
from models.encoders import Encoder, ModelUnavailable, locate, verify
from models.linking import Linker, load_linker
from models.recognition.abbreviations import definitions
from models.recognition.dictionary import DictionaryRecogniser
from models.terminology import Vocabulary

WEIGHTS = Path(__file__).parent / "data"
CARD = "recogniser.json"


class Finder(Protocol):
    """Mentions of a text: (start, end, type), in order, not overlapping."""

    def find(self, text: str) -> list[tuple[int, int, MentionType]]: ...


class ClinicalRecogniser:
    """Finds mentions by the network; the linker gives them their concepts."""

    def __init__(self, finder: Finder, vocabulary: Vocabulary, linker: Linker, *, name: str) -> None:
        self._finder = finder
        self._dictionary = DictionaryRecogniser(vocabulary)
        self._linker = linker
        self.name = f"{name}+{self._dictionary.name}+{linker.name}"

    def recognise(self, pages: Sequence[Page]) -> list[Mention]:
        """Mentions of all pages; an abbreviation that the document defines has the codes of what it means."""
        named = by_page(self._dictionary.recognise(pages))
        defined: dict[str, str] = {}
        return [
            mention for page in pages for mention in self._on_page(page, named.get(page.number, []), defined)
        ]

    def _on_page(self, page: Page, named: Sequence[Mention], defined: dict[str, str]) -> Iterator[Mention]:
        by_span = {(mention.start, mention.end): mention for mention in named}
        found = self._finder.find(page.text)
        for definition in definitions(page.text, [(start, end) for start, end, _ in found]):
            start, end, _ = found[definition.index]
            defined[definition.short] = page.text[start:end]
        for start, end, kind in found:
            surface, known = page.text[start:end], by_span.get((start, end))
            meant = _spelled_out(surface, defined)
            concepts = known.concepts if known and meant == surface else self._concepts(meant, kind)
            yield Mention(page.number, start, end, surface, kind, concepts)

    def _concepts(self, meant: str, kind: MentionType) -> tuple[Concept, ...]:
        return self._linker.concepts(meant, kind) or self._linker.broader(meant, kind)


def _spelled_out(surface: str, defined: Mapping[str, str]) -> str:
    """The text with what the abbreviations stand for that the document has defined so far."""
    words = surface.split() if defined else []
    if not any(word in defined or word.removesuffix("s") in defined for word in words):
        return surface
    return " ".join(defined.get(word) or defined.get(word.removesuffix("s"), word) for word in words)


def load_clinical(
    settings: ModelSettings,
    vocabulary: Vocabulary,
    *,
    cache_dir: Path | None = None,
    folder: Path = WEIGHTS,
) -> ClinicalRecogniser:
    """The shipped recogniser, on the device of the settings. The linker's index is kept below `cache_dir`.

    Raises `ModelUnavailable` when its weights are absent or not those that its card describes.
    """
    from models.recognition.finder import load_finder

    card = read_card(folder)
    encoder = encoder_of_card(card)
    finder = load_finder(
        encoder.folder, folder / card["weights"], vocabulary, device=settings.device, threads=settings.threads
    )
    linker = load_linker(vocabulary, cache_dir=cache_dir)
    return ClinicalRecogniser(finder, vocabulary, linker, name=card["name"])


def encoder_of_card(card: Mapping[str, Any]) -> Encoder:
    """The encoder that the weights change. Raises `ModelUnavailable` when another one is here, or it was altered."""
    encoder = verify(locate(card["encoder"].partition("@")[0]))
    if encoder.name != card["encoder"]:
        raise ModelUnavailable(
            f"The recogniser was trained on {card['encoder']}, but {encoder.name} is here."
        )
    return encoder


def read_card(folder: Path) -> dict[str, Any]:
    """What is known of the weights in a folder, after a look at whether they are the ones it describes."""
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        digest = sha256((folder / card["weights"]).read_bytes()).hexdigest()
        altered, _, _ = digest != card["sha256"], card["name"], card["encoder"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            f"There is no whole recogniser in {folder}: install medsearch again, or set models.recognizer to dictionary."
        ) from error
    if altered:
        raise ModelUnavailable(f"The recogniser's weights in {folder} were altered: install medsearch again.")
    return card
