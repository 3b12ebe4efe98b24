"""Who sends: `account`."""

from __future__ import annotations

from datetime import timedelta

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face
from mailqueue.cli.values import duration
from mailqueue.model.account import Account, Notices, OnUncertain
from mailqueue.model.duration import format_duration
from mailqueue.model.schedule import STANDARD


@click.group(cls=Verbs)
def account() -> None:
    """Who sends, and what is wished for their mail.

    The account `default` is there from the start.
    """


@account.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the accounts."""
    found = face.queue().accounts.list()
    face.answer(
        output.items(map(shape.account, found)),
        lambda: output.table(
            ("NAME", "NOTICES", "SCHEDULE", "RETENTION", "CONTENT", "STRICT"),
            (
                (
                    each.name,
                    (each.notices or Notices.KEEP).value,
                    each.schedule or STANDARD,
                    format_duration(each.retention),
                    format_duration(each.keep_content),
                    each.strict,
                )
                for each in found
            ),
        ),
    )


@account.command()
@click.argument("name")
@pass_face
def add(face: Face, name: str) -> None:
    """Make an account."""
    made = face.queue().accounts.add(name)
    face.answer(shape.account(made), lambda: _print(made))


@account.command()
@click.argument("name")
@pass_face
def show(face: Face, name: str) -> None:
    """Show the settings of an account."""
    found = face.queue().accounts.show(name)
    face.answer(shape.account(found), lambda: _print(found))


@account.command("set")
@click.argument("name")
@click.option(
    "--notices", type=click.Choice([each.value for each in Notices]), help="Where delivery notices go."
)
@click.option("--schedule", metavar="NAME", help="Retry schedule of its mail from now on.")
@click.option("--retention", type=duration, metavar="TIME", help="Retired messages stay this long: 30d.")
@click.option("--keep-content", type=duration, metavar="TIME", help="Content not delivered to all stays: 7d.")
@click.option(
    "--on-uncertain",
    type=click.Choice([each.value for each in OnUncertain]),
    help="What becomes of mail that may have arrived.",
)
@click.option("--strict/--no-strict", default=None, help="Refuse at submit what standards forbid.")
@pass_face
def set_(
    face: Face,
    name: str,
    notices: str | None,
    schedule: str | None,
    retention: timedelta | None,
    keep_content: timedelta | None,
    on_uncertain: str | None,
    strict: bool | None,
) -> None:
    """Change what is given of an account, and leave the rest."""
    changed = face.queue().accounts.set(
        name,
        notices=notices,
        schedule=schedule,
        retention=retention,
        keep_content=keep_content,
        on_uncertain=on_uncertain,
        strict=strict,
    )
    face.answer(shape.account(changed), lambda: _print(changed))


_WHERE = {
    Notices.KEEP: "keep: with the history, mailqueue notice show",
    Notices.QUEUE: "queue: kept, and sent to the envelope sender",
    Notices.NONE: "none: only the event tells",
}


def _print(found: Account) -> None:
    output.details(
        [
            ("account", found.name),
            ("notices", _WHERE[found.notices or Notices.KEEP] + ("" if found.notices else " (not set)")),
            ("schedule", found.schedule or f"{STANDARD} (not set)"),
            ("retention", f"{format_duration(found.retention)} in the history"),
            ("keep-content", f"{format_duration(found.keep_content)} when not delivered to all"),
            ("on-uncertain", f"{found.on_uncertain.value} what may have arrived"),
            ("strict", found.strict),
        ]
    )
