"""Verbs that steer messages: `hold` and `release`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack

import click

from mailqueue.cli import ids, output, shape, which
from mailqueue.cli.base import Face, Verb, pass_face
from mailqueue.cli.ids import Id, id_or_stdin
from mailqueue.model.explain import Steered

if TYPE_CHECKING:
    from mailqueue.model.wanted import Wanted

_WHICH = "which messages? Give ids, a filter or --all."


@click.command(cls=Verb)
@click.argument("typed", nargs=-1, type=id_or_stdin, metavar="[ID...]")
@which.filters
@click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
@click.option("--reason", default="", metavar="TEXT", help="For the history.")
@pass_face
def hold(
    face: Face, /, typed: tuple[Id, ...], everything: bool, reason: str, **wanted: Unpack[Wanted]
) -> None:
    """Put messages on hold, until they are released.

    Those that all filters mean, or those whose ids are given and that all filters mean. One that is in
    delivery is held after the running attempt.
    """
    _check(typed, everything, wanted)
    queue = face.queue()
    done = queue.hold(ids.named(queue, typed), all=everything, reason=reason, **wanted)
    face.answer(shape.steered(done), lambda: _tell(done, "put on hold", "on hold already"))


@click.command(cls=Verb)
@click.argument("typed", nargs=-1, type=id_or_stdin, metavar="[ID...]")
@which.filters
@click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
@click.option("--reason", default="", metavar="TEXT", help="For the history.")
@pass_face
def release(
    face: Face, /, typed: tuple[Id, ...], everything: bool, reason: str, **wanted: Unpack[Wanted]
) -> None:
    """Take every hold from messages, those of rules, too.

    Those that all filters mean, or those whose ids are given and that all filters mean. The rules that
    exist now hold them no more.
    """
    _check(typed, everything, wanted)
    queue = face.queue()
    done = queue.release(ids.named(queue, typed), all=everything, reason=reason, **wanted)
    face.answer(shape.steered(done), lambda: _tell(done, "released", "not on hold"))


def _check(typed: tuple[Id, ...], everything: bool, wanted: Mapping[str, object]) -> None:
    """See that it is said which messages are meant, and only once that all are."""
    some = bool(typed) or any(value is not None for value in wanted.values())
    if some is everything:
        raise click.UsageError(_WHICH + (" --all goes with none of the others." if some else ""))


def _tell(done: Steered, changed: str, unchanged: str) -> None:
    output.line(f"{output.plural(done.changed, 'message')} {changed}")
    if done.unchanged:
        output.line(f"{done.unchanged:,} {unchanged}")
    if done.retired:
        output.line(f"in the history, where nothing waits: {', '.join(map(str, done.retired))}")
