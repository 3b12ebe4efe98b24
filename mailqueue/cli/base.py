"""What every verb shares: `--db` and `--json` on either side of the verb, the queue, and tidy errors.

The rule: what is not the answer goes to stderr, so that stdout can always be read by a program; an
exit status says which kind of trouble it was.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any

import click

from mailqueue import config
from mailqueue.cli import output
from mailqueue.errors import (
    InvalidSubmission,
    MailqueueError,
    NotFound,
    StoreError,
)

if TYPE_CHECKING:
    from mailqueue.queue import Queue

FAULT, USAGE, REFUSED, NOT_FOUND, DATABASE = 1, 2, 3, 4, 5
"""Exit statuses beside 0; docs/reference/cli.md says what they mean."""


class NoDatabase(click.ClickException):
    """Nothing says which database is meant."""

    exit_code = USAGE

    def __init__(self) -> None:
        super().__init__(
            f'no database: give --db PATH, set MAILQUEUE_DB=PATH, or write db = "PATH" into {config.FILE} '
            "(a new file is made, with its tables)"
        )

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as any other error."""
        say(self.message)


class Face:
    """What the flags say, for the verb that runs; click hands it around as `ctx.obj`."""

    def __init__(self) -> None:
        self.db: str | None = None
        self.json = False

    def config(self, **flags: object) -> config.Config:
        """Return the settings of this process; `flags` are those that only one verb has."""
        return config.load({"db": self.db, **flags})

    def queue(self, *, create: bool = True) -> Queue:
        """Return the queue, which is closed when the verb ends.

        Args:
            create: make a new file where there is none; else that is an error.
        """
        settings = self.config()
        path = settings.db
        if path is None:
            raise NoDatabase
        there = os.path.exists(path)
        if not there and not create:
            raise StoreError(f"{path}: there is no such file")
        queue = open_queue(path, busy_timeout=settings.busy_timeout, max_size=settings.max_size)
        if not there:
            queue.status()  # the first use makes the file
            say(f"new queue: {path}")
        return queue

    def answer(self, document: output.Json, people: Callable[[], None]) -> None:
        """Print the answer of a verb: `document` with --json, else what `people` prints."""
        if self.json:
            output.print_json(document)
        else:
            people()


def open_queue(path: str, **given: Any) -> Queue:  # noqa: ANN401
    """Return the queue in the file `path`; it is closed when the verb ends.

    Args:
        path: of the file.
        given: other arguments of `Queue`; None is its default.
    """
    from mailqueue.queue import Queue  # the whole engine: not for --help and completion

    queue = Queue(path, door="cli", actor_name=_user(), **said(given))
    return click.get_current_context().with_resource(queue)


def said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are given: those that are not None."""
    return {name: value for name, value in given.items() if value is not None}


def say(text: str) -> None:
    """Tell people something that is not the answer: a line on stderr."""
    click.echo(f"mailqueue: {text}", err=True)


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id
        return str(os.getuid())


def _set_db(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    face = ctx.ensure_object(Face)
    if value is not None:
        face.db = value


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    face = ctx.ensure_object(Face)
    face.json = face.json or value


def _common() -> list[click.Parameter]:
    return [
        click.Option(
            ["--db"],
            metavar="PATH",
            help="The database file; else MAILQUEUE_DB, else mailqueue.toml.",
            expose_value=False,
            callback=_set_db,
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            help="Answer with one JSON document.",
            expose_value=False,
            callback=_set_json,
        ),
    ]


class Verb(click.Command):
    """A command that takes --db and --json."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as click.Command takes them
        super().__init__(*args, **kwargs)
        self.params.extend(_common())


class Verbs(click.Group):
    """A group of commands that takes --db and --json, as each of them does."""

    command_class = Verb
    group_class: type[click.Group] | type[type] | None = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as click.Group takes them
        super().__init__(*args, **kwargs)
        self.params.extend(_common())


class Root(Verbs):
    """The command `mailqueue` itself: an error is a line on stderr and an exit status."""

    group_class = Verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which they were added: a message's way."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the verb returns
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except MailqueueError as error:
            report(error)
            ctx.exit(status(error))


def report(error: MailqueueError) -> None:
    """Print an error; every fault of a submission on a line of its own."""
    match error:
        case InvalidSubmission(faults=(first, second, *more)):
            say("cannot be queued:")
            for fault in (first, second, *more):
                click.echo(f"  {fault}", err=True)
        case _:
            say(str(error))


def status(error: MailqueueError) -> int:
    """Return the exit status for an error."""
    match error:
        case NotFound():
            return NOT_FOUND
        case StoreError():
            return DATABASE
        case _:
            return REFUSED


reason = click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
"""Gives a verb the option that says why."""

pass_face = click.make_pass_decorator(Face)
"""Hands the `Face` to a verb as its first argument."""
