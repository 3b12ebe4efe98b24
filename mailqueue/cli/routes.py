"""Which mail takes which transport: `route`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face, reason
from mailqueue.model.rules import Route

if TYPE_CHECKING:
    from mailqueue.queue import Queue


@click.group(cls=Verbs)
def route() -> None:
    """Which mail takes which transport.

    The first route that matches counts: routes of an account are tried first, then those that
    name a domain, then the others. Without one, it is the default transport.
    """


@route.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the routes in the order in which they are tried."""
    queue = face.queue()
    found = queue.routes.list()
    names = _accounts(queue)
    face.answer(
        output.items(shape.route(each, names.get(each.account_id)) for each in found),
        lambda: output.table(
            ("ID", "POSITION", "ACCOUNT", "FROM", "TO", "FAILED", "TRANSPORT"),
            (
                (
                    each.id,
                    each.position,
                    names.get(each.account_id, "any"),
                    each.sender_domain or "any",
                    each.recipient_domain or "any",
                    f"{each.min_attempts}+" if each.min_attempts else "any",
                    each.transport,
                )
                for each in found
            ),
        ),
    )


def _accounts(queue: Queue) -> dict[int | None, str]:
    return {each.id: each.name for each in queue.accounts.list()}


@route.command("add")
@click.argument("transport_name", metavar="TRANSPORT")
@click.option("--account", metavar="NAME", help="Who sends.")
@click.option(
    "--sender-domain", metavar="DOMAIN", help="Mail from there; '.example.org': its subdomains too."
)
@click.option(
    "--recipient-domain", metavar="DOMAIN", help="Mail to there; '.example.org': its subdomains too."
)
@click.option(
    "--min-attempts",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Only messages of which at least N attempts have failed.",
)
@click.option("--position", type=int, default=0, show_default=True, help="Lower ones are tried first.")
@reason
@pass_face
def add(
    face: Face,
    transport_name: str,
    account: str | None,
    sender_domain: str | None,
    recipient_domain: str | None,
    min_attempts: int,
    position: int,
    reason: str,
) -> None:
    """Make a route to TRANSPORT."""
    made = face.queue().routes.add(
        transport_name,
        account=account,
        sender_domain=sender_domain,
        recipient_domain=recipient_domain,
        min_attempts=min_attempts,
        position=position,
        reason=reason,
    )
    face.answer(
        shape.route(made, account), lambda: output.wrapped(f"route {made.id}: {_told(made, account)}", 4)
    )


def _told(made: Route, account: str | None) -> str:
    whose = f" of {account}" if account else ""
    when = f" after {output.plural(made.min_attempts, 'failed attempt')}" if made.min_attempts else ""
    return (
        f"mail{whose} from {made.sender_domain or 'any'} to {made.recipient_domain or 'any'}{when}"
        f" by {made.transport}"
    )


@route.command("remove")
@click.argument("route_id", type=int, metavar="ID")
@reason
@pass_face
def remove(face: Face, route_id: int, reason: str) -> None:
    """Remove a route."""
    face.queue().routes.remove(route_id, reason=reason)
    face.answer({"id": route_id, "removed": True}, lambda: output.line(f"route {route_id} is gone"))
