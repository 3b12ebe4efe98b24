"""Rules that hold mail: `holdrules`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from mailqueue.cli import output, shape, standing, values
from mailqueue.cli.base import Face, Verbs, pass_face
from mailqueue.errors import NotFound
from mailqueue.model.rules import HoldRule, Then

if TYPE_CHECKING:
    from mailqueue.queue import Queue


@click.group(cls=Verbs)
def holdrules() -> None:
    """Rules that hold mail.

    Every criterion of a rule must match; one with none holds all mail.
    """


@holdrules.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the rules, oldest first, and how far those are that have ended."""
    queue = face.queue()
    rules = queue.hold_rules.list()

    def people() -> None:
        now = queue.clock.now()
        output.table(
            ("ID", "MATCHES", "REASON", "MADE", "BY", "ENDS"),
            (
                (
                    rule.id,
                    _criteria(queue, rule),
                    rule.reason,
                    output.when(rule.created_at, now),
                    rule.actor,
                    _end(queue, rule),
                )
                for rule in rules
            ),
        )

    face.answer(output.items(_shape(queue, rule) for rule in rules), people)


@holdrules.command()
@click.option("--account", metavar="NAME", help="Who sends.")
@click.option("--sender-domain", metavar="DOMAIN", help="Domain of the envelope sender.")
@click.option("--sender", metavar="ADDRESS", help="Envelope sender.")
@click.option("--recipient-domain", metavar="DOMAIN", help="Domain of the recipient.")
@click.option("--recipient", metavar="ADDRESS", help="Recipient.")
@click.option("--until", type=values.moment, metavar="WHEN", help="It ends then: 2h from now, or a time.")
@click.option(
    "--then",
    type=click.Choice([each.value for each in Then]),
    default=Then.RELEASE.value,
    show_default=True,
    help="What becomes then of what it alone holds.",
)
@click.option("--per-minute", type=int, metavar="N", help="So many are released in a minute then.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for people.")
@pass_face
def add(
    face: Face,
    account: str | None,
    sender_domain: str | None,
    sender: str | None,
    recipient_domain: str | None,
    recipient: str | None,
    until: datetime | timedelta | None,
    then: str,
    per_minute: int | None,
    reason: str,
) -> None:
    """Make a rule.

    It acts at once: on new mail, and on what is in the queue and matches. At its end (--until), what others
    hold as well stays on hold.
    """
    queue = face.queue()
    made = queue.hold_rules.add(
        account=account,
        sender_domain=sender_domain,
        sender=sender,
        recipient_domain=recipient_domain,
        recipient=recipient,
        until=until,
        then=then,
        per_minute=per_minute,
        reason=reason,
    )
    face.answer(
        _shape(queue, made), lambda: output.wrapped(f"hold rule {made.id}: {_criteria(queue, made)}", 4)
    )


@holdrules.command()
@click.argument("rule_id", type=int, metavar="ID")
@pass_face
def show(face: Face, rule_id: int) -> None:
    """Show a rule, and how many messages it holds."""
    queue = face.queue()
    rule = queue.hold_rules.show(rule_id)
    held = queue.hold_rules.held(rule_id)
    face.answer(
        {**_shape(queue, rule), "held": held},
        lambda: output.details(
            [
                ("hold rule", rule.id),
                ("matches", _criteria(queue, rule)),
                ("holds", output.plural(held, "message")),
                ("reason", rule.reason or None),
                ("made", f"{output.when(rule.created_at, queue.clock.now())}, {rule.actor}"),
                ("marking", "queued messages are still being marked" if rule.marking else None),
                ("ends", _end(queue, rule, held)),
                ("ended", _ended(queue, rule)),
            ]
        ),
    )


@holdrules.command()
@click.argument("rule_id", type=int, metavar="ID")
@click.option("--release", is_flag=True, help="Release what it alone holds.")
@click.option("--per-minute", type=int, metavar="N", help="So many in a minute, with --release.")
@click.option("--reason", default="", metavar="TEXT", help="For the history.")
@pass_face
def remove(face: Face, rule_id: int, release: bool, per_minute: int | None, reason: str) -> None:
    """Remove a rule. What it holds stays on hold until it is released, or --release.

    With --per-minute engines release it, and the rule is there until that is done; removed again without
    --release, the rest stays on hold.
    """
    queue = face.queue()
    gone = queue.hold_rules.remove(rule_id, release=release, per_minute=per_minute, reason=reason)
    face.answer(_shape(queue, gone), lambda: _tell(queue, gone, release))


def _tell(queue: Queue, gone: HoldRule, release: bool) -> None:
    if not release:
        output.line(f"hold rule {gone.id} is gone; what it held stays on hold: mailqueue release ...")
    elif gone.per_minute is None:
        output.line(f"hold rule {gone.id} is gone; what it alone held is released")
    else:
        output.line(
            f"hold rule {gone.id} holds nothing new; what it alone holds is released, {gone.per_minute:,} a "
            f"minute: mailqueue holdrules show {gone.id}"
        )
        output.line(standing.engine(queue.status()))


def _end(queue: Queue, rule: HoldRule, held: int | None = None) -> str | None:
    """Return when a rule ends and what becomes of its mail or, once it has ended, how far that is."""
    now = queue.clock.now()
    pace = "" if rule.per_minute is None else f" {rule.per_minute:,} a minute"
    if rule.ended_at is None:
        when = output.when(rule.until, now)
        return None if rule.until is None else f"{when}, then {rule.then.value}{pace}"
    doing = "failing" if rule.then is Then.FAIL else "releasing"
    try:
        left = queue.hold_rules.held(rule.id) if held is None else held
    except NotFound:  # it has just gone
        left = 0
    told = f"{doing}{pace}: {rule.let_go:,} of {rule.let_go + left:,} gone"
    if rule.per_minute is None or not left:
        return told
    return f"{told}, done in about {output.about(timedelta(minutes=left / rule.per_minute))}"


def _ended(queue: Queue, rule: HoldRule) -> str | None:
    if rule.ended_at is None:
        return None
    who = rule.ended_by or "its time was over"
    why = f": {rule.ended_reason}" if rule.ended_reason else ""
    return f"{output.when(rule.ended_at, queue.clock.now())}, {who}{why}"


def _shape(queue: Queue, rule: HoldRule) -> output.Json:
    return shape.hold_rule(rule, _account(queue, rule))


def _account(queue: Queue, rule: HoldRule) -> str | None:
    if rule.account_id is None:
        return None
    return next(each.name for each in queue.accounts.list() if each.id == rule.account_id)


def _criteria(queue: Queue, rule: HoldRule) -> str:
    named = {
        "account": _account(queue, rule),
        "sender-domain": rule.sender_domain,
        "sender": rule.sender,
        "recipient-domain": rule.recipient_domain,
        "recipient": rule.recipient,
    }
    return " ".join(f"{name}={value}" for name, value in named.items() if value is not None) or "all mail"
