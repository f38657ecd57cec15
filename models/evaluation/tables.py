"""Tab-separated files of labelled rows, with a header, as people make them by spreadsheets and by hand."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from domain.errors import Invalid
from models.evaluation.corpora import DAMAGED

SHOWN_FAULTS = 10
_QUOTED = re.compile(r'"(?:[^"]|"")*"')

Row = TypeVar("Row")


def read_table(path: Path, columns: Sequence[str], made: Callable[[int, dict[str, str]], Row]) -> list[Row]:
    """The rows of a file (gzip or not), as `parse_table`."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except DAMAGED as error:
        raise Invalid(f"{path} cannot be read: {error}.") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Invalid(f"{path} line {line}: not UTF-8.") from error
    return parse_table(text, str(path), columns, made)


def parse_table(
    content: str, name: str, columns: Sequence[str], made: Callable[[int, dict[str, str]], Row]
) -> list[Row]:
    """What `made` makes of each line's number and fields by column; `columns` are needed, more may be there.

    `made` raises `ValueError` with what is wrong. Raises `Invalid`, which names the lines that are wrong. A
    field with tabs, quotes or line breaks may be quoted as in CSV.
    """
    lines = _records(content)
    if not lines:
        raise Invalid(f"{name} is empty: a header row with the columns {' '.join(columns)} is needed.")
    header = [column.strip().lower() for column in lines[0][1]]
    if absent := [column for column in columns if column not in header]:
        raise Invalid(
            f"{name} line 1: no column {', '.join(absent)}. Needed, separated by tabs: {' '.join(columns)}."
        )
    rows: list[Row] = []
    faults: list[str] = []
    for line, fields in lines[1:]:
        try:
            if len(fields) != len(header):
                raise ValueError(f"{len(fields)} columns, the header has {len(header)}")
            rows.append(made(line, dict(zip(header, fields, strict=True))))
        except ValueError as fault:
            faults.append(f"{name} line {line}: {fault}.")
    if faults:
        more = [f"... and {len(faults) - SHOWN_FAULTS} more."] if len(faults) > SHOWN_FAULTS else []
        raise Invalid("\n".join([*faults[:SHOWN_FAULTS], *more]))
    if not rows:
        raise Invalid(f"{name} has a header and no rows.")
    return rows


def _records(content: str) -> list[tuple[int, list[str]]]:
    """(line number, fields), empty lines left out: plain lines, or CSV when a quoted field spans several."""
    plain = [
        (number, [_unquoted(field) for field in line.removesuffix("\r").split("\t")])
        for number, line in enumerate(content.split("\n"), 1)
        if line.strip()
    ]
    if len({len(fields) for _, fields in plain}) == 1 or '"' not in content:
        return plain
    quoted = csv.reader(io.StringIO(content, newline=""), delimiter="\t", strict=True)
    records: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for fields in quoted:
            if fields:
                records.append((begins, fields))
            begins = quoted.line_num + 1
    except csv.Error:
        return plain
    return records if len({len(fields) for _, fields in records}) == 1 else plain


def _unquoted(field: str) -> str:
    """A quote that CSV doubled is one; a text that is merely between quotes keeps them."""
    if '""' in field[1:-1] and _QUOTED.fullmatch(field):
        return field[1:-1].replace('""', '"')
    return field
