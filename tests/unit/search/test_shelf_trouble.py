"""What tantivy says of a disk, told apart from what it refuses."""

from __future__ import annotations

import pytest

from domain.errors import StorageFull, Unavailable
from stores.search.shelf import trouble

KILLED = (
    "An index writer was killed.. A worker thread encountered an error (io::Error most likely) or panicked."
)


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        ("An IO error occurred: 'No space left on device (os error 28)'", StorageFull),
        ("Internal error: 'Disk quota exceeded (os error 122)'", StorageFull),
        (
            'Failed to open file for write: IoError { err: Os { code: 28, message: "No space left" } }',
            StorageFull,
        ),
        ("An IO error occurred: 'Input/output error (os error 5)'", Unavailable),
        ("Schema error: 'field 28 is no text'", type(None)),
        (KILLED, type(None)),
    ],
)
def test_only_errors_of_the_system_are_the_disks(message: str, meant: type) -> None:
    assert type(trouble(message)) is meant
