"""The parser child: what it may and may not do, and that nothing of it is left. F1 is here."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.parser import FILE_BYTES, OPEN_FILES, SandboxedParser, network_isolation
from config.settings import ParserSettings
from domain.errors import Unavailable
from domain.jobs import Failure
from domain.text import Extraction
from tests.waiting import eventually

MISBEHAVING = "tests.contract.processing.misbehaving_child"
LIMITS = ParserSettings(memory_bytes=256 * 1024**2, cpu_seconds=1, wall_seconds=30)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Path]:
    """Write a file that orders the misbehaving child to do something."""

    def write(do: str, **details: Any) -> Path:
        path = tmp_path / "order.json"
        path.write_text(json.dumps({"do": do, **details}))
        return path

    return write


@pytest.fixture
def parser(scratch: Path) -> Iterator[SandboxedParser]:
    parser = SandboxedParser(LIMITS, scratch=scratch, module=MISBEHAVING)
    yield parser
    parser.close()
    assert list(scratch.iterdir()) == []


async def answer(parser: SandboxedParser, path: Path, attempt: int = 1) -> tuple[Any, list[str]]:
    outcome = await parser.parse(path, attempt=attempt)
    assert isinstance(outcome, Extraction)
    value, parsers = json.loads(outcome.pages[0].text)
    return value, parsers


async def code(parser: SandboxedParser, path: Path) -> str:
    outcome = await parser.parse(path, attempt=1)
    assert isinstance(outcome, Failure)
    assert not outcome.final
    return outcome.code


async def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() or _is_zombie(pid):
            return True
        await asyncio.sleep(0.02)
    return False


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def started(pid_file: Path) -> int:
    return int(await eventually(lambda: pid_file.exists() and pid_file.read_text(), 30))


async def test_a_real_file_is_read(scratch, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear colleague,\nno evidence of pneumonia.")
    parser = SandboxedParser(ParserSettings(), scratch=scratch)
    try:
        outcome = await parser.parse(path, attempt=1)
    finally:
        parser.close()
    assert isinstance(outcome, Extraction)
    assert "pneumonia" in outcome.pages[0].text
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("do", "expected"),
    [
        ("allocate", "out_of_memory"),
        ("abort when out of memory", "out_of_memory"),
        ("spin", "cpu_limit"),
        ("crash", "parser_crashed"),
        ("raise", "parser_crashed"),
        ("leave", "parser_crashed"),
    ],
)
async def test_what_goes_wrong_is_a_value_with_its_cause(parser, order, do, expected):
    assert await code(parser, order(do)) == expected
    value, _ = await answer(parser, order("report"))
    assert value["pid"] > 0


async def test_failures_of_the_child_are_taken_only_when_they_are_ours(parser, order):
    rejected = await parser.parse(order("fail", code="encrypted", final=True), attempt=1)
    assert rejected == Failure("encrypted", "", final=True)
    assert await code(parser, order("fail", code="made up", final=False)) == "parser_crashed"
    assert await code(parser, order("fail", code="out_of_memory", final=True)) == "parser_crashed"


async def test_endless_waiting_ends_at_the_wall_limit(scratch, order, tmp_path):
    limits = ParserSettings(wall_seconds=0.5)
    parser = SandboxedParser(limits, scratch=scratch, module=MISBEHAVING)
    pid_file = tmp_path / "pid"
    before = time.monotonic()
    try:
        assert await code(parser, order("sleep", pid_file=str(pid_file))) == "wall_limit"
    finally:
        parser.close()
    assert time.monotonic() - before < 10
    assert not pid_file.exists() or await gone(int(pid_file.read_text()))


async def test_f1_a_killed_child_is_a_failure_and_its_neighbours_go_on(parser, order, tmp_path, scratch):
    neighbour = SandboxedParser(LIMITS, scratch=scratch, module=MISBEHAVING)
    report = tmp_path / "neighbour.json"
    report.write_text(json.dumps({"do": "report"}))
    pid_file = tmp_path / "pid"
    work = asyncio.create_task(code(parser, order("sleep", pid_file=str(pid_file))))
    os.kill(await started(pid_file), signal.SIGKILL)
    try:
        outcome = await neighbour.parse(report, attempt=1)
    finally:
        neighbour.close()
    assert await work == "parser_crashed"
    assert isinstance(outcome, Extraction)


async def test_limits_environment_and_folder_of_the_child(parser, order, scratch, monkeypatch):
    monkeypatch.setenv("MEDSEARCH_SECRET_POSTGRES_AUTH", "s3cret")
    value, _ = await answer(parser, order("report"))
    assert set(value["env"]) <= {"PATH", "LANG", "TMPDIR", "OMP_NUM_THREADS", "LC_CTYPE"}
    assert Path(value["cwd"]).parent == scratch
    assert value["temporary"] == value["env"]["TMPDIR"] == value["cwd"]
    assert value["open"] == ["/dev/null"] * 3
    assert not Path(value["cwd"]).exists()
    assert value["limits"] == {
        "RLIMIT_AS": LIMITS.memory_bytes,
        "RLIMIT_CPU": LIMITS.cpu_seconds,
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_FSIZE": FILE_BYTES,
        "RLIMIT_CORE": 0,
    }


async def test_each_file_gets_a_child_of_its_own(parser, order):
    found = [(await answer(parser, order("report")))[0] for _ in range(3)]
    assert len({one["pid"] for one in found}) == 3
    assert len({one["parent"] for one in found}) == 1


@pytest.mark.parametrize("do", ["crash", "spin"])
async def test_who_loads_the_parsers_is_replaced_after_a_child_that_did_not_end_well(parser, order, do):
    before, _ = await answer(parser, order("report"))
    await code(parser, order(do))
    after, _ = await answer(parser, order("report"))
    assert before["parent"] != after["parent"]
    assert await gone(before["parent"])


async def test_a_killed_zygote_is_followed_by_another(parser, order, tmp_path):
    value, _ = await answer(parser, order("report"))
    os.kill(value["parent"], signal.SIGKILL)
    assert await gone(value["parent"])
    assert (await answer(parser, order("report")))[0]["pid"]
    pid_file = tmp_path / "pid"
    work = asyncio.create_task(code(parser, order("sleep", pid_file=str(pid_file))))
    child = await started(pid_file)
    os.kill(int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
    assert await work == "parser_crashed"
    assert await gone(child)


async def test_a_frozen_zygote_is_not_waited_for(scratch, order, tmp_path):
    parser = SandboxedParser(
        ParserSettings(wall_seconds=0.5), scratch=scratch, module=MISBEHAVING, grace_seconds=0.5
    )
    parent = (await answer(parser, order("report")))[0]["parent"]
    os.kill(parent, signal.SIGSTOP)
    assert await code(parser, order("report")) == "wall_limit"
    assert await gone(parent)
    parser.close()


async def test_files_that_come_at_once_do_not_wait_for_each_other(parser, order, tmp_path):
    pid_file = tmp_path / "pid"
    slow = asyncio.create_task(code(parser, order("sleep", pid_file=str(pid_file))))
    child = await started(pid_file)
    values = [(await answer(parser, order("report")))[0] for _ in range(2)]
    assert len({value["parent"] for value in values}) == 1
    os.kill(child, signal.SIGKILL)
    assert await slow == "parser_crashed"
    assert (await answer(parser, order("report")))[0]["parent"] == values[0]["parent"]


async def test_a_machine_without_room_is_no_fault_of_the_file(parser, order, scratch):
    scratch.rmdir()
    with pytest.raises(Unavailable):
        await parser.parse(order("report"), attempt=1)
    scratch.mkdir()
    assert (await answer(parser, order("report")))[0]["pid"]


async def test_every_second_attempt_leaves_the_first_parser_out(parser, order):
    assert (await answer(parser, order("report"), 1))[1] == ["pypdfium2", "pypdf"]
    assert (await answer(parser, order("report"), 2))[1] == ["pypdf"]
    assert (await answer(parser, order("report"), 3))[1] == ["pypdfium2", "pypdf"]


async def test_there_is_no_network_where_the_system_allows_a_namespace(parser, order):
    with socket.create_server(("127.0.0.1", 0)) as server:
        value, _ = await answer(parser, order("connect", port=server.getsockname()[1]))
    assert value == ("refused" if network_isolation() else "connected")


async def test_what_the_child_starts_ends_with_it(parser, order):
    pid, _ = await answer(parser, order("start a helper"))
    assert await gone(pid)


async def test_cancelled_work_ends_its_child(parser, order, tmp_path):
    pid_file = tmp_path / "pid"
    work = asyncio.create_task(parser.parse(order("sleep", pid_file=str(pid_file)), attempt=1))
    pid = await started(pid_file)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert await gone(pid)


async def test_children_die_with_a_killed_parent_and_the_next_one_cleans_up(order, scratch, tmp_path):
    pid_file = tmp_path / "pid"
    path = order("sleep", pid_file=str(pid_file))
    program = f"""
        import asyncio
        from pathlib import Path
        from actors.parser import SandboxedParser
        from config.settings import ParserSettings
        parser = SandboxedParser(ParserSettings(), scratch=Path({str(scratch)!r}), module={MISBEHAVING!r})
        asyncio.run(parser.parse(Path({str(path)!r}), attempt=1))
    """
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(program))
    try:
        child = await started(pid_file)
    finally:
        parent.kill()
        await parent.wait()
    assert await gone(child)
    assert list(scratch.iterdir())
    SandboxedParser(LIMITS, scratch=scratch).close()
    assert list(scratch.iterdir()) == []
