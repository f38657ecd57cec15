"""A model as a folder of files: a local one, or one of the hub; whole, unaltered, and known by its content.

Loads no torch. The files are those of `transformers`; weights that are pickled are not loaded: they may run code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from domain.errors import MedsearchError

CONFIG, TOKENIZER, WEIGHTS = NEEDED = ("config.json", "tokenizer.json", "model.safetensors")
SUMS = "SHA256SUMS"
"""What may lie in a folder, as `sha256sum` writes it: then no file may differ from it."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w.-]+)?", re.ASCII)
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class ModelUnavailable(MedsearchError):
    """The model is not on this machine, or not whole."""

    code = "models.unavailable"


def find_folder(model: str, *, setting: str, shipped: Iterable[str]) -> tuple[Path, str]:
    """(folder, name) of a local folder, or of a hub id `owner/name` or `owner/name@revision`.

    The folder is whole, and as its `SHA256SUMS` say. Raises `ModelUnavailable` with what to do in `setting`,
    whose values may also be the `shipped` names.
    """
    if (folder := Path(model).expanduser()).is_dir():
        return whole(folder), folder.resolve().name
    if not _HUB_ID.fullmatch(model):
        raise ModelUnavailable(
            f"{setting} is {model!r}: no folder here, no hub id (owner/name), and none of the shipped models"
            f" ({', '.join(shipped)})."
        )
    return whole(_from_hub(model, setting)), model.partition("@")[0]


def whole(folder: Path) -> Path:
    """The folder, if nothing is missing or altered. Raises `ModelUnavailable`."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise ModelUnavailable(
            f"The model in {folder} is not whole: {', '.join(missing)} is missing."
            " Load and save it once with transformers (docs/models.md), or copy it again."
        )
    check_sums(folder, _stated(folder))
    return folder


def check_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Raises `ModelUnavailable` for the files that are not there with these SHA-256 sums."""
    wrong = [name for name, wanted in sums.items() if digest(folder / name) != wanted]
    if wrong:
        raise ModelUnavailable(
            f"The model in {folder} was altered: {', '.join(wrong)} is not what its checksum says."
            " Copy or install it again."
        )


def digest(file: Path) -> str | None:
    """SHA-256 in hexadecimal digits; None where there is no such file."""
    try:
        with file.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def fingerprint(folder: Path, more: Iterable[str] = (), *, said: str = "") -> str:
    """12 hexadecimal digits of what the model computes: its needed files, those of `more` that it has, `said`."""
    hashed = sha256(said.encode())
    for name in (*NEEDED, *more):
        if (own := digest(folder / name)) is not None:
            hashed.update(f"{name} {own}\n".encode())
    return hashed.hexdigest()[:12]


def read_json(file: Path) -> Any:
    """Raises `ModelUnavailable` when it is not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{file} cannot be read: copy the model again.") from error


def read_tokenizer(file: Path) -> Any:
    """The `tokenizers.Tokenizer` of a file, neither padding nor cutting. Raises `ModelUnavailable`."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more special
        raise ModelUnavailable(f"{file} is no tokenizer: copy the model again.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a folder. Raises `ModelUnavailable`."""
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise ModelUnavailable(f"{folder / CONFIG} does not describe a model.")
    return config


def _stated(folder: Path) -> dict[str, str]:
    """What the folder's own `SHA256SUMS` say of its files."""
    try:
        return dict(_lines(folder / SUMS))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{folder / SUMS} is not as sha256sum writes it.") from error


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if not (match := _SUM.fullmatch(line)):
            raise ValueError(line)
        yield match[2], match[1]


def _from_hub(model: str, setting: str) -> Path:
    """From this machine's cache when it is there, else from the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    identifier, _, revision = model.partition("@")
    wanted: dict[str, Any] = {"revision": revision or None, "allow_patterns": [WEIGHTS, "*.json"]}
    with suppress(Exception):
        folder = Path(snapshot_download(identifier, local_files_only=True, **wanted))
        if all((folder / name).is_file() for name in NEEDED):
            return folder
    try:
        return Path(snapshot_download(identifier, **wanted))
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelUnavailable(f"{setting} is {model!r}, and the hub gives no such model to us.") from error
    except Exception as error:  # the hub client raises errors of several libraries
        raise ModelUnavailable(
            f"{setting} is {model!r}, which is not in this machine's cache, and the hub cannot be reached. Fetch it"
            f" where there is a network (hf download {identifier} --local-dir FOLDER), copy the folder to this"
            f" machine, and set {setting} to it."
        ) from error
