"""How much an account may send in any 24 hours, and when there is room again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import NOW

from mailqueue.clock import DAY, HOUR, MINUTE, to_datetime
from mailqueue.model.account import Account, HourUse, Notices, OnUncertain, OverQuota, Quota
from mailqueue.policy.quota import AHEAD, Admission, Excess, admit, hour_of, room_from, since, usage

H = hour_of(NOW)


def account(
    messages: int | None = None, new: int | None = None, over: OverQuota = OverQuota.REJECT
) -> Account:
    return Account(
        id=1,
        name="shop",
        notices=Notices.KEEP,
        schedule=None,
        retention=30 * DAY,
        keep_content=7 * DAY,
        on_uncertain=OnUncertain.RETRY,
        strict=False,
        messages_per_day=messages,
        new_recipients_per_day=new,
        over_quota=over,
    )


class Ledger:
    """What a store would keep for an account, in memory; and when each message may go."""

    def __init__(self, who: Account) -> None:
        self.who = who
        self.uses: Counter[int] = Counter()
        self.new: Counter[int] = Counter()
        self.known: dict[str, int] = {}
        self.went: list[int] = []
        self.met: dict[str, int] = {}

    def hours(self) -> list[HourUse]:
        return [
            HourUse(hour_at=at, messages=count, new_recipients=self.new[at])
            for at, count in self.uses.items()
        ]

    def submit(self, recipients: Sequence[str], now: int) -> Admission | Excess:
        hours = [each for each in self.hours() if each.hour_at >= since(now)]
        known = {each: self.known[each] for each in recipients if each in self.known}
        found = admit(self.who, hours, known, recipients, now)
        if isinstance(found, Admission):
            for each in found.uses:
                self.uses[each.hour_at] += each.messages
                self.new[each.hour_at] += each.new_recipients
            self.known |= found.first
            for recipient, over in zip(recipients, found.over, strict=True):
                if over is None or self.who.over_quota is OverQuota.HOLD:
                    at = now if over is None else over.opens_at
                    assert at is not None
                    self.went.append(at)
                    self.met[recipient] = min(at, self.met.get(recipient, at))
        return found


def most_in_a_day(moments: Sequence[int]) -> int:
    """Return how many of these lie in one day, at most."""
    return max((sum(at <= each < at + DAY for each in moments) for at in moments), default=0)


# --- the first hour with room -------------------------------------------------------------------
ROOM = [
    ({}, 5, 5, 0, "nothing was sent"),
    ({}, 5, 6, None, "more at once than is ever let in"),
    ({0: 3}, 5, 2, 0, "just room enough"),
    ({0: 3}, 5, 3, 25, "what was sent in this hour is out of every day that begins 25 hours later"),
    ({-24: 5}, 5, 1, 1, "what was sent 24 hours ago may have been sent at the end of that hour"),
    ({-25: 5}, 5, 5, 0, "what was sent before that counts no more"),
    ({-24: 2, -1: 3}, 5, 3, 24, "the first to go make room for two only"),
    ({10: 5}, 5, 1, 35, "what waits for room counts in every day that it will be part of"),
    ({30: 5}, 5, 1, 0, "and in no other"),
    ({0: 9}, 5, 1, 25, "the quota was lowered"),
    ({0: 9}, 5, 0, 0, "nothing is wanted"),
]


@pytest.mark.parametrize(("counts", "limit", "wanted", "hour", "why"), ROOM)
def test_room_is_found_in_the_first_hour_that_has_it(counts, limit, wanted, hour, why):
    found = room_from({H + at * HOUR: count for at, count in counts.items()}, limit, wanted, H)
    assert found == (None if hour is None else H + hour * HOUR), why


# --- laws ---------------------------------------------------------------------------------------
names = st.sampled_from([f"{letter}@example.net" for letter in "abcdefgh"])
mailings = st.lists(
    st.tuples(st.integers(0, 20 * HOUR // MINUTE), st.lists(names, min_size=1, max_size=4, unique=True)),
    min_size=1,
    max_size=40,
)
limits = st.tuples(st.none() | st.integers(1, 8), st.none() | st.integers(1, 4)).filter(any)


def within(ledger: Ledger) -> bool:
    """Whether no 24 hours had more than they may."""
    messages, new = ledger.who.messages_per_day, ledger.who.new_recipients_per_day
    return (messages is None or most_in_a_day(ledger.went) <= messages) and (
        new is None or most_in_a_day(list(ledger.met.values())) <= new
    )


@given(limits, st.sampled_from(OverQuota), mailings)
def test_no_24_hours_ever_have_more_than_the_quota(allowed, policy, sent):
    ledger, now = Ledger(account(*allowed, policy)), NOW
    for pause, recipients in sent:
        now += pause * MINUTE
        ledger.submit(recipients, now)
    assert within(ledger)


@given(limits, mailings, st.lists(st.integers(-90, 90), min_size=40, max_size=40))
def test_clocks_that_differ_let_no_more_in(allowed, sent, late):
    ledger, now = Ledger(account(*allowed)), NOW
    for (pause, recipients), minutes in zip(sent, late, strict=False):
        now += pause * MINUTE
        ledger.submit(recipients, now + minutes * MINUTE)
    assert within(ledger)


@given(limits, mailings)
def test_there_is_room_when_a_refusal_said_so_and_none_a_moment_before(allowed, sent):
    ledger, now = Ledger(account(*allowed)), NOW
    for pause, recipients in sent:
        now += pause * MINUTE
        refused = ledger.submit(recipients, now)
        if isinstance(refused, Excess) and refused.opens_at is not None:
            now = refused.opens_at
            assert isinstance(ledger.submit(recipients, now - 1), Excess)
            assert isinstance(ledger.submit(recipients, now), Admission)


@given(limits, mailings)
def test_what_waits_keeps_its_order_for_each_recipient(allowed, sent):
    ledger, now = Ledger(account(*allowed, OverQuota.HOLD)), NOW
    for pause, recipients in sent:
        now += pause * MINUTE
        for recipient in recipients:
            first = ledger.known.get(recipient)
            ledger.submit([recipient], now)
            assert first is None or ledger.went[-1] >= first


# --- each policy --------------------------------------------------------------------------------
def test_submission_to_more_than_there_is_room_for_is_refused_whole():
    ledger = Ledger(account(3))
    ledger.submit(["a@x", "b@x"], NOW)
    refused = ledger.submit(["c@x", "d@x"], NOW)
    assert refused == Excess(quota=Quota.MESSAGES, limit=3, used=2, wanted=2, opens_at=H + 25 * HOUR)
    assert isinstance(ledger.submit(["e@x"], NOW), Admission)


def test_quota_of_new_recipients_lets_mail_to_known_ones_through():
    ledger = Ledger(account(new=1))
    assert isinstance(ledger.submit(["a@x"], NOW), Admission)
    assert isinstance(ledger.submit(["a@x"], NOW), Admission)
    refused = ledger.submit(["a@x", "b@x"], NOW)
    assert isinstance(refused, Excess)
    assert (refused.quota, refused.used, refused.wanted) == (Quota.NEW_RECIPIENTS, 1, 1)
    assert isinstance(ledger.submit(["b@x"], H + 25 * HOUR), Admission)


def test_messages_over_the_quota_wait_for_as_many_windows_as_they_need():
    ledger = Ledger(account(2, over=OverQuota.HOLD))
    ledger.submit([f"{n}@x" for n in range(5)], NOW)
    assert ledger.went == [NOW, NOW, H + 25 * HOUR, H + 25 * HOUR, H + 50 * HOUR]


def test_what_would_wait_too_long_is_refused_and_counts_nothing():
    ledger = Ledger(account(1, over=OverQuota.HOLD))
    count = 1 + AHEAD // (25 * HOUR)
    assert isinstance(ledger.submit([f"{n}@x" for n in range(count)], H), Admission)
    before = ledger.hours()
    refused = ledger.submit(["last@x"], H)
    assert isinstance(refused, Excess)
    assert refused.opens_at is not None
    assert refused.opens_at > H + AHEAD
    assert ledger.hours() == before


def test_what_is_dropped_takes_no_place_and_makes_nobody_known():
    ledger = Ledger(account(5, 1, OverQuota.DROP))
    found = ledger.submit(["a@x", "b@x"], NOW)
    assert isinstance(found, Admission)
    assert [over is None for over in found.over] == [True, False]
    assert found.first == {"a@x": NOW}
    assert [(each.messages, each.new_recipients) for each in found.uses] == [(1, 1)]


def test_use_tells_what_was_sent_what_waits_and_when_there_is_room():
    ledger = Ledger(account(2, 9, OverQuota.HOLD))
    ledger.submit(["a@x", "b@x", "c@x"], NOW)
    messages, new = usage(ledger.who, ledger.hours(), NOW)
    assert (messages.quota, messages.limit, messages.used, messages.waiting) == (Quota.MESSAGES, 2, 2, 1)
    assert messages.opens_at == to_datetime(H + 25 * HOUR)
    assert (new.quota, new.used, new.waiting, new.opens_at) == (Quota.NEW_RECIPIENTS, 2, 1, None)
    later = usage(ledger.who, ledger.hours(), H + 25 * HOUR)[0]
    assert (later.used, later.waiting, later.opens_at) == (1, 0, None)
    assert usage(replace(ledger.who, messages_per_day=None, new_recipients_per_day=None), [], NOW) == ()
