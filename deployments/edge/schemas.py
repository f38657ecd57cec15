"""Pydantic shapes that all slices use."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

T = TypeVar("T")


REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Controls (C0, DEL, C1), half surrogate pairs, ends of lines and paragraphs."""
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Embeddings, overrides and isolates: they make a text look like another one."""


class StrictModel(BaseModel):
    """A request or an answer: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class ProblemField(BaseModel):
    """One wrong field."""

    field: str = Field(description="Dotted path of the field.", examples=["filters.date.from"])
    code: str = Field(description="Stable code.", examples=["missing"])
    message: str


class Problem(BaseModel):
    """Any error: RFC 9457 with a stable `code`."""

    type: str = Field(examples=["about:blank"])
    title: str
    status: int
    code: str = Field(examples=["request.invalid"])
    detail: str
    instance: str = Field(description="The request id, as `urn:request:ID`.")
    errors: list[ProblemField] | None = None


class Page(StrictModel, Generic[T]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None = None


def _visible(value: object) -> object:
    if isinstance(value, str) and any(
        sign in DIRECTIONS or unicodedata.category(sign) in REFUSED_CATEGORIES for sign in value
    ):
        raise ValueError("must not contain control characters or characters that change the direction")
    return value


def _composed(value: object) -> object:
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def _compatible(value: object) -> object:
    return unicodedata.normalize("NFKC", value) if isinstance(value, str) else value


_Trimmed = StringConstraints(strip_whitespace=True)

Line = Annotated[str, BeforeValidator(_compatible), BeforeValidator(_visible), _Trimmed]
"""One line in NFKC: names, record numbers, reasons. Outer blanks are taken away, control characters and those that
change the direction of the text are refused."""

Wording = Annotated[str, BeforeValidator(_composed), BeforeValidator(_visible), _Trimmed]
"""One line as it was worded (NFC): titles, and addresses, whose parts compatibility forms would confuse."""

Moment = Annotated[
    AwareDatetime, Field(ge=datetime(1900, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC))
]
"""A time with its offset, of the years 1900 to 2999: far enough from the ends of the calendar to reckon with."""
