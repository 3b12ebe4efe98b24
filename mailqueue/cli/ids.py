"""Ids as people type them: `12` is a message's, `s12` a submission's, `-` means those on standard input.

The rule: what is typed is looked at before the queue is opened, so that a typing error changes nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mailqueue.queue import Queue


_ID = re.compile(r"(s?)([0-9]{1,18})", re.ASCII)
HOW = "a message's id is a number (12), a submission's has an s before it (s12)"


@dataclass(frozen=True, slots=True)
class Id:
    """One id, of a message or of a submission."""

    number: int
    submission: bool


STDIN = Id(-1, False)


def id_(text: str | Id) -> Id:
    """Return the id that was typed."""
    if isinstance(text, Id):
        return text
    found = _ID.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no id: {HOW}.")
    return Id(int(found[2]), found[1] == "s")


def id_or_stdin(text: str | Id) -> Id:
    """Return the id that was typed, or STDIN for `-`."""
    return STDIN if text == "-" else id_(text)


def expanded(typed: Iterable[Id]) -> list[Id]:
    """Return the ids with `-` replaced by those on standard input, separated by any white space."""
    found: list[Id] = []
    for each in typed:
        if each == STDIN:
            found.extend(id_(word) for word in sys.stdin.read().split())
        else:
            found.append(each)
    return found


def messages(queue: Queue, ids: Iterable[Id]) -> Iterator[int]:
    """Yield the ids of messages that are meant. Raises NotFound for an unknown or purged submission."""
    for each in ids:
        if each.submission:
            yield from (message.id for message in queue.submission(each.number))
        else:
            yield each.number


def named(queue: Queue, typed: Iterable[Id]) -> list[int] | None:
    """Return the ids of messages that were typed, `-` and submissions expanded. None: nothing was typed."""
    found = tuple(typed)
    return list(messages(queue, expanded(found))) if found else None


def one_message(queue: Queue, typed: Id) -> int:
    """Return the id of the one message that is meant; a submission's is that of its only message."""
    found = list(messages(queue, [typed]))
    if len(found) > 1:
        raise click.UsageError(
            f"s{typed.number} has {len(found)} messages, name one: {', '.join(map(str, found))}"
        )
    return found[0]
