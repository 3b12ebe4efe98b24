"""A destination in trouble: when it is left alone, and who tries it again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import NOW

from mailqueue.clock import HOUR, MINUTE, SECOND
from mailqueue.model.attempt import Category, Outcome, OutcomeKind, Scope
from mailqueue.model.destination import Destination
from mailqueue.policy import breaker
from mailqueue.policy.breaker import CANARY_PATIENCE, FIRST_BLOCK, JITTER, LONGEST_BLOCK, TRIP_AFTER, Gate

NAME = "direct mx.example.net"


def known(*, failures: int = 3, until: int | None = None, canary: int | None = None) -> Destination:
    """Return a destination in trouble; the moments are microseconds from NOW."""
    return Destination(
        name=NAME,
        failures=failures,
        since_at=NOW - HOUR,
        blocked_until=None if until is None else NOW + until,
        canary_at=None if canary is None else NOW + canary,
        last_error="no answer",
    )


def fail(
    before: Destination | None, *, now: int = NOW, jitter: float = 0.0, at_once: bool = False
) -> Destination:
    return breaker.after_failure(before, NAME, "no answer", now=now, jitter=jitter, at_once=at_once)


def deferred(scope: Scope | None, category: Category = Category.NETWORK) -> Outcome:
    return Outcome(kind=OutcomeKind.DEFERRED, category=category, scope=scope)


# --- what is trouble -----------------------------------------------------------------------------
HOST, DOMAIN, MAIL = deferred(Scope.HOST), deferred(Scope.DESTINATION), deferred(Scope.MESSAGE)
DELIVERED = Outcome(kind=OutcomeKind.DELIVERED, category=Category.OK)
TROUBLES = [
    ([HOST], True, "the host was not reached, or closed"),
    ([DOMAIN], True, "DNS has no answer, or the password is wrong"),
    ([HOST, HOST], True, "for all recipients alike"),
    ([HOST, DELIVERED], False, "one of them was taken: it is at work"),
    ([MAIL], False, "it answered, and did not like the mail"),
    ([deferred(Scope.RECIPIENT)], False, "it answered about the recipient"),
    ([deferred(Scope.SESSION)], False, "lost in the midst of a transaction: the mail's, not the host's"),
    ([deferred(Scope.HOST, Category.INTERRUPTED)], False, "we broke it off ourselves, as we were to stop"),
    ([DELIVERED], False, "it went well"),
    (
        [Outcome(kind=OutcomeKind.FAILED, category=Category.DOMAIN_UNKNOWN, scope=Scope.DESTINATION)],
        False,
        "a domain that is not there is final, and not in trouble",
    ),
]


@pytest.mark.parametrize(("outcomes", "trouble", "why"), TROUBLES)
def test_trouble_is_charged_to_whom_it_belongs(outcomes, trouble, why):
    assert breaker.is_trouble(outcomes) is trouble, why


LIMITS = [
    (Category.RATE_LIMITED, OutcomeKind.DEFERRED, True, "it wants less"),
    (Category.REPUTATION, OutcomeKind.DEFERRED, True, "it wants nothing of our address"),
    (Category.GREYLISTED, OutcomeKind.DEFERRED, False, "greylisting is for one message"),
    (Category.RATE_LIMITED, OutcomeKind.FAILED, False, "that message is over"),
]


@pytest.mark.parametrize(("category", "kind", "limited", "why"), LIMITS)
def test_a_limit_is_known_by_its_answer(category, kind, limited, why):
    outcome = Outcome(kind=kind, category=category, scope=Scope.MESSAGE)
    assert breaker.is_limited(outcome) is limited, why


# --- the gate ------------------------------------------------------------------------------------
GATES = [
    (None, Gate.OPEN, "nothing is known of it"),
    (known(failures=2), Gate.OPEN, "two failures are not enough"),
    (known(until=1), Gate.SHUT, "it is blocked for another microsecond"),
    (known(until=0), Gate.CANARY, "the block has just ended"),
    (known(until=-HOUR), Gate.CANARY, "the block ended while no mail came"),
    (known(until=-MINUTE, canary=-SECOND), Gate.SHUT, "the canary is on its way"),
    (known(until=-HOUR, canary=-CANARY_PATIENCE), Gate.CANARY, "nobody has heard of the canary for too long"),
    (known(until=-HOUR, canary=1 - CANARY_PATIENCE), Gate.SHUT, "... and a microsecond before that"),
]


@pytest.mark.parametrize(("before", "gate", "why"), GATES)
def test_the_gate_says_what_may_go(before, gate, why):
    assert breaker.gate(before, NOW) is gate, why


ASK_AGAIN = [
    (known(until=MINUTE), MINUTE, "at the end of the block"),
    (known(until=-MINUTE, canary=-SECOND), MINUTE, "in a minute, should nobody tell what the canary came to"),
    (known(until=-HOUR, canary=SECOND - CANARY_PATIENCE), SECOND, "when the canary is given up"),
]


@pytest.mark.parametrize(("before", "after", "why"), ASK_AGAIN)
def test_a_shut_gate_says_when_to_ask_again(before, after, why):
    assert breaker.shut_until(before, NOW) - NOW == after, why


def test_a_canary_that_told_nothing_makes_room_for_another():
    before = known(until=-MINUTE, canary=0)
    assert breaker.gate(breaker.without_canary(before), NOW) is Gate.CANARY


# --- failures and successes ----------------------------------------------------------------------
FAILURES = [
    (None, 1, None, "the first failure"),
    (known(failures=0), 1, None, "the first after it was well"),
    (known(failures=1), 2, None, "the second"),
    (known(failures=2), 3, MINUTE, "the third one blocks"),
    (known(failures=3, until=0, canary=-1), 4, 2 * MINUTE, "the canary failed: twice as long"),
    (known(failures=4, until=0, canary=-1), 5, 4 * MINUTE, "and again"),
    (known(failures=5, until=0, canary=-1), 6, 8 * MINUTE, "and again"),
    (known(failures=6, until=0, canary=-1), 7, 15 * MINUTE, "a quarter of an hour is the longest"),
    (known(failures=99, until=0, canary=-1), 100, 15 * MINUTE, "for ever"),
    (known(failures=3, until=SECOND), 3, SECOND, "it was under way when the block began: nothing new"),
    (known(failures=3, until=-SECOND), 4, 2 * MINUTE, "it was under way all along: still in trouble"),
]


@pytest.mark.parametrize(("before", "failures", "block", "why"), FAILURES)
def test_a_failure_counts_and_from_the_third_on_it_blocks(before, failures, block, why):
    after = fail(before)
    assert after.failures == failures, why
    assert after.blocked_until == (None if block is None else NOW + block), why
    assert after.canary_at is None


def test_failures_remember_when_they_began_and_what_was_last():
    first = fail(None)
    second = breaker.after_failure(first, NAME, "refused", now=NOW + MINUTE, jitter=0.0)
    assert (second.since_at, second.last_error) == (NOW, "refused")


def test_what_was_under_way_when_the_block_began_leaves_its_error_only():
    before = known(until=MINUTE)
    assert breaker.after_failure(before, NAME, "refused", now=NOW, jitter=1.0) == replace(
        before, last_error="refused"
    )


def test_a_limit_blocks_at_once():
    after = fail(None, at_once=True)
    assert (after.failures, after.blocked_until) == (TRIP_AFTER, NOW + FIRST_BLOCK)
    again = fail(after, now=NOW + FIRST_BLOCK, at_once=True)
    assert again.blocked_until == NOW + 3 * FIRST_BLOCK


# --- laws ----------------------------------------------------------------------------------------
steps = st.lists(
    st.tuples(
        st.sampled_from(["fail", "limit", "succeed", "canary", "wait"]),
        st.integers(0, 2 * HOUR),
        st.floats(-1, 1),
    ),
    max_size=40,
)


def play(script) -> tuple[Destination | None, int]:
    """Return what is known after a script, and the moment; the script's canaries go when they may."""
    found, now = None, NOW
    for what, passes, jitter in script:
        now += passes
        match what:
            case "fail" | "limit":
                found = fail(found, now=now, jitter=jitter, at_once=what == "limit")
            case "succeed" if found is not None:
                found = breaker.after_success(found, now)
                assert breaker.gate(found, now) is Gate.OPEN
            case "canary" if found is not None and breaker.gate(found, now) is Gate.CANARY:
                found = breaker.with_canary(found, now)
                assert breaker.gate(found, now) is Gate.SHUT, "one canary at a time"
    return found, now


