"""What comes back about mail that went out: `incoming` takes it in, lists it, shows it, and listens for it.

The rule: `incoming` is called by a mail server, which keeps what it could not hand over: whatever goes wrong
here ends with 75, and it comes again.

sysexits.h (EX_DATAERR, EX_TEMPFAIL), which pipe(8) and local(8) of Postfix understand.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from mailqueue.cli import logs, output, shape
from mailqueue.cli.base import Face, Verb, Verbs, pass_face, say
from mailqueue.cli.trace import as_text
from mailqueue.cli.values import HostPort, host_port
from mailqueue.config import LOG_LEVELS
from mailqueue.errors import AddressError, MailqueueError, SettingError
from mailqueue.mail.domain import normalise_domain
from mailqueue.mail.mime import MAX_MESSAGE
from mailqueue.model.events import Event
from mailqueue.model.incoming import Incoming

if TYPE_CHECKING:
    from mailqueue.cli.listener import Listener, Wanted

logger = logging.getLogger("mailqueue.incoming")

DATAERR, TEMPFAIL = 65, 75
"""Exit statuses of `incoming` beside 0 (sysexits.h): there was no message; it has to come again."""

NULL_SENDER = "MAILER-DAEMON"
"""What pipe(8) says in place of the null sender, unless told `null_sender=`."""

MAX_SIZE = 50 * 2**20
"""Octets that a message may have for the listener, unless --max-size says otherwise."""


class _Group(Verbs):
    """A group whose `take` needs no name: `mailqueue incoming < message`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `take` where no command is named."""
        at = 0
        while at < len(args) and args[at].startswith(("--db", "--json")):
            at += 2 if args[at] == "--db" else 1
        if not (at < len(args) and args[at] in (*self.commands, *ctx.help_option_names)):
            args = [*args[:at], "take", *args[at:]]
        return super().parse_args(ctx, args)


class _Piped(Verb):
    """A command of which a mail server reads the exit status."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401
        """Read the arguments; what cannot be read is to be mended, and the message comes again."""
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as error:
            error.show()
            raise click.exceptions.Exit(TEMPFAIL) from None

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Take the message, or say that it has to come again."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort):
            raise
        except (MailqueueError, click.ClickException, OSError) as error:
            say(error.message if isinstance(error, click.ClickException) else str(error))
        except Exception:
            logger.exception("a fault of ours in taking what came in")
        raise click.exceptions.Exit(TEMPFAIL)


@click.group(cls=_Group)
def incoming() -> None:
    """What came back about mail that went out: bounces, complaints.

    `mailqueue incoming` alone takes a message in, as `incoming take` does.
    """


@incoming.command(cls=_Piped)
@click.argument("file", type=click.File("rb"), default="-", metavar="[FILE|-]")
@click.option("--recipient", metavar="ADDRESS", help="The address it came to; else as its header says.")
@click.option("--sender", metavar="ADDRESS", help="Its envelope sender, '' for none; else Return-Path.")
@pass_face
def take(face: Face, file: BinaryIO, recipient: str | None, sender: str | None) -> None:
    """Take in a message from FILE or standard input, as a pipe of Postfix gives it.

    Ends with 0 once it is on disk, with 75 where it has to come again, with 65 where it is empty.
    """
    logs.set_up(face.config().log_level, terminal=sys.stderr.isatty())
    data = file.read(MAX_MESSAGE)
    while file.read(2**20):
        pass  # nobody looks at it, but whoever writes it waits for us
    if not data:
        say("there is no message")
        raise click.exceptions.Exit(DATAERR)
    queue = face.queue(create=False)
    sender = "" if sender == NULL_SENDER else sender
    found = queue.incoming(data, recipient=recipient, sender=sender)
    face.answer(shape.incoming(found), lambda: _print(found, queue.clock.now()))


@incoming.command("list")
@click.option("--limit", default=50, show_default=True, metavar="N", help="Items at most, up to 1000.")
@click.option("--after", metavar="CURSOR", help="The page after: `next` of the page before.")
@click.option("--account", metavar="NAME", help="Only about mail of this account.")
@click.option("--matched/--unmatched", default=None, help="Only about mail known here, or about none.")
@pass_face
def list_(face: Face, limit: int, after: str | None, account: str | None, matched: bool | None) -> None:
    """List what came in, the last first."""
    queue = face.queue()
    page = queue.incoming_mail.list(limit=limit, after=after, account=account, matched=matched)

    def people() -> None:
        now = queue.clock.now()
        output.table(
            ("ID", "CAME", "KIND", "ABOUT", "BY", "SAYS"),
            (
                (each.id, output.when(each.at, now), each.kind, _about(each), each.matched_by, each.summary)
                for each in page.items
            ),
        )
        if page.next is not None:
            output.line(f"more: --after {page.next}")

    face.answer(output.items(map(shape.incoming, page.items), page.next), people)


