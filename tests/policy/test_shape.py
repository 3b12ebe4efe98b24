"""Shaping rules: which one counts, and how many messages go in a minute."""

from __future__ import annotations

import bisect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.claims import NOW

from mailqueue.clock import MINUTE, SECOND, to_datetime
from mailqueue.model.rules import ShapingRule
from mailqueue.policy import shape


def rule(number: int = 1, **matches: str) -> ShapingRule:
    wanted = {"transport": None, "domain": None, "mx": None, **matches}
    return ShapingRule(
        id=number,
        position=0,
        **wanted,
        connections=None,
        per_connection=None,
        per_minute=1,
        reason="",
        actor="cli:op",
        created_at=to_datetime(NOW),
    )


# --- which rule ----------------------------------------------------------------------------------
MX = ("alt1.mx.google.example", "alt2.mx.google.example")
MATCHES = [
    ({}, True, "a rule without criteria is for all mail"),
    ({"transport": "direct"}, True, "by the transport's name"),
    ({"transport": "relay"}, False, "another transport"),
    ({"domain": "shop.example"}, True, "the domain itself"),
    ({"domain": "example"}, False, "without a dot, nothing below it"),
    ({"domain": ".example"}, True, "with a dot, all below it"),
    ({"domain": ".shop.example"}, True, "... and the domain itself"),
    ({"domain": ".hop.example"}, False, "what is below begins at a dot"),
    ({"mx": "alt2.mx.google.example"}, True, "any of its hosts"),
    ({"mx": ".google.example"}, True, "any host below a name: whoever's mail they take"),
    ({"mx": ".outlook.example"}, False, "other hosts"),
    ({"transport": "direct", "domain": "shop.example", "mx": ".google.example"}, True, "all criteria"),
    ({"transport": "direct", "domain": "other.example", "mx": ".google.example"}, False, "all but one"),
]


@pytest.mark.parametrize(("criteria", "matches", "why"), MATCHES)
def test_a_rule_counts_for_the_mail_it_names(criteria, matches, why):
    found = shape.rule_for([rule(**criteria)], "direct", "shop.example", MX)
    assert (found is not None) is matches, why


def test_the_first_rule_that_matches_counts():
    rules = [rule(3, domain="other.example"), rule(9, domain="shop.example"), rule(1)]
    found = shape.rule_for(rules, "direct", "shop.example", MX)
    assert found is not None
    assert found.id == 9


def test_mail_whose_hosts_are_not_known_meets_no_rule_about_hosts():
    assert shape.rule_for([rule(mx=".google.example")], "direct", "shop.example", ()) is None


# --- how many a minute ---------------------------------------------------------------------------
GRANTS = [
    (-MINUTE, 60, 1, 1, SECOND, "nothing went of late"),
    (0, 60, 5, 1, SECOND, "one a second, and no more at once"),
    (SECOND, 60, 1, 0, SECOND, "the next second is not there yet"),
    (-SECOND, 1, 3, 1, MINUTE, "one a minute"),
    (MINUTE, 1, 3, 0, MINUTE, "... and the minute has not passed"),
    (0, 600, 50, 10, -(-MINUTE // 591), "a busy destination may have a second's worth at once"),
    (0, 600, 3, 3, 0, "no more than is wanted, and more may follow at once"),
]


@pytest.mark.parametrize(("next_at", "per_minute", "wanted", "granted", "until", "why"), GRANTS)
def test_messages_a_minute_are_spaced(next_at, per_minute, wanted, granted, until, why):
    grant, _ = shape.take(NOW + next_at, per_minute, wanted, NOW)
    assert (grant.messages, grant.until - NOW) == (granted, until), why


def test_a_second_has_at_least_one_message():
    assert [shape.burst(each) for each in (1, 59, 60, 61, 600, 6000)] == [1, 1, 1, 2, 10, 100]


asked = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3 * SECOND), st.integers(0, 3 * MINUTE), st.just(0)),  # passes before it
        st.integers(1, 40),  # messages wanted
        st.integers(0, 2),  # who asks
    ),
    max_size=150,
)


@given(st.integers(1, 2000), asked)
def test_no_minute_has_more_messages_than_it_may(per_minute, requests):
    """Several engines ask at moments of their own; each sees what is spoken for, as it is in the database."""
    now, next_at, went = NOW, 0, []
    for passes, wanted, _ in requests:
        now += passes
        grant, after = shape.take(next_at, per_minute, wanted, now)
        assert 0 <= grant.messages <= wanted
        assert after >= next_at
        if grant.messages:
            next_at = after
            went += [now] * grant.messages
    for first, moment in enumerate(went):
        assert bisect.bisect_left(went, moment + MINUTE) - first <= per_minute


@given(st.integers(1, 2000), st.integers(-MINUTE, 2 * MINUTE), st.integers(1, 40))
def test_who_waits_as_long_as_told_may_send(per_minute, next_at, wanted):
    grant, after = shape.take(NOW + next_at, per_minute, wanted, NOW)
    if grant.messages < wanted:
        assert grant.until > NOW
        later, _ = shape.take(after if grant.messages else NOW + next_at, per_minute, 1, grant.until)
        assert later.messages == 1


@given(st.integers(1, 500))
@settings(deadline=None, max_examples=30)
def test_a_limit_is_used_to_a_good_part(per_minute):
    """Ten minutes of a queue that never ends give nearly ten times the limit."""
    now, next_at, total = NOW, 0, 0
    while now < NOW + 10 * MINUTE:
        grant, after = shape.take(next_at, per_minute, 10_000, now)
        if grant.messages:
            next_at, total = after, total + grant.messages
        now = max(now + 1, grant.until)
    assert total >= 9.5 * per_minute - 1


@pytest.mark.parametrize("per_minute", [1, 7, 30, 59, 60, 61, 100, 119, 1000, 60_000])
def test_a_portion_is_never_more_than_the_pace_in_any_minute(per_minute: int) -> None:
    at_once, pause = shape.portion(per_minute)
    portions = -(-MINUTE // pause)  # that can begin in a minute
    assert per_minute - at_once < portions * at_once <= per_minute
    assert at_once <= 1000
