"""Limits for what goes to a destination: `shaping`."""

from __future__ import annotations

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face, reason
from mailqueue.model.rules import ShapingRule


@click.group(cls=Verbs)
def shaping() -> None:
    """Limits for what goes to a destination.

    The first rule that matches counts. All mail for which it counts shares its limits.
    """


@shaping.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the rules in the order in which they are asked."""
    found = face.queue().shaping_rules.list()
    face.answer(
        output.items(map(shape.shaping_rule, found)),
        lambda: output.table(
            ("ID", "POSITION", "MATCHES", "CONNECTIONS", "EACH", "A MINUTE", "REASON"),
            (
                (
                    each.id,
                    each.position,
                    _criteria(each),
                    each.connections,
                    each.per_connection,
                    each.per_minute,
                    each.reason,
                )
                for each in found
            ),
        ),
    )


@shaping.command("add")
@click.option("--transport", metavar="NAME", help="Mail that takes this transport.")
@click.option("--domain", metavar="DOMAIN", help="Mail to there; '.example.net': its subdomains too.")
@click.option("--mx", metavar="HOST", help="Mail that goes to this host; '.example.net': to any below, too.")
@click.option("--connections", type=int, metavar="N", help="At once, of all engines together.")
@click.option("--per-connection", type=int, metavar="N", help="Transactions on one connection.")
@click.option("--per-minute", type=int, metavar="N", help="Messages in any minute, of all engines together.")
@click.option("--position", type=int, default=0, show_default=True, help="Lower ones are asked first.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for people.")
@pass_face
def add(
    face: Face,
    transport: str | None,
    domain: str | None,
    mx: str | None,
    connections: int | None,
    per_connection: int | None,
    per_minute: int | None,
    position: int,
    reason: str,
) -> None:
    """Make a rule, with one limit at least. Without a criterion, it is for all mail."""
    made = face.queue().shaping_rules.add(
        transport=transport,
        domain=domain,
        mx=mx,
        connections=connections,
        per_connection=per_connection,
        per_minute=per_minute,
        position=position,
        reason=reason,
    )
    face.answer(
        shape.shaping_rule(made),
        lambda: output.wrapped(f"shaping rule {made.id}: {_criteria(made)}: {_limits(made)}", 4),
    )


@shaping.command()
@click.argument("rule_id", type=int, metavar="ID")
@pass_face
def show(face: Face, rule_id: int) -> None:
    """Show a rule."""
    queue = face.queue()
    rule = queue.shaping_rules.show(rule_id)
    face.answer(
        shape.shaping_rule(rule),
        lambda: output.details(
            [
                ("shaping rule", rule.id),
                ("position", rule.position),
                ("matches", _criteria(rule)),
                ("limits", _limits(rule)),
                ("reason", rule.reason or None),
                ("made", f"{output.when(rule.created_at, queue.clock.now())}, {rule.actor}"),
            ]
        ),
    )


@shaping.command()
@click.argument("rule_id", type=int, metavar="ID")
@reason
@pass_face
def remove(face: Face, rule_id: int, reason: str) -> None:
    """Remove a rule."""
    gone = face.queue().shaping_rules.remove(rule_id, reason=reason)
    face.answer(
        {**shape.shaping_rule(gone), "removed": True},
        lambda: output.line(f"shaping rule {gone.id} is gone"),
    )


def _criteria(rule: ShapingRule) -> str:
    named = {"transport": rule.transport, "domain": rule.domain, "mx": rule.mx}
    return " ".join(f"{name}={value}" for name, value in named.items() if value is not None) or "all mail"


def _limits(rule: ShapingRule) -> str:
    parts = []
    if rule.connections is not None:
        parts.append(output.plural(rule.connections, "connection") + " at once")
    if rule.per_connection is not None:
        parts.append(output.plural(rule.per_connection, "transaction") + " on each")
    if rule.per_minute is not None:
        parts.append(output.plural(rule.per_minute, "message") + " a minute")
    return ", ".join(parts)
