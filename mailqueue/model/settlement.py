"""A Settlement: all that follows from one attempt, decided by policy, applied whole by the store.

A message may also retire without an attempt, while it waits in the queue: then there are no facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailqueue.model.attempt import Attempt, Facts, Outcome
from mailqueue.model.events import EventKind, NoticeKind
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Claimed, NewSubmission
from mailqueue.model.suppression import Lesson


class WishKind(StrEnum):
    """What a person may wish to become of a message; equal to the text stored."""

    FAIL = "fail"
    """It fails, and the sender is told."""
    DROP = "drop"
    """It goes, and nobody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person wishes, or a hold rule whose time is over, to become of a message not yet delivered."""

    kind: WishKind
    """What."""
    actor: str
    """Who. '': the engine, for a rule."""
    reason: str
    """A line for people; '' is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """The message is done."""

    state: State
    """One of the retired ones."""
    keep_content_until: int | None
    """Microseconds UTC. None: this message needs its content no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The message is tried again."""

    next_attempt_at: int
    """Microseconds UTC."""
    fallback: int
    """Microseconds after the next claim at which it is due, should the engine die."""
    warn_at: int | None
    """Microseconds UTC: when a delay notice is owed. None: none wanted, or given."""
    hold: str | None = None
    """The reason why it is put on hold until somebody releases it. None: it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be written with the settlement."""

    event: EventKind
    """What happened."""
    reason: str | None = None
    """A line for people. None: there is none."""
    data: Mapping[str, object] | None = None
    """Further facts. None: there are none."""
    actor: str = ""
    """Who did it. '': the engine."""


@dataclass(slots=True, kw_only=True)
class Settlement:
    """All that follows for one message from an attempt, or from giving it up without one."""

    message: Claimed
    """The message, as it was claimed; given up without an attempt: as it waited (its engine is 0)."""
    facts: Facts | None
    """Where the attempt went and how. None: there was none, and the message retires."""
    outcome: Outcome
    """What it came to; without an attempt: why it is given up."""
    at: int
    """Microseconds UTC: when it was settled."""
    move: Retire | Retry
    """What becomes of the message."""
    events: tuple[NewEvent, ...]
    """What is written to its history."""
    notice: NoticeKind | None
    """The notice that the sender is owed for it. None: none."""
    last: Attempt | None = None
    """Given up without an attempt: the last one before, of which the notice tells. None: there was none."""
    lesson: Lesson | None = None
    """What it teaches about the recipient's address. None: nothing, or no more than that it was delivered."""
    wish: Wish | None = None
    """By whose wish the message retires. None: nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotice:
    """A composed notice: one per submission and settled batch, its recipients grouped."""

    submission_id: int
    kind: NoticeKind
    at: int
    """Microseconds UTC."""
    content: bytes
    message_ids: tuple[int, ...]
    """The messages it tells of: their events name it."""
    submission: NewSubmission | None
    """To be queued to the sender. None: it is only kept."""
