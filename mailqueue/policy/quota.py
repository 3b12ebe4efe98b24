"""Quotas: how much an account may send in any 24 hours, and when there is room again.

The rule: what is sent is counted by whole hours, and any 25 hours in a row hold no more than the
quota. Any 24 h lie within 25 such hours, so none ever holds more; a look costs the same whatever was
sent; and there may be room up to an hour later than by the minute. Mail that waits for room is counted
in the hour in which it may go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mailqueue.clock import DAY, HOUR, to_datetime
from mailqueue.model.account import Account, HourUse, OverQuota, Quota, QuotaUse

AHEAD = 60 * DAY
"""Microseconds that mail may wait for room at most; what would wait longer is refused."""

WINDOW = 25 * HOUR
"""Microseconds of the hours in a row that hold no more than a quota."""

_BEFORE = WINDOW - HOUR  # from the hour that is the last of them back to the first

Counts = Mapping[int, int]
"""How much was counted, by the hours' beginnings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A quota that has no room now for what is wanted."""

    quota: Quota
    limit: int
    used: int
    """Counted in the last 24 hours."""
    wanted: int
    opens_at: int | None
    """Microseconds UTC: when there is room for it. None: never, it is more than the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What becomes of the messages of a submission."""

    over: tuple[Excess | None, ...]
    """For each, the quota that has no room for it now. None: there is room."""
    uses: tuple[HourUse, ...]
    """What is to be counted."""
    first: Mapping[str, int]
    """Recipients that count as new, and when each is written to first, microseconds UTC."""


def hour_of(at: int) -> int:
    """Return when the hour begins that `at` lies in (microseconds UTC)."""
    return at - at % HOUR


def since(now: int) -> int:
    """Return the first hour that matters at `now` (microseconds UTC)."""
    return hour_of(now) - _BEFORE


def room_from(counts: Counts, limit: int, wanted: int, hour: int) -> int | None:
    """Return the first hour, from `hour` on, that has room for so many more. None: none ever has.

    An hour has room if each row of 25 that it is part of has.
    """
    if wanted == 0 or wanted > limit:
        return hour if wanted == 0 else None
    begin, rows_with_room = hour - _BEFORE, 0
    row = sum(counts.get(each, 0) for each in range(begin, begin + WINDOW, HOUR))
    while True:
        rows_with_room = rows_with_room + 1 if row + wanted <= limit else 0
        if rows_with_room == WINDOW // HOUR:
            return begin
        row += counts.get(begin + WINDOW, 0) - counts.get(begin, 0)
        begin += HOUR


def usage(account: Account, uses: Iterable[HourUse], now: int) -> tuple[QuotaUse, ...]:
    """Return how far the quotas of an account are used; `uses` from `since(now)` on."""
    counts, hour, found = _counts(uses), hour_of(now), []
    for quota, limit in account.quotas.items():
        opens = room_from(counts[quota], limit, 1, hour)
        found.append(
            QuotaUse(
                quota=quota,
                limit=limit,
                used=_used(counts[quota], hour),
                waiting=sum(count for at, count in counts[quota].items() if at > hour),
                opens_at=None if opens is None or opens == hour else to_datetime(opens),
            )
        )
    return tuple(found)


def _counts(uses: Iterable[HourUse]) -> dict[Quota, Counter[int]]:
    found: dict[Quota, Counter[int]] = {quota: Counter() for quota in Quota}
    for each in uses:
        found[Quota.MESSAGES][each.hour_at] = each.messages
        found[Quota.NEW_RECIPIENTS][each.hour_at] = each.new_recipients
    return found


def _used(counts: Counts, hour: int) -> int:
    return sum(count for at, count in counts.items() if hour - _BEFORE <= at <= hour)


def admit(
    account: Account, uses: Iterable[HourUse], known: Mapping[str, int], recipients: Sequence[str], now: int
) -> Admission | Excess:
    """Return what becomes of a submission of an account with a quota, or why it is refused.

    It is refused whole; what is held or dropped are single messages of it, once there is no more room.

    Args:
        account: who sends.
        uses: what it has sent, from `since(now)` on.
        known: when recipients of these were first written to, or are to be, microseconds UTC.
        recipients: of the submission, each once.
        now: microseconds UTC.
    """
    policy, counts = account.over_quota, _counts(uses)
    added = {quota: Counter[int]() for quota in Quota}
    over: list[Excess | None] = []
    first: dict[str, int] = {}
    groups = [recipients] if policy is OverQuota.REJECT else [(each,) for each in recipients]
    for group in groups:
        new = [each for each in group if each not in known] if Quota.NEW_RECIPIENTS in account.quotas else []
        wanted = {Quota.MESSAGES: len(group), Quota.NEW_RECIPIENTS: len(new)}
        # What waits to be written to first does so before anything else is sent there.
        earliest = max(now, known.get(group[0], now)) if policy is OverQuota.HOLD else now
        excess = _excess(account, counts, wanted, earliest, now)
        over += [excess] * len(group)
        at: int | None = now
        if excess is not None:
            at = _waits_until(policy, excess, now)
            if at is None and policy is not OverQuota.DROP:
                return excess
        if at is not None:
            for quota, count in wanted.items():
                counts[quota][hour_of(at)] += count
                added[quota][hour_of(at)] += count
            first |= dict.fromkeys(new, at)
    return Admission(over=tuple(over), uses=_uses(added), first=first)


def _waits_until(policy: OverQuota, excess: Excess, now: int) -> int | None:
    """Return until when a message over a quota waits. None: it does not."""
    opens = excess.opens_at
    waits = policy is OverQuota.HOLD and opens is not None and opens <= now + AHEAD
    return opens if waits else None


def _uses(added: Mapping[Quota, Counts]) -> tuple[HourUse, ...]:
    messages, new = added[Quota.MESSAGES], added[Quota.NEW_RECIPIENTS]
    return tuple(
        HourUse(hour_at=hour, messages=count, new_recipients=new[hour]) for hour, count in messages.items()
    )


def _excess(
    account: Account, counts: Mapping[Quota, Counts], wanted: Mapping[Quota, int], earliest: int, now: int
) -> Excess | None:
    """Return a quota that has no room now for what is wanted, and when all have. None: all have."""
    hour = hour_of(now)
    opens = _room_in_all(account, counts, wanted, hour_of(earliest))
    if opens == hour:
        return None
    full = [
        quota
        for quota, limit in account.quotas.items()
        if room_from(counts[quota], limit, wanted[quota], hour) != hour
    ]
    quota = full[0] if full else Quota.NEW_RECIPIENTS
    return Excess(
        quota=quota,
        limit=account.quotas[quota],
        used=_used(counts[quota], hour),
        wanted=wanted[quota],
        opens_at=opens,
    )


def _room_in_all(
    account: Account, counts: Mapping[Quota, Counts], wanted: Mapping[Quota, int], hour: int
) -> int | None:
    """Return the first hour, from `hour` on, in which every quota has room."""
    while True:
        found = hour
        for quota, limit in account.quotas.items():
            room = room_from(counts[quota], limit, wanted[quota], found)
            if room is None:
                return None
            found = room
        if found == hour:
            return hour
        hour = found
