"""What becomes of a webhook that was posted: it is taken, tried again, or given up.

The rule: 2xx is success, and 410 the end of the endpoint; all else is tried again, for three days. A webhook
has an attempt after every engine's sleep, however long: it is given up only when an attempt failed.

RFC 9110 15.3 (2xx), 15.5.11 (410), 10.2.3 (Retry-After, in seconds or as a date).
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from mailqueue.clock import DAY, SECOND, from_datetime
from mailqueue.model.schedule import Schedule, parse_delays
from mailqueue.model.webhook import WebhookState
from mailqueue.policy import retry

SCHEDULE = Schedule(
    name="webhooks",
    delays=parse_delays("5s, 30s, 2m, 10m, 30m, 1h, 2h, 4h, 6h*")[0],
    lifetime=3 * DAY,
    warn_after=None,
)
"""When a webhook is tried again, and for how long."""
MOST_ASKED = DAY
"""Microseconds for which an endpoint can ask us to wait, at most."""
_GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What follows from an attempt."""

    state: WebhookState
    """DELIVERED or FAILED: it retires. QUEUED: it is tried again."""
    next_attempt_at: int | None
    """Microseconds UTC. None: it retires."""
    gone: bool
    """The endpoint wants no webhooks any more, ever."""


def judge(
    status: int | None,
    retry_after: str | None,
    *,
    attempts: int,
    created_at: int,
    ended_at: int,
    jitter: float,
) -> Verdict:
    """Return what follows from an attempt.

    Args:
        status: of the answer. None: there was none.
        retry_after: the answer's header of that name. None: it had none.
        attempts: made so far, this one included.
        created_at: when the webhook was written, microseconds UTC.
        ended_at: when the attempt ended, microseconds UTC.
        jitter: -1.0 to 1.0.
    """
    if status is not None and 200 <= status < 300:
        return Verdict(state=WebhookState.DELIVERED, next_attempt_at=None, gone=False)
    if status == _GONE:
        return Verdict(state=WebhookState.FAILED, next_attempt_at=None, gone=True)
    give_up_at = created_at + SCHEDULE.lifetime
    again = retry.next_attempt(
        SCHEDULE, attempts=attempts, category="", ended_at=ended_at, give_up_at=give_up_at, jitter=jitter
    )
    if again is None:
        return Verdict(state=WebhookState.FAILED, next_attempt_at=None, gone=False)
    asked = ended_at + wait_asked(retry_after, ended_at)
    return Verdict(state=WebhookState.QUEUED, next_attempt_at=max(again, asked), gone=False)


def wait_asked(retry_after: str | None, now: int) -> int:
    """Return the microseconds that Retry-After asks for, MOST_ASKED at most; 0 where it cannot be read."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal():
        return min(int(text[:9]) * SECOND, MOST_ASKED)
    try:
        asked = from_datetime(parsedate_to_datetime(text)) - now
    except (ValueError, OverflowError):
        return 0
    return max(0, min(asked, MOST_ASKED))


def fallback(attempts: int) -> int:
    """Return how long after its claim a webhook is due again, should its engine die, in microseconds."""
    return retry.fallback(SCHEDULE, attempts)
