"""What the history keeps of changes by hand that are about no single message: who, why, and what.

The rule: it is written in the transaction of the change, under the words of the command line; a
password is never told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta

from mailqueue.clock import from_datetime, rfc3339, to_micros
from mailqueue.errors import SettingError
from mailqueue.model.duration import format_duration
from mailqueue.model.events import By, Event
from mailqueue.model.explain import Steered
from mailqueue.model.filters import Filter, Page, Times
from mailqueue.store.base import Store, Transaction

MOST_IDS = 20
"""Ids that a line of the history names; of more it tells how many they were."""

SECRETS = frozenset({"password"})


def note(transaction: Transaction, by: By, verb: str, /, **told: object) -> None:
    """Write what was done.

    Args:
        transaction: that of the change.
        by: who does it, why, when.
        verb: the words of the command line: `transport add`.
        told: what was given, by the names of Python; None is left out.
    """
    data = {name: _told(name, value) for name, value in told.items() if value is not None}
    transaction.note_change(by.reason, {"verb": verb, **data}, actor=by.actor, now=by.at)


def _told(name: str, value: object) -> object:
    if name in SECRETS:
        return "not told"
    if isinstance(value, timedelta):
        return format_duration(to_micros(value))
    return value


def steered(store: Store, by: By, verb: str, which: Filter, done: Steered, /, **told: object) -> Steered:
    """Write what a verb did to many messages, where it did anything; each of them has its own event."""
    if done.changed or done.in_delivery:
        meant = {each.name: _meant(getattr(which, each.name)) for each in fields(which)}
        store.run(
            lambda transaction: note(
                transaction, by, verb, messages=done.changed + done.in_delivery, **meant, **told
            )
        )
    return done


def _meant(value: object) -> object:
    match value:
        case Times():
            ends = (("after", value.after), ("before", value.before))
            return " ".join(f"{name} {rfc3339(from_datetime(end))}" for name, end in ends if end is not None)
        case tuple():
            return few(value)
        case _:
            return value


def few(ids: Sequence[int]) -> object:
    """Return ids, or how many they are where they are many."""
    return list(ids) if len(ids) <= MOST_IDS else f"{len(ids)} ids"


def changes(store: Store, *, limit: int, after: str | None, most: int) -> Page[Event]:
    """Return a page of what was noted, the newest first. Raises SettingError."""
    if not 1 <= limit <= most:
        raise SettingError(f"limit: must be 1 to {most}, not {limit}")
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise SettingError(f"after: must be `next` of the page before, not {after!r}")
    return store.read(lambda reader: reader.changes(limit=limit, after=None if after is None else int(after)))
