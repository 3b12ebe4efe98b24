"""How answers look: tables for people, JSON for programs, times and lengths of time in both.

The rule: whatever came from outside is shown as text and nothing else, so no server and no sender can
move a cursor or colour a screen. At a terminal a table fits its width; elsewhere nothing is cut.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import click

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND, to_datetime, to_micros
from mailqueue.mail.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

Json = Mapping[str, object]
"""A JSON document: always an object."""

_NEVER_CUT = 100_000
_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s"))
_FLEXIBLE = ("TO", "FROM", "LAST ERROR", "REASON", "MATCHES", "DELAYS", "REPLY", "HOST")
_COLOURS = {
    "delivered": "green",
    "failed": "red",
    "expired": "red",
    "on hold": "yellow",
    "NOT RUNNING": "bold red",
}


def print_json(document: Json) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def items(found: Iterable[Json], next: str | None = None) -> Json:
    """Return a list as a document; `next` is the cursor of the page after it."""
    return {"items": list(found), "next": next}


def rfc3339(moment: datetime | None) -> str | None:
    """Return a moment for programs: `2025-11-23T06:51:00.250000Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def about(length: timedelta) -> str:
    """Return a length of time for people, in its two largest units: `45s`, `4m10s`, `2d3h`."""
    micros = (to_micros(length) + SECOND // 2) // SECOND * SECOND
    for (size, name), (smaller, small_name) in pairwise(_UNITS):
        if micros >= size:
            rest = micros % size // smaller
            return f"{micros // size}{name}" + (f"{rest}{small_name}" if rest else "")
    return f"{micros // SECOND}s"


def took(length: timedelta) -> str:
    """Return for people how long something took: `12ms`, `3.4s`, `2m5s`."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else about(length)


def when(moment: datetime | None, now: int) -> str:
    """Return a moment for people, relative and in local time: `in 4m, 07:15:00`, `2d3h ago, Nov 21 04:11`."""
    if moment is None:
        return "-"
    distance = moment - to_datetime(now)
    local, today = moment.astimezone(), to_datetime(now).astimezone().date()
    clock = f"{local:%H:%M:%S}" if local.date() == today else f"{local:%b %d %H:%M}"
    if abs(distance) < timedelta(seconds=1):
        return f"now, {clock}"
    relative = f"in {about(distance)}" if distance > timedelta(0) else f"{about(-distance)} ago"
    return f"{relative}, {clock}"


def wrapped(text: str, hang: int) -> None:
    """Print a line for people; at a terminal, what does not fit goes on below, `hang` columns in."""
    if not (sys.stdout.isatty() or "COLUMNS" in os.environ):
        line(text)
        return
    width = max(40, shutil.get_terminal_size().columns)
    indent = " " * hang
    for each in textwrap.wrap(visible(text), width, subsequent_indent=indent, break_on_hyphens=False) or [""]:
        click.echo(each)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 message`, `3 messages`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _print(made: Table) -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _NEVER_CUT
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as printed:
        console.print(made)
    for each in printed.get().splitlines():
        click.echo(each.rstrip())


def line(text: str = "") -> None:
    """Print a line for people, with nothing hidden in it."""
    click.echo(visible(text))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns of numbers stand to the right, long texts give way where it is narrow."""
    from rich.table import Table
    from rich.text import Text

    shown = [[_cell(value) for value in row] for row in rows]
    made = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(head):
        right = bool(shown) and all(row[number].replace(",", "").isdigit() for row in shown)
        made.add_column(name, justify="right" if right else "left", no_wrap=name not in _FLEXIBLE)
    for row in shown:
        made.add_row(
            *(Text(cell, style=_COLOURS.get(cell, ""), no_wrap=True, overflow="ellipsis") for cell in row)
        )
    _print(made)


def details(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; a value of None is left out, a long one is wrapped."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            shown = _cell(value)
            made.add_row(Text(name, style="bold"), Text(shown, style=_COLOURS.get(shown, "")))
    _print(made)


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return visible(str(value))
