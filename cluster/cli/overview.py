"""The short table of a ready platform, and what `medsearch status` shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from cluster.platform.doctor import Finding, network_namespace
from cluster.platform.layout import Layout
from cluster.platform.ray_node import dashboard_url
from cluster.platform.serve_api import ServeStatus
from cluster.platform.state import PlatformState
from config.settings import Settings


def print_ready(
    console: Console,
    settings: Settings,
    *,
    detached: bool,
    sandbox: Callable[[], Finding] = network_namespace,
) -> None:
    """Where everything is and what to try next; in production also what the sandbox of the parsers lacks."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in _rows(settings):
        table.add_row(name, value)
    console.print("\n[bold]medsearch is ready[/bold]")
    console.print(table)
    if settings.production and (finding := sandbox()).level != "ok":
        console.print(f"[yellow]{finding.subject}: {finding.message}[/yellow]", highlight=False)
    console.print("Stop with [bold]medsearch down[/bold]." if detached else "Stop with Ctrl-C.")


def _rows(settings: Settings) -> list[tuple[str, str]]:
    token = f" (it asks for the token in {Layout.of(settings).ray_token})" if settings.ray.auth else ""
    rows = [
        ("API", settings.origin),
        ("Documentation", f"{settings.origin}/docs"),
        ("Ray dashboard", f"{dashboard_url(settings)}{token}"),
        ("Data folder", str(settings.data_dir)),
    ]
    accounts = _demo_accounts() if settings.demo else []
    rows += [("Demo account" if index == 0 else "", account) for index, account in enumerate(accounts)]
    return [*rows, ("Try", _next_command(settings))]


def _demo_accounts() -> list[str]:
    from cluster.demo.people import CLINICIANS

    return [f"{person.email}  password {person.password}  ({person.department})" for person in CLINICIANS]


def _next_command(settings: Settings) -> str:
    if not settings.demo:
        return "medsearch status"
    from cluster.demo.people import CLINICIANS

    return f"medsearch login {CLINICIANS[0].email} && medsearch search pneumonia"


def status_table(state: PlatformState, serve: ServeStatus | None) -> Table:
    """Phase, servers, applications."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row(
        "platform", state.phase + (f": waiting for {state.waiting_for}" if state.waiting_for else "")
    )
    for name, pid in state.servers.items():
        restarts = state.restarts.get(name, 0)
        table.add_row(name, f"process {pid}" + (f", restarted {restarts} times" if restarts else ""))
    for name, (condition, _) in (serve.applications if serve else {}).items():
        table.add_row(name, condition.lower())
    if state.problem:
        table.add_row("problem", state.problem)
    return table


def status_json(state: PlatformState | None, serve: ServeStatus | None) -> dict[str, Any]:
    """The same for programs; `running` is false when there is no platform."""
    applications = {name: condition for name, (condition, _) in serve.applications.items()} if serve else {}
    return {"running": state is not None, **(asdict(state) if state else {}), "applications": applications}
