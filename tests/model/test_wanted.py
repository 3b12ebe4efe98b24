"""Filters as people write them: what text means, and what is said of text that means nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.clock import SECOND, from_datetime, to_datetime
from mailqueue.errors import MailqueueError, SettingError
from mailqueue.model.attempt import Category
from mailqueue.model.events import EventKind
from mailqueue.model.filters import Filter, Order, Sort, Times
from mailqueue.model.lane import Priority
from mailqueue.model.lifecycle import State
from mailqueue.model.wanted import Wanted, chosen, read

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def meant(ids: object = None, **given: object) -> Filter:
    return chosen(given, ids=ids, now=from_datetime(NOW))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("account", "shop", "shop"),
        ("sender", "ann@EXAMPLE.org", "ann@example.org"),
        ("sender", "@BÜCHER.example", "@xn--bcher-kva.example"),
        ("sender", "", ""),
        ("sender", "<>", ""),
        ("recipient", "@[192.0.2.1]", "@[192.0.2.1]"),
        ("recipient", "jose\u0301@example.org", "josé@example.org"),
        ("subject", "Order 17", "Order 17"),
        ("hold", "yes", True),
        ("hold", "no", False),
        ("hold", True, True),
        ("transport", "", ""),
        ("category", "greylisted", Category.GREYLISTED),
        ("state", State.FAILED, State.FAILED),
        ("event", "held", EventKind.HELD),
        ("message_id", "<1@example.org>", "<1@example.org>"),
        ("message_id", " 1@example.org", "<1@example.org>"),
        ("text", "hello", "hello"),
        ("priority", "bulk", Priority.BULK),
        ("priority", Priority.INTERACTIVE, Priority.INTERACTIVE),
        ("destination", "relay mx:25", "relay mx:25"),
    ],
)
def test_text_means_a_value(name: str, text: object, value: object) -> None:
    assert meant(**{name: text}) == Filter(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "after", "before"),
    [
        ("<-1h", None, NOW - HOUR),
        ("< -1h", None, NOW - HOUR),
        (">now", NOW, None),
        (">+1h30m", NOW + 1.5 * HOUR, None),
        (">-2h<now", NOW - 2 * HOUR, NOW),
        ("<now  >-2h ", NOW - 2 * HOUR, NOW),
        ("<2026-01-02", None, datetime(2026, 1, 2, tzinfo=UTC)),
        (">2026-01-02T07:15Z", datetime(2026, 1, 2, 7, 15, tzinfo=UTC), None),
        (">2026-01-02 07:15:30.5+01:00", datetime(2026, 1, 2, 6, 15, 30, 500_000, tzinfo=UTC), None),
    ],
)
def test_times_are_before_or_after_a_moment(
    text: str, after: datetime | None, before: datetime | None
) -> None:
    assert meant(submitted=text).submitted == Times(after=after, before=before)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()))
def test_every_moment_reads_back_as_it_is_written(moment: datetime) -> None:
    times = meant(next_attempt=f">{moment.isoformat()}").next_attempt
    assert times is not None
    assert times.after is not None
    assert from_datetime(times.after) == from_datetime(moment)


@pytest.mark.parametrize("name", ["submitted", "next_attempt", "retired"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("yesterday", "give < (before)"),
        ("-1h", "give < (before)"),
        ("", "give < (before)"),
        ("<", "give < (before)"),
        ("<1h", "give < (before)"),
        ("<-", "no length of time"),
        ("<-1x", "no length of time"),
        ("<-2h <-1h", "< is there twice"),
        (">now <-1h", "nothing is both after"),
        (">2026-02-30", "give < (before)"),
        (">2026-01-02T07:15", "2026-01-02T07:15Z is UTC"),
        (">0001-01-01T00:00+14:00", "give < (before)"),
        (NOW, "give < (before)"),
        (Times(after=datetime(2026, 1, 1)), "naive"),
        (7, "give < (before)"),
    ],
)
def test_time_that_is_none_is_refused_with_what_would_be_right(name: str, value: object, told: str) -> None:
    with pytest.raises(SettingError) as caught:
        meant(**{name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("sender", "ann", "ann@example.net, or @example.net"),
        ("sender", "@", "@example.net"),
        ("sender", "a@b@c", "@example.net"),
        ("recipient", "", "@example.net"),
        ("recipient", "<>", "@example.net"),
        ("recipient", 7, "not text"),
        ("account", 7, "not text"),
        ("subject", " \n", "blank"),
        ("text", "", "blank"),
        ("message_id", "", "blank"),
        ("hold", "maybe", "yes or no"),
        ("hold", 1, "yes or no"),
        ("category", "greylist", "did you mean greylisted?"),
        ("state", "xyz", "must be one of queued, claimed"),
        ("event", "hold", "did you mean held?"),
        ("priority", "high", "must be one of interactive, normal, bulk"),
        ("priority", 1, "must be one of interactive, normal, bulk"),
    ],
)
def test_value_that_cannot_be_is_refused_with_what_would_be_right(
    name: str, value: object, told: str
) -> None:
    with pytest.raises(SettingError) as caught:
        meant(**{name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert told in str(caught.value)


@pytest.mark.parametrize("ids", ["12", [1, "2"], -1, [2**63], [None]])
def test_id_that_is_none_is_refused(ids: object) -> None:
    with pytest.raises(SettingError, match="is not the id of a message"):
        meant(ids=ids)


def test_ids_are_one_or_many_each_once() -> None:
    assert meant(ids=7).ids == (7,)
    assert meant(ids=iter([3, 1, 3])).ids == (3, 1)
    assert meant(ids=[]).ids == ()
    assert meant().ids is None


def test_name_of_no_filter_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingError, match="no filter 'recipent': did you mean recipient\\?"):
        meant(recipent="ann@example.net")
    with pytest.raises(SettingError, match="no filter 'zzz': there are account, sender"):
        meant(zzz=1)


def test_what_is_not_given_is_not_asked_for() -> None:
    nothing = meant(**dict.fromkeys(Wanted.__annotations__))
    assert nothing == Filter()
    assert nothing.empty
    assert not meant(ids=[]).empty
    assert not meant(hold=False).empty


@given(
    st.sampled_from(sorted(Wanted.__annotations__)),
    st.text(max_size=30) | st.integers() | st.none() | st.binary(max_size=5),
)
def test_whatever_is_given_is_read_or_refused(name: str, value: object) -> None:
    with suppress(MailqueueError):
        read(name, value, from_datetime(NOW))


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("size", Order(Sort.SIZE)),
        ("-submitted", Order(Sort.SUBMITTED, descending=True)),
        ("next-attempt", Order(Sort.NEXT_ATTEMPT)),
    ],
)
def test_order_is_a_word_with_a_sign_before_it(text: str, order: Order) -> None:
    assert Order.parse(text) == order
    assert str(order) == text


@pytest.mark.parametrize("text", ["", "-", "--size", "id", "next_attempt"])
def test_order_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="must be one of submitted, retired, next-attempt"):
        Order.parse(text)


def test_ends_of_a_stretch_of_time_are_not_in_it() -> None:
    tick = timedelta(microseconds=1)
    times = Times(after=NOW, before=NOW + HOUR)
    assert [at in times for at in (NOW, NOW + tick, NOW + HOUR - tick, NOW + HOUR)] == [
        False,
        True,
        True,
        False,
    ]
    assert to_datetime(0) in Times(before=NOW)
    assert NOW.astimezone(timezone(HOUR)) + SECOND * tick in Times(after=NOW)
