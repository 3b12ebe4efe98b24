"""`mailqueue plan`: what would become of a message that is not submitted yet."""

from __future__ import annotations

from collections.abc import Iterator

import click

from mailqueue.cli import output, shape, ways
from mailqueue.cli.accounts import used
from mailqueue.cli.base import Face, Verb, pass_face
from mailqueue.clock import to_micros
from mailqueue.model.account import DEFAULT_ACCOUNT
from mailqueue.model.duration import format_duration
from mailqueue.model.lane import Priority
from mailqueue.model.plan import Plan

_TOLD = 6  # times of attempts
_WISHES = {"yes": True, "no": False, None: None}


@click.command(cls=Verb)
@click.option("--sender", required=True, metavar="ADDRESS", help="Envelope sender, '' for none.")
@click.option("--to", "recipient", required=True, metavar="ADDRESS", help="Envelope recipient.")
@click.option("--account", default=DEFAULT_ACCOUNT, metavar="NAME", help="Who sends.")
@click.option("--schedule", metavar="NAME", help="Retry schedule; else the account's.")
@click.option(
    "--priority",
    type=click.Choice([str(each) for each in Priority]),
    default="normal",
    help="What goes first.",
)
@click.option("--transport", metavar="NAME", help="The transport to take, whatever the routes say.")
@click.option("--require-tls", type=click.Choice(("yes", "no")), help="REQUIRETLS, or TLS-Required: No.")
@click.option("--dns/--no-dns", default=True, help="Ask DNS for the hosts, as is done unless told not to.")
@pass_face
def plan(
    face: Face,
    sender: str,
    recipient: str,
    account: str,
    schedule: str | None,
    priority: str,
    transport: str | None,
    require_tls: str | None,
    dns: bool,
) -> None:
    """Tell what would become of a message, and store nothing."""
    queue = face.queue()
    found = queue.plan(
        sender=sender,
        recipient=recipient,
        account=account,
        schedule=schedule,
        priority=priority,
        transport=transport,
        require_tls=_WISHES[require_tls],
        dns=dns,
    )
    face.answer(shape.plan(found), lambda: _print(found, queue.clock.now()))


def _print(found: Plan, now: int) -> None:
    state = "" if found.state is None else f"{found.state}: "
    output.details(
        [
            ("mail", f"{found.sender or '<>'} -> {found.recipient}"),
            ("account", found.account),
            ("submit", f"{state}{found.summary}"),
        ]
    )
    output.line()
    if found.gates:
        ways.print_gates(found.gates, now)
        output.line()
    output.details(_rows(found, now))
    if found.gates:
        earliest = found.earliest_attempt_at
        output.line(f"earliest attempt: {output.when(earliest, now) if earliest else 'not by itself'}")


def _rows(found: Plan, now: int) -> Iterator[tuple[str, str]]:
    if found.way is not None:
        yield from ways.rows(found.way)
    for each in found.usage:
        yield f"{each.quota.words} a day", used(each, now)
    yield "schedule", f"{found.schedule}: {_times(found)}; given up {output.when(found.give_up_at, now)}"
    if found.priority is not Priority.NORMAL:
        yield "priority", str(found.priority)


def _times(found: Plan) -> str:
    told = ("at once" if not each else format_duration(to_micros(each)) for each in found.times[:_TOLD])
    return ", ".join(told) + (" ..." if len(found.times) > _TOLD else "")
