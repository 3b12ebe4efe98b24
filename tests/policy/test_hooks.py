"""What becomes of a webhook that was posted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND
from mailqueue.model.schedule import times
from mailqueue.model.webhook import WebhookState
from mailqueue.policy.hooks import MOST_ASKED, SCHEDULE, fallback, judge, wait_asked

NOW = 1_800_000_000 * SECOND  # 2027-01-15 08:00:00 UTC


def verdict(status: int | None, retry_after: str | None = None, *, attempts: int = 1, age: int = 0):
    return judge(status, retry_after, attempts=attempts, created_at=NOW - age, ended_at=NOW, jitter=0.0)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_success(status: int):
    assert verdict(status).state is WebhookState.DELIVERED


@pytest.mark.parametrize("status", [None, 100, 301, 302, 307, 400, 401, 404, 409, 429, 500, 503])
def test_all_else_is_tried_again(status: int | None):
    found = verdict(status)
    assert (found.state, found.next_attempt_at, found.gone) == ("queued", NOW + 5 * SECOND, False)


def test_410_is_the_end_of_the_endpoint():
    found = verdict(410, "60")
    assert (found.state, found.next_attempt_at, found.gone) == ("failed", None, True)


def test_steps_become_longer_and_end_after_three_days():
    assert [at // SECOND for at in times(SCHEDULE)[:5]] == [0, 5, 35, 155, 755]
    assert times(SCHEDULE)[-1] <= 3 * DAY < times(SCHEDULE)[-1] + 6 * HOUR


def test_webhook_whose_time_is_over_is_given_up():
    assert verdict(500, attempts=20, age=3 * DAY - 6 * HOUR).state is WebhookState.QUEUED
    assert verdict(500, attempts=20, age=3 * DAY - 5 * HOUR).state is WebhookState.FAILED
    assert verdict(500, "60", attempts=20, age=9 * DAY).state is WebhookState.FAILED


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        ("9999999999999", 86400),
        ("Fri, 15 Jan 2027 08:10:00 GMT", 600),
        ("Friday, 15-Jan-27 08:10:00 GMT", 600),
        ("Fri Jan 15 08:10:00 2027", 0),  # the form without a zone: it says no moment
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Sat, 15 Jan 2050 08:00:00 GMT", 86400),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("", 0),
        (None, 0),
        ("٣", 0),
    ],
)
def test_endpoint_may_ask_for_time_within_bounds(said: str | None, seconds: int):
    assert wait_asked(said, NOW) == seconds * SECOND


def test_longer_of_the_two_waits_counts():
    assert verdict(503, "3600").next_attempt_at == NOW + HOUR
    assert verdict(503, "60", attempts=5).next_attempt_at == NOW + 30 * MINUTE


@given(st.text())
def test_nothing_that_is_said_breaks_it_or_asks_for_more_than_a_day(said: str):
    assert 0 <= wait_asked(said, NOW) <= MOST_ASKED


def test_dead_engine_costs_a_webhook_no_more_than_its_next_step():
    assert [fallback(attempts) for attempts in (1, 2, 99)] == [5 * SECOND, 30 * SECOND, 6 * HOUR]
