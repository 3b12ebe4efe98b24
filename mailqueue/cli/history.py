"""What is done: `retired`, and the notices that told of it: `notice`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import click

from mailqueue.cli import ids, output, shape, steer, which
from mailqueue.cli.base import Face, Verbs, pass_face, say
from mailqueue.cli.ids import Id, id_, id_or_stdin
from mailqueue.cli.look import more_pages, show_messages, tell_count
from mailqueue.cli.trace import as_text
from mailqueue.errors import NotFound
from mailqueue.model.events import Notice, NoticeKind
from mailqueue.model.explain import Purged, Resent

if TYPE_CHECKING:
    from mailqueue.model.filters import Order
    from mailqueue.model.wanted import Wanted
    from mailqueue.queue import Queue

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_SHOWN = 10  # messages that are told one by one; JSON has more


@click.group(cls=Verbs)
def retired() -> None:
    """The history: messages that are done.

    They were delivered, failed, expired or were canceled.
    """


@retired.command("list")
@click.option("--limit", default=50, show_default=True, metavar="N", help="Messages at most, up to 1000.")
@click.option("--after", metavar="CURSOR", help="The page after: `next` of the page before.")
@click.option(
    "--sort",
    type=which.order,
    metavar="ORDER",
    help="retired, submitted, recipient or size; with - before it the other way round.",
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
    """List retired messages, the last retired first."""
    queue = face.queue()
    named = ids.named(queue, typed)
    if count:
        tell_count(face, queue.retired.count(ids=named, **wanted))
        return
    page = queue.retired.list(limit=limit, after=after, sort=sort, ids=named, **wanted)

    def people() -> None:
        now = queue.clock.now()
        output.table(
            ("ID", "TO", "STATE", "TRIES", "RETIRED", "LAST ERROR"),
            (
                (
                    each.id,
                    each.recipient,
                    each.state.value,
                    each.attempts,
                    output.when(each.retired_at, now),
                    each.last_error,
                )
                for each in page.items
            ),
        )
        more_pages(page, limit)

    face.answer(output.items(map(shape.message, page.items), page.next), people)


@retired.command()
@click.argument("typed", nargs=-1, required=True, type=id_or_stdin, metavar="ID...")
@pass_face
def show(face: Face, typed: tuple[Id, ...]) -> None:
    """Show retired messages; one that is still in the queue is not found."""
    queue = face.queue()
    show_messages(face, queue, typed, queue.retired.show)


@retired.command()
@steer.bulk("history")
@pass_face
def resend(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Send retired messages anew, as new submissions.

    Those that all filters mean, or those whose ids are given and that all filters mean. Nothing is sent for
    one whose content has been purged.
    """
    done = steer.run(face, lambda queue: queue.retired.resend, given)
    face.answer(shape.resent(done), lambda: _tell_resent(done))


@retired.command()
@steer.bulk("history")
@pass_face
def purge(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Remove messages from the history now, with all that is known of them.

    Those that all filters mean, or those whose ids are given and that all filters mean. It cannot be undone.
    """
    done = steer.run(face, lambda queue: queue.retired.purge, given)
    face.answer(shape.purged(done), lambda: _tell_purged(done))


def _tell_resent(done: Resent) -> None:
    if done.preview is not None:
        steer.preview(done.preview)
    else:
        output.line(f"{output.plural(done.sent, 'message')} sent anew")
        for old, new in _some(done.messages.items(), done.sent):
            output.line(f"  {old} as {new}")
    if done.gone:
        output.line(f"{done.gone:,} not: the content has been purged")
        for each, at in _some(done.gone_at.items(), done.gone):
            output.line(f"  {each} at {at:%Y-%m-%d %H:%M} UTC")
    if done.refused:
        output.wrapped(f"{done.refused:,} refused: {done.refusal}", 4)
    _tell_queued(done.queued, "in the queue, and sent anyway")


def _tell_purged(done: Purged) -> None:
    if done.preview is not None:
        steer.preview(done.preview)
    else:
        output.line(f"{output.plural(done.messages, 'message')} purged")
    _tell_queued(done.queued, "in the queue, and not in the history")


def _tell_queued(queued: Sequence[int], where: str) -> None:
    if queued:
        output.line(f"{where}: {', '.join(map(str, queued))}")


def _some(found: Iterable[T], count: int) -> Iterator[T]:
    """Yield the first of some things, then print how many more there are."""
    yield from islice(found, _SHOWN)
    if count > _SHOWN:
        output.line(f"  and {count - _SHOWN:,} more")


@click.group(cls=Verbs)
def notice() -> None:
    """Delivery notices that told of messages (RFC 3464)."""


@notice.command("show")
@click.argument("typed", type=id_, metavar="ID")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in NoticeKind]),
    help="That it failed or is delayed; else the last one.",
)
@pass_face
def notice_show(face: Face, typed: Id, kind: str | None) -> None:
    """Print the notice that was kept for a message, as it is or would be sent."""
    queue = face.queue()
    number = ids.one_message(queue, typed)
    found = [each for each in queue.notices(number) if kind in (None, each.kind.value)]
    if not found:
        raise NotFound(_none(queue, number, kind))
    for earlier in {each.kind.value for each in found[:-1]}:
        say(f"there is an earlier one: mailqueue notice show {number} --kind {earlier}")
    face.answer(_shape(found[-1]), lambda: click.echo(found[-1].content, nl=False))


def _none(queue: Queue, number: int, kind: str | None) -> str:
    message = queue.show(number)
    return f"message {number} is {message.state.value}, and no {f'{kind} ' if kind else ''}notice tells of it"


def _shape(found: Notice) -> output.Json:
    from mailqueue.mail import dsn

    report = dsn.parse(found.content).to_dict()
    return {**shape.notice(found), "report": report, **as_text(found.content)}
