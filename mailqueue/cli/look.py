"""Verbs that look at messages: `list` and `show`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Unpack

import click

from mailqueue.cli import ids, output, shape, standing, which
from mailqueue.cli.base import Face, Verb, pass_face
from mailqueue.cli.ids import Id, id_or_stdin
from mailqueue.clock import from_datetime, to_micros
from mailqueue.model.duration import format_duration
from mailqueue.model.events import Event
from mailqueue.model.lane import Priority
from mailqueue.model.message import Message

if TYPE_CHECKING:
    from mailqueue.model.filters import Order, Page
    from mailqueue.model.wanted import Wanted
    from mailqueue.queue import Queue


_TLS = {None: None, True: "required (REQUIRETLS)", False: "not required (TLS-Required: No)"}


@click.command("list", cls=Verb)
@click.option("--limit", default=50, show_default=True, metavar="N", help="Messages at most, up to 1000.")
@click.option("--after", metavar="CURSOR", help="The page after: `next` of the page before.")
@click.option(
    "--sort",
    type=which.order,
    metavar="ORDER",
    help="submitted, next-attempt, recipient or size; with - before it the other way round.",
)
@click.option("--count", is_flag=True, help="Say how many there are, and nothing else.")
@click.option("--id", "typed", multiple=True, type=id_or_stdin, metavar="ID", help="Only these.")
@which.filters
@pass_face
def list_(
    face: Face,
    /,
    limit: int,
    after: str | None,
    sort: Order | None,
    count: bool,
    typed: tuple[Id, ...],
    **wanted: Unpack[Wanted],
) -> None:
    """List the messages in the queue, and how it stands."""
    queue = face.queue()
    named = ids.named(queue, typed)
    if count:
        tell_count(face, queue.count(ids=named, **wanted))
        return
    page = queue.list(limit=limit, after=after, sort=sort, ids=named, **wanted)

    def people() -> None:
        now = queue.clock.now()
        if page.items:
            output.table(
                ("ID", "TO", "STATE", "TRIES", "NEXT", "LAST ERROR"),
                (
                    (
                        each.id,
                        each.recipient,
                        _state(each, now),
                        each.attempts,
                        _next(each, now),
                        _why(each, now),
                    )
                    for each in page.items
                ),
            )
        more_pages(page, limit)
        for line in standing.footer(queue.status(), now):
            output.wrapped(line, 4)

    face.answer(output.items(map(shape.message, page.items), page.next), people)


@click.command(cls=Verb)
@pass_face
def status(face: Face) -> None:
    """Say how the queue stands: how much waits, and which engines run."""
    queue = face.queue()
    found = queue.status()

    def people() -> None:
        for line in standing.footer(found, queue.clock.now()):
            output.wrapped(line, 4)

    face.answer(shape.status(found), people)


def more_pages(page: Page[Message], limit: int) -> None:
    """Say how to get the next page, where there is one, and why this one is not full."""
    if page.next is not None:
        early = f"looked at {output.plural(page.looked, 'message')}; " if len(page.items) < limit else ""
        output.line(f"{early}more: --after {page.next}")


def tell_count(face: Face, count: int) -> None:
    """Answer with a number of messages."""
    face.answer({"count": count}, lambda: output.line(output.plural(count, "message")))


def state(message: Message) -> str:
    """Return where a message is, for people: its state, or that it is on hold."""
    return "on hold" if message.hold else message.state.value


def _state(message: Message, now: int) -> str:
    return "blocked" if _blocked(message, now) and not message.hold else state(message)


def _blocked(message: Message, now: int) -> bool:
    return message.blocked_until is not None and from_datetime(message.blocked_until) > now


def _why(message: Message, now: int) -> str | None:
    """Return what a message was told last; where it was told nothing, what it waits for."""
    waits_for = f"waits for {message.blocked_by}" if _blocked(message, now) else None
    return message.last_error or waits_for


def _next(message: Message, now: int) -> str:
    at = message.next_attempt_at
    if at is None or message.hold or message.claimed_at is not None:
        return "-"
    return "due" if from_datetime(at) <= now else output.when(at, now)


@click.command(cls=Verb)
@click.argument("typed", nargs=-1, required=True, type=id_or_stdin, metavar="ID...")
@pass_face
def show(face: Face, typed: tuple[Id, ...]) -> None:
    """Show all about messages, queued or retired."""
    queue = face.queue()
    show_messages(face, queue, typed, queue.show)


def show_messages(face: Face, queue: Queue, typed: tuple[Id, ...], find: Callable[[int], Message]) -> None:
    """Answer with the messages meant; with one alone where one id of a message was typed."""
    wanted = ids.expanded(typed)
    found = [find(each) for each in ids.messages(queue, wanted)]
    whole = [shape.whole_message(each, queue.events(each.id), queue.notices(each.id)) for each in found]
    one = len(typed) == 1 and typed[0] != ids.STDIN and not typed[0].submission

    def people() -> None:
        for number, each in enumerate(found):
            if number:
                output.line()
            _print_message(queue, each)

    face.answer(whole[0] if one else output.items(whole), people)


def _print_message(queue: Queue, found: Message) -> None:
    now = queue.clock.now()
    output.details(
        [
            ("message", found.id),
            ("submission", f"s{found.submission_id}"),
            ("from", found.sender or "<>"),
            ("to", found.recipient),
            ("given as", found.orcpt.partition(";")[2] if found.orcpt else None),
            ("subject", found.subject),
            ("Message-ID", found.message_id),
            ("size", output.plural(found.size, "octet")),
            ("envelope id", found.envid),
            ("notices", _wished(found)),
            ("account", found.account),
            ("priority", None if found.priority is Priority.NORMAL else found.priority),
            ("transport", found.transport),
            ("TLS", _TLS[found.require_tls]),
            ("return id", found.fromid),
            *((f"extra {key}", value) for key, value in found.extra.items()),
            ("state", state(found)),
            ("feedback", found.feedback),
            *_held(found, now),
            ("submitted", output.when(found.submitted_at, now)),
            ("attempts", found.attempts),
            ("last error", found.last_error),
            *_future(found, now),
            *(("happened", text) for text in _happened(queue.events(found.id), now)),
        ]
    )


def _wished(found: Message) -> str | None:
    """Return when the sender wishes to be told, and what comes back; None where nothing was said."""
    if found.notify is None and found.ret is None:
        return None
    told = "failure or delay" if found.notify is None else found.notify.replace(",", " or ")
    returned = {"FULL": ", with the whole message", "HDRS": ", with its header", None: ""}[found.ret]
    return told if found.notify == "never" else f"of {told}{returned}"


def _held(found: Message, now: int) -> Iterator[tuple[str, str]]:
    for hold in found.holds:
        reason = f": {hold.reason}" if hold.reason else ""
        until = f", until {output.when(hold.until, now)}" if hold.until else ""
        yield "held", f"{hold.by}, {output.when(hold.since, now)}, {hold.actor}{reason}{until}"


def _future(found: Message, now: int) -> Iterator[tuple[str, str]]:
    if found.retired_at is not None:
        yield "retired", output.when(found.retired_at, now)
        return
    if found.claimed_at is not None:
        yield "in delivery", f"since {output.when(found.claimed_at, now)}"
    else:
        yield "next attempt", "when released" if found.hold else _next(found, now)
        if _blocked(found, now):
            yield "waits for", f"{found.blocked_by}, until {output.when(found.blocked_until, now)}"
    if found.not_before is not None and from_datetime(found.not_before) > now:
        yield "future release", output.when(found.not_before, now)
    given_up = output.when(found.give_up_at, now)
    if found.max_attempts is not None:
        given_up += f", or after {output.plural(found.max_attempts, 'attempt')}"
    yield "given up", f"{given_up}, schedule {found.schedule}"
    if found.expires_at is not None:
        yield "expires", f"{output.when(found.expires_at, now)}, on hold or not"
    if found.warn_after is not None:
        after = format_duration(to_micros(found.warn_after))
        yield "delay notice", f"after {after}" if found.warn_after else "none"


def _happened(events: Iterable[Event], now: int) -> Iterator[str]:
    for each in events:
        who = f" by {each.actor}" if each.actor else ""
        why = f": {each.reason}" if each.reason else ""
        told = f" (notice {each.notice_id})" if each.notice_id else ""
        yield f"{output.when(each.at, now)}  {each.event.value}{who}{why}{told}"
