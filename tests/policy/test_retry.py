from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import NOW

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND
from mailqueue.model.attempt import Category
from mailqueue.model.schedule import CLASSES, SHIPPED, SHORTEST_STEP, Delays, Schedule, parse_delays, times
from mailqueue.policy.retry import fallback, next_attempt

STANDARD = SHIPPED["standard"]


def schedule(text: str, lifetime: int = 5 * DAY) -> Schedule:
    delays, classes = parse_delays(text)
    return Schedule(name="test", delays=delays, classes=classes, lifetime=lifetime, warn_after=None)


def after(
    which: Schedule, attempts: int, category: str, *, left: int = 5 * DAY, jitter: float = 0.0
) -> int | None:
    found = next_attempt(
        which, attempts=attempts, category=category, ended_at=NOW, give_up_at=NOW + left, jitter=jitter
    )
    return None if found is None else found - NOW


CASES = [
    ("standard", 1, "system", 5 * MINUTE, "the first step"),
    ("standard", 5, "system", 2 * HOUR, "the fifth"),
    ("standard", 6, "system", 3 * HOUR, "the last"),
    ("standard", 40, "system", 3 * HOUR, "the last again"),
    ("standard", 1, "mailbox_full", HOUR, "a full mailbox is not emptied within minutes"),
    ("standard", 2, "greylisted", 10 * MINUTE, "class steps are counted like the main ones"),
    ("standard", 3, "greylisted", 15 * MINUTE, "all attempts count, not only those of the class"),
    ("standard", 1, "rate_limited", 15 * MINUTE, "it said that we are too fast"),
    ("standard", 1, "dns", 10 * MINUTE, "a zone is not mended at once"),
    ("standard", 1, "uncertain", 30 * MINUTE, "time to see the first copy"),
    ("standard", 9, "uncertain", 30 * MINUTE, "the same however many attempts"),
    ("reference", 7, "system", 8 * HOUR, "the eighth attempt is the last"),
    ("reference", 8, "system", None, "eight attempts were made"),
    ("reference", 8, "uncertain", None, "nor does an uncertain end bring a ninth"),
    ("otp", 1, "uncertain", 15 * SECOND, "half an hour is longer than it lives, so its own step"),
]


@pytest.mark.parametrize(("name", "attempts", "category", "step", "why"), CASES)
def test_the_next_attempt_comes_after_the_step_that_is_due(name, attempts, category, step, why):
    which = SHIPPED[name]
    assert after(which, attempts, category, left=which.lifetime) == step, why


def test_a_schedule_may_say_how_long_to_wait_after_an_uncertain_attempt():
    assert after(schedule("1m*; uncertain: 2s*"), 4, "uncertain") == 2 * SECOND


def test_class_steps_that_come_to_an_end_end_the_retries():
    which = schedule("1m*; policy: 1h")
    assert after(which, 1, "policy") == HOUR
    assert after(which, 2, "policy") is None
    assert after(which, 2, "system") == MINUTE


def test_chance_moves_a_try_by_a_tenth():
    assert after(STANDARD, 1, "system", jitter=1.0) == 330 * SECOND
    assert after(STANDARD, 1, "system", jitter=-1.0) == 270 * SECOND


def test_the_end_of_the_lifetime_is_inside_it():
    assert after(STANDARD, 1, "system", left=5 * MINUTE) == 5 * MINUTE
    assert after(STANDARD, 1, "system", left=5 * MINUTE - 1) is None


def test_chance_neither_takes_the_last_try_away_nor_adds_one():
    assert after(STANDARD, 1, "system", left=5 * MINUTE, jitter=1.0) == 5 * MINUTE
    assert after(STANDARD, 1, "system", left=5 * MINUTE - 1, jitter=-1.0) is None


def test_a_message_that_outlived_its_lifetime_on_hold_gets_no_second_try():
    assert after(STANDARD, 1, "system", left=-DAY) is None
    assert after(STANDARD, 1, "uncertain", left=-DAY) is None


def test_the_fallback_is_the_step_that_would_follow():
    assert [fallback(STANDARD, n) for n in (1, 2, 6, 50)] == [5 * MINUTE, 15 * MINUTE, 3 * HOUR, 3 * HOUR]


def test_a_claim_of_the_last_attempt_falls_back_too():
    assert fallback(SHIPPED["reference"], 8) == 8 * HOUR


def simulate(which: Schedule, category: str, jitters: list[float]) -> list[int]:
    """Return the times of all attempts of a message that never gets through, from its submission on."""
    found, at = [0], NOW
    while True:
        jitter = jitters[len(found) % len(jitters)]
        following = next_attempt(
            which,
            attempts=len(found),
            category=category,
            ended_at=at,
            give_up_at=NOW + which.lifetime,
            jitter=jitter,
        )
        if following is None or len(found) > 2000:
            return found
        found.append(following - NOW)
        at = following


@pytest.mark.parametrize("name", SHIPPED)
def test_five_days_of_failures_come_at_the_times_that_are_shown(name):
    which = replace(SHIPPED[name], classes={})
    assert simulate(which, Category.SYSTEM, [0.0]) == times(which)


@given(st.lists(st.floats(min_value=-1, max_value=1), min_size=1, max_size=50), st.sampled_from(CLASSES))
def test_chance_never_brings_a_retry_closer_than_nine_tenths_nor_beyond_five_days(jitters, category):
    found = simulate(STANDARD, category, jitters)
    gaps = [late - early for early, late in pairwise(found)]
    assert min(gaps[:-1]) >= 0.9 * 5 * MINUTE
    assert max(gaps) <= 1.1 * 3 * HOUR
    assert 5 * DAY - 1.1 * 3 * HOUR < found[-1] <= 5 * DAY


steps = st.lists(st.integers(min_value=SHORTEST_STEP, max_value=9 * DAY), min_size=1, max_size=6).map(tuple)
delays_ = st.builds(Delays, steps=steps, repeat=st.booleans())
schedules = st.builds(
    Schedule,
    name=st.just("any"),
    delays=delays_,
    lifetime=st.integers(min_value=1, max_value=9 * DAY),
    warn_after=st.none(),
    classes=st.dictionaries(st.sampled_from(CLASSES), delays_),
)


@given(
    schedules,
    st.integers(min_value=1, max_value=99),
    st.sampled_from(CLASSES),
    st.integers(min_value=-DAY, max_value=9 * DAY),
    st.floats(min_value=-1, max_value=1),
)
def test_every_next_attempt_is_after_now_and_within_the_lifetime(which, attempts, category, left, jitter):
    found = after(which, attempts, category, left=left, jitter=jitter)
    assert found is None or 0 < found <= left
    assert fallback(which, attempts) >= SHORTEST_STEP
