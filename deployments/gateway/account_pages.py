"""The pages that mailed links open: static, one script and one style of our own, nothing from elsewhere.

The token is in the fragment of the link, which browsers do not send: only the script sees it.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "static"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of these pages."""

MEDIA_TYPES = {"account.css": "text/css", "account.js": "text/javascript"}
PAGES = ("reset", "verify")


def files() -> dict[str, bytes]:
    """What the pages load, by name; raises `FileNotFoundError`."""
    return {name: (FOLDER / name).read_bytes() for name in MEDIA_TYPES}


def pages() -> dict[str, str]:
    """HTML by the last part of its path."""
    return {name: (FOLDER / f"{name}.html").read_text(encoding="utf-8") for name in PAGES}
