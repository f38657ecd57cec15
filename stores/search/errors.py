"""What both backends say when an index is not there."""

from __future__ import annotations

from domain.errors import NotFound, Unavailable

MISSING = "search.index_missing"


class GenerationMissing(NotFound):
    """There is no such generation, or no longer."""

    code = "search.generation_missing"


def not_ready() -> Unavailable:
    return Unavailable("The search index is not ready yet.", code=MISSING, retry_after=5)


def lost() -> Unavailable:
    return Unavailable(
        "The search index is lost. Make it again with: medsearch index rebuild", code=MISSING, retry_after=30
    )


def missing(name: str) -> GenerationMissing:
    return GenerationMissing(f"There is no index generation '{name}'.")
