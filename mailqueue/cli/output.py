"""How answers look: tables for people, JSON for programs, times and lengths of time in both.

The rule: whatever came from outside is shown as text and nothing else, so no server and no sender can
move a cursor or colour a screen. At a terminal a table fits its width; elsewhere nothing is cut.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from mailqueue.clock import HOUR, MINUTE, SECOND, to_datetime
from mailqueue.mail.visible import visible
from mailqueue.model.duration import format_duration

if TYPE_CHECKING:
    from rich.table import Table

Json = Mapping[str, object]
"""A JSON document: always an object."""

_NEVER_CUT = 100_000
_NUMBER = re.compile(r"[0-9][0-9,.]*[kMG]?")
_FLEXIBLE = {
    "LAST ERROR": 16,
    "REASON": 12,
    "DELAYS": 20,
    "MATCHES": 20,
    "DESTINATION": 20,
    "DOMAIN": 12,
    "BY": 8,
    "TO": 20,
    "FROM": 12,
    "ENDS": 24,
}
"""Columns that give way where it is narrow, the first of them first, and their least widths."""
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


def json_line(document: Json) -> None:
    """Print one of many JSON documents, on a line of its own."""
    click.echo(json.dumps(document, ensure_ascii=False))


def items(found: Iterable[Json], next: str | None = None) -> Json:
    """Return a list as a document; `next` is the cursor of the page after it."""
    return {"items": list(found), "next": next}


def rfc3339(moment: datetime | None) -> str | None:
    """Return a moment for programs: `2025-11-23T06:51:00.250000Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def about(length: timedelta) -> str:
    """Return a length of time for people, roughly: `45s`, `4m`, `3h10m`, `2d3h`."""
    seconds = round(length.total_seconds())
    if seconds < 60:
        return f"{seconds}s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes}m"
    hours = round(minutes / 60)
    if hours < 24:
        return format_duration(minutes * MINUTE)
    return format_duration(hours * HOUR)


def took(length: timedelta) -> str:
    """Return for people how long something took: `12ms`, `3.4s`, `2m5s`."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else format_duration(round(seconds) * SECOND)


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
    indent, width = " " * hang, max(40, _width())
    for each in textwrap.wrap(visible(text), width, subsequent_indent=indent, break_on_hyphens=False) or [""]:
        click.echo(each)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 message`, `3 messages`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def short(count: int) -> str:
    """Return a count in four characters, roughly where it is large: `9999`, `12k`, `1.2M`."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= max(size, 10_000):
            whole = count / size
            return f"{whole:.1f}{unit}" if whole < 9.95 else f"{whole:.0f}{unit}"
    return str(count)


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide each column is, so that all of them fit, with two blanks between them, if they can."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(head, *rows, strict=True)]
    excess = sum(widths) + 2 * (len(widths) - 1) - _width()
    for name, least in _FLEXIBLE.items():
        if name in head and excess > 0:
            number = head.index(name)
            cut = max(0, min(excess, widths[number] - least))
            widths[number] -= cut
            excess -= cut
    return widths


def _width() -> int:
    return shutil.get_terminal_size().columns if _fits() else _NEVER_CUT


def _fits() -> bool:
    """Return whether lines are to fit a width: that of the terminal, or that which COLUMNS says."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def _print(made: Table) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout, width=_width(), markup=False, highlight=False, emoji=False)
    with console.capture() as printed:
        console.print(made)
    for each in printed.get().splitlines():
        click.echo(each.rstrip())


def line(text: str = "") -> None:
    """Print a line for people, with nothing hidden in it."""
    click.echo(visible(text))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns of numbers stand to the right, long texts give way where it is narrow."""
    _print(rich_table(head, rows))


def rich_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return what `table` prints."""
    from rich.table import Table
    from rich.text import Text

    shown = [[_cell(value) for value in row] for row in rows]
    made = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    widths = _widths(head, shown)
    for number, name in enumerate(head):
        right = bool(shown) and all(_NUMBER.fullmatch(row[number]) for row in shown)
        made.add_column(name, justify="right" if right else "left", width=widths[number], no_wrap=True)
    for row in shown:
        made.add_row(*(Text(cell, style=_COLOURS.get(cell, ""), overflow="ellipsis") for cell in row))
    return made


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
