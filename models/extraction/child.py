"""Opens one untrusted file in a process that may die for it: what a child of `actors.confinement` runs.

Whoever imports this module has the parsers loaded, so that the limits which are set after that are all the file's.
"""

from __future__ import annotations

from domain.jobs import Failure
from models.extraction import extract, pdf
from models.extraction.exchange import Request, dump_outcome

__all__ = ["pdf", "work"]


def work(request: Request) -> None:
    """Write the outcome of the request whole, or not at all. Prints nothing."""
    try:
        content = dump_outcome(extract(request.path, max_pages=request.max_pages, parsers=request.parsers))
    except MemoryError:
        content = dump_outcome(Failure("out_of_memory", "Reading the file took too much memory."))
    unfinished = request.outcome.with_name(request.outcome.name + ".part")
    unfinished.write_bytes(content)
    unfinished.replace(request.outcome)
