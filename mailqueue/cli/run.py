"""`mailqueue run`: an engine as a process.

The rule: the first SIGTERM or SIGINT asks it to finish what is being tried; a second SIGINT does not wait.
What is broken off then is found by the next engine, and recorded as interrupted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from mailqueue.cli import logs, outcomes, output
from mailqueue.cli.base import Face, Verb, pass_face, said, say
from mailqueue.config import LOG_LEVELS
from mailqueue.model.attempt import OutcomeKind
from mailqueue.model.settlement import Settlement

if TYPE_CHECKING:
    from mailqueue.queue import Engine

_SIZE = ("connections", "total_connections", "window", "drain")
"""What an engine has for itself where nothing is set."""


@click.command(cls=Verb)
@click.option(
    "--relay", metavar="HOST:PORT", help="All mail of this engine goes there, whatever the routes say."
)
@click.option("--once", is_flag=True, help="Deliver all that is due, settle, and end with status 0.")
@click.option("--hostname", metavar="NAME", help="Our name in EHLO and in notices; else the machine's.")
@click.option("--connections", type=int, metavar="N", help="At once to one destination; else 20.")
@click.option("--total-connections", type=int, metavar="N", help="At once in all; else 500 at most.")
@click.option("--window", type=int, metavar="N", help="Messages on their way at once; else 2000.")
@click.option("--drain", type=float, metavar="N", help="Seconds for what is tried when it ends; else 10.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="The least of what is logged; else info.")
@pass_face
def run(face: Face, /, once: bool, **flags: object) -> None:
    """Deliver mail, until SIGTERM or Ctrl-C.

    Several engines may run on one database. At a terminal it prints a line per outcome; elsewhere it
    logs to stderr.
    """
    from mailqueue.queue import Engine, loop_factory

    settings = face.config(**flags)
    terminal = sys.stdout.isatty() and not face.json
    logs.set_up(settings.log_level, terminal=terminal)
    came_to: Counter[OutcomeKind] = Counter()

    def listener(settlement: Settlement) -> None:
        came_to[settlement.outcome.kind] += settlement.facts is not None
        if terminal:
            outcomes.tell(settlement)

    size = said({name: getattr(settings, name) for name in _SIZE})
    engine = Engine(face.queue(), relay=settings.relay, hostname=settings.hostname, listener=listener, **size)
    if terminal and not once:
        output.line(f"engine: running (pid {os.getpid()}), Ctrl-C stops it")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_until_stopped(engine, once))
    counts = {kind.value: came_to[kind] for kind in OutcomeKind}
    face.answer({"outcomes": counts}, lambda: output.line(_summary(counts)) if once or terminal else None)


def _summary(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing was due"


async def _until_stopped(engine: Engine, once: bool) -> None:
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    def stop(number: int) -> None:
        if asked and number == signal.SIGINT:
            say("stopped at once; what was being tried is tried again by the next engine")
            logging.shutdown()
            os._exit(128 + number)
        asked.append(number)
        if len(asked) == 1:
            say("stopping, after what is being tried; Ctrl-C again stops at once")
            engine.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        await engine.run(once=once)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
