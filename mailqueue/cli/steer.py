"""Verbs that steer messages: `hold` and `release`."""

from __future__ import annotations

import click

from mailqueue.cli import ids, output, shape
from mailqueue.cli.base import Face, Verb, pass_face
from mailqueue.cli.ids import Id, id_or_stdin
from mailqueue.model.explain import Steered

_WHICH = "which messages? Give ids, --account NAME or --all."


@click.command(cls=Verb)
@click.argument("typed", nargs=-1, type=id_or_stdin, metavar="[ID...]")
@click.option("--account", metavar="NAME", help="All of its mail.")
@click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
@click.option("--reason", default="", metavar="TEXT", help="For the history.")
@pass_face
def hold(face: Face, typed: tuple[Id, ...], account: str | None, everything: bool, reason: str) -> None:
    """Put messages on hold, until they are released.

    One that is in delivery is held after the running attempt.
    """
    wanted = _which(typed, account, everything)
    queue = face.queue()
    numbers = None if wanted is None else list(ids.messages(queue, wanted))
    done = queue.hold(numbers, account=account, all=everything, reason=reason)
    face.answer(shape.steered(done), lambda: _tell(done, "put on hold", "on hold already"))


@click.command(cls=Verb)
@click.argument("typed", nargs=-1, type=id_or_stdin, metavar="[ID...]")
@click.option("--account", metavar="NAME", help="All of its mail.")
@click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
@click.option("--reason", default="", metavar="TEXT", help="For the history.")
@pass_face
def release(face: Face, typed: tuple[Id, ...], account: str | None, everything: bool, reason: str) -> None:
    """Take every hold from messages, those of rules, too.

    The rules that exist now hold them no more.
    """
    wanted = _which(typed, account, everything)
    queue = face.queue()
    numbers = None if wanted is None else list(ids.messages(queue, wanted))
    done = queue.release(numbers, account=account, all=everything, reason=reason)
    face.answer(shape.steered(done), lambda: _tell(done, "released", "not on hold"))


def _which(typed: tuple[Id, ...], account: str | None, everything: bool) -> list[Id] | None:
    if sum((bool(typed), account is not None, everything)) != 1:
        raise click.UsageError(_WHICH + (" Only one of these." if typed or account or everything else ""))
    return ids.expanded(typed) if typed else None


def _tell(done: Steered, changed: str, unchanged: str) -> None:
    output.line(f"{output.plural(done.changed, 'message')} {changed}")
    if done.unchanged:
        output.line(f"{done.unchanged:,} {unchanged}")
    if done.retired:
        output.line(f"in the history, where nothing waits: {', '.join(map(str, done.retired))}")
