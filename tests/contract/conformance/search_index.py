"""What every search index must do, whatever it is made of. Ranks are compared, never scores.

A subclass provides the fixtures `index`, whose live generation is empty, and `reader`, another process's view of
the same index.
"""

from __future__ import annotations

from tests.contract.conformance.search_access import AccessConformance, CrowdConformance
from tests.contract.conformance.search_answers import FacetsConformance, OrderConformance, PassagesConformance
from tests.contract.conformance.search_concurrency import ConcurrencyConformance
from tests.contract.conformance.search_generations import GenerationsConformance
from tests.contract.conformance.search_matching import (
    FiltersConformance,
    MeaningConformance,
    WordsConformance,
)
from tests.contract.conformance.search_writing import WritingConformance


class SearchIndexConformance(
    WordsConformance,
    FiltersConformance,
    AccessConformance,
    CrowdConformance,
    FacetsConformance,
    OrderConformance,
    WritingConformance,
    PassagesConformance,
    MeaningConformance,
    GenerationsConformance,
    ConcurrencyConformance,
):
    """All of it."""
