"""What mail leads to, and is in trouble: `destinations`."""

from __future__ import annotations

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face, reason
from mailqueue.clock import to_datetime
from mailqueue.model.destination import COUNTED, DestinationInfo

HEAD = ("DESTINATION", "FAILED", "SINCE", "NEXT TRY", "WAITING", "LAST ERROR")


@click.group(cls=Verbs)
def destinations() -> None:
    """Destinations in trouble.

    Mail waits for them, uses up no attempts, and goes as soon as one message got through.
    """


@destinations.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the destinations in trouble, the longest first."""
    queue = face.queue()
    found = queue.destinations.list()
    now = queue.clock.now()
    face.answer(
        output.items(map(shape.destination, found)),
        lambda: output.table(HEAD, (row(each, now) for each in found)),
    )


def row(found: DestinationInfo, now: int, counted: int = COUNTED) -> tuple[object, ...]:
    """Return the row of a destination below HEAD; what waits for it was counted up to `counted`."""
    return (
        found.name,
        found.failures,
        f"{output.about(to_datetime(now) - found.since_at)} ago",
        _next_try(found, now),
        _waiting(found, counted).partition(" ")[0],
        found.last_error,
    )


@destinations.command()
@click.argument("name", nargs=-1, required=True, metavar="NAME")
@pass_face
def show(face: Face, name: tuple[str, ...]) -> None:
    """Show a destination."""
    queue = face.queue()
    found = queue.destinations.show(" ".join(name))
    now = queue.clock.now()
    face.answer(
        shape.destination(found),
        lambda: output.details(
            [
                ("destination", found.name),
                ("in trouble" if found.failures else "well", f"since {output.when(found.since_at, now)}"),
                ("failed", f"{found.failures:,} in a row" if found.failures else None),
                ("blocked until", _when(found, now)),
                ("on its way", _canary(found, now)),
                ("waiting", f"{_waiting(found)} in {output.plural(found.lanes, 'lane')}"),
                ("last error", found.last_error or None),
            ]
        ),
    )


@destinations.command()
@click.argument("name", nargs=-1, required=True, metavar="NAME")
@reason
@pass_face
def retry(face: Face, name: tuple[str, ...], reason: str) -> None:
    """Take a block away now. The next failure there blocks it again, for longer."""
    found = face.queue().destinations.retry(" ".join(name), reason=reason)
    face.answer(shape.destination(found), lambda: output.line(f"{found.name}: its mail is due now"))


def _waiting(found: DestinationInfo, counted: int = COUNTED) -> str:
    if found.messages >= counted:
        return f"{counted:,}+ messages"
    return output.plural(found.messages, "message")


def _next_try(found: DestinationInfo, now: int) -> str:
    if found.blocked_until is None:
        return "now"
    wait = found.blocked_until - to_datetime(now)
    if wait.total_seconds() > 0:
        return f"in {output.about(wait)}"
    return "now" if found.canary_at is None else "under way"


def _when(found: DestinationInfo, now: int) -> str | None:
    return None if found.blocked_until is None else output.when(found.blocked_until, now)


def _canary(found: DestinationInfo, now: int) -> str | None:
    return None if found.canary_at is None else f"one message, since {output.when(found.canary_at, now)}"
