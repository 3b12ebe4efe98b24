"""What `submit` takes of when mail goes, for how long, what goes first, by which way; how it is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from support.command import LETTER, Command

from mailqueue.cli import values

OPTIONS = {
    "--not-before": "2h",
    "--expires-at": "2099-01-01T00:00:00+02:00",
    "--warn-after": "1h30m",
    "--max-attempts": "5",
    "--priority": "interactive",
    "--transport": "refuse",
}
GIVEN = [word for pair in OPTIONS.items() for word in pair]


@pytest.fixture
def refusing(mailqueue: Command) -> Command:
    """The command, with a transport `refuse`."""
    mailqueue("transport", "add", "refuse", "--kind", "fail", "--reply", "550 no")
    return mailqueue


def about(text: str, hours: float) -> bool:
    """Whether a moment is so many hours from now, give or take a minute."""
    return abs(datetime.fromisoformat(text) - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(
        minutes=1
    )


def test_options_of_a_submission_are_told_in_json(refusing: Command) -> None:
    refusing("submit", *GIVEN, "--require-tls", input=LETTER)
    for found in (refusing.json("show", 1), refusing.json("list")["items"][0]):
        assert about(found["not_before"], 2)
        assert about(found["next_attempt_at"], 2)
        assert about(found["give_up_at"], 5 * 24 + 2)
        assert found["expires_at"] == "2098-12-31T22:00:00.000000Z"
        assert (found["warn_after"], found["max_attempts"]) == ("1h30m", 5)
        assert (found["priority"], found["transport"], found["require_tls"]) == (
            "interactive",
            "refuse",
            True,
        )


def test_options_of_a_submission_are_told_to_people(refusing: Command) -> None:
    refusing("submit", *GIVEN, "--tls-optional", input=LETTER)
    told = refusing("show", "1")
    for name, value in [
        ("priority", "interactive"),
        ("transport", "refuse"),
        ("TLS", "not required (TLS-Required: No)"),
        ("future release", "in 2h, "),
        ("given up", "in 5d2h, "),
        ("expires", "in "),
        ("delay notice", "after 1h30m"),
    ]:
        [line] = [line for line in told.splitlines() if line.startswith(f"{name} ")]
        assert line.removeprefix(name).strip().startswith(value)
    assert ", or after 5 attempts, schedule standard" in told


def test_nothing_is_told_of_options_that_were_not_given(mailqueue: Command) -> None:
    mailqueue("submit", input=LETTER)
    told = mailqueue("show", "1")
    for name in ("priority", "transport", "TLS", "future release", "expires", "delay notice"):
        assert f"\n{name} " not in told
    mailqueue("submit", "--warn-after", "0s", input=LETTER)
    assert "delay notice  none" in mailqueue("show", "2")


def test_explain_says_until_when_it_waits_when_it_expires_and_what_goes_first(refusing: Command) -> None:
    refusing("submit", *GIVEN, input=LETTER)
    told = refusing("explain", "1")
    assert "future release: not before " in told
    assert "transport refuse (fail), which the message names" in told
    assert "\nexpires: in " in told
    assert told.endswith("\npriority: interactive\n")
    found = refusing.json("explain", "1")
    assert (found["blocked_by"], found["priority"]) == ("not_due", "interactive")
    assert found["expires_at"] == "2098-12-31T22:00:00.000000Z"
    assert found["summary"].endswith("; it expires at 2098-12-31 22:00:00Z")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--not-before", "tomorrow", "neither a length of time from now, such as 2h or 1d12h, nor a moment"),
        (
            "--not-before",
            "2027-01-15T08:00:00",
            "has no time zone: end it with Z, or an offset",
        ),
        ("--expires-at", "2027-01-15", "has no time zone"),
        ("--warn-after", "soon", "is no length of time"),
        ("--priority", "urgent", "'urgent' is not one of 'interactive', 'normal', 'bulk'"),
        ("--max-attempts", "many", "'many' is not a valid integer"),
    ],
)
def test_option_that_cannot_be_read_is_a_usage_error(
    mailqueue: Command, option: str, value: str, told: str
) -> None:
    assert told in mailqueue.fails(2, "submit", option, value, input=LETTER)


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--not-before", "61d"], 3, "not_before: must be at most 60d ahead"),
        (["--expires-at", "2001-01-01T00:00:00Z"], 3, "expires_at: must be in the future"),
        (["--max-attempts", "0"], 3, "max_attempts: must be 1 to 1000000, not 0"),
        (["--transport", "refuze"], 4, "no transport 'refuze'; did you mean 'refuse'?"),
    ],
)
def test_option_that_cannot_be_is_refused(
    refusing: Command, options: list[str], status: int, told: str
) -> None:
    assert told in refusing.fails(status, "submit", *options, input=LETTER)


MOMENTS = [
    ("2h", timedelta(hours=2)),
    ("1d12h", timedelta(days=1.5)),
    ("2027-01-15T08:00:00Z", datetime(2027, 1, 15, 8, tzinfo=UTC)),
    ("2027-01-15T08:00:00.25+02:00", datetime(2027, 1, 15, 8, 0, 0, 250_000, timezone(timedelta(hours=2)))),
    ("2027-01-15 08:00Z", datetime(2027, 1, 15, 8, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "meant"), MOMENTS)
def test_moment_is_a_length_from_now_or_a_time_with_its_zone(text: str, meant: datetime | timedelta) -> None:
    assert values.moment(text) == meant
    assert values.moment(meant) == meant


@pytest.mark.parametrize("text", ["", "2", "-2h", "08:00", "2027-13-01T00:00:00Z", "now"])
def test_moment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        values.moment(text)


# --- submit-many ---------------------------------------------------------------------------------
def many(*items: dict[str, object]) -> str:
    return "".join(json.dumps({"message": LETTER, **item}) + "\n" for item in items)


def test_lines_of_many_take_the_same_options(refusing: Command) -> None:
    options = {name.removeprefix("--").replace("-", "_"): value for name, value in OPTIONS.items()}
    refusing("submit-many", input=many({**options, "max_attempts": 5, "require_tls": False}))
    found = refusing.json("show", 1)
    assert about(found["not_before"], 2)
    assert found["expires_at"] == "2098-12-31T22:00:00.000000Z"
    assert (found["warn_after"], found["max_attempts"]) == ("1h30m", 5)
    assert (found["priority"], found["transport"], found["require_tls"]) == ("interactive", "refuse", False)


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"not_before": "soon"}, "line 2: not_before: 'soon' is neither a length of time from now"),
        ({"warn_after": "soon"}, "line 2: warn_after: 'soon' is no length of time"),
        ({"not_before": 5}, "message 2: not_before is a datetime or a timedelta, not int"),
        ({"not_before": "61d"}, "message 2: not_before: must be at most 60d ahead"),
        ({"transport": "refuze"}, "message 2: no transport 'refuze'; did you mean 'refuse'?"),
        ({"priority": "urgent"}, "message 2: priority: must be one of interactive, normal, bulk"),
    ],
)
def test_line_with_an_option_that_cannot_be_is_told_by_its_number(
    refusing: Command, item: dict[str, object], told: str
) -> None:
    assert told in refusing.fails(3, "submit-many", input=many({}, item))
