"""The queue in numbers: `stats`, and `top`, which looks again and again.

The rule: what is shown fits 80 columns; at a terminal `top` fits its height, too.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from mailqueue.cli import destinations, output, shape, standing
from mailqueue.cli.base import Face, Verb, pass_face
from mailqueue.clock import to_datetime
from mailqueue.model.lifecycle import State
from mailqueue.model.stats import AGES, COUNTED, DomainStats, Stats

if TYPE_CHECKING:
    from mailqueue.queue import Queue

Part = str | tuple[Sequence[str], Sequence[Sequence[object]]]
"""A line, or the head and the rows of a table."""


@click.command(cls=Verb)
@click.option(
    "--hours", default=24, show_default=True, metavar="N", help="What happened so far back, up to 744."
)
@click.option(
    "--limit",
    default=20,
    show_default=True,
    metavar="N",
    help="Domains, errors and destinations at most, up to 1000.",
)
@pass_face
def stats(face: Face, hours: int, limit: int) -> None:
    """Show the queue in numbers: what waits for whom, and what goes wrong."""
    queue = face.queue()
    found = queue.stats(hours=hours, limit=limit)
    now = queue.clock.now()

    def people() -> None:
        _print([*standing.footer(queue.status(), now), _happened(found, now), *_tables(found, now)])

    face.answer(shape.stats(found), people)


@click.command(cls=Verb)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2,
    show_default=True,
    metavar="N",
    help="Seconds between looks.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Look so often, and end; else until Ctrl-C."
)
@pass_face
def top(face: Face, interval: float, count: int | None) -> None:
    """Watch the queue: how fast mail comes and goes, what waits, what goes wrong.

    Where standard output is no terminal, a block for each look.
    """
    queue = face.queue()
    with suppress(KeyboardInterrupt):
        if sys.stdout.isatty() and not face.json:
            _live(queue, interval, count)
        else:
            for found, parts in _looks(queue, interval, count, lambda: 10):
                face.answer(shape.stats(found), lambda parts=parts: _print([*parts, ""]))  # type: ignore[misc]


def _live(queue: Queue, interval: float, count: int | None) -> None:
    """Show each look on a screen of its own, and give back the one that was there."""
    click.echo("\x1b[?1049h\x1b[?25l", nl=False)
    try:
        for _, parts in _looks(queue, interval, count, _rows_that_fit):
            click.echo("\x1b[H\x1b[2J", nl=False)
            _print(parts)
    finally:
        click.echo("\x1b[?25h\x1b[?1049l", nl=False)


def _rows_that_fit() -> int:
    """Return how many rows each of the three tables may have; an error may go below its destination."""
    return max(2, (shutil.get_terminal_size().lines - 12) // 4)


def _looks(
    queue: Queue, interval: float, count: int | None, limit: Callable[[], int]
) -> Iterator[tuple[Stats, list[Part]]]:
    """Yield what each look finds, and how it is shown."""
    before: Stats | None = None
    seen = time.monotonic()
    looks = 0
    while True:
        found, at, now = queue.stats(hours=1, limit=limit()), time.monotonic(), queue.clock.now()
        rates = _rates(before, found, at - seen) if before is not None else "no rates yet"
        head = [*standing.footer(queue.status(), now), rates, _happened(found, now)]
        yield found, [*head, *_tables(found, now)]
        before, seen, looks = found, at, looks + 1
        if looks == count:
            return
        time.sleep(interval)


def _rates(before: Stats, found: Stats, seconds: float) -> str:
    """Return how fast mail comes and goes, by what is counted more than at the look before."""
    counted = {each.at: each for each in before.hours}
    texts = []
    for name in ("submitted", "delivered", "failed"):
        more = sum(getattr(each, name) - getattr(counted.get(each.at), name, 0) for each in found.hours)
        texts.append(f"{more / seconds:,.1f} {name}/s")
    return ", ".join(texts)


def _happened(found: Stats, now: int) -> str:
    """Return what happened, in a line: `since 1d ago, Nov 24 18:00: 30 submitted, 28 delivered`."""
    counts = [("submitted", found.submitted)]
    counts += [(state.value, found.retired[state]) for state in State if state in found.retired]
    counts += [(event.value, times) for event, times in found.events.items() if event.value not in _FATES]
    told = ", ".join(f"{times:,} {name}" for name, times in counts)
    return f"since {output.when(found.since, now)}: {told}"


_FATES = frozenset(state.value for state in State)
"""Events that say the same as the state in which a message retired."""


def _tables(found: Stats, now: int) -> Iterator[Part]:
    if found.domains:
        yield ""
        yield ("DOMAIN", "MAIL", *AGES, "OLDEST"), [_domain(each, now) for each in found.domains]
        yield from _more(found.domains_in_all - len(found.domains), "domain")
    if found.errors:
        yield ""
        rows = [(each.times, each.category, each.code, each.enhanced) for each in found.errors]
        yield ("TIMES", "ERROR", "CODE", "ENHANCED"), rows
    if found.destinations:
        yield ""
        yield destinations.HEAD, [destinations.row(each, now, COUNTED) for each in found.destinations]
        yield from _more(found.destinations_in_all - len(found.destinations), "destination")


def _domain(found: DomainStats, now: int) -> tuple[object, ...]:
    since = to_datetime(now) - found.oldest
    age = "<1h" if since < timedelta(hours=1) else output.about(since)
    return found.domain, f"{found.messages:,}", *map(output.short, found.ages), age


def _more(count: int, noun: str) -> Iterator[str]:
    if count > 0:
        yield f"and {output.plural(count, f'more {noun}')}"


def _print(parts: Sequence[Part]) -> None:
    for each in parts:
        if isinstance(each, str):
            output.wrapped(each, 4)
        else:
            output.table(*each)
