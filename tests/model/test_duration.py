import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND
from mailqueue.errors import ScheduleError
from mailqueue.model.duration import LONGEST
from mailqueue.model.schedule import format_duration, parse_duration

READ = [
    ("5m", 5 * MINUTE, "one unit"),
    ("1h30m", HOUR + 30 * MINUTE, "two units, the larger first"),
    ("1d12h30m5s", DAY + 12 * HOUR + 30 * MINUTE + 5 * SECOND, "all that are printed"),
    ("7.5m", 7 * MINUTE + 30 * SECOND, "a fraction of any unit"),
    ("0.25s", 250_000, "less than a second, for tests and demos"),
    ("0.000001s", 1, "a microsecond is the smallest there is"),
    ("0.0000004s", 0, "less is rounded"),
    ("2w", 14 * DAY, "weeks are read, and printed as days"),
    ("90s", 90 * SECOND, "more of a unit than makes the next one"),
    (" 1H 30M ", HOUR + 30 * MINUTE, "spaces and capitals do no harm"),
    ("0s", 0, "nothing at all"),
]


@pytest.mark.parametrize(("text", "micros", "why"), READ)
def test_a_length_of_time_is_read_as_people_write_it(text, micros, why):
    assert parse_duration(text) == micros, why


PRINTED = [
    (0, "0s", "zero has a unit too"),
    (5 * MINUTE, "5m", "no smaller unit than needed"),
    (90 * SECOND, "1m30s", "the larger unit first"),
    (30 * DAY, "30d", "days, not weeks: retention is 30d"),
    (250_000, "0.25s", "no zeros at the end"),
    (100 * SECOND + 1, "1m40.000001s", "nothing is lost"),
]


@pytest.mark.parametrize(("micros", "text", "why"), PRINTED)
def test_a_length_of_time_is_printed_as_people_write_it(micros, text, why):
    assert format_duration(micros) == text, why


REFUSED = [
    ("", "no length of time", "nothing"),
    ("5", "30s, 5m, 1h30m", "no unit, and a guess would be wrong half the time"),
    ("m", "no length of time", "no number"),
    ("-5m", "no length of time", "time does not run backwards"),
    ("5x", "no length of time", "no such unit"),
    ("30m1h", "from large to small", "probably two values run together"),
    ("1h1h", "each once", "the same unit twice"),
    ("99999d", "at most 36500d", "longer than anybody keeps mail"),
    ("1e3s", "no length of time", "no exponents"),
    ("٣m", "no length of time", "digits of other scripts"),
    ("5m" * 500, "...", "a long text is not quoted whole"),
]


@pytest.mark.parametrize(("text", "words", "why"), REFUSED)
def test_what_is_no_length_of_time_is_refused_with_what_would_be_right(text, words, why):
    with pytest.raises(ScheduleError) as refused:
        parse_duration(text)
    assert words in str(refused.value), why
    assert len(str(refused.value)) < 200


def test_a_negative_length_of_time_cannot_be_printed():
    with pytest.raises(ValueError, match="not negative"):
        format_duration(-1)


@given(st.integers(min_value=0, max_value=LONGEST))
def test_what_is_printed_reads_back_as_the_same(micros):
    assert parse_duration(format_duration(micros)) == micros
