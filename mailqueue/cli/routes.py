"""Which mail takes which transport: `route`."""

from __future__ import annotations

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face


@click.group(cls=Verbs)
def route() -> None:
    """Which mail takes which transport.

    The first route that matches counts; without one, it is the default transport.
    """


@route.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the routes in the order in which they are tried."""
    found = face.queue().routes.list()
    face.answer(
        output.items(map(shape.route, found)),
        lambda: output.table(
            ("ID", "POSITION", "FROM", "TO", "TRANSPORT"),
            (
                (
                    each.id,
                    each.position,
                    each.sender_domain or "any",
                    each.recipient_domain or "any",
                    each.transport,
                )
                for each in found
            ),
        ),
    )


@route.command("add")
@click.argument("transport_name", metavar="TRANSPORT")
@click.option(
    "--sender-domain", metavar="DOMAIN", help="Mail from there; '.example.org': its subdomains too."
)
@click.option(
    "--recipient-domain", metavar="DOMAIN", help="Mail to there; '.example.org': its subdomains too."
)
@click.option("--position", type=int, default=0, show_default=True, help="Lower ones are tried first.")
@pass_face
def add(
    face: Face, transport_name: str, sender_domain: str | None, recipient_domain: str | None, position: int
) -> None:
    """Make a route to TRANSPORT."""
    made = face.queue().routes.add(
        transport_name, sender_domain=sender_domain, recipient_domain=recipient_domain, position=position
    )
    face.answer(
        shape.route(made),
        lambda: output.line(
            f"route {made.id}: from {made.sender_domain or 'any'} to {made.recipient_domain or 'any'}"
            f" by {made.transport}"
        ),
    )


@route.command("remove")
@click.argument("route_id", type=int, metavar="ID")
@pass_face
def remove(face: Face, route_id: int) -> None:
    """Remove a route."""
    face.queue().routes.remove(route_id)
    face.answer({"id": route_id, "removed": True}, lambda: output.line(f"route {route_id} is gone"))
