"""Where parsers cannot be cut off the network, doctor, the production profile and its workers say so."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from rich.console import Console
from structlog.testing import capture_logs

from actors.parser import say_when_not_isolated
from cluster.cli.overview import print_ready
from cluster.platform.doctor import network_namespace
from config.settings import Profile, Settings


def allowed() -> bool:
    return True


def forbidden() -> bool:
    return False


def test_doctor_notes_it() -> None:
    assert network_namespace(allowed).level == "ok"
    assert network_namespace(forbidden).level == "note"


@pytest.mark.parametrize(
    ("profile", "isolated", "said"),
    [
        (Profile.PRODUCTION, forbidden, True),
        (Profile.PRODUCTION, allowed, False),
        (Profile.LOCAL, forbidden, False),
    ],
)
def test_production_says_it_when_it_is_ready(tmp_path: Path, profile: Profile, isolated, said: bool) -> None:
    output = io.StringIO()
    settings = Settings(profile=profile, data_dir=tmp_path)
    print_ready(
        Console(file=output, width=300), settings, detached=True, sandbox=lambda: network_namespace(isolated)
    )
    assert ("not cut off the network" in output.getvalue()) is said


@pytest.fixture
def unfiltered() -> Iterator[None]:
    """Logs as structlog comes, whatever level another test has set in this process."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("unfiltered")
async def test_a_worker_says_it_in_its_log() -> None:
    with capture_logs() as lines:
        await say_when_not_isolated(allowed)
        await say_when_not_isolated(forbidden)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("parsers_reach_the_network", "warning")
    ]
