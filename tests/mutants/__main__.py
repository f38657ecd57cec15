"""Applies each mutation to a copy of the sources and runs `tests/unit/access` there: every one must be noticed.

A child of a process that has the libraries loaded runs the tests, so that a mutation costs a second or two.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
COPIED = ("config", "domain", "models", "stores", "actors", "deployments", "cluster", "tests")
LIBRARIES = (
    "pytest",
    "hypothesis.strategies",
    "pytest_asyncio",
    "fastapi",
    "httpx",
    "numpy",
    "asyncpg",
    "jwt",
)
ARGUMENTS = (
    "-x",
    "-q",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "-p",
    "no:randomly",
    "-p",
    "no:faulthandler",
    "--hypothesis-seed=0",
    "--no-header",
)
SUITE = "tests/unit/access"
SECONDS = 120
FAILED = 1
"""What pytest ends with when a test failed; a suite that cannot even be collected ends with 2."""


def main() -> int:
    begun = time.monotonic()
    for name in LIBRARIES:
        import_module(name)
    with tempfile.TemporaryDirectory(prefix="medsearch-mutants-") as folder:
        copies = [Path(folder) / str(number) for number in range(os.cpu_count() or 1)]
        _copy(copies[0])
        if _tests(copies[0], keep_bytecode=True) != 0:
            print("The access tests fail without any mutation.")
            return 1
        free: SimpleQueue[Path] = SimpleQueue()
        for copy in copies:
            if copy != copies[0]:
                shutil.copytree(copies[0], copy)
            free.put(copy)
        with ThreadPoolExecutor(len(copies)) as threads:
            ends = list(threads.map(lambda mutation: _end(mutation, free), MUTATIONS))
    survivors = [mutation for mutation, killed in zip(MUTATIONS, ends, strict=True) if not killed]
    for mutation in survivors:
        print(f"SURVIVED {mutation.file}: {mutation.old!r} -> {mutation.new!r}")
    killed = len(MUTATIONS) - len(survivors)
    print(f"{killed} of {len(MUTATIONS)} mutants killed in {time.monotonic() - begun:.0f} s")
    return 1 if survivors else 0


def _end(mutation: Mutation, free: SimpleQueue[Path]) -> bool:
    """Whether a test fails on the mutation."""
    copy = free.get()
    try:
        mutation.apply(copy)
        code = _tests(copy)
        if code not in (0, FAILED):
            raise RuntimeError(f"the tests ended with {code} on {mutation}")
        return code != 0
    finally:
        shutil.copy2(ROOT / mutation.file, copy / mutation.file)
        free.put(copy)


def _tests(copy: Path, *, keep_bytecode: bool = False) -> int:
    child = multiprocessing.get_context("fork").Process(target=_child, args=(copy, keep_bytecode))
    child.start()
    child.join(SECONDS)
    if child.is_alive():
        child.kill()
        child.join()
        return FAILED
    return child.exitcode if child.exitcode is not None else -1


def _child(copy: Path, keep_bytecode: bool) -> None:
    """A mutated module leaves no bytecode: the next mutation may have its size and second."""
    import pytest

    os.chdir(copy)
    sys.dont_write_bytecode = not keep_bytecode
    for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(entry for entry in sys.path if entry and Path(entry) != ROOT)]
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        code = pytest.main([*ARGUMENTS, SUITE])
    os._exit(int(code))


def _copy(target: Path) -> None:
    target.mkdir()
    shutil.copy2(ROOT / "pyproject.toml", target)
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))


if __name__ == "__main__":
    sys.exit(main())