@incoming.command()
@click.argument("number", type=int, metavar="ID")
@click.option("--content", is_flag=True, help="Print its beginning as it came, and nothing else.")
@pass_face
def show(face: Face, number: int, content: bool) -> None:
    """Show what came in, and what followed from it."""
    queue = face.queue()
    found = queue.incoming_mail.show(number)

    def people() -> None:
        if content:
            click.echo(found.content, nl=False)
        else:
            _print(found, queue.clock.now())

    face.answer({**shape.incoming(found), **as_text(found.content)}, people)


def _about(found: Incoming) -> str | None:
    """Return what it is about, for people: `12`, `12 and 3 more`, `s7`."""
    if not found.messages:
        return None if found.submission_id is None else f"s{found.submission_id}"
    first, *more = found.messages
    return f"{first} and {len(more)} more" if more else str(first)


def _print(found: Incoming, now: int) -> None:
    output.details(
        [
            ("incoming", f"{found.id}{' (again: it had come in before)' if found.replayed else ''}"),
            ("came", f"{output.when(found.at, now)}, {found.actor}"),
            ("to", found.recipient),
            ("kind", found.kind),
            ("says", found.summary),
            ("matched by", found.matched_by or "nothing: it is about no mail that is known here"),
            ("submission", None if found.submission_id is None else f"s{found.submission_id}"),
            ("account", found.account),
            ("about", ", ".join(f"message {each}" for each in found.messages) or None),
            *(("followed", _followed(each)) for each in found.events),
            ("size", output.plural(found.size, "octet")),
            ("in the log", found.correlation),
        ]
    )


def _followed(event: Event) -> str:
    why = f": {event.reason}" if event.reason else ""
    return f"message {event.message_id}  {event.event.value}{why}"


# --- listen -----------------------------------------------------------------------------------
@incoming.command()
@click.option(
    "--listen",
    "at",
    type=host_port,
    default="127.0.0.1:2424",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen.",
)
@click.option("--lmtp/--smtp", default=True, help="The protocol; LMTP unless said otherwise.")
@click.option(
    "--domain", "domains", multiple=True, required=True, metavar="NAME", help="Take mail for it; repeatable."
)
@click.option(
    "--max-size", type=click.IntRange(min=1), default=MAX_SIZE, metavar="OCTETS", help="Of a message."
)
@click.option("--hostname", metavar="NAME", help="What we call ourselves; else the machine's name.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="The least of what is logged; else info.")
@pass_face
def listen(
    face: Face,
    at: HostPort,
    lmtp: bool,
    domains: tuple[str, ...],
    max_size: int,
    hostname: str | None,
    log_level: str | None,
) -> None:
    """Take in what a mail server hands over by LMTP or SMTP, until SIGTERM.

    A message is answered 250 once it is on disk, and 4xx where the database is in the way.
    """
    settings = face.config(hostname=hostname, log_level=log_level)
    logs.set_up(settings.log_level, terminal=sys.stderr.isatty())
    kind, wanted = _listener()
    queue = face.queue(create=False)

    async def take(raw: bytes, *, recipient: str | None, sender: str | None) -> Incoming:
        return await asyncio.to_thread(queue.incoming, raw, recipient=recipient, sender=sender)

    listener = kind(
        take,
        wanted(
            domains=_names(domains),
            hostname=settings.hostname or socket.getfqdn(),
            max_size=max_size,
            lmtp=lmtp,
        ),
    )
    from mailqueue.queue import loop_factory

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_until_stopped(face, listener, at))


def _listener() -> tuple[type[Listener], type[Wanted]]:
    try:
        from mailqueue.cli.listener import Listener, Wanted
    except ImportError:
        raise SettingError("listening needs aiosmtpd: pip install 'mailqueue[server]'") from None
    return Listener, Wanted


async def _until_stopped(face: Face, listener: Listener, at: HostPort) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    try:
        host, port = await listener.start(at.host, 2424 if at.port is None else at.port)
    except OSError as error:
        raise SettingError(f"--listen: {at.host}: {error.strerror or error}") from None
    face.answer(
        {"host": host, "port": port}, lambda: output.line(f"listening at {host}:{port} (pid {os.getpid()})")
    )
    sys.stdout.flush()
    await asked.wait()
    await listener.stop()


def _names(domains: Sequence[str]) -> frozenset[str]:
    try:
        return frozenset(map(normalise_domain, domains))
    except AddressError as error:
        raise SettingError(f"--domain: {error}") from None
