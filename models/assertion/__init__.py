"""Whether a mention is affirmed: polarity, certainty, temporality and experiencer, with the words that say
so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.text import Assertion, Mention, Page, Section


class AssertionModel(Protocol):
    """Judges mentions in their sentence and section: the rule engine, or a trained classifier."""

    name: str
    """`name@version`, as it is recorded with every annotation."""

    def assess(
        self, page: Page, mentions: Sequence[Mention], sections: Sequence[Section], *, article: bool = False
    ) -> list[Assertion]:
        """One assertion a mention, in their order; `mentions` and `sections` are those of the page.

        `article`: the page is of a scientific article, which denies and doubts otherwise than clinical notes do.
        """
        ...