@given(steps)
def test_a_gate_never_stays_shut_for_ever(script):
    found, now = play(script)
    asked = 0
    while breaker.gate(found, now) is Gate.SHUT:
        assert found is not None
        later = breaker.shut_until(found, now)
        assert later > now, "whoever asks when told to gets on"
        now, asked = later, asked + 1
        assert asked <= 1 + CANARY_PATIENCE // MINUTE


@given(steps)
def test_a_success_always_opens(script):
    found, now = play(script)
    if found is not None:
        well = breaker.after_success(found, now)
        assert breaker.gate(well, now) is Gate.OPEN
        assert well.failures == 0
        assert breaker.gate(fail(well, now=now), now) is Gate.OPEN, "and it has all its tries again"


@given(st.lists(st.floats(-1, 1), max_size=100))
def test_blocks_grow_and_are_bounded(jitters):
    """Canaries that fail one after the other; chance moves each block, and not whether it is longer."""
    found, now, before = known(failures=2), NOW, 0.0
    for jitter in jitters:
        found = fail(found, now=now, jitter=jitter)
        assert found.blocked_until is not None
        block = found.blocked_until - now
        assert FIRST_BLOCK * (1 - JITTER) <= block <= LONGEST_BLOCK * (1 + JITTER)
        without_chance = block / (1 + JITTER * jitter)
        assert without_chance >= before - 1
        before, now = without_chance, found.blocked_until
        found = breaker.with_canary(found, now)


@given(
    st.lists(
        st.tuples(st.sampled_from(["fail", "limit", "wait"]), st.integers(0, 2 * HOUR), st.floats(-1, 1))
    )
)
def test_what_fails_in_a_row_never_lowers_the_count_of_failures(script):
    found, now = None, NOW
    for what, passes, jitter in script:
        now += passes
        if what != "wait":
            before = found.failures if found is not None else 0
            found = fail(found, now=now, jitter=jitter, at_once=what == "limit")
            assert found.failures >= before
