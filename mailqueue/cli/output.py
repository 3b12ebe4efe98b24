"""How answers look: tables for people, JSON for programs, times and lengths of time in both.

The rule: whatever came from outside is shown as text and nothing else, so no server and no sender can
move a cursor or colour a screen. At a terminal a table fits its width, and ids and reasons stay readable;
elsewhere nothing is cut.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
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
_GIVE_WAY = {
    "LAST ERROR": 0,
    "SAYS": 0,
    "REASON": 0,
    "ENDS": 0,
    "ERROR": 0,
    "ANSWER": 0,
    "EVENTS": 0,
    "URL": 0,
    "DELAYS": 0,
    "MATCHES": 0,
    "USER": 0,
    "FROM": 0,
    "BY": 8,
    "SCHEDULE": 12,
    "ACCOUNT": 8,
    "TRANSPORT": 12,
    "NAME": 16,
    "DOMAIN": 12,
    "DESTINATION": 24,
    "TO": 24,
}
"""Columns that give way where it is narrow, the first of them first, and their least widths; 0: they go below
their rows."""
_BELOW_LINES = 3  # of a long text below its row, at most
_TELLS_ITSELF = "LAST ERROR"  # a column that needs no name below its rows
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


def wrapped(text: str, hang: int, *, most: int | None = None) -> None:
    """Print a line for people; at a terminal, what does not fit goes on below, `hang` columns in.

    Args:
        text: the line.
        hang: columns.
        most: lines that it may become; what is more is cut. None: any number.
    """
    lines = _wrapped(visible(text), max(40, _width()), " " * hang)
    if most is not None and len(lines) > most:
        lines[most - 1 :] = [f"{lines[most - 1][:-2].rstrip()} …"]
    for each in lines:
        click.echo(each.rstrip())


def short(count: int) -> str:
    """Return a count in four characters, roughly where it is large: `9999`, `12k`, `1.2M`."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= max(size, 10_000):
            whole = count / size
            return f"{whole:.1f}{unit}" if whole < 9.95 else f"{whole:.0f}{unit}"
    return str(count)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Return the lines of a text; a word that is longer than a line begins one, and is broken at its end."""
    from rich.cells import cell_len

    first, *words = text.split(" ")
    lines = [first]
    for word in words:
        if cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
        while cell_len(lines[-1]) > width:
            whole = lines.pop()
            end = next(n for n in range(len(whole), 0, -1) if cell_len(whole[:n]) <= width)
            lines += [whole[:end], indent + whole[end:]]
    return lines


def plural(count: int, noun: str, ending: str = "s") -> str:
    """Return a count with its noun: `1 message`, `3 messages`; `ending` is what makes it more than one."""
    return f"{count:,} {noun}" + ("" if count == 1 else ending)


def _layout(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[dict[int, int], list[int]]:
    """Return how wide each column is, by its number, so that all fit; and which ones go below the rows."""
    from rich.cells import cell_len

    columns = enumerate(zip(head, *rows, strict=True))
    widths = {number: max(map(cell_len, column)) for number, column in columns}
    below: list[int] = []
    for name, least in _GIVE_WAY.items():
        excess = _total(widths) - _width()
        if name not in head or excess <= 0:
            continue
        number = head.index(name)
        if least == 0:
            below.append(number)
            del widths[number]
        else:
            widths[number] -= max(0, min(excess, widths[number] - least))
    return widths, sorted(below)


def _total(widths: Mapping[int, int]) -> int:
    """Return how wide a table is, with two blanks between its columns."""
    return sum(widths.values()) + 2 * (len(widths) - 1)


def _short(text: str, width: int) -> str:
    """Return a text that fits, cut in its middle: the end of an address tells as much as its beginning."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    start, end = text[: (width - 1) // 2], text[-(width // 2) :]
    while cell_len(start) > (width - 1) // 2:
        start = start[:-1]
    while cell_len(end) > width // 2:
        end = end[1:]
    return f"{start}…{end}"


def _width() -> int:
    return shutil.get_terminal_size().columns if _fits() else _NEVER_CUT


def _fits() -> bool:
    """Return whether lines are to fit a width: that of the terminal, or that which COLUMNS says."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def _lines(made: Table, width: int) -> list[str]:
    from rich.console import Console

    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as printed:
        console.print(made)
    return [each.rstrip() for each in printed.get().splitlines()]


def line(text: str = "") -> None:
    """Print a line for people, with nothing hidden in it."""
    click.echo(visible(text))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns of numbers stand to the right.

    Where it is narrow, reasons and the like go below their rows, and long names are cut in their middle.
    """
    from rich.table import Table
    from rich.text import Text

    shown = [[_cell(value) for value in row] for row in rows]
    widths, below = _layout(head, shown)
    made = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, width in widths.items():
        right = bool(shown) and all(_NUMBER.fullmatch(row[number]) for row in shown)
        made.add_column(head[number], justify="right" if right else "left", width=width, no_wrap=True)
    for row in shown:
        made.add_row(
            *(
                Text(_short(row[number], width), style=_COLOURS.get(row[number], ""))
                for number, width in widths.items()
            )
        )
    first, *lines = _lines(made, max(_width(), _total(widths)))
    click.echo(first)
    for each, row in zip(lines, shown, strict=True):
        click.echo(each)
        for number in below:
            if row[number] != "-":
                name = "" if head[number] == _TELLS_ITSELF else f"{head[number].lower()}: "
                wrapped(f"    {name}{row[number]}", 6, most=_BELOW_LINES)


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
    for each in _lines(made, _width()):
        click.echo(each)


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return visible(str(value))
