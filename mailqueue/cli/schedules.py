"""Retry schedules: `schedule`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face, reason
from mailqueue.cli.values import duration
from mailqueue.model.duration import format_duration
from mailqueue.model.schedule import Schedule, format_delays, times

_SHOWN = 100
"""Times that `show` prints for people; JSON has them all."""


@click.group(cls=Verbs)
def schedule() -> None:
    """When a message is tried again, and for how long."""


@schedule.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the schedules, those that come with mailqueue first."""
    found = face.queue().schedules.list()
    face.answer(
        output.items(map(shape.schedule, found)),
        lambda: output.table(
            ("NAME", "LIFETIME", "NOTICE", "DELAYS"),
            (
                (
                    each.name,
                    format_duration(each.lifetime),
                    _notice(each),
                    format_delays(each.delays, each.classes),
                )
                for each in found
            ),
        ),
    )


def _notice(found: Schedule) -> str:
    return "-" if found.warn_after is None else f"after {format_duration(found.warn_after)}"


@schedule.command()
@click.argument("name")
@click.argument("delays", nargs=-1, required=True)
@click.option(
    "--lifetime", type=duration, required=True, metavar="TIME", help="Given up after this long: 5d."
)
@click.option(
    "--warn-after", type=duration, metavar="TIME", help="A delay notice after this long; else none."
)
@reason
@pass_face
def add(
    face: Face,
    name: str,
    delays: tuple[str, ...],
    lifetime: timedelta,
    warn_after: timedelta | None,
    reason: str,
) -> None:
    """Make a schedule from its DELAYS, such as '5m, 15m, 1h, 3h*'.

    Each is counted from the end of the attempt before; * repeats the last. A clause such as
    '; greylisted: 5m, 10m*' gives other steps for one class of failure.
    """
    made = face.queue().schedules.add(
        name, " ".join(delays), lifetime=lifetime, warn_after=warn_after, reason=reason
    )
    face.answer(shape.schedule(made), lambda: _print(made))


@schedule.command()
@click.argument("name")
@pass_face
def show(face: Face, name: str) -> None:
    """Show a schedule and the times at which a message that always fails is tried."""
    found = face.queue().schedules.show(name)
    face.answer(shape.schedule(found), lambda: _print(found))


def _print(found: Schedule) -> None:
    output.wrapped(f"schedule {found.name}: {format_delays(found.delays)}", 4)
    for kind, delays in found.classes.items():
        output.wrapped(f"  after {kind}: {format_delays(delays)}", 6)
    output.line()
    output.table(("TRY", "WAIT", "AFTER SUBMIT"), _rows(found))
    rest = len(times(found)) - _SHOWN
    if rest > 0:
        output.line(f"... and {output.plural(rest, 'time')} more")
    output.line()
    if found.warn_after is not None:
        output.line(f"delay notice after {format_duration(found.warn_after)}, if it was tried in vain")
    output.line(f"given up after {format_duration(found.lifetime)}; waits vary by 10 % either way")


def _rows(found: Schedule) -> Iterator[tuple[int, str, str]]:
    moments = times(found)[:_SHOWN]
    yield 1, "-", "at once"
    for number, (before, at) in enumerate(pairwise(moments), start=2):
        yield number, format_duration(at - before), format_duration(at)
