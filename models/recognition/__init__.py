"""Finding mentions in pages: by the dictionary, by a trained model, by anything with this interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.text import Mention, Page


class Recogniser(Protocol):
    """Finds mentions; leaves assertion and section to others."""

    name: str
    """`name@version`, as it is recorded with every annotation."""

    def recognise(self, pages: Sequence[Page]) -> list[Mention]:
        """Mentions in reading order, not overlapping, with exact offsets in their page's text."""
        ...
