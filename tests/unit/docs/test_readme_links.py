"""README leads to every page."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_the_table_of_the_readme_names_every_page(page: str) -> None:
    assert f"| [docs/{page}](docs/{page}) |" in (ROOT / "README.md").read_text()
