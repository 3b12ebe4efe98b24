"""Care of the database: `migrate` and `check-integrity`."""

from __future__ import annotations

import click

from mailqueue.cli import output
from mailqueue.cli.base import FAULT, Face, Verb, pass_face


@click.command(cls=Verb)
@pass_face
def migrate(face: Face) -> None:
    """Bring tables of an older version up to date."""
    queue = face.queue(create=False, migrate=True)
    queue.status()  # the first use opens it, which migrates
    face.answer(
        {"db": queue.path, "migrated": False},
        lambda: output.line(f"{queue.path}: the tables are up to date, there is nothing to do"),
    )


@click.command("check-integrity", cls=Verb)
@click.pass_context
def check_integrity(ctx: click.Context) -> None:
    """Look for faults in the database.

    Reads all of it, tells every fault, and ends with status 1 when there is one.
    """
    face = ctx.ensure_object(Face)
    queue = face.queue(create=False)
    faults = queue.check_integrity()

    def people() -> None:
        for fault in faults:
            output.line(fault)
        output.line(f"{queue.path}: {output.plural(len(faults), 'fault') if faults else 'clean'}")

    face.answer({"db": queue.path, "clean": not faults, "faults": list(faults)}, people)
    if faults:
        ctx.exit(FAULT)
