"""When vectors are compared exactly, and when the graph is walked."""

from __future__ import annotations

from stores.search.vectors import GRAPH_FROM, MOST_GRAPH_ROWS, exact_is_better, literal
from tests.contract.conformance.letters import direction


def test_few_visible_passages_are_compared_exactly() -> None:
    assert exact_is_better(visible=4_999, total=1_000_000, wanted=1, exact_below=5_000)
    assert not exact_is_better(visible=500_000, total=1_000_000, wanted=75, exact_below=5_000)


def test_a_small_share_of_many_passages_is_compared_exactly() -> None:
    """The graph would have to visit twenty others for each visible passage."""
    assert exact_is_better(visible=10_000, total=200_000, wanted=300, exact_below=0)
    assert not exact_is_better(visible=100_000, total=200_000, wanted=300, exact_below=0)


def test_a_walk_is_bounded() -> None:
    assert exact_is_better(visible=10_000_000, total=10_000_000, wanted=MOST_GRAPH_ROWS + 1, exact_below=0)


def test_without_a_graph_everything_is_exact() -> None:
    assert exact_is_better(visible=GRAPH_FROM - 1, total=GRAPH_FROM - 1, wanted=1, exact_below=0)


def test_vectors_are_written_as_pgvector_reads_them() -> None:
    assert literal(direction(1)[:3]) == "[1.0,0.0,0.0]"
