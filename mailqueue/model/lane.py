"""Lanes: where mail waits, and how much of it an engine wants from each.

A lane is the mail of one account and priority for one recipient domain (and for one transport, where
messages name it themselves). Claims take lanes in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from mailqueue.errors import SettingError


class Priority(IntEnum):
    """What goes first. The number is what is stored: lower goes before higher."""

    INTERACTIVE = 0
    """Somebody waits for it (a password, a code): it never waits behind the others."""
    NORMAL = 1
    BULK = 2
    """A newsletter: it waits for all the others."""

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> Priority:
        """Return the priority of that name. Raises SettingError, which lists what there is."""
        found = next((each for each in cls if str(each) == text), None)
        if found is None:
            raise SettingError(f"priority: must be one of {', '.join(map(str, cls))}, not {text!r}")
        return found


class Lane(NamedTuple):
    """What the messages that wait in one line have in common."""

    priority: int
    """A `Priority`."""
    account_id: int
    """Who sends."""
    domain: str
    """Of the recipients."""
    transport: str
    """The transport that the messages name themselves. '': the routes say which."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much an engine wants from a lane."""

    messages: int
    """So many at most."""
    until: int = 0
    """Where it wants none: microseconds UTC until when nobody need ask again. 0: ask at the next claim."""
    blocked_by: str = ""
    """Then: the destination that takes nothing before."""
    overdue: bool = False
    """Then: of the oldest there, those whose lifetime is over are wanted all the same."""


@dataclass(frozen=True, slots=True)
class Block:
    """A lane whose destination takes nothing for a while."""

    lane: Lane
    until: int
    """Microseconds UTC."""
    by: str
    """The destination's name."""
