"""Search options of the command line as the platform's search request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import typer

from domain.text import AssertionLabel

LISTS = {"type": "document_type", "department": "department", "section": "section"}
SINGLES = ("patient", "from", "to")


class Mode(StrEnum):
    HYBRID = "hybrid"
    LEXICAL = "lexical"
    SEMANTIC = "semantic"


def entity(text: str) -> dict[str, Any]:
    """`ICD10CM:J18.9=negated,uncertain` as an entity filter; without `=` any assertion will do."""
    concept, _, labels = text.partition("=")
    if ":" not in concept:
        raise typer.BadParameter(
            f"'{concept}' is not a concept. Write SYSTEM:CODE, such as ICD10CM:J18.9;"
            " 'medsearch search WORDS --facet concept' shows those of the documents found."
        )
    assertions = [label.strip() for label in labels.split(",") if label.strip()]
    unknown = [label for label in assertions if label not in list(AssertionLabel)]
    if unknown:
        raise typer.BadParameter(
            f"'{unknown[0]}' is not an assertion. There are: {', '.join(AssertionLabel)}."
        )
    return {"concept": concept, "assertion": assertions}


def filters(texts: Iterable[str], entities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`type=radiology`, `from=2024-01-01`, ... as the request's filters."""
    result: dict[str, Any] = {"entities": list(entities)}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in (*LISTS, *SINGLES):
            raise typer.BadParameter(
                f"'{text}' is not a filter. Write one of {'=, '.join((*LISTS, *SINGLES))}=VALUE."
            )
        if name in LISTS:
            result.setdefault(LISTS[name], []).append(value)
        elif name == "patient":
            result["patient"] = value
        else:
            result.setdefault("date", {"from": None, "to": None})[name] = value
    return result
