"""An upload's body as it arrives, in pieces: the bytes themselves, or a form with them and their metadata."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from deployments.documents.multipart import MultipartReader
from deployments.edge.authentication import insist_on_caller
from domain.errors import FieldError, Invalid, UnsupportedMedia

Parameters = TypeVar("Parameters", bound=BaseModel)
Parameters_co = TypeVar("Parameters_co", bound=BaseModel, covariant=True)
CheckSender = Callable[[], Awaitable[None]]


class Upload(Protocol[Parameters_co]):
    """Bytes, and what is said about them."""

    def content(self) -> AsyncIterator[bytes]:
        """The document's bytes, once."""
        ...

    def parameters(self) -> Parameters_co:
        """What is said about them: complete when the content was read to its end. Raises `Invalid`."""
        ...

    async def check_sender(self) -> None:
        """Raises `Unauthenticated` when the rights of who sends it changed while the content was read."""
        ...


async def ourselves() -> None:
    """Nobody sends it: its bytes are here."""


class PlainUpload(Upload[Parameters]):
    """The body is the document; what is said about it came beforehand (the address, a bulk load's list)."""

    def __init__(
        self, parameters: Parameters, chunks: AsyncIterator[bytes], check_sender: CheckSender = ourselves
    ) -> None:
        self._parameters = parameters
        self._chunks = chunks
        self._check_sender = check_sender

    def content(self) -> AsyncIterator[bytes]:
        return self._chunks

    def parameters(self) -> Parameters:
        return self._parameters

    async def check_sender(self) -> None:
        await self._check_sender()


class FormUpload(Upload[Parameters]):
    """A form with the part `file`; its other fields add to what the address says."""

    def __init__(self, parameters: Parameters, form: MultipartReader, check_sender: CheckSender) -> None:
        self._given = parameters
        self._form = form
        self._check_sender = check_sender

    def content(self) -> AsyncIterator[bytes]:
        return self._form.content()

    def parameters(self) -> Parameters:
        given = self._given.model_dump(mode="json", exclude_unset=True)
        twice = sorted(set(given) & set(self._form.fields))
        if twice:
            fields = tuple(
                FieldError(name, "duplicate", "It is in the address and in the form.") for name in twice
            )
            raise Invalid("The same fields are in the address and in the form.", errors=fields)
        named = {"filename": self._form.filename} if self._form.filename else {}
        return _validated(type(self._given), {**named, **given, **self._form.fields})

    async def check_sender(self) -> None:
        await self._check_sender()


def upload_of(request: Request, parameters: Parameters) -> Upload[Parameters]:
    """The upload in a request's body.

    Raises `UnsupportedMedia` for a compressed body or another kind of multipart, and 411 for a body whose end
    cannot be known.
    """
    headers = request.headers
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise HTTPException(411, "Say how long the body is (Content-Length), or send it in chunks.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMedia("Send the file as it is, without Content-Encoding.")
    content_type = headers.get("content-type", "")
    check_sender = partial(insist_on_caller, request.scope)
    if not content_type.lower().startswith("multipart/"):
        return PlainUpload(parameters, chunks_of(request), check_sender)
    return FormUpload(parameters, MultipartReader(content_type, chunks_of(request)), check_sender)


async def chunks_of(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives; raises `Invalid` when the client goes away before its end."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise Invalid("The body ended early.", code="request.incomplete") from None


def _validated(model: type[Parameters], values: Mapping[str, Any]) -> Parameters:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fields = tuple(
            FieldError(".".join(map(str, item["loc"]))[:200], item["type"], item["msg"])
            for item in error.errors()
        )
        named = ", ".join(dict.fromkeys(field.field for field in fields))
        raise Invalid(f"The request is not valid: {named}.", errors=fields) from None
