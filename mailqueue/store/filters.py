"""Filters of lists as SQL: the only place where SQL is put together.

A question about messages begins at a `Source`, a stretch of an index that leads to all that are meant and
maybe to others, and tells of each whether it is meant. The one rule: values are parameters, never text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mailqueue.clock import MINUTE, from_datetime
from mailqueue.model.filters import OLDEST_FIRST, Filter, Order, Sort, Times, domain_of
from mailqueue.model.lifecycle import State

_Built = tuple[str, list[Any]]
_Condition = tuple[Any, ...]  # its text and its values

SLACK = 10 * MINUTE
"""Microseconds by which the order of ids and that of time may differ."""
LAST = 2**63 - 1
"""No id is greater."""

_MESSAGES = "FROM mailqueue_message AS message"
_WITH_SUBMISSION = "CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id"
_OF_SUBMISSIONS = (
    "FROM mailqueue_submission AS submission"
    " CROSS JOIN mailqueue_message AS message ON message.submission_id = submission.id"
)
_ACTIVE: _Condition = ("message.retired_at IS NULL",)
_RETIRED: _Condition = ("message.retired_at IS NOT NULL",)
_ACCOUNT = "message.account_id = (SELECT id FROM mailqueue_account WHERE name = ?)"
_NAMED = "message.id IN (SELECT value FROM json_each(?))"
_SUBMISSION_AT = (
    "coalesce((SELECT submission_id FROM mailqueue_message WHERE id <= ? ORDER BY id DESC LIMIT 1), 0)"
)
_SENDER_DOMAIN = (
    "substr(submission.sender, length(rtrim(submission.sender, replace(submission.sender, '@', ''))) + 1)"
)
_SHOWN_NEXT = """CASE message.state
    WHEN 'queued' THEN max(message.next_attempt_at, coalesce((
        SELECT lane.blocked_until FROM mailqueue_lane AS lane
        WHERE lane.priority = message.priority AND lane.account_id = message.account_id
            AND lane.domain = message.domain AND lane.transport = message.transport), 0))
    ELSE message.next_attempt_at END"""
_BLOCKED_BY = """(SELECT lane.blocked_by FROM mailqueue_lane AS lane
    WHERE message.state = 'queued'
        AND lane.priority = message.priority AND lane.account_id = message.account_id
        AND lane.domain = message.domain AND lane.transport = message.transport)"""
_CATEGORY = """(SELECT attempt.category FROM mailqueue_attempt AS attempt
    WHERE attempt.message_id = message.id ORDER BY attempt.id DESC LIMIT 1)"""
_EVENT = """EXISTS (SELECT 1 FROM mailqueue_event AS event
    WHERE event.message_id = message.id AND event.event = ?)"""
_SIZE = "(SELECT content.size FROM mailqueue_content AS content WHERE content.id = submission.content_id)"
_KEYS = {
    Sort.SUBMITTED: ("message.id",),
    Sort.RETIRED: ("message.retired_at", "message.id"),
    Sort.NEXT_ATTEMPT: (_SHOWN_NEXT, "message.id"),
    Sort.RECIPIENT: ("message.domain", "message.recipient", "message.id"),
    Sort.SIZE: (_SIZE, "message.id"),
}
"""What each order goes by; the last is always the id."""


def is_place(place: Sequence[object], order: Order) -> bool:
    """Return whether this may be a place in an order."""
    known = len(place) == len(_KEYS[order.by]) and isinstance(place[-1], int)
    return known and all(isinstance(each, int | str) for each in place)


# --- what a filter says of a message -----------------------------------------------------------
def _joined(conditions: Iterable[_Condition]) -> _Built:
    found = list(conditions)
    text = " AND ".join(f"({condition})" for condition, *_ in found) or "1"
    return text, [value for _, *values in found for value in values]


def conditions(which: Filter, *, retired: bool) -> Iterator[_Condition]:
    """Yield what must be true of `message` and its `submission`, but for subject and text.

    Args:
        which: the filter.
        retired: the history is meant, or else the queue.
    """
    yield _RETIRED if retired else _ACTIVE
    if which.ids is not None:
        yield _NAMED, json.dumps(which.ids)
    if which.account is not None:
        yield _ACCOUNT, which.account
    if which.recipient is not None:
        yield from _recipient(which.recipient)
    if which.sender is not None:
        yield from _sender(which.sender)
    if which.hold is not None:
        yield ("message.holds > 0" if which.hold else "message.holds = 0",)
    if which.event is not None:
        yield _EVENT, which.event.value
    yield from ((f"{column} = ?", value) for column, value in _plain(which) if value is not None)
    yield from _between("submission.submitted_at", which.submitted)
    yield from _between("message.retired_at", which.retired)
    yield from _between(_SHOWN_NEXT, which.next_attempt)


def _plain(which: Filter) -> Iterator[tuple[str, str | int | None]]:
    yield "message.submission_id", which.submission_id
    yield "message.transport", which.transport
    yield "message.state", which.state
    yield "message.priority", which.priority
    yield "submission.message_id", which.message_id
    yield "message.fromid", which.fromid
    yield _CATEGORY, which.category
    yield _BLOCKED_BY, which.destination


def _recipient(wanted: str) -> Iterator[_Condition]:
    yield "message.domain = ?", wanted.rpartition("@")[2]
    if domain_of(wanted) is None:
        yield "message.recipient = ?", wanted


def _sender(wanted: str) -> Iterator[_Condition]:
    yield f"{_SENDER_DOMAIN} = ?", wanted.rpartition("@")[2]
    if domain_of(wanted) is None:  # (a bare ? would be put into the expression, too, and the index lost)
        yield "submission.sender = (SELECT ?)", wanted


def _between(column: str, times: Times | None, slack: int = 0) -> Iterator[_Condition]:
    if times is None:
        return
    yield (f"{column} IS NOT NULL",)
    if times.after is not None:
        yield f"{column} > ?", from_datetime(times.after) - slack
    if times.before is not None:
        yield f"{column} < ?", from_datetime(times.before) + slack


# --- where a question can begin ---------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Source:
    """Messages that a stretch of an index leads to; among them are all that are meant."""

    where: tuple[_Condition, ...]
    """What that stretch is, and no more: whatever is true of it costs nothing to find."""
    order: Sort | None
    """The order in which it gives them. None: one that is of no use."""
    by: tuple[str, ...] = ("message.id",)
    """The columns of that order."""
    within: tuple[_Condition, ...] = ()
    """What else is true of all that are meant, and spares a look at others."""
    submissions_first: bool = False
    """It leads to submissions, and these to messages."""

    def count(self, limit: int) -> _Built:
        """Return the question how many messages it leads to; it is answered with `limit` for more."""
        where, values = _joined(self.where)
        tables = _OF_SUBMISSIONS if self.submissions_first else _MESSAGES
        return f"SELECT count(*) FROM (SELECT 1 {tables} WHERE {where} LIMIT ?)", [*values, limit]

    def rows(self, which: Filter, order: Order, *, retired: bool) -> _Built:
        """Return the question for all it leads to: place, whether it is meant, subject, content.

        The answer is in the order wanted where that is the source's own, else in any.
        """
        meant, wanted = _joined(conditions(which, retired=retired))
        where, values = _joined((*self.where, *self.within))
        tables = _OF_SUBMISSIONS if self.submissions_first else f"{_MESSAGES} {_WITH_SUBMISSION}"
        place = ", ".join(_KEYS[order.by])
        text = f"SELECT {place}, {meant}, submission.subject, submission.content_id {tables} WHERE {where}"
        if self.order is order.by:
            text += " ORDER BY " + ", ".join(f"{each} DESC" if order.descending else each for each in self.by)
        return text, [*wanted, *values]


Place = tuple[int | str, ...]
"""Where a message stands in an order; the last is its id."""


def sources(
    which: Filter, order: Order, *, retired: bool, low: int = 0, high: int = LAST, after: Place | None = None
) -> list[Source]:
    """Return where a question for a list can begin, what promises to be the shortest first.

    Args:
        which: the filter.
        order: of the list.
        retired: the history is meant, or else the queue.
        low: no id is lower.
        high: no id is higher.
        after: where the last page ended. None: this is the first.
    """
    if after is not None and order.by is Sort.SUBMITTED:
        if order.descending:
            high = min(high, int(after[0]) - 1)
        else:
            low = max(low, int(after[0]) + 1)
    ids = ("message.id BETWEEN ? AND ?", low, high)
    if retired:
        return list(_history(which, ids, tuple(_stretch(which, order, after))))
    return list(_queue(which, ids))


def _queue(which: Filter, ids: _Condition) -> Iterator[Source]:
    yield from _exact(which, ids)
    if which.state is State.CLAIMED:
        yield Source((("message.state = 'claimed'",),), None)
    yield from _domains(which, ids)
    if which.hold:
        yield Source((_ACTIVE, ("message.holds > 0",), ids), Sort.SUBMITTED)
    if which.account is not None:
        yield Source(((_ACCOUNT, which.account), _ACTIVE, ids), Sort.SUBMITTED)
    within = (ids, _submissions("message.submission_id", ids))
    yield Source((_ACTIVE, *within), Sort.SUBMITTED, ("message.submission_id", "message.id"))


def _history(which: Filter, ids: _Condition, stretch: tuple[_Condition, ...]) -> Iterator[Source]:
    by = ("message.retired_at", "message.id")
    yield from _exact(which, ids)
    if which.state not in (None, State.DELIVERED):
        state = (("message.state = ?", which.state), ("message.state <> 'delivered'",))
        yield Source((*state, *stretch), Sort.RETIRED, by)
    yield from _domains(which, ids)
    if which.account is not None:
        yield Source(((_ACCOUNT, which.account), *stretch), Sort.RETIRED, by)
    yield Source(stretch, Sort.RETIRED, by)
    yield Source((ids,), Sort.SUBMITTED)


def _stretch(which: Filter, order: Order, after: Place | None) -> Iterator[_Condition]:
    """Yield what bounds the history in the order of time: what retired has been submitted before."""
    yield _RETIRED
    yield from _between("message.retired_at", which.retired)
    if which.submitted is not None and which.submitted.after is not None:
        yield from _between("message.retired_at", Times(after=which.submitted.after), SLACK)
    if after is not None and order.by is Sort.RETIRED:
        yield f"(message.retired_at, message.id) {'<' if order.descending else '>'} (?, ?)", *after


def _exact(which: Filter, ids: _Condition) -> Iterator[Source]:
    """Yield the sources for what is named whole, all in the order of ids."""
    by, within = ("submission.id", "message.id"), (ids, _submissions("submission.id", ids))
    if which.ids is not None:
        yield Source(((_NAMED, json.dumps(which.ids)), ids), Sort.SUBMITTED)
    if which.submission_id is not None:
        yield Source((("message.submission_id = ?", which.submission_id), ids), Sort.SUBMITTED)
    if which.fromid is not None:
        yield Source((("message.fromid = ?", which.fromid), ids), Sort.SUBMITTED)
    if which.message_id is not None:
        named = ("submission.message_id = ?", which.message_id)
        yield Source((named, *within), Sort.SUBMITTED, by, submissions_first=True)
    if which.recipient is not None and domain_of(which.recipient) is None:
        yield Source((*_recipient(which.recipient), ids), Sort.SUBMITTED)
    if which.sender is not None and domain_of(which.sender) is None:
        yield Source((*_sender(which.sender), *within), Sort.SUBMITTED, by, submissions_first=True)


def _submissions(column: str, ids: _Condition) -> _Condition:
    """Return what `ids` says of messages, for their submissions: both are numbered in one order."""
    return (f"{column} BETWEEN {_SUBMISSION_AT} AND {_SUBMISSION_AT}", *ids[1:])


def _domains(which: Filter, ids: _Condition) -> Iterator[Source]:
    if which.recipient is not None and domain_of(which.recipient) is not None:
        yield Source(tuple(_recipient(which.recipient)), None, within=(ids,))
    if which.sender is not None and domain_of(which.sender) is not None:
        within = (_submissions("submission.id", ids),)
        yield Source(tuple(_sender(which.sender)), None, within=within, submissions_first=True)


# --- steps of bulk changes --------------------------------------------------------------------
def steps(which: Filter, after: int, limit: int, *, held: bool) -> _Built:
    """Return the question for the next `limit` messages of the queue: id, whether meant, subject, content.

    Args:
        which: the filter. Its text is not looked at: whoever asks for text finds the ids first.
        after: ids above this one.
        limit: messages looked at, at most, so that a step costs the same whatever matches.
        held: only what is on hold.
    """
    if which.text is not None:
        raise ValueError("a text is not looked for inside a write transaction: hand in ids")
    found = sources(
        replace(which, hold=True if held else which.hold), OLDEST_FIRST, retired=False, low=after + 1
    )
    source = next(each for each in found if each.order is Sort.SUBMITTED)
    text, values = source.rows(which, OLDEST_FIRST, retired=False)
    return f"{text} LIMIT ?", [*values, limit]
