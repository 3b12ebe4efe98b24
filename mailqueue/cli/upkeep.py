"""Care of the database: `migrate`, `backup`, `restore` and `check-integrity`."""

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


@click.command(cls=Verb)
@click.argument("path", type=click.Path())
@pass_face
def backup(face: Face, path: str) -> None:
    """Copy the database to PATH, while it is in use.

    Everything is in the copy: mail, history, passwords of transports. Nothing is overwritten.
    """
    done = face.queue(create=False).backup(path)
    face.answer(
        shape.backup(done),
        lambda: output.line(f"{done.path}: {done.size:,} octets, as of the last commit"),
    )


@click.command(cls=Verb)
@click.argument("source", type=click.Path(), metavar="BACKUP")
@click.option("--copy", type=click.Path(), metavar="PATH", help="Where the copy goes; else beside the file.")
@click.option("--no-copy", is_flag=True, help="Make no copy of the file as it is.")
@click.option(
    "--hold/--no-hold",
    default=True,
    help="Put what waits on hold (the default), or let it go out, though it may have been delivered since.",
)
@click.option("--whole-file", is_flag=True, help="Replace the tables of others in the file, too.")
@pass_face
def restore(face: Face, source: str, copy: str | None, no_copy: bool, hold: bool, whole_file: bool) -> None:
    """Put BACKUP in the place of the database.

    Makes a copy of the file as it is, and puts on hold what waits in the backup: it may have been
    delivered since. Stop the engines before, and restart whatever uses the database.
    """
    if copy is not None and no_copy:
        raise click.UsageError("--copy and --no-copy: one of them at most")
    done = face.queue().restore(source, copy=copy or not no_copy, whole_file=whole_file, hold=hold)

    def people() -> None:
        if done.copy is not None:
            output.line(f"copy of what was there: {done.copy}")
        output.line(f"{done.path}: is as {done.source} was")
        if done.held:
            output.line(
                f"{output.plural(done.held, 'message')} put on hold, as they may have been delivered since: "
                "look, then `mailqueue release`"
            )

    face.answer(shape.restored(done), people)


@click.command("check-integrity", cls=Verb)
@click.option("--mend", is_flag=True, help="Count anew what follows from other rows; tell what is left.")
@click.pass_context
def check_integrity(ctx: click.Context, mend: bool) -> None:
    """Look for faults in the database.

    Reads all of it, tells every fault and what mends it, and ends with status 1 when there is one.
    """
    face = ctx.ensure_object(Face)
    queue = face.queue(create=False)
    faults = queue.check_integrity(mend=mend)

    def people() -> None:
        for fault in faults:
            output.line(fault)
        output.line(f"{queue.path}: {output.plural(len(faults), 'fault') if faults else 'clean'}")

    face.answer({"db": queue.path, "clean": not faults, "faults": list(faults)}, people)
    if faults:
        ctx.exit(FAULT)
