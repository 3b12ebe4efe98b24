"""Who sends: `account`."""

from __future__ import annotations

from datetime import timedelta

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face, reason
from mailqueue.cli.values import duration
from mailqueue.model.account import Account, Notices, OnUncertain, OverQuota, QuotaUse
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
            ("NAME", "NOTICES", "SCHEDULE", "RETENTION", "CONTENT", "STRICT", "PER DAY"),
            (
                (
                    each.name,
                    (each.notices or Notices.KEEP).value,
                    each.schedule or STANDARD,
                    format_duration(each.retention),
                    format_duration(each.keep_content),
                    each.strict,
                    each.messages_per_day,
                )
                for each in found
            ),
        ),
    )


@account.command()
@click.argument("name")
@reason
@pass_face
def add(face: Face, name: str, reason: str) -> None:
    """Make an account."""
    queue = face.queue()
    made = queue.accounts.add(name, reason=reason)
    face.answer(shape.account(made), lambda: _print(made, queue.clock.now()))


@account.command()
@click.argument("name")
@pass_face
def show(face: Face, name: str) -> None:
    """Show the settings of an account, and how far its quotas are used."""
    queue = face.queue()
    found = queue.accounts.show(name)
    face.answer(shape.account(found), lambda: _print(found, queue.clock.now()))


@account.command()
@click.argument("name")
@reason
@pass_face
def remove(face: Face, name: str, reason: str) -> None:
    """Remove an account that nothing needs any more."""
    face.queue().accounts.remove(name, reason=reason)
    face.answer({"name": name, "removed": True}, lambda: output.line(f"account {name} is gone"))


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
@click.option("--messages-per-day", type=int, metavar="N", help="Quota of messages in 24 hours; 0: none.")
@click.option(
    "--new-recipients-per-day",
    type=int,
    metavar="N",
    help="Quota of those not written to before; 0: none.",
)
@click.option(
    "--over-quota",
    type=click.Choice([each.value for each in OverQuota]),
    help="What becomes of mail over a quota.",
)
@click.option(
    "--fromid/--no-fromid", default=None, help="A return address of its own for each message, or not."
)
@click.option(
    "--suppression/--no-suppression",
    default=None,
    help="Keep a suppression list, and send nothing to those who are on it.",
)
@click.option(
    "--suppress-for",
    type=duration,
    metavar="TIME",
    help="What engines put there stays this long; 0s: for good.",
)
@reason
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
    messages_per_day: int | None,
    new_recipients_per_day: int | None,
    over_quota: str | None,
    fromid: bool | None,
    suppression: bool | None,
    suppress_for: timedelta | None,
    reason: str,
) -> None:
    """Change what is given of an account, and leave the rest."""
    queue = face.queue()
    changed = queue.accounts.set(
        name,
        notices=notices,
        schedule=schedule,
        retention=retention,
        keep_content=keep_content,
        on_uncertain=on_uncertain,
        strict=strict,
        messages_per_day=messages_per_day,
        new_recipients_per_day=new_recipients_per_day,
        over_quota=over_quota,
        fromid=fromid,
        suppression=suppression,
        suppress_for=suppress_for,
        reason=reason,
    )
    face.answer(shape.account(changed), lambda: _print(changed, queue.clock.now()))


_WHERE = {
    Notices.KEEP: "keep: with the history, mailqueue notice show",
    Notices.QUEUE: "queue: kept, and sent to the envelope sender",
    Notices.NONE: "none: only the event tells",
}


_OVER = {
    OverQuota.REJECT: "reject: submit refuses it",
    OverQuota.HOLD: "hold: on hold until there is room",
    OverQuota.DROP: "drop: canceled at once",
}


def _suppression(found: Account) -> str:
    if not found.suppression:
        return "no: its mail goes to everybody"
    if found.suppress_for is None:
        return "yes, until somebody removes the address: mailqueue suppress list"
    return f"yes, for {format_duration(found.suppress_for)}: mailqueue suppress list"


def used(found: QuotaUse, now: int) -> str:
    """Return for people how far a quota is used; `now` in microseconds UTC."""
    waiting = f", {found.waiting:,} on hold until there is room" if found.waiting else ""
    room = "" if found.opens_at is None else f", room for more {output.when(found.opens_at, now)}"
    return f"{found.used:,} of {found.limit:,} used{waiting}{room}"


def _print(found: Account, now: int) -> None:
    output.details(
        [
            ("account", found.name),
            ("notices", _WHERE[found.notices or Notices.KEEP] + ("" if found.notices else " (not set)")),
            ("schedule", found.schedule or f"{STANDARD} (not set)"),
            ("retention", f"{format_duration(found.retention)} in the history"),
            ("keep-content", f"{format_duration(found.keep_content)} when not delivered to all"),
            ("on-uncertain", f"{found.on_uncertain.value} what may have arrived"),
            ("strict", found.strict),
            ("fromid", found.fromid),
            ("suppression", _suppression(found)),
            *((f"{each.quota.words} a day", used(each, now)) for each in found.usage),
            ("over-quota", _OVER[found.over_quota] if found.quotas else None),
        ]
    )
