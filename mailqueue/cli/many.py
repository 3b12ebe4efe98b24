"""`mailqueue submit-many`: put many messages in the queue, all of them or none."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from mailqueue.cli import output, shape, standing, values
from mailqueue.cli.base import Face, Verb, pass_face, say
from mailqueue.errors import ParseError
from mailqueue.model.explain import Status
from mailqueue.model.message import Submission

_SHOWN = 10  # submissions whose repairs are told; JSON has all
_TIMES: dict[str, Callable[[str], Any]] = {
    "not_before": values.moment,
    "expires_at": values.moment,
    "warn_after": values.duration,
}


@click.command("submit-many", cls=Verb)
@click.argument("file", type=click.File("rb"), default="-", metavar="[FILE|-]")
@click.option("--progress/--no-progress", default=None, help="Say how far it is; else at a terminal.")
@pass_face
def submit_many(face: Face, file: BinaryIO, progress: bool | None) -> None:
    """Put many messages in the queue, all of them or none.

    FILE or standard input has a JSON object a line, with the message as text in "message" or the path of
    a file of it in "file", and what submit takes: "sender", "recipients", "account", "schedule", "strict",
    "idempotency_key" and so on.
    """
    telling = sys.stderr.isatty() if progress is None else progress
    queue = face.queue()
    try:
        made = queue.submit_many(_read(file), progress=_say if telling else None)
    except TypeError as error:
        raise ParseError(str(error)) from None
    status = queue.status()
    face.answer(
        {**output.items(shape.submission(each) for each in made), "status": shape.status(status)},
        lambda: _tell(made, status),
    )


def _read(file: BinaryIO) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield _arguments(number, line)


def _arguments(number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ParseError(f"line {number}: not JSON: {error}") from None
    if not isinstance(found, dict) or ("message" in found) == ("file" in found):
        raise ParseError(f'line {number}: must be an object with either "message" or "file"')
    if "file" in found:
        try:
            found["message"] = Path(str(found.pop("file"))).read_bytes()
        except OSError as error:
            raise ParseError(f"line {number}: {error}") from None
    elif isinstance(found["message"], str):
        found["message"] = found["message"].encode()
    for name, read in _TIMES.items():
        if isinstance(found.get(name), str):
            found[name] = _time(number, name, found[name], read)
    return found


def _time(number: int, name: str, text: str, read: Callable[[str], Any]) -> Any:  # noqa: ANN401
    try:
        return read(text)
    except click.BadParameter as error:
        raise ParseError(f"line {number}: {name}: {error.message}") from None


def _say(done: int, total: int | None) -> None:
    if total is not None or done % 1000 == 0:
        say(f"{output.plural(done, 'message')} " + ("looked at" if total is None else "stored"))


def _tell(made: Sequence[Submission], status: Status) -> None:
    again = sum(each.replayed for each in made)
    fresh = [each for each in made if not each.replayed]
    count = sum(len(each.messages) for each in fresh)
    ids = f": s{fresh[0].id} to s{fresh[-1].id}" if fresh else ""
    output.line(f"{output.plural(len(fresh), 'submission')} with {output.plural(count, 'message')}{ids}")
    if again:
        output.line(f"{output.plural(again, 'submission')} again: the idempotency keys are known")
    repaired = [each for each in fresh if each.repairs]
    for each in repaired[:_SHOWN]:
        output.line(f"s{each.id} repaired: {'; '.join(each.repairs)}")
    if len(repaired) > _SHOWN:
        output.line(f"{len(repaired) - _SHOWN} more repaired")
    for line in (*standing.no_transport(status), standing.engine(status)):
        output.line(line)
