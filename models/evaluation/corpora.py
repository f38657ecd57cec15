"""Labelled corpora as texts with spans: IOB columns and brat stand-off."""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from domain.errors import MedsearchError

CorpusFormat = Literal["iob", "brat"]

SENTENCES_PER_TEXT = 40
"""An IOB file that does not say where its documents begin is read as texts of so many sentences."""

_NO_SPACE_BEFORE = re.compile(r"[.,;:!?)\]}%'’/\-]$")
_NO_SPACE_BEHIND = re.compile(r"[(\[{'’/\-]$")


DAMAGED = (OSError, EOFError, zlib.error)
"""What reading a file raises that is away, cut short or altered."""


class CorpusFault(MedsearchError):
    """The corpus cannot be read as the format that was named."""

    code = "models.corpus"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A span of the corpus, half-open code points, with the corpus' own type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and everything the corpus says about it."""

    name: str
    text: str
    spans: tuple[Labelled, ...]


def read_corpus(path: Path, form: CorpusFormat) -> list[LabelledText]:
    """All texts of a file or folder (brat also from a `.tar.gz`), in the order of their names.

    IOB: a token and its tag a line, separated by a tab or blanks, an empty line behind a sentence,
    `-DOCSTART-` before a document; gzip or not. Tokens are joined as they are usually written. Brat: `.txt`
    beside `.ann`; a span in pieces counts from its first to its last character. Raises `CorpusFault`.
    """
    try:
        texts = list(_brat(path) if form == "brat" else _iob(path))
    except (*DAMAGED, ValueError, tarfile.TarError) as error:
        raise CorpusFault(f"{path} cannot be read as {form}: {error}") from error
    if not texts:
        raise CorpusFault(f"There is no {form} text in {path}.")
    return texts


def open_text(path: Path) -> IO[str]:
    """A text file, packed by gzip or not, as its name says."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _iob(path: Path) -> Iterator[LabelledText]:
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    for file in files:
        with open_text(file) as lines:
            documents = _documents([line.rstrip("\n") for line in lines])
        for number, sentences in enumerate(documents):
            yield _joined(f"{file.name}#{number}", sentences)


Sentence = list[tuple[str, str]]


def _documents(lines: Sequence[str]) -> Iterator[list[Sentence]]:
    marked = any(line.startswith("-DOCSTART-") for line in lines)
    sentences: list[Sentence] = [[]]
    for number, line in enumerate(lines, 1):
        if line.startswith("-DOCSTART-"):
            yield from _filled(sentences)
            sentences = [[]]
        elif not line.strip():
            if not marked and len(sentences) == SENTENCES_PER_TEXT and sentences[-1]:
                yield from _filled(sentences)
                sentences = [[]]
            elif sentences[-1]:
                sentences.append([])
        else:
            columns = line.split("\t") if "\t" in line else line.split()
            tag = columns[-1].strip()
            if len(columns) < 2 or not re.fullmatch(r"O|[BIESLU]-.+", tag):
                raise ValueError(f"line {number} is not a token and a tag")
            sentences[-1].append((columns[0], tag))
    yield from _filled(sentences)


def _filled(sentences: list[Sentence]) -> Iterator[list[Sentence]]:
    kept = [sentence for sentence in sentences if sentence]
    if kept:
        yield kept


def _joined(name: str, sentences: list[Sentence]) -> LabelledText:
    parts: list[str] = []
    spans: list[Labelled] = []
    length = 0
    for sentence in sentences:
        before = "\n" if parts else ""
        opened: Labelled | None = None
        for token, tag in sentence:
            gap = before if before in ("\n", "") else _gap(parts[-1], token)
            parts += [gap, token]
            start, length = length + len(gap), length + len(gap) + len(token)
            before = " "
            kind = tag[2:]
            if opened and (tag[0] in "OBSU" or kind != opened.type):
                spans.append(opened)
                opened = None
            if kind:
                opened = Labelled(opened.start if opened else start, length, kind)
        if opened:
            spans.append(opened)
    return LabelledText(name, "".join(parts), tuple(spans))


def _gap(left: str, right: str) -> str:
    return "" if _NO_SPACE_BEFORE.match(right) or _NO_SPACE_BEHIND.match(left) else " "


def _brat(path: Path) -> Iterator[LabelledText]:
    files = dict(_brat_files(path))
    for name in sorted(files):
        if name.endswith(".txt") and (notes := files.get(name[:-4] + ".ann")) is not None:
            yield LabelledText(PurePosixPath(name).stem, files[name], tuple(_spans(notes)))


def _brat_files(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file in path.rglob("*"):
            if file.suffix in (".txt", ".ann"):
                yield str(file.relative_to(path)), file.read_bytes().decode()
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content and member.name.endswith((".txt", ".ann")):
                    yield member.name, content.read().decode()


def _spans(notes: str) -> Iterator[Labelled]:
    for line in notes.splitlines():
        if line.startswith("T"):
            _, kind_and_span, *_ = line.split("\t")
            kind, _, places = kind_and_span.partition(" ")
            numbers = [int(number) for number in re.split(r"[ ;]", places)]
            yield Labelled(min(numbers), max(numbers), kind)
