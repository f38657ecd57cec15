"""File names as users send them, made harmless for display, download headers and other file systems."""

from __future__ import annotations

import re
import unicodedata

DEFAULT = "document"
LIMIT_BYTES = 255
"""What every common file system takes, in UTF-8."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that cannot be seen: control, direction, surrogate, private, unassigned, line ends."""
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)


def safe_filename(name: str) -> str:
    """The last part of `name` without what could mislead a person or a program; 1 to 255 bytes.

    Folders, control and direction characters and the signs that Windows forbids go; reserved device names
    get an underscore; an overlong name loses from its stem and keeps its extension.
    """
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(
        " " if sign.isspace() else sign for sign in name if unicodedata.category(sign) not in _INVISIBLE
    )
    name = _FORBIDDEN.sub("_", name).strip(" ").rstrip(". ")
    if not name.strip("."):
        return DEFAULT
    return _shortened(f"_{name}" if _RESERVED.match(name) else name)


def stem(filename: str) -> str:
    """The name without its extension: what a document is called when nobody gave it a title."""
    return filename.rpartition(".")[0] or filename


def _shortened(name: str) -> str:
    if len(name.encode()) <= LIMIT_BYTES:
        return name
    start, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 16:
        start, dot, extension = name, "", ""
    room = LIMIT_BYTES - len((dot + extension).encode())
    return start.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + extension
