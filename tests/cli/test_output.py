"""How times, lengths of time and tables look to people."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailqueue.cli import output, values
from mailqueue.clock import from_datetime

NOW = datetime(2025, 11, 23, 12, 0, tzinfo=UTC)
MICROS = from_datetime(NOW)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (1.8, "2s"),
        (45, "45s"),
        (60, "1m"),
        (250, "4m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 29, "3h"),
        (3 * 3600 + 10 * 60, "3h10m"),
        (86400 - 20, "1d"),
        (2 * 86400 + 3 * 3600 + 60, "2d3h"),
    ],
)
def test_length_of_time_is_told_roughly(seconds: float, text: str) -> None:
    assert output.about(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12ms"), (3.44, "3.4s"), (59.94, "59.9s"), (125, "2m5s")]
)
def test_what_was_measured_is_told_finely(seconds: float, text: str) -> None:
    assert output.took(timedelta(seconds=seconds)) == text


def test_moment_is_told_relative_and_in_local_time() -> None:
    local = (NOW + timedelta(minutes=4)).astimezone()
    assert output.when(NOW + timedelta(minutes=4), MICROS) == f"in 4m, {local:%H:%M:%S}"
    other_day = (NOW - timedelta(days=3)).astimezone()
    assert output.when(NOW - timedelta(days=3), MICROS) == f"3d ago, {other_day:%b %d %H:%M}"
    assert output.when(NOW, MICROS).startswith("now, ")
    assert output.when(None, MICROS) == "-"


def test_moment_for_programs_is_rfc_3339_in_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=2)))
    assert output.rfc3339(east) == "2025-11-23T12:00:00.000000Z"
    assert output.rfc3339(None) is None


def test_table_fits_eighty_columns_with_reasons_below_and_names_cut_in_their_middle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.table(
        ("ID", "TO", "STATE", "TRIES", "NEXT", "LAST ERROR"),
        [
            (7, "ann@example.net", "queued", 2, "in 4m10s, 12:04:10", "451 4.7.1 Greylisted, try again " * 4),
            (1234567, "a-very-long-name@a-very-long-domain.example.net", "on hold", 0, "-", None),
        ],
    )
    assert capsys.readouterr().out.splitlines() == [
        "     ID  TO                                   STATE    TRIES  NEXT",
        "      7  ann@example.net                      queued       2  in 4m10s, 12:04:10",
        "    451 4.7.1 Greylisted, try again 451 4.7.1 Greylisted, try again 451 4.7.1",
        "      Greylisted, try again 451 4.7.1 Greylisted, try again",
        "1234567  a-very-long-name@…omain.example.net  on hold      0  -",
    ]


def test_text_below_a_row_is_cut_after_some_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("ID", "REASON"), [(1, "word " * 100)])
    head, row, *lines = capsys.readouterr().out.splitlines()
    assert (head, row) == ("ID", " 1")
    assert len(lines) == 3
    assert lines[0].startswith("    reason: word")
    assert lines[2].endswith(" …")
    assert max(map(len, lines)) <= 80


def test_line_is_broken_before_a_word_that_is_longer_than_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.wrapped(f"  to {'x' * 90} and more", 4)
    assert capsys.readouterr().out.splitlines() == [
        "  to",
        f"    {'x' * 76}",
        f"    {'x' * 14} and more",
    ]


def test_wide_letters_count_twice(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("ID", "TO", "LAST ERROR"), [(1, "例" * 60 + "@example.net", "語" * 50)])
    for each in capsys.readouterr().out.splitlines():
        assert len(each) + sum(letter in "例語" for letter in each) <= 80


def test_ids_are_whole_even_where_there_is_no_room_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    output.table(("ID", "TO", "STATE"), [(1234567, "ann@a-very-long-domain.example.net", "on hold")])
    assert "1234567" in capsys.readouterr().out


def test_piped_table_cuts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    long = "451 4.7.1 Greylisted, try again " * 20
    output.table(("ID", "LAST ERROR"), [(1, long)])
    assert long.strip() in capsys.readouterr().out


def test_what_a_server_or_a_sender_wrote_cannot_colour_the_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.table(("ID", "LAST ERROR"), [(1, "[red]550[/red] \x1b[2J :smile:")])
    output.details([("subject", "\x1b]0;title\x07 [bold]x[/bold]")])
    output.line("\x1b[31mred")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert r"[red]550[/red] \x1b[2J :smile:" in printed
    assert "[bold]x[/bold]" in printed


def test_empty_table_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("ID", "TO"), [])
    assert capsys.readouterr().out.split() == ["ID", "TO"]


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json(output.items([{"id": 1, "subject": "Größe"}], "cursor"))
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"items": [{"id": 1, "subject": "Größe"}], "next": "cursor"}
    assert "Größe" in printed


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("mail.example", "mail.example", None),
        ("mail.example:587", "mail.example", 587),
        ("192.0.2.1:25", "192.0.2.1", 25),
        ("[2001:db8::1]:25", "2001:db8::1", 25),
        ("[::1]", "::1", None),
        ("2001:db8::1", "2001:db8::1", None),
    ],
)
def test_host_and_port_are_told_apart(text: str, host: str, port: int | None) -> None:
    assert values.host_port(text) == values.HostPort(host, port)
