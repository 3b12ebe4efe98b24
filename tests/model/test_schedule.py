from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND
from mailqueue.errors import ScheduleError
from mailqueue.model.attempt import Category
from mailqueue.model.schedule import (
    CLASSES,
    SHIPPED,
    SHORTEST_STEP,
    Delays,
    Schedule,
    format_delays,
    format_duration,
    parse_delays,
    times,
)


def readable(name: str) -> list[str]:
    return [format_duration(at) for at in times(SHIPPED[name])]


def test_the_standard_schedule_tries_at_once_then_slower_and_slower_for_five_days():
    found = times(SHIPPED["standard"])
    assert readable("standard")[:8] == ["0s", "5m", "20m", "50m", "1h50m", "3h50m", "6h50m", "9h50m"]
    assert {late - early for early, late in pairwise(found[5:])} == {3 * HOUR}
    assert found[-1] <= 5 * DAY < found[-1] + 3 * HOUR
    assert len(found) == 44


def test_the_transactional_schedule_ends_after_a_day():
    found = times(SHIPPED["transactional"])
    assert readable("transactional")[:8] == ["0s", "1m", "6m", "16m", "36m", "1h16m", "2h16m", "3h16m"]
    assert DAY - HOUR < found[-1] <= DAY


def test_the_otp_schedule_ends_after_ten_minutes():
    assert readable("otp") == ["0s", "15s", "45s", "1m45s", "3m45s", "5m45s", "7m45s", "9m45s"]
    assert SHIPPED["otp"].warn_after is None


def test_the_reference_schedule_doubles_and_gives_up_after_eight_attempts():
    assert readable("reference") == [
        "0s",
        "7m30s",
        "22m30s",
        "52m30s",
        "1h52m30s",
        "3h52m30s",
        "7h52m30s",
        "15h52m30s",
    ]


def test_a_schedule_of_a_million_times_is_printed_in_part():
    every_second = Schedule(
        name="hot", delays=Delays(steps=(SECOND,), repeat=True), lifetime=30 * DAY, warn_after=None
    )
    assert times(every_second, limit=3) == [0, SECOND, 2 * SECOND]


def test_every_shipped_schedule_is_readable_and_its_classes_exist():
    for schedule in SHIPPED.values():
        text = format_delays(schedule.delays, schedule.classes)
        assert parse_delays(text) == (schedule.delays, schedule.classes)


def test_steps_are_read_with_the_last_one_repeated():
    delays, classes = parse_delays(" 5m,15m , 30m, 1h, 2h, 3h * ")
    assert delays.steps == (5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR)
    assert delays.repeat
    assert classes == {}
    assert [delays.step(n) for n in (1, 6, 7, 100)] == [5 * MINUTE, 3 * HOUR, 3 * HOUR, 3 * HOUR]


def test_steps_without_a_star_come_to_an_end():
    delays, _ = parse_delays("1m, 2m")
    assert [delays.step(n) for n in (1, 2, 3)] == [MINUTE, 2 * MINUTE, None]


def test_classes_of_failure_have_steps_of_their_own():
    delays, classes = parse_delays("5m*; greylisted: 5m, 10m*; Uncertain: 2s*")
    assert delays == Delays(steps=(5 * MINUTE,), repeat=True)
    assert classes == {
        "greylisted": Delays(steps=(5 * MINUTE, 10 * MINUTE), repeat=True),
        "uncertain": Delays(steps=(2 * SECOND,), repeat=True),
    }


def test_classes_are_the_categories_of_failure_and_uncertain():
    assert set(CLASSES) == set(Category) - {"ok", "interrupted"} | {"uncertain"}


REFUSED = [
    ("", "step 1 is empty", "nothing"),
    ("5m,,1h", "step 2 is empty", "a comma too many"),
    ("5m, 1h,", "step 3 is empty", "a comma at the end"),
    ("5m, 1x", "step 2: '1x'", "which step it is, and what is wrong with it"),
    ("5m*, 1h", "only the last step", "what would come after for ever?"),
    ("5m, 1h**", "only the last step", "one star is enough"),
    ("0s, 5m", "immediate and not written", "the mistake of who writes the first attempt too"),
    ("0.0001s*", "at least 0.001s", "a hot loop"),
    ("greylisted: 5m", "come first", "only a class"),
    ("5m; 10m", "greylisted: 5m, 10m*", "a clause without a name"),
    ("5m; greylist: 10m", "did you mean 'greylisted'?", "nearly right"),
    ("5m; xyz: 10m", "there are auth, capability", "nothing like it"),
    ("5m; ok: 10m", "no class", "mail that was delivered is not tried again"),
    ("5m; dns: 1m; dns: 2m", "twice", "which of them?"),
    ("5m; dns: x", "step 1: 'x'", "a bad step in a class"),
]


@pytest.mark.parametrize(("text", "words", "why"), REFUSED)
def test_what_is_no_schedule_is_refused_with_what_would_be_right(text, words, why):
    with pytest.raises(ScheduleError) as refused:
        parse_delays(text)
    assert words in str(refused.value), why


steps = st.lists(st.integers(min_value=SHORTEST_STEP, max_value=100 * DAY), min_size=1, max_size=9)
delays_ = st.builds(Delays, steps=steps.map(tuple), repeat=st.booleans())


@given(delays_, st.dictionaries(st.sampled_from(CLASSES), delays_))
def test_every_schedule_reads_back_as_it_was_written(delays, classes):
    assert parse_delays(format_delays(delays, classes)) == (delays, classes)


@given(delays_, st.integers(min_value=1, max_value=10 * DAY))
def test_times_begin_at_once_rise_and_end_within_the_lifetime(delays, lifetime):
    schedule = Schedule(name="x", delays=delays, lifetime=lifetime, warn_after=None)
    found = times(schedule, limit=50)
    assert found[0] == 0
    assert all(late - early >= SHORTEST_STEP for early, late in pairwise(found))
    assert found[-1] <= lifetime
    after = delays.step(len(found))
    assert len(found) == 50 or after is None or found[-1] + after > lifetime
