"""What is wished for the mail from a domain: `domain`."""

from __future__ import annotations

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face, reason


@click.group(cls=Verbs)
def domain() -> None:
    """What is wished for the mail from a domain."""


@domain.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the domains for which something has been set."""
    found = face.queue().sender_domains.list()
    face.answer(
        output.items(map(shape.sender_domain, found)),
        lambda: output.table(("NAME", "SEPARATOR"), ((each.name, each.separator) for each in found)),
    )


@domain.command("set")
@click.argument("name")
@click.option(
    "--separator",
    required=True,
    metavar="TEXT",
    help="What stands in a return address of its own before what makes it unique; + unless set.",
)
@reason
@pass_face
def set_(face: Face, name: str, separator: str, reason: str) -> None:
    """Say what is wished for the mail from a domain."""
    made = face.queue().sender_domains.set(name, separator=separator, reason=reason)
    face.answer(
        shape.sender_domain(made), lambda: output.line(f"domain {made.name}: separator {made.separator}")
    )


@domain.command()
@click.argument("name")
@reason
@pass_face
def remove(face: Face, name: str, reason: str) -> None:
    """Forget what was wished for the mail from a domain."""
    gone = face.queue().sender_domains.remove(name, reason=reason)
    face.answer(
        {**shape.sender_domain(gone), "removed": True}, lambda: output.line(f"domain {gone.name} is as any")
    )
