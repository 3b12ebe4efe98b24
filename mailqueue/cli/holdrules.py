"""Rules that hold mail: `holdrules`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face, reason
from mailqueue.model.rules import HoldRule

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
    """List the rules, oldest first."""
    queue = face.queue()
    rules = queue.hold_rules.list()

    def people() -> None:
        now = queue.clock.now()
        output.table(
            ("ID", "MATCHES", "REASON", "MADE", "BY"),
            (
                (rule.id, _criteria(queue, rule), rule.reason, output.when(rule.created_at, now), rule.actor)
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
@click.option("--reason", default="", metavar="TEXT", help="Why, for people.")
@pass_face
def add(
    face: Face,
    account: str | None,
    sender_domain: str | None,
    sender: str | None,
    recipient_domain: str | None,
    recipient: str | None,
    reason: str,
) -> None:
    """Make a rule.

    It acts at once: on new mail, and on what is in the queue and matches.
    """
    queue = face.queue()
    made = queue.hold_rules.add(
        account=account,
        sender_domain=sender_domain,
        sender=sender,
        recipient_domain=recipient_domain,
        recipient=recipient,
        reason=reason,
    )
    face.answer(_shape(queue, made), lambda: output.line(f"hold rule {made.id}: {_criteria(queue, made)}"))


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
            ]
        ),
    )


@holdrules.command()
@click.argument("rule_id", type=int, metavar="ID")
@reason
@pass_face
def remove(face: Face, rule_id: int, reason: str) -> None:
    """Remove a rule. What it holds stays on hold until it is released."""
    queue = face.queue()
    gone = queue.hold_rules.remove(rule_id, reason=reason)
    face.answer(
        _shape(queue, gone),
        lambda: output.line(
            f"hold rule {gone.id} is gone; what it held stays on hold: mailqueue release ..."
        ),
    )


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
