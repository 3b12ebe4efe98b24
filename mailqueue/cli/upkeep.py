"""Care of the database: `migrate` and `check-integrity`."""

from __future__ import annotations

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import FAULT, Face, Verb, pass_face


@click.command(cls=Verb)
@click.option("--copy", type=click.Path(), metavar="PATH", help="Where the copy goes; else beside the file.")
@click.option("--no-copy", is_flag=True, help="Make no copy.")
@pass_face
def migrate(face: Face, copy: str | None, no_copy: bool) -> None:
    """Bring tables of an older version up to date.

    Makes a copy of the file first, which is never written over anything. Stop the engines before.
    """
    if copy is not None and no_copy:
        raise click.UsageError("--copy and --no-copy: one of them at most")
    done = face.queue(create=False).migrate(copy=copy or not no_copy)

    def people() -> None:
        if not done.changed:
            output.line(f"{done.path}: tables of version {done.after}, up to date: there is nothing to do")
            return
        if done.copy is not None:
            output.line(f"copy of version {done.before}: {done.copy}")
        output.line(f"{done.path}: the tables were of version {done.before}, and are of version {done.after}")

    face.answer(shape.migration(done), people)


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
