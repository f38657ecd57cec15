"""Query texts as vectors, apart from the workers, so that a backfill cannot slow a search."""
