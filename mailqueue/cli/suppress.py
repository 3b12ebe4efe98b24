"""Whom accounts write to no more: `suppress`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TextIO

import click

from mailqueue.cli import output, shape, values
from mailqueue.cli.base import Face, Verbs, pass_face
from mailqueue.model.account import DEFAULT_ACCOUNT
from mailqueue.model.suppression import Imported, Rejudged, Suppression, Unsuppressed

_SHOWN = 20  # bad lines that are told; JSON has all

_whose = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, metavar="NAME", help="Whose mail."
)
_of_whom = click.option("--account", metavar="NAME", help="Only of this account; else of all.")


@click.group(cls=Verbs)
def suppress() -> None:
    """Whom accounts write to no more.

    Mail to a suppressed address retires at once, as `suppressed`. Engines put there what has shown to be
    dead, and whose owner complained.
    """


@suppress.command("list")
@_of_whom
@click.option("--limit", default=50, show_default=True, metavar="N", help="Entries at most, up to 1000.")
@click.option("--after", metavar="CURSOR", help="The page after: `next` of the page before.")
@pass_face
def list_(face: Face, account: str | None, limit: int, after: str | None) -> None:
    """List the suppressed addresses."""
    queue = face.queue()
    page = queue.suppressions.list(account=account, limit=limit, after=after)

    def people() -> None:
        _table(page.items, queue.clock.now())
        if page.next is not None:
            output.line(f"more: --after {page.next}")

    face.answer(output.items(map(shape.suppression, page.items), page.next), people)


def _table(found: Iterable[Suppression], now: int) -> None:
    output.table(
        ("ADDRESS", "ACCOUNT", "CAUSE", "SINCE", "UNTIL", "REASON"),
        (
            (
                each.address,
                each.account,
                each.cause.value,
                output.when(each.created_at, now),
                output.when(each.expires_at, now),
                each.reason,
            )
            for each in found
        ),
    )


@suppress.command("add")
@click.argument("address")
@_whose
@click.option("--reason", default="", metavar="TEXT", help="Why, for people.")
@click.option(
    "--expires-at", "--expires", type=values.moment, metavar="WHEN", help="Until then: 30d, or a moment."
)
@pass_face
def add(face: Face, address: str, account: str, reason: str, expires_at: datetime | timedelta | None) -> None:
    """Suppress an address."""
    queue = face.queue()
    made = queue.suppressions.add(address, account=account, reason=reason, expires_at=expires_at)
    face.answer(shape.suppression(made), lambda: _print(made, queue.clock.now()))


@suppress.command("lookup")
@click.argument("address")
@_whose
@pass_face
def lookup(face: Face, address: str, account: str) -> None:
    """Say whether an address is suppressed, and why."""
    queue = face.queue()
    found = queue.suppressions.lookup(address, account=account)

    def people() -> None:
        if found is None:
            output.line(f"{address} is not suppressed")
        else:
            _print(found, queue.clock.now())

    face.answer({"suppression": None if found is None else shape.suppression(found)}, people)


def _print(found: Suppression, now: int) -> None:
    evidence = found.evidence
    output.details(
        [
            ("address", found.address),
            ("compared as", found.base),
            ("account", found.account),
            ("cause", found.cause),
            ("reason", found.reason or None),
            ("since", output.when(found.created_at, now)),
            ("until", "removed" if found.expires_at is None else output.when(found.expires_at, now)),
            ("by", found.actor or "an engine"),
            ("message", found.message_id),
            ("category", None if evidence is None else evidence.category),
            ("said", None if evidence is None or evidence.reply is None else _in_a_line(evidence.reply)),
        ]
    )


def _in_a_line(reply: str) -> str:
    return reply.replace("\n", " / ")


@suppress.command("remove")
@click.argument("address")
@_whose
@click.option("--replay", is_flag=True, help="Submit anew what it has stopped.")
@pass_face
def remove(face: Face, address: str, account: str, replay: bool) -> None:
    """Take an address off the list."""
    gone = face.queue().suppressions.remove(address, account=account, replay=replay)
    face.answer(shape.unsuppressed(gone), lambda: _tell_removed(gone))


def _tell_removed(gone: Unsuppressed) -> None:
    output.line(f"{gone.suppression.address} is suppressed no more")
    sent = gone.replayed
    if sent is not None:
        output.line(f"{output.plural(sent.sent, 'message')} submitted anew")
        if sent.gone:
            output.line(f"{output.plural(sent.gone, 'message')} not: the content is gone")
        if sent.refused:
            output.line(f"{output.plural(sent.refused, 'message')} not: {sent.refusal}")


@suppress.command("import")
@click.argument("file", type=click.File(encoding="utf-8-sig"), default="-", metavar="[FILE|-]")
@_whose
@click.option("--skip-bad", is_flag=True, help="Import the good lines where others are bad.")
@pass_face
def import_(face: Face, file: TextIO, account: str, skip_bad: bool) -> None:
    """Suppress the addresses of a list in CSV.

    Its first line names the columns: address and, where they are there, reason and expires_at.
    """
    done = face.queue().suppressions.import_(file, account=account, skip_bad=skip_bad)
    face.answer(shape.imported(done), lambda: _tell_imported(done))


def _tell_imported(done: Imported) -> None:
    output.line(f"{output.plural(done.read, 'address', 'es')} suppressed, {done.changed:,} of them new")
    if done.ignored:
        output.line(f"columns that mean nothing here: {', '.join(done.ignored)}")
    for each in done.faults[:_SHOWN]:
        output.line(f"skipped {each}")
    if len(done.faults) > _SHOWN:
        output.line(f"skipped {len(done.faults) - _SHOWN:,} more lines")


@suppress.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-", metavar="[FILE|-]")
@_whose
@pass_face
def export(face: Face, file: str, account: str) -> None:
    """Write the list of an account as CSV."""
    queue = face.queue()
    if file == "-" and not face.json:
        queue.suppressions.export(sys.stdout, account=account)
        return
    with io.StringIO() if file == "-" else open(file, "w", encoding="utf-8", newline="") as target:
        count = queue.suppressions.export(target, account=account)
        _tell_exported(face, count, file, target)


def _tell_exported(face: Face, count: int, file: str, target: TextIO) -> None:
    where = {"content": target.getvalue()} if isinstance(target, io.StringIO) else {"file": file}
    face.answer(
        {"addresses": count, **where},
        lambda: output.line(f"{output.plural(count, 'address', 'es')} written to {file}"),
    )


@suppress.command("rejudge")
@_of_whom
@click.option("--remove", is_flag=True, help="Take them off the list.")
@pass_face
def rejudge(face: Face, account: str | None, remove: bool) -> None:
    """List what an engine has suppressed, and would not by the rules of now."""
    found = face.queue().suppressions.rejudge(account=account, remove=remove)
    face.answer(output.items(map(shape.rejudged, found)), lambda: _tell_rejudged(found, remove))


def _tell_rejudged(found: Iterable[Rejudged], remove: bool) -> None:
    rows = [(each.suppression.address, each.suppression.account, each.reason) for each in found]
    if rows:
        output.table(("ADDRESS", "ACCOUNT", "REASON"), rows)
    what = "removed" if remove else "to be removed with --remove"
    output.line(f"{output.plural(len(rows), 'address', 'es')} {what}")
