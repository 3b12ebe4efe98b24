"""Verbs that look at the way of one message: `attempts`, `timeline`, `explain`, `dump`."""

from __future__ import annotations

import base64

import click

from mailqueue.cli import ids, output, shape, ways
from mailqueue.cli.base import Face, Verb, pass_face
from mailqueue.cli.ids import Id, id_
from mailqueue.model.attempt import Attempt
from mailqueue.model.events import Event
from mailqueue.model.explain import Explanation
from mailqueue.model.lane import Priority


@click.command(cls=Verb)
@click.argument("typed", type=id_, metavar="ID")
@click.option("--transcript", is_flag=True, help="Print the SMTP dialogue of failures, too.")
@pass_face
def attempts(face: Face, typed: Id, transcript: bool) -> None:
    """Show every attempt, and all that the server said."""
    queue = face.queue()
    number = ids.one_message(queue, typed)
    found = queue.attempts(number)

    def people() -> None:
        for each in found:
            _print_attempt(each, queue.clock.now(), transcript)
        running = queue.show(number).claimed_at
        if running is not None:
            output.line(f"in delivery since {output.when(running, queue.clock.now())}")
        elif not found:
            output.line(f"no attempt yet: mailqueue explain {number}")

    face.answer(output.items(map(shape.attempt, found)), people)


def _print_attempt(found: Attempt, now: int, transcript: bool) -> None:
    why = "" if found.category.value == "ok" else f" ({found.category.value})"
    output.line(
        f"attempt {found.number}  {output.when(found.started_at, now)}  {found.outcome.value}{why}"
        f"  took {output.took(found.duration)}"
    )
    for text in (_way(found), found.error, *(found.reply or "").split("\n")):
        if text:
            output.wrapped(f"  {text}", 6)
    for text in (found.transcript or "").splitlines() if transcript else ():
        output.line(f"  | {text}")


def _way(found: Attempt) -> str:
    parts = [f"via {found.transport}"] if found.transport else []
    if found.host or found.address:
        address = f"[{found.address}]" if found.host and found.address else found.address
        parts.append("to " + " ".join(part for part in (found.host, address) if part))
    if found.host or found.tls:
        verified = f", verified by {found.tls_verified}" if found.tls_verified else ""
        parts.append(f"{found.tls}{verified}" if found.tls else "in the clear")
    if found.size is not None:
        parts.append(output.plural(found.size, "octet"))
    return ", ".join(parts)


@click.command(cls=Verb)
@click.option("--event", "events", multiple=True, metavar="NAME", help="Only these, such as failed.")
@click.option("--after", type=int, metavar="ID", help="Begin after this event; 0: with the first there is.")
@click.option("--wait/--no-wait", default=True, help="Go on for ever, or end with the last there is.")
@pass_face
def follow(face: Face, events: tuple[str, ...], after: int | None, wait: bool) -> None:
    """Tell of events as they happen, until Ctrl-C."""
    queue = face.queue()
    for each in queue.follow(*events, after=after, wait=wait):
        if face.json:
            about = None if each.message is None else shape.message(each.message)
            output.json_line({**shape.event(each), "message_id": each.message_id, "message": about})
        else:
            _print_event(each)


def _print_event(found: Event) -> None:
    at = f"{found.at.astimezone():%b %d %H:%M:%S}"
    about = "" if found.message_id is None else f"  message {found.message_id}"
    to = "" if found.message is None else f"  {found.message.recipient}"
    who = f" by {found.actor}" if found.actor else ""
    why = f": {found.reason}" if found.reason else ""
    output.wrapped(f"{found.id}  {at}{about}{to}  {found.event.value}{who}{why}", 4)


@click.command(cls=Verb)
@click.argument("typed", type=id_, metavar="ID")
@pass_face
def timeline(face: Face, typed: Id) -> None:
    """Tell all that happened to a message, in order, with who did it and why."""
    queue = face.queue()
    found = queue.timeline(ids.one_message(queue, typed))

    def people() -> None:
        for each in found:
            who = f" by {each.actor}" if each.actor else ""
            number = f" {each.attempt}" if each.attempt else ""
            told = f" (notice {each.notice_id})" if each.notice_id else ""
            why = f": {each.text}" if each.text else ""
            output.wrapped(
                f"{output.when(each.at, queue.clock.now())}  {each.what}{number}{who}{why}{told}", 4
            )

    face.answer(output.items(map(shape.happened, found)), people)


@click.command(cls=Verb)
@click.argument("typed", type=id_, metavar="ID")
@click.option("--dns/--no-dns", default=True, help="Ask DNS for the hosts, as is done unless told not to.")
@pass_face
def explain(face: Face, typed: Id, dns: bool) -> None:
    """Explain why a message waits, what happens next, and which way it goes."""
    queue = face.queue()
    found = queue.explain(ids.one_message(queue, typed), dns=dns)
    face.answer(shape.explanation(found), lambda: _print_explanation(found, queue.clock.now()))


def _print_explanation(found: Explanation, now: int) -> None:
    output.details([(f"message {found.message_id}", f"{found.state}: {found.summary}")])
    if not found.gates:
        return
    output.line()
    ways.print_gates(found.gates, now)
    output.line()
    if found.way is not None:
        output.details(ways.rows(found.way))
    earliest = found.earliest_attempt_at
    output.line(f"earliest attempt: {output.when(earliest, now) if earliest else 'not by itself'}")
    if found.expires_at is not None:
        output.line(f"expires: {output.when(found.expires_at, now)}")
    if found.priority is not Priority.NORMAL:
        output.line(f"priority: {found.priority}")


@click.command(cls=Verb)
@click.argument("typed", type=id_, metavar="ID")
@pass_face
def dump(face: Face, typed: Id) -> None:
    """Print the content of a message as it goes out."""
    queue = face.queue()
    number = next(ids.messages(queue, [typed]))  # those of one submission have the same content
    content = queue.dump(number)
    face.answer(
        {"id": number, "size": len(content), **as_text(content)},
        lambda: click.echo(content, nl=False),
    )


def as_text(content: bytes) -> dict[str, str]:
    """Return octets for JSON: as `content` where they are UTF-8, else as `content_base64`."""
    try:
        return {"content": content.decode()}
    except UnicodeDecodeError:
        return {"content_base64": base64.b64encode(content).decode("ascii")}
