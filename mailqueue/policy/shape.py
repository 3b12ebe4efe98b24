"""What shaping rules say: which one counts for a destination, and when its next message may go.

The rule: never more than so many messages in any minute, wherever the minute begins. Messages are
spaced evenly; a busy destination may have a second's worth at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mailqueue.clock import MINUTE
from mailqueue.model.destination import Grant
from mailqueue.model.rules import ShapingRule
from mailqueue.policy.route import within


def rule_for(
    rules: Iterable[ShapingRule], transport: str, domain: str, hosts: Sequence[str]
) -> ShapingRule | None:
    """Return the rule that counts for mail: the first that matches. None: none does.

    Args:
        rules: in the order in which they are asked.
        transport: name of the one it takes.
        domain: of the recipient.
        hosts: names of the hosts that it leads to.
    """
    for rule in rules:
        if (
            rule.transport in (None, transport)
            and (rule.domain is None or within(rule.domain, domain))
            and (rule.mx is None or any(within(rule.mx, host.lower()) for host in hosts))
        ):
            return rule
    return None


def take(next_at: int, per_minute: int, wanted: int, now: int) -> tuple[Grant, int]:
    """Return how many of `wanted` messages may go now, and until when the limit is spoken for then.

    Args:
        next_at: until when it is spoken for, microseconds UTC.
        per_minute: messages in any minute.
        wanted: messages that would go.
        now: microseconds UTC.
    """
    at_once = burst(per_minute)
    step = -(-MINUTE // (per_minute - at_once + 1))
    start = max(next_at, now)
    granted = max(0, min(wanted, at_once - -(-(start - now) // step)))
    after = start + granted * step
    return Grant(granted, max(now, after - (at_once - 1) * step)), after


def portion(per_minute: int) -> tuple[int, int]:
    """Return how many messages may go at once, and after how many microseconds as many again.

    So there are about sixty portions in a minute, and never more than `per_minute` messages.
    """
    at_once = burst(per_minute)
    return at_once, -(-MINUTE // (per_minute // at_once))


def burst(per_minute: int) -> int:
    """Return how many messages may go at once, of so many a minute: those of a second."""
    return -(-per_minute // 60)
