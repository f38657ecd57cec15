"""Roots and passages as both backends store them: JSON, ASCII only, so that any text survives any store."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from hashlib import blake2b
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from domain.search import PassageRecord, Root, SortKey, StoredPassage
from domain.text import (
    Assertion,
    Certainty,
    Concept,
    Cue,
    Experiencer,
    Mention,
    MentionType,
    Polarity,
    Temporality,
)

UNDATED = "9999999"
"""Sorts behind every day, in both directions."""

LABELLED = "\t"
"""Between value and label in the terms of the concept facet."""

TITLE_CHARACTERS = 200

_PASSAGE: TypeAdapter[tuple[int, int, str | None, int, int, str, tuple[Mention, ...]]] = TypeAdapter(
    tuple[int, int, str | None, int, int, str, tuple[Mention, ...]]
)
"""What `dump_passage` writes, read in a fifth of the time that building the mentions one by one takes."""


def order_keys(root: Root) -> dict[SortKey, str]:
    """One string a sort order; ascending order of these is the order, ties by id included."""
    day = root.date.toordinal() if root.date else None
    title = unicodedata.normalize("NFKD", " ".join(root.title.split())).casefold()[:TITLE_CHARACTERS]
    identity = root.document_id.hex
    return {
        SortKey.NEWEST: (UNDATED if day is None else f"{date.max.toordinal() - day:07}") + identity,
        SortKey.OLDEST: (UNDATED if day is None else f"{day:07}") + identity,
        SortKey.TITLE: f"{title.encode(errors='replace').decode()}\t{identity}",
    }


def section_words(root: Root) -> str:
    """The field `section_stems`: never empty, as engines differ in whether documents without a field count."""
    return " ".join(["#", *root.section_stems])


def facet_concepts(root: Root) -> list[str]:
    """`CODE#assertion` with its label, as the concept facet counts them."""
    return sorted({_labelled(term, root.concept_labels) for term in root.facet_concepts})


def slot(document_id: UUID, version: int) -> int:
    """The number (63 bits) by which the parts of one version of a document find each other."""
    return _digest(document_id.bytes + version.to_bytes(8, "big"))


def number(document_id: UUID) -> int:
    """A document's number, 63 bits."""
    return _digest(document_id.bytes)


def dump_root(root: Root) -> dict[str, Any]:
    return asdict(root) | {
        "document_id": root.document_id.hex,
        "date": root.date.isoformat() if root.date else None,
    }


def load_root(value: Mapping[str, Any]) -> Root:
    fields: dict[str, Any] = {
        key: tuple(item) if isinstance(item, list) else item for key, item in value.items()
    }
    fields["document_id"] = UUID(fields["document_id"])
    fields["date"] = date.fromisoformat(fields["date"]) if fields["date"] else None
    return Root(**fields)


def dump_passage(passage: PassageRecord) -> str:
    """What is shown of a passage: text, place and mentions."""
    return json.dumps(
        [
            passage.ordinal,
            passage.page,
            passage.section,
            passage.start,
            passage.end,
            passage.text,
            [asdict(mention) for mention in passage.mentions],
        ],
        separators=(",", ":"),
    )


def load_passage(document_id: UUID, version: int, content: str | bytes, score: float) -> StoredPassage:
    try:
        ordinal, page, section, start, end, text, mentions = _PASSAGE.validate_json(content)
    except ValidationError:  # half a surrogate pair: JSON in ASCII has it, pydantic takes UTF-8 only
        ordinal, page, section, start, end, text, found = json.loads(content)
        mentions = tuple(map(_mention, found))
    return StoredPassage(document_id, version, ordinal, page, section, start, end, text, mentions, score)


def _labelled(term: str, labels: Mapping[str, str]) -> str:
    label = labels.get(term.rpartition("#")[0])
    return term if label is None else f"{term}{LABELLED}{label}"


def _digest(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big") >> 1


def _mention(value: dict[str, Any]) -> Mention:
    axes = value["assertion"]
    return Mention(
        **value
        | {
            "type": MentionType(value["type"]),
            "concepts": tuple(Concept(**concept) for concept in value["concepts"]),
            "assertion": Assertion(
                Polarity(axes["polarity"]),
                Certainty(axes["certainty"]),
                Temporality(axes["temporality"]),
                Experiencer(axes["experiencer"]),
                Cue(**axes["cue"]) if axes["cue"] else None,
            ),
        }
    )
