"""Which messages are meant, in what order they are listed, and pages of lists.

The one rule: `Filter.matches` and the selection that a store makes of the same filter agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from mailqueue.errors import SettingError
from mailqueue.mail.search import contains, fold
from mailqueue.model.attempt import Category
from mailqueue.model.events import EventKind
from mailqueue.model.lane import Priority
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A stretch of time, its ends not included."""

    after: datetime | None = None
    """None: it has no beginning."""
    before: datetime | None = None
    """None: it has no end."""

    def __contains__(self, moment: datetime) -> bool:
        """Whether a moment is in it."""
        return (self.after is None or moment > self.after) and (self.before is None or moment < self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which messages are meant: the AND of all that is set; None is any."""

    ids: tuple[int, ...] | None = None
    """Message ids."""
    submission_id: int | None = None
    """Of the submission it is part of."""
    account: str | None = None
    """Name of the account that sends."""
    sender: str | None = None
    """The whole envelope sender, '' the null return path; or `@` and its domain, without subdomains."""
    recipient: str | None = None
    """The whole envelope recipient; or `@` and its domain, without subdomains."""
    subject: str | None = None
    """Stands somewhere in the subject; compared as `mailqueue.mail.search.fold` says."""
    hold: bool | None = None
    """On hold, or not."""
    transport: str | None = None
    """The transport that the message itself names; '': it leaves that to the routes."""
    submitted: Times | None = None
    """When it was submitted."""
    next_attempt: Times | None = None
    """When it is due, as `Message.next_attempt_at` says."""
    retired: Times | None = None
    """When it was done."""
    category: Category | None = None
    """What kind of answer its last attempt had."""
    state: State | None = None
    """Where it is in its life."""
    event: EventKind | None = None
    """This has happened to it, maybe long ago."""
    message_id: str | None = None
    """The Message-ID field, with its brackets."""
    fromid: str | None = None
    """What makes its return address unique."""
    text: str | None = None
    """Stands somewhere in the content, as `mailqueue.mail.search.contains` looks for it."""
    priority: Priority | None = None
    """What goes first."""
    destination: str | None = None
    """The destination in trouble for which it waits, as `Message.blocked_by` names it."""

    @property
    def empty(self) -> bool:
        """Nothing is set: all messages are meant."""
        return all(getattr(self, each.name) is None for each in fields(self))

    def matches(
        self, message: Message, *, events: Collection[EventKind] = (), content: Iterable[bytes] = ()
    ) -> bool:
        """Return whether a message is meant.

        Args:
            message: the message.
            events: what has happened to it; only `event` asks for that.
            content: its content, in pieces; only `text` asks for that.
        """
        return (
            self._matches_envelope(message)
            and self._matches_state(message)
            and self._matches_times(message)
            and (self.event is None or self.event in events)
            and (self.text is None or contains(content, self.text))
        )

    def _matches_envelope(self, message: Message) -> bool:
        return (
            (self.ids is None or message.id in self.ids)
            and self.submission_id in (None, message.submission_id)
            and self.account in (None, message.account)
            and (self.sender is None or _is(self.sender, message.sender))
            and (self.recipient is None or _is(self.recipient, message.recipient))
            and self.message_id in (None, message.message_id)
            and self.fromid in (None, message.fromid)
            and self.has_subject(message.subject)
        )

    def _matches_state(self, message: Message) -> bool:
        return (
            self.hold in (None, message.hold)
            and self.transport in (None, message.transport or "")
            and self.category in (None, message.category)
            and self.state in (None, message.state)
            and self.priority in (None, message.priority)
            and self.destination in (None, message.blocked_by)
        )

    def _matches_times(self, message: Message) -> bool:
        asked = (
            (self.submitted, message.submitted_at),
            (self.next_attempt, message.next_attempt_at),
            (self.retired, message.retired_at),
        )
        return all(times is None or (at is not None and at in times) for times, at in asked)

    def has_subject(self, subject: str | None) -> bool:
        """Return whether a message with this subject may be meant."""
        return self.subject is None or fold(self.subject).strip() in fold(subject or "")


def domain_of(address: str) -> str | None:
    """Return the domain of a filter's address that begins with `@`; None: it is a whole address."""
    return address[1:] if address.startswith("@") else None


def _is(wanted: str, address: str) -> bool:
    domain = domain_of(wanted)
    return wanted == address if domain is None else domain == address.rpartition("@")[2]


class Sort(StrEnum):
    """What a list is in the order of."""

    SUBMITTED = "submitted"
    """Ids, which are given in the order in which messages come in."""
    RETIRED = "retired"
    """When they were done; of the history only."""
    NEXT_ATTEMPT = "next-attempt"
    """When they are due; of the queue only. Slow."""
    RECIPIENT = "recipient"
    """The recipient's domain, then the whole recipient. Slow."""
    SIZE = "size"
    """Octets of content. Slow."""

    @property
    def slow(self) -> bool:
        """A page looks at all messages that are meant, and is refused where they are too many."""
        return self not in (Sort.SUBMITTED, Sort.RETIRED)


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list."""

    by: Sort
    descending: bool = False

    def __str__(self) -> str:
        return ("-" if self.descending else "") + self.by.value

    @classmethod
    def parse(cls, text: str) -> Order:
        """Return the order that a text names: `size`, or `-size` the other way. Raises SettingError."""
        name = text.removeprefix("-")
        if name not in set(Sort):
            known = ", ".join(Sort)
            raise SettingError(
                f"sort: must be one of {known}, with - before it the other way round, not {text!r}"
            )
        return cls(Sort(name), text.startswith("-"))


OLDEST_FIRST = Order(Sort.SUBMITTED)
"""The order of the queue."""
LAST_RETIRED_FIRST = Order(Sort.RETIRED, descending=True)
"""The order of the history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items of a list, and where the next page begins."""

    items: tuple[T, ...]
    """At most as many as were asked for; fewer, or none, also where looking for more would take long."""
    next: str | None
    """Hand it back as `after`. None: this was the last page."""
    looked: int = 0
    """How many messages were looked at for it."""
