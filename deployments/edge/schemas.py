"""Pydantic shapes that all slices use."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

T = TypeVar("T")


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


def _printable(value: object) -> object:
    if isinstance(value, str) and any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must not contain control characters")
    return value


Line = Annotated[str, BeforeValidator(_printable), StringConstraints(strip_whitespace=True)]
"""A text of one line: no control characters, outer blanks taken away."""
