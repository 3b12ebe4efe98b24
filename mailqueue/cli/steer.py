"""Verbs that steer messages: `hold`, `release`, `fail`, `drop`, `reschedule`, `reroute`, `require-tls`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mailqueue.cli import ids, output, shape, values, which
from mailqueue.cli.base import Face, Verb, pass_face, say
from mailqueue.cli.ids import Id, id_or_stdin
from mailqueue.model.explain import Preview, Steered

if TYPE_CHECKING:
    from mailqueue.queue import Queue

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_WHICH = "which messages? Give ids, a filter or --all."
_OWN = ("at", "by", "via", "value", "reason", "dry_run", "progress")
"""What says how messages are changed, and not which."""


def bulk(where: str) -> Callable[[F], F]:
    """Give a verb all that the verbs for many messages of the queue, or of the history, take."""

    def decorated(verb: F) -> F:
        for decorate in (
            click.option("--dry-run", is_flag=True, help="Change nothing; show what would happen."),
            click.option(
                "--progress/--no-progress", default=None, help="Say how far it is; else at a terminal."
            ),
            click.option("--reason", default="", metavar="TEXT", help="For the history."),
            click.option("--all", "everything", is_flag=True, help=f"Everything in the {where}."),
            which.filters,
            click.argument("typed", nargs=-1, type=id_or_stdin, metavar="[ID...]"),
        ):
            verb = decorate(verb)
        return verb

    return decorated


_bulk = bulk("queue")


@click.command(cls=Verb)
@_bulk
@pass_face
def hold(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Put messages on hold, until they are released.

    Those that all filters mean, or those whose ids are given and that all filters mean. One that is in
    delivery is held after the running attempt.
    """
    _run(face, lambda queue: queue.hold, given, "put on hold", "on hold already")


@click.command(cls=Verb)
@_bulk
@pass_face
def release(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Take every hold from messages, those of rules, too.

    Those that all filters mean, or those whose ids are given and that all filters mean. The rules that
    exist now hold them no more.
    """
    _run(face, lambda queue: queue.release, given, "released", "not on hold")


@click.command(cls=Verb)
@_bulk
@pass_face
def fail(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Let messages fail for good, with a notice to the sender.

    One that is in delivery fails after the running attempt, unless that delivers it.
    """
    _run(face, lambda queue: queue.fail, given, "failed", "gone meanwhile, or not meant")


@click.command(cls=Verb)
@_bulk
@pass_face
def drop(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Let messages go for good; nobody is told.

    One that is in delivery goes after the running attempt, unless that delivers it.
    """
    _run(face, lambda queue: queue.drop, given, "dropped", "gone meanwhile, or not meant")


@click.command(cls=Verb)
@_bulk
@click.option("--at", type=values.moment, metavar="WHEN", help="Tried then: 2h from now, or a time.")
@click.option("--by", type=values.shift, metavar="LENGTH", help="So much later, such as 2h; -2h: earlier.")
@pass_face
def reschedule(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Change when messages are tried next.

    Not before now, and at the latest when their lifetime ends. One that is in delivery is due then after
    the running attempt.
    """
    if (given["at"] is None) is (given["by"] is None):
        raise click.UsageError("when? Give --at or --by.")
    _run(face, lambda queue: queue.reschedule, given, "rescheduled", "gone meanwhile, or not meant")


@click.command(cls=Verb)
@_bulk
@click.option("--via", required=True, metavar="NAME", help="The transport; '' is as the routes say.")
@pass_face
def reroute(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Let messages take another transport, whatever the routes say.

    Their times stay as they are. One that is in delivery takes it from the next attempt on.
    """
    _run(face, lambda queue: queue.reroute, given, "rerouted", "gone meanwhile, or not meant")


@click.command("require-tls", cls=Verb)
@_bulk
@click.option(
    "--value",
    required=True,
    type=click.Choice(("yes", "no", "unset")),
    help="REQUIRETLS; TLS-Required: No; or neither.",
)
@pass_face
def require_tls(face: Face, /, **given: Any) -> None:  # noqa: ANN401
    """Change what is asked of TLS for messages (RFC 8689).

    One that is in delivery heeds it from the next attempt on.
    """
    given["value"] = {"yes": True, "no": False, "unset": None}[given["value"]]
    _run(face, lambda queue: queue.require_tls, given, "changed", "gone meanwhile, or not meant")


def _run(
    face: Face,
    verb: Callable[[Queue], Callable[..., Steered]],
    given: dict[str, Any],
    changed: str,
    unchanged: str,
) -> None:
    done = run(face, verb, given)
    face.answer(shape.steered(done), lambda: _tell(done, changed, unchanged))


def run(face: Face, verb: Callable[[Queue], Callable[..., T]], given: dict[str, Any]) -> T:
    """Do what a verb with the options of `bulk` is for, once it says which messages are meant."""
    typed: tuple[Id, ...] = given.pop("typed")
    everything: bool = given.pop("everything")
    filters = (value for name, value in given.items() if name not in _OWN)
    some = bool(typed) or any(value is not None for value in filters)
    if some is everything:
        raise click.UsageError(_WHICH + (" --all goes with none of the others." if some else ""))
    telling = sys.stderr.isatty() if given["progress"] is None else given["progress"]
    given["progress"] = _say if telling else None
    queue = face.queue()
    return verb(queue)(ids.named(queue, typed), all=everything, **given)


def _say(done: int, total: int | None) -> None:
    of = "" if total is None else f" of {total:,}"
    say(f"{done:,}{of} messages looked at")


def preview(found: Preview) -> None:
    """Print what would happen."""
    output.line(f"{output.plural(found.messages, 'message')} would be {found.would}")
    for each in found.sample:
        output.wrapped(f"  {each.id}  {each.state.value}  {each.sender or '<>'} -> {each.recipient}", 6)
    more = found.messages - len(found.sample)
    if more > 0:
        output.line(f"  and {more:,} more")


def _tell(done: Steered, changed: str, unchanged: str) -> None:
    if done.preview is not None:
        preview(done.preview)
    else:
        running = f", {done.in_delivery:,} in delivery" if done.in_delivery else ""
        output.line(f"{output.plural(done.changed, 'message')} {changed}{running}")
    if done.unchanged:
        output.line(f"{done.unchanged:,} {unchanged}")
    if done.retired:
        output.line(f"in the history, where nothing waits: {', '.join(map(str, done.retired))}")
