"""The published key file as an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from domain.errors import Unavailable


def read_key_set(path: Path) -> dict[str, Any]:
    """The JWK Set with all public keys; raises `Unavailable` before the first one is written."""
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Unavailable("There are no keys yet. Try again in a moment.", retry_after=2) from None
    return content
