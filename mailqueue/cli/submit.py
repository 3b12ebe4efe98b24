"""`mailqueue submit`: put a message in the queue."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

import click

from mailqueue.cli import output, shape, standing, values
from mailqueue.cli.base import Face, Verb, pass_face, say
from mailqueue.errors import NotFound
from mailqueue.model.account import DEFAULT_ACCOUNT
from mailqueue.model.explain import Status
from mailqueue.model.lane import Priority
from mailqueue.model.message import Submission
from mailqueue.model.recipient import Recipient

if TYPE_CHECKING:
    from mailqueue.queue import Queue

_PRIORITIES = [str(each) for each in Priority]


@click.command(cls=Verb)
@click.argument("file", type=click.File("rb"), default="-", metavar="[FILE|-]")
@click.option("--sender", metavar="ADDRESS", help="Envelope sender, '' for none; else Sender or From.")
@click.option(
    "--to", multiple=True, metavar="ADDRESS", help="Envelope recipient, repeatable; else To, Cc, Bcc."
)
@click.option("--account", default=DEFAULT_ACCOUNT, metavar="NAME", help="Who sends.")
@click.option("--schedule", metavar="NAME", help="Retry schedule; else the account's.")
@click.option(
    "--strict/--lenient",
    default=None,
    help="Refuse what standards forbid, or repair it; else as the account says.",
)
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key and message again: the first submission."
)
@click.option("--not-before", type=values.moment, metavar="WHEN", help="No attempt before: 2h, or a time.")
@click.option("--expires-at", type=values.moment, metavar="WHEN", help="Given up then: 2h, or a time.")
@click.option("--warn-after", type=values.duration, metavar="LENGTH", help="Delay notice after it; 0s: none.")
@click.option("--max-attempts", type=int, metavar="N", help="Given up after so many attempts.")
@click.option("--priority", type=click.Choice(_PRIORITIES), default="normal", help="What goes first.")
@click.option("--transport", metavar="NAME", help="The transport to take, whatever the routes say.")
@click.option(
    "--require-tls/--tls-optional",
    default=None,
    help="Only under verified TLS with REQUIRETLS; or delivered rather than protected.",
)
@click.option("--extra", multiple=True, metavar="KEY=VALUE", help="What travels along; repeatable.")
@click.option("--notify", metavar="LIST", help="When to tell the sender: never, or of success,failure,delay.")
@click.option("--ret", metavar="full|hdrs", help="What a failure notice returns: all of it, or the header.")
@click.option("--envid", metavar="TEXT", help="The sender's own name for the message; notices repeat it.")
@click.option(
    "--orcpt", multiple=True, metavar="ADDRESS", help="Original recipient: one for each --to, '' for none."
)
@pass_face
def submit(
    face: Face,
    file: BinaryIO,
    sender: str | None,
    to: tuple[str, ...],
    account: str,
    schedule: str | None,
    strict: bool | None,
    idempotency_key: str | None,
    not_before: datetime | timedelta | None,
    expires_at: datetime | timedelta | None,
    warn_after: timedelta | None,
    max_attempts: int | None,
    priority: str,
    transport: str | None,
    require_tls: bool | None,
    extra: tuple[str, ...],
    notify: str | None,
    ret: str | None,
    envid: str | None,
    orcpt: tuple[str, ...],
) -> None:
    """Put a message in the queue.

    It comes from FILE or standard input, as RFC 5322 says. When this ends with status 0, it is on disk,
    for all recipients or none.
    """
    if file.isatty():
        say("type the message, header first; Ctrl-D on a line of its own ends it")
    queue = face.queue()
    made = queue.submit(
        file,
        sender=sender,
        recipients=_recipients(to, orcpt) or None,
        account=account,
        schedule=schedule,
        strict=strict,
        idempotency_key=idempotency_key,
        notify=notify,
        ret=ret,
        envid=envid,
        not_before=not_before,
        expires_at=expires_at,
        warn_after=warn_after,
        max_attempts=max_attempts,
        priority=priority,
        transport=transport,
        require_tls=require_tls,
        extra=_extra(extra),
    )
    held, status = _held(queue, made), queue.status()
    face.answer(
        {**shape.submission(made, held), "status": shape.status(status)},
        lambda: _tell(made, held, status),
    )


def _extra(given: Sequence[str]) -> dict[str, str] | None:
    """Return what was given as KEY=VALUE."""
    found: dict[str, str] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"--extra {each!r}: must be KEY=VALUE")
        if key in found:
            raise click.UsageError(f"--extra: {key!r} is given twice")
        found[key] = value
    return found or None


def _recipients(to: Sequence[str], orcpt: Sequence[str]) -> list[str | Recipient]:
    if not orcpt:
        return list(to)
    if len(orcpt) != len(to):
        raise click.UsageError(f"--orcpt is given {len(orcpt)} times and --to {len(to)} times: one for each")
    return [Recipient(address, orcpt=original or None) for address, original in zip(to, orcpt, strict=True)]


def _tell(made: Submission, held: Container[int], status: Status) -> None:
    again = " (again: the idempotency key is known)" if made.replayed else ""
    output.line(f"submission s{made.id}  {made.message_id}{again}")
    for each in made.messages:
        output.line(f"  message {each.id}  {each.recipient}  {'on hold' if each.id in held else each.state}")
    for repair in made.repairs:
        output.line(f"  repaired: {repair}")
    for line in (*standing.no_transport(status), standing.engine(status)):
        output.line(line)


def _held(queue: Queue, made: Submission) -> set[int]:
    try:
        return {each.id for each in queue.submission(made.id) if each.hold}
    except NotFound:  # an old submission, replayed, whose messages have been purged
        return set()
