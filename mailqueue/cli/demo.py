"""`mailqueue demo`: four messages and their four fates, with a receiver of its own, in a few seconds.

The rule: it shows the real thing. Everything goes through the queue's public verbs, a real engine and
real sockets; nothing leaves this machine, and no queue that was there before is touched.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailqueue.cli import outcomes, output, shape
from mailqueue.cli.base import Face, Verb, open_queue, pass_face
from mailqueue.cli.receiver import Receiver
from mailqueue.errors import Conflict, MailqueueError
from mailqueue.model.events import Notice
from mailqueue.model.message import Message
from mailqueue.model.settlement import Retire, Settlement

if TYPE_CHECKING:
    from mailqueue.queue import Engine, Queue

SENDER = "shop@demo.example"
DELAYS = "2s, 4s*"
LIFETIME = timedelta(minutes=1)
_PATIENCE = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One of the messages, and what is going to happen to it."""

    to: str
    subject: str
    story: str


LETTERS = (
    Letter(to="ann@receiver.example", subject="Your order is on its way", story="will be delivered"),
    Letter(to="later@receiver.example", subject="Your invoice", story="not now, but soon (greylisted)"),
    Letter(to="nobody@receiver.example", subject="Your password", story="will be refused, and come back"),
    Letter(to="bob@elsewhere.example", subject="Our newsletter", story="will be held by the rule"),
)


@click.command(cls=Verb)
@pass_face
def demo(face: Face) -> None:
    """Show four messages and their four fates, in seconds.

    Needs nothing: the queue is a new file, which --db may name, and the receiver is started for it.
    """
    from mailqueue.queue import loop_factory

    path = face.db or str(Path(tempfile.mkdtemp(prefix="mailqueue-demo-")) / "demo.db")
    if os.path.exists(path):
        raise Conflict(f"{path}: is there already; the demo wants a queue of its own, in a new file")
    logging.getLogger("mailqueue").setLevel(logging.CRITICAL)  # the failures here are part of the play
    queue = open_queue(path)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        ids = runner.run(_Play(queue, quiet=face.json).run())
    found = [queue.show(each) for each in ids]
    notice = next(iter(queue.notices(ids[2])), None)
    if [fate(each) for each in found] != ["delivered", "delivered", "failed", "on hold"] or notice is None:
        raise MailqueueError(f"the demo went wrong; what happened is in {path}")
    face.answer(_document(path, found, notice), lambda: _curtain(queue, found, notice))


def fate(found: Message) -> str:
    """Return what became of a message."""
    return "on hold" if found.hold else found.state.value


class _Play:
    def __init__(self, queue: Queue, quiet: bool) -> None:
        self._queue = queue
        self._quiet = quiet
        self._waiting: set[int] = set()
        self._engine: Engine | None = None

    async def run(self) -> list[int]:
        """Set the stage, submit, and deliver until all but the held message are done."""
        from mailqueue.queue import Engine

        async with Receiver() as receiver:
            self._set_up(receiver.port)
            ids = [self._submit(letter) for letter in LETTERS]
            self._waiting = set(ids[:3])
            self._tell("")
            self._engine = Engine(self._queue, hostname="shop.demo.example", listener=self._listen)
            running = asyncio.create_task(self._engine.run())
            done, _ = await asyncio.wait((running,), timeout=_PATIENCE)
            if not done:
                self._engine.stop()
            await running
            return ids

    def _set_up(self, port: int) -> None:
        queue, tell = self._queue, self._tell
        queue.transports.add("receiver", kind="relay", host="127.0.0.1", port=port)
        queue.schedules.add("demo", DELAYS, lifetime=LIFETIME)
        rule = queue.hold_rules.add(recipient_domain="elsewhere.example", reason="not before we have checked")
        tell(f"queue      {queue.path}")
        tell(f"receiver   127.0.0.1:{port}, started for this demo; the queue's transport")
        tell(f"schedule   demo: {DELAYS}, given up after 1m")
        tell(f"hold rule  {rule.id}: recipient-domain=elsewhere.example")
        tell("")

    def _submit(self, letter: Letter) -> int:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = SENDER, letter.to, letter.subject
        message.set_content(f"Hello,\n\nthis is about: {letter.subject}.\n")
        made = self._queue.submit(message, schedule="demo").messages[0]
        self._tell(f"submitted  message {made.id} to {made.recipient}: {letter.story}")
        return made.id

    def _tell(self, text: str) -> None:
        if not self._quiet:  # with --json the document at the end says all
            output.wrapped(text, hang=11)

    def _listen(self, settlement: Settlement) -> None:
        if not self._quiet:
            outcomes.tell(settlement)
        if isinstance(settlement.move, Retire):
            self._waiting.discard(settlement.message.id)
        if not self._waiting and self._engine is not None:
            self._engine.stop()


def _document(path: str, found: list[Message], notice: Notice) -> output.Json:
    fates = [{**shape.message(each), "fate": fate(each)} for each in found]
    return {**output.items(fates), "db": path, "notice": notice.content.decode("utf-8", "replace")}


def _curtain(queue: Queue, found: list[Message], notice: Notice) -> None:
    output.line()
    output.table(
        ("ID", "TO", "FATE", "TRIES", "LAST ERROR"),
        ((each.id, each.recipient, fate(each), each.attempts, each.last_error) for each in found),
    )
    output.line()
    output.line(f"The notice about message {found[2].id}, kept for {SENDER}:")
    output.line()
    for line in notice.content.decode("utf-8", "replace").splitlines():
        output.line(f"  | {line}".rstrip())
    output.line()
    output.line("What to type next:")
    command = f"{program()} --db {queue.path}"
    for words, purpose in (
        ("list", "what is in the queue"),
        (f"explain {found[3].id}", "why message 4 waits"),
        (f"attempts {found[1].id}", "all that the server said about message 2"),
        (f"notice show {found[2].id}", "the notice above, as it is"),
        ("retired list", "the history"),
        (f"release {found[3].id}", "let message 4 go"),
        ("run --once", "try to deliver it (but this receiver is gone by now)"),
    ):
        output.line(f"  # {purpose}")
        output.line(f"  {command} {words}")


def program() -> str:
    """Return how this program is called, so that what is printed can be pasted."""
    called = sys.argv[0]
    if os.path.basename(called) != "mailqueue":
        return f"{sys.executable} -m mailqueue"
    found = shutil.which("mailqueue")
    return "mailqueue" if found and os.path.samefile(found, called) else called
