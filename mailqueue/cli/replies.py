"""What replies mean: `classify`, and the operator's own rules, `replies`."""

from __future__ import annotations

import os
import sys

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verb, Verbs, pass_face, reason
from mailqueue.mail.smtp.facts import Phase
from mailqueue.model.attempt import Category
from mailqueue.model.rules import ReplyRule
from mailqueue.model.verdict import RuleKind, Verdict

_KINDS = {RuleKind.OWN: "own rule", RuleKind.TEXT: "rule about texts", RuleKind.CODE: "table by code"}
_CATEGORIES = [each.value for each in Category if each not in (Category.OK, Category.INTERRUPTED)]


@click.command(cls=Verb)
@click.argument("reply", metavar="REPLY|-")
@click.option(
    "--phase",
    type=click.Choice([each.value for each in Phase]),
    default=Phase.RCPT.value,
    show_default=True,
    help="What was answered.",
)
@pass_face
def classify(face: Face, reply: str, phase: str) -> None:
    """Say what a reply of a server means, and which rule says so.

    REPLY is as the server sent it, with its codes: '550 5.7.1 Not here'; - reads it from standard input.
    Where there is no database, only the rules that come with mailqueue are asked.
    """
    text = sys.stdin.read().strip() if reply == "-" else reply
    db = face.config().db
    if db is not None and os.path.exists(db):
        found = face.queue().classify(text, phase=phase)
    else:
        from mailqueue.queue import classify_alone

        found = classify_alone(text, phase=phase)
    face.answer(shape.verdict(found), lambda: _tell(found))


def _tell(found: Verdict) -> None:
    what = "not tried again" if found.permanent else "tried again"
    against = ", against its code" if found.overrides else ""
    output.details(
        [
            ("category", found.category),
            ("permanence", ("permanent" if found.permanent else "temporary") + f": {what}{against}"),
            ("charged to", found.scope),
            ("status", found.status),
            ("rule", f"{found.rule} ({_KINDS[found.kind]})"),
            ("note", found.note or None),
            ("source", found.source or None),
        ]
    )


@click.group(cls=Verbs)
def replies() -> None:
    """Own rules about what replies mean.

    They are asked before those that come with mailqueue; the first that matches counts.
    """


@replies.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the own rules in the order in which they are asked."""
    found = face.queue().reply_rules.list()
    face.answer(
        output.items(map(shape.reply_rule, found)),
        lambda: output.table(
            ("ID", "POSITION", "CODE", "MATCHES", "CATEGORY", "PERMANENT", "REASON"),
            (
                (
                    each.id,
                    each.position,
                    each.code or "any",
                    each.pattern,
                    each.category,
                    _permanent(each),
                    each.note,
                )
                for each in found
            ),
        ),
    )


@replies.command("add")
@click.argument("pattern")
@click.option("--category", type=click.Choice(_CATEGORIES), required=True, help="What such a reply means.")
@click.option("--code", metavar="CODE", help="Only for such reply codes: 550, '4??', '5*'.")
@click.option(
    "--permanent/--temporary",
    default=None,
    help="Whether it is not tried again, or is; else as its code says.",
)
@click.option("--position", type=int, default=0, show_default=True, help="Lower ones are asked first.")
@click.option("--note", default="", metavar="TEXT", help="Why, for people.")
@pass_face
def add(
    face: Face,
    pattern: str,
    category: str,
    code: str | None,
    permanent: bool | None,
    position: int,
    note: str,
) -> None:
    """Make a rule for replies in which PATTERN is found.

    PATTERN is a regular expression, in small letters or capitals alike.
    """
    made = face.queue().reply_rules.add(
        pattern, category=category, code=code, permanent=permanent, position=position, note=note
    )
    face.answer(
        shape.reply_rule(made),
        lambda: output.line(f"reply rule {made.id}: {made.pattern} is {made.category}, {_permanent(made)}"),
    )


@replies.command("remove")
@click.argument("rule_id", type=int, metavar="ID")
@reason
@pass_face
def remove(face: Face, rule_id: int, reason: str) -> None:
    """Remove a rule."""
    gone = face.queue().reply_rules.remove(rule_id, reason=reason)
    face.answer(
        {**shape.reply_rule(gone), "removed": True}, lambda: output.line(f"reply rule {gone.id} is gone")
    )


def _permanent(rule: ReplyRule) -> str:
    match rule.permanent:
        case None:
            return "as its code says"
        case True:
            return "permanent"
        case _:
            return "temporary"
