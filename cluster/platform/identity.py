"""Our packages have general names (`config`, `models`, ...): is what Python finds under them really ours?"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cluster
from domain.errors import MedsearchError

PACKAGES = ("config", "domain", "models", "stores", "actors", "deployments", "cluster")


class ForeignPackage(MedsearchError):
    """Another package of the same name is found first."""

    code = "platform.foreign_package"


def check_packages() -> None:
    """Raises `ForeignPackage` unless all packages lie beside each other."""
    home = Path(str(cluster.__file__)).resolve().parents[1]
    for name in PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is None or found.parents[1] != home:
            raise ForeignPackage(
                f"'{name}' is found at {found or 'no place'}, not in {home}. Remove it from "
                "PYTHONPATH and from the current folder, or start medsearch elsewhere."
            )
