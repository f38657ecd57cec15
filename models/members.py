"""Many members in one blob, each of which can be read without the others.

    64 bytes            a JSON object, padded with blanks: what it is, and how many `members` there are
    8 bytes a place     where each member begins, and where the last one ends: one place more than members
    the members         each compressed by itself (zlib)

Pieces are read by whoever has the blob; everything here is pure. What is damaged raises `ValueError`.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

HEAD_BYTES = 64
_PLACE = struct.Struct(">Q")
_SPAN = struct.Struct(">QQ")


def pack(head: Mapping[str, Any], members: Iterable[bytes]) -> bytes:
    """The blob; `head` is small, as it must fit into its 64 bytes."""
    packed = [zlib.compress(member, 6) for member in members]
    line = json.dumps({**head, "members": len(packed)}, separators=(",", ":")).encode().ljust(HEAD_BYTES)
    if len(line) > HEAD_BYTES:
        raise ValueError("the head is too long")
    first = HEAD_BYTES + _PLACE.size * (len(packed) + 1)
    places = accumulate(map(len, packed), initial=first)
    return b"".join([line, *map(_PLACE.pack, places), *packed])


def unpack(content: bytes) -> list[bytes]:
    """All members of a whole blob."""
    count = json.loads(content[:HEAD_BYTES])["members"]
    spans = [span(piece(content, *place(number))) for number in range(count)]
    return [inflated(piece(content, *found)) for found in spans]


def place(number: int) -> tuple[int, int]:
    """Start and size of the piece that tells where the member with this number (from 0) is."""
    return HEAD_BYTES + _PLACE.size * number, _SPAN.size


def span(at_place: bytes) -> tuple[int, int]:
    """Start and size of a member, by the piece at its place."""
    try:
        start, end = _SPAN.unpack(at_place)
    except struct.error as error:
        raise ValueError("the end is missing") from error
    return start, end - start


def piece(content: bytes, start: int, size: int) -> bytes:
    return content[start : start + size]


def inflated(member: bytes) -> bytes:
    """A member as it was given to `pack`."""
    try:
        return zlib.decompress(member)
    except zlib.error as error:
        raise ValueError("a member is damaged") from error
