"""What was done by hand to the queue: `changes`."""

from __future__ import annotations

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verb, pass_face
from mailqueue.model.events import Event


@click.command(cls=Verb)
@click.option("--limit", default=50, show_default=True, metavar="N", help="Changes at most, up to 1000.")
@click.option("--after", metavar="CURSOR", help="The page after: `next` of the page before.")
@pass_face
def changes(face: Face, limit: int, after: str | None) -> None:
    """List what was done by hand, the last first: who did it, why, and what."""
    queue = face.queue()
    page = queue.changes(limit=limit, after=after)

    def people() -> None:
        now = queue.clock.now()
        for each in page.items:
            why = f": {each.reason}" if each.reason else ""
            output.wrapped(f"{output.when(each.at, now)}  {each.actor or 'an engine'}  {_what(each)}{why}", 4)
        if page.next is not None:
            output.line(f"more: --after {page.next}")

    face.answer(output.items(map(shape.event, page.items), page.next), people)


def _what(found: Event) -> str:
    """Return what was done: `transport set name=out tls=verified`."""
    given = [f"{name}={value}" for name, value in found.data.items() if name != "verb"]
    return " ".join([str(found.data.get("verb", "")), *given]).strip()
