"""What a parser child, the zygote that forks it and their parent write to each other: JSON, nothing executable."""

from __future__ import annotations

import resource
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from domain.jobs import Failure
from domain.text import Extraction
from models.extraction.detection import PDF_PARSERS


class Limits(BaseModel):
    """What a child is allowed; absent means as inherited. The zygote watches `wall_seconds`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_bytes: int | None = Field(default=None, gt=0)
    cpu_seconds: int | None = Field(default=None, gt=0)
    file_bytes: int | None = Field(default=None, gt=0)
    open_files: int | None = Field(default=None, gt=0)
    wall_seconds: float | None = Field(default=None, gt=0)

    def apply(self) -> None:
        """Set soft and hard limits of this process; never above what it inherited."""
        wanted = {
            resource.RLIMIT_AS: self.memory_bytes,
            resource.RLIMIT_CPU: self.cpu_seconds,
            resource.RLIMIT_FSIZE: self.file_bytes,
            resource.RLIMIT_NOFILE: self.open_files,
            resource.RLIMIT_CORE: 0,
        }
        for kind, value in wanted.items():
            if value is not None:
                hard = resource.getrlimit(kind)[1]
                limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(kind, (limit, limit))


class Request(BaseModel):
    """One line of JSON on the zygote's standard input: a file, and the folder that its child may use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    folder: Path
    max_pages: int = Field(gt=0)
    parsers: tuple[str, ...] = PDF_PARSERS
    limits: Limits = Limits()

    @property
    def outcome(self) -> Path:
        """Where the child's answer lies when it ended with exit code 0."""
        return self.folder / "outcome"


class Ended(BaseModel):
    """One line of JSON on the zygote's standard output: how a child ended (a negative code names a signal)."""

    exit_code: int
    in_time: bool = True
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


class _Outcome(BaseModel):
    extraction: Extraction | None = None
    failure: Failure | None = None


_OUTCOME = TypeAdapter(_Outcome)


def dump_outcome(outcome: Extraction | Failure) -> bytes:
    if isinstance(outcome, Failure):
        return _OUTCOME.dump_json(_Outcome(failure=outcome))
    return _OUTCOME.dump_json(_Outcome(extraction=outcome))


def load_outcome(content: bytes) -> Extraction | Failure:
    """What the child wrote; `parser_crashed` when it did not finish writing."""
    try:
        outcome = _OUTCOME.validate_json(content)
    except ValidationError:
        outcome = _Outcome()
    crashed = Failure("parser_crashed", "The reader of this file type stopped unexpectedly.")
    return outcome.extraction or outcome.failure or crashed
