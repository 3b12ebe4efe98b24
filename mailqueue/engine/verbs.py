"""The verbs by which a person interferes with messages: fail, drop, reschedule, reroute, require TLS.

The rule: as for holds, in steps of bounded size; on a message in delivery they act after the running attempt.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

from mailqueue.clock import Clock, from_datetime, rfc3339, to_micros
from mailqueue.engine import audit, manage
from mailqueue.engine.options import When
from mailqueue.engine.settle import Settler, Work
from mailqueue.errors import NotFound, SettingError
from mailqueue.model.attempt import Attempt
from mailqueue.model.change import Change, RequireTls, Reroute, RescheduleAt, RescheduleBy
from mailqueue.model.duration import LONGEST, format_duration
from mailqueue.model.events import By
from mailqueue.model.explain import Steered
from mailqueue.model.filters import Filter
from mailqueue.model.message import Claimed
from mailqueue.model.settlement import Wish
from mailqueue.store.base import Progress, Reader, StaleNotice, Store, Transaction

STEP = 100
"""Messages that one step of `give_up` settles at most: notices are composed for all of them."""


# -- fail and drop --------------------------------------------------------------------------------
def give_up(
    store: Store,
    which: Filter,
    wish: Wish,
    *,
    clock: Clock,
    hostname: str,
    progress: manage.Tell | None = None,
) -> Steered:
    """Let messages retire by a person's wish, in steps; `hostname` reports it in notices."""
    settler = Settler(store, clock, hostname)
    retired = manage.retired_of(store, which)
    changed = in_delivery = 0
    # All are looked up before the first is given up: notices that are queued by that are not meant.
    for page in list(manage.id_pages(store, which, retired=False)):
        for start in range(0, len(page), STEP):
            done, claimed = _give_up(store, settler, page[start : start + STEP], wish, clock)
            changed += done
            in_delivery += claimed
            if progress is not None and start:
                progress(changed + in_delivery, manage.in_all(which))
    by = By(actor=wish.actor, reason=wish.reason, at=clock.now())
    steered = manage.steered(which, retired, changed, in_delivery)
    return audit.steered(store, by, wish.kind.value, which, steered)


def _give_up(
    store: Store, settler: Settler, ids: tuple[int, ...], wish: Wish, clock: Clock
) -> tuple[int, int]:
    """Return how many of the messages have retired, and how many will after their attempt."""
    changed = in_delivery = 0
    left = ids
    while left:
        there, last = store.read(lambda reader, left=left: waiting(reader, left))  # type: ignore[misc]
        work = settler.given_up(there, last, wish)
        tried = {each.id for each in there}
        try:
            late, wished = store.run(partial(_write, left, work, wish, clock.now()))
        except StaleNotice:
            continue  # others have been at them: look again
        changed += len(tried - late)
        in_delivery += len(wished)
        rest = (set(left) - tried | late) - set(wished)
        left = store.read(
            lambda reader, rest=rest: reader.ids(Filter(ids=tuple(rest)), retired=False, after=None)  # type: ignore[misc]
        ).items
    return changed, in_delivery


def _write(
    ids: tuple[int, ...], work: Work, wish: Wish, now: int, transaction: Transaction
) -> tuple[frozenset[int], list[int]]:
    """Return the messages for which it came too late, and those that it waits for."""
    late = transaction.settle(work.settlements, work.notices) if work.settlements else frozenset()
    others = set(ids) - {each.message.id for each in work.settlements} | late
    return late, transaction.wish(sorted(others), wish, now)


def waiting(reader: Reader, ids: tuple[int, ...]) -> tuple[list[Claimed], dict[int, Attempt]]:
    """Return those of some messages that wait, and the last attempts of these by their ids."""
    found = reader.waiting(ids)
    last = {each.id: tried[-1] for each in found if (tried := reader.attempts(each.id))}
    return found, last


# -- when, by which way, how safely ---------------------------------------------------------------
def reschedule(at: When | None, by: timedelta | None, now: int) -> Change:
    """Return the change of times that is meant. Raises SettingError, TypeError."""
    if (at is None) is (by is None):
        raise SettingError("reschedule: give at or by, one of them")
    if by is not None:
        if not isinstance(by, timedelta):
            raise TypeError(f"by is a timedelta, not {type(by).__name__}")
        return RescheduleBy(_length("by", by))
    assert at is not None
    return RescheduleAt(moment("at", at, now))


def moment(name: str, given: When, now: int) -> int:
    """Return a moment in microseconds UTC; a timedelta is from `now` on. Raises SettingError, TypeError."""
    if isinstance(given, timedelta):
        return now + _length(name, given)
    if not isinstance(given, datetime):
        raise TypeError(f"{name} is a datetime or a timedelta, not {type(given).__name__}")
    try:
        return from_datetime(given)
    except ValueError as error:
        raise SettingError(f"{name}: {error}") from None


def _length(name: str, given: timedelta) -> int:
    micros = to_micros(given)
    if abs(micros) > LONGEST:
        raise SettingError(f"{name}: must be at most {format_duration(LONGEST)}, not {given}")
    return micros


def reroute(store: Store, via: str) -> Change:
    """Return the change of the way. Raises TypeError, and NotFound: there is no such transport."""
    if not isinstance(via, str):
        raise TypeError(f"via is a str, not {type(via).__name__}")
    if via and via not in manage.settings(store).transports:
        raise NotFound(f"no transport {via!r}")
    return Reroute(via)


def require_tls(value: bool | None) -> Change:
    """Return the change of what is asked of TLS. Raises TypeError."""
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"value is a bool, not {type(value).__name__}")
    return RequireTls(value)


def told(change: Change) -> str:
    """Return what becomes of messages, after `tried next` or `sent`."""
    match change:
        case RescheduleAt():
            return f"at {rfc3339(change.at)}"
        case RescheduleBy():
            length = format_duration(abs(change.by))
            return f"{length} {'earlier' if change.by < 0 else 'later'}"
        case Reroute():
            return f"by {change.via}" if change.via else "as the routes say"
        case RequireTls(True):
            return "only under TLS with a verified certificate (REQUIRETLS)"
        case RequireTls(False):
            return "even where there is no TLS (TLS-Required: No)"
        case RequireTls():
            return "with TLS as the transport has it"
        case _:
            assert_never(change)


def change(
    store: Store, which: Filter, change: Change, by: By, progress: manage.Tell | None = None
) -> Steered:
    """Change messages, in steps."""

    def step(transaction: Transaction, part: Filter, after: int) -> Progress:
        return transaction.change(
            part, change, actor=by.actor, reason=by.reason, now=by.at, after=after, limit=manage.STEP
        )

    verb, given = _given(change)
    done = manage.steer(store, which, step, progress)
    return audit.steered(store, by, verb, which, done, **given)


def _given(change: Change) -> tuple[str, dict[str, object]]:
    """Return the verb of a change and what was given to it, for the history."""
    match change:
        case RescheduleAt():
            return "reschedule", {"at": rfc3339(change.at)}
        case RescheduleBy():
            return "reschedule", {"by": f"{'-' if change.by < 0 else ''}{format_duration(abs(change.by))}"}
        case Reroute():
            return "reroute", {"via": change.via or "the routes"}
        case RequireTls():
            value = "unset" if change.value is None else change.value
            return "require-tls", {"value": value}
        case _:
            assert_never(change)
