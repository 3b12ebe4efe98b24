"""When a destination in trouble is left alone, and when it is tried again.

The rule: trouble with a destination is its own, not that of each message. After a few tries in a row
that failed there, nothing is sent to it for a while; then one message, the canary, tells whether it
takes mail again. What waits for it uses up no attempts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from mailqueue.clock import MINUTE
from mailqueue.model.attempt import Category, Outcome, OutcomeKind, Scope
from mailqueue.model.destination import Destination

TRIP_AFTER = 3
"""Tries in a row that fail, and the destination is blocked."""
FIRST_BLOCK = MINUTE
"""Microseconds of the first block; each further one is twice as long."""
LONGEST_BLOCK = 15 * MINUTE
"""Microseconds of a block at most."""
JITTER = 0.10
"""The part of a block that chance may add or take, so that destinations of one moment spread out."""
CANARY_PATIENCE = 20 * MINUTE
"""Microseconds after which a canary of which nobody has heard is given up: its engine may be dead."""
_ASK_AGAIN = MINUTE

LIMITED = frozenset({Category.RATE_LIMITED, Category.REPUTATION})
"""What a receiver says of the sender while it speaks of a message."""
LIMITED_AFTER = 5
"""Different messages in a row that are told so, and it counts as trouble with the destination."""


class Gate(StrEnum):
    """What may go to a destination."""

    OPEN = "open"
    CANARY = "canary"
    """One message, which tells whether it is well again."""
    SHUT = "shut"


def is_trouble(outcomes: Iterable[Outcome]) -> bool:
    """Return whether a try came to nothing but trouble with its destination (decision 19)."""
    return all(
        each.kind is OutcomeKind.DEFERRED
        and each.scope in (Scope.HOST, Scope.DESTINATION)
        and each.category is not Category.INTERRUPTED  # that was us
        for each in outcomes
    )


def is_limited(outcome: Outcome) -> bool:
    """Return whether a receiver told one message that it wants less of us, or nothing."""
    return outcome.kind is OutcomeKind.DEFERRED and outcome.category in LIMITED


def gate(known: Destination | None, now: int) -> Gate:
    """Return what may go to a destination of which so much is known."""
    if known is None or known.blocked_until is None:
        return Gate.OPEN
    if now < known.blocked_until:
        return Gate.SHUT
    if known.canary_at is None or now - known.canary_at >= CANARY_PATIENCE:
        return Gate.CANARY
    return Gate.SHUT


def shut_until(known: Destination, now: int) -> int:
    """Return when to ask again at a gate that is shut, microseconds UTC."""
    assert known.blocked_until is not None
    if now < known.blocked_until:
        return known.blocked_until
    return min(now + _ASK_AGAIN, (known.canary_at or now) + CANARY_PATIENCE)


def with_canary(known: Destination, now: int) -> Destination:
    """Return a destination whose canary is on its way."""
    return replace(known, canary_at=now)


def without_canary(known: Destination) -> Destination:
    """Return a destination whose canary told nothing: another message may be it."""
    return replace(known, canary_at=None)


def after_failure(
    known: Destination | None, name: str, error: str, *, now: int, jitter: float, at_once: bool = False
) -> Destination:
    """Return what is known of a destination after a try that failed there.

    Args:
        known: before. None: nothing.
        name: its name.
        error: what went wrong, a line.
        now: microseconds UTC.
        jitter: -1.0 to 1.0, by which the block is moved.
        at_once: block it now, however few tries it were.
    """
    if known is None or known.failures == 0:
        known = Destination(
            name=name, failures=0, since_at=now, blocked_until=None, canary_at=None, last_error=""
        )
    if gate(known, now) is Gate.SHUT and known.canary_at is None:
        return replace(known, last_error=error)  # it was under way when the block began
    failures = max(known.failures + 1, TRIP_AFTER if at_once else 0)
    if failures < TRIP_AFTER:
        return replace(known, failures=failures, last_error=error)
    block = min(FIRST_BLOCK << min(failures - TRIP_AFTER, 10), LONGEST_BLOCK)
    until = now + round(block * (1 + JITTER * jitter))
    return replace(known, failures=failures, blocked_until=until, canary_at=None, last_error=error)


def after_success(known: Destination, now: int) -> Destination:
    """Return what is known of a destination that takes mail again."""
    return replace(known, failures=0, since_at=now, blocked_until=None, canary_at=None)
