"""When a message is tried again.

The rule: chance moves a try by a tenth at most and never decides whether there is one. A message
has a next try if its schedule, without jitter, has one inside its lifetime.

RFC 5321 4.5.4.1 (retry, and giving up after days).
"""

from __future__ import annotations

from mailqueue.clock import MINUTE
from mailqueue.model.schedule import UNCERTAIN, Schedule

JITTER = 0.10
"""The part of a step that chance may add or take, so that messages of one moment spread out."""
UNCERTAIN_STEP = 30 * MINUTE
"""Microseconds to wait after an uncertain attempt, where the schedule does not say: time for the
receiver to come back, and its user to see the message, before a second copy may reach it."""


def next_attempt(
    schedule: Schedule, *, attempts: int, category: str, ended_at: int, give_up_at: int, jitter: float
) -> int | None:
    """Return when a message whose attempt failed is tried again, in microseconds UTC.

    Args:
        schedule: the message's.
        attempts: made so far, the failed one included.
        category: of the failure: a Category, or `uncertain`; the class whose steps count.
        ended_at: when the failed attempt ended, microseconds UTC.
        give_up_at: the end of the message's lifetime, microseconds UTC.
        jitter: -1.0 to 1.0; scales JITTER.

    Returns:
        A time after `ended_at` and not after `give_up_at`. None: there is none, the message expires.
    """
    step = _step(schedule, attempts, category, give_up_at - ended_at)
    if step is None or ended_at + step > give_up_at:
        return None
    moved = ended_at + round(step * (1 + JITTER * jitter))
    return moved if moved <= give_up_at else ended_at + step


def fallback(schedule: Schedule, attempts: int) -> int:
    """Return how long after its claim a message is due again, should its engine die.

    It is the step that follows the attempt were it to fail, so that a message that takes its engine
    down does so no more often than the schedule tries. A live engine keeps its claims however long
    they last, so nothing is added for the attempt itself.

    Args:
        schedule: the message's.
        attempts: the number of the attempt that the claim is for, from 1.

    Returns:
        Microseconds; the last step where the schedule has no more. A message is given up only when
        an attempt failed, so one that was never finished gets its try.
    """
    return schedule.delays.step(attempts) or schedule.delays.steps[-1]


def _step(schedule: Schedule, attempts: int, category: str, left: int) -> int | None:
    own = schedule.classes.get(category)
    if own is not None:
        return own.step(attempts)
    step = schedule.delays.step(attempts)
    if step is None or category != UNCERTAIN:
        return step
    # Where half an hour is longer than the message lives, its own steps are as long as can be waited.
    return UNCERTAIN_STEP if left >= UNCERTAIN_STEP else step
