"""The queue in numbers, by Python and at the command line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.command import Command
from support.receiver import Receiver
from support.stage import Stage

from mailqueue.cli import output
from mailqueue.clock import HOUR
from mailqueue.errors import SettingError
from mailqueue.model.attempt import Category
from mailqueue.model.events import EventKind
from mailqueue.model.lifecycle import State
from mailqueue.model.stats import AGES, Stats


@pytest.fixture
def mailqueue(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "80")
    return Command(Path(stage.queue.path))


def ages(found: Stats) -> dict[str, dict[str, int]]:
    return {
        each.domain: {age: count for age, count in zip(AGES, each.ages, strict=True) if count}
        for each in found.domains
    }


def test_mail_that_waits_is_told_by_domain_and_age(stage: Stage) -> None:
    for hours, count in ((50, 1), (30, 2), (9, 3), (5, 4), (3, 5), (1, 6), (0, 7)):
        submitted = stage.clock.now()
        stage.clock.advance(-hours * HOUR)
        stage.submit(*(f"{hours}-{each}@old.example" for each in range(count)))
        stage.clock.advance(submitted - stage.clock.now())
    stage.submit("a@new.example")
    stage.queue.hold(recipient="a@new.example")
    found = stage.queue.stats()
    assert ages(found) == {
        "old.example": {"<1h": 7, "1-2h": 6, "2-4h": 5, "4-8h": 4, "8-24h": 3, "1-2d": 2, ">2d": 1},
        "new.example": {"<1h": 1},
    }
    assert (found.queued, found.claimed, found.held, found.domains_in_all) == (29, 0, 1, 2)
    assert stage.queue.stats(limit=1).domains == found.domains[:1]
    assert stage.queue.stats(limit=1).domains_in_all == 2


def test_what_happened_and_what_went_wrong_is_told(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.submit("ann@example.net", "unknown@example.net", "greylist@example.net", "greylist@example.com")
    stage.deliver()
    found = stage.queue.stats()
    assert found.submitted == 4
    assert found.retired == {State.DELIVERED: 1, State.FAILED: 1}
    assert found.events[EventKind.DELIVERED] == 1
    [hour] = found.hours
    assert (hour.submitted, hour.delivered, hour.failed) == (4, 1, 1)
    assert [(each.category, each.code, each.enhanced, each.times) for each in found.errors] == [
        (Category.GREYLISTED, 451, "4.7.1", 2),
        (Category.MAILBOX_UNKNOWN, 550, "5.1.1", 1),
    ]
    stage.clock.advance(timedelta(hours=3))
    assert stage.queue.stats(hours=1).submitted == 0
    assert stage.queue.stats(hours=4).submitted == 4


@pytest.mark.parametrize("given", [{"hours": 0}, {"hours": 745}, {"limit": 0}, {"limit": 1001}])
def test_numbers_that_cannot_be_are_refused(stage: Stage, given: dict[str, int]) -> None:
    with pytest.raises(SettingError, match="must be 1 to"):
        stage.queue.stats(**given)


def test_statistics_are_readable_at_80_columns(stage: Stage, mailqueue: Command) -> None:
    stage.relay(1)
    names = (f"a-rather-long-name-{each}.subdomain-of-somebody.example" for each in range(30))
    stage.submit(*(f"{each}@{name}" for name in names for each in range(2)))
    stage.deliver()
    with closing(sqlite3.connect(stage.queue.path)) as raw:
        raw.execute("UPDATE mailqueue_waiting SET messages = messages * 1234567")
        raw.commit()
        shown = mailqueue("stats", "--limit", 5)
        raw.execute("UPDATE mailqueue_waiting SET messages = messages / 1234567")
        raw.commit()
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "60 queued, 0 held" in shown
    for text in (
        "DOMAIN",
        "2,469,134",
        "2.5M",
        "and 25 more domains",
        "network",
        "4.4.1",
        "relay 127.0.0.1:1",
    ):
        assert text in shown
    told = mailqueue.json("stats", "--limit", 5)
    assert told["queued"] == 60
    assert len(told["domains"]) == 5
    assert list(told["domains"][0]["ages"]) == list(AGES)
    assert told["destinations"][0]["name"] == "relay 127.0.0.1:1"
    assert told["errors"][0]["category"] == "network"


def test_top_tells_a_block_for_each_look_with_rates_from_the_second_on(
    stage: Stage, mailqueue: Command
) -> None:
    stage.submit("ann@example.net")
    shown = mailqueue("top", "--interval", "0.1", "--count", 2)
    assert shown.count("1 queued, 0 held") == 2
    assert shown.count("no rates yet") == 1
    assert "0.0 submitted/s, 0.0 delivered/s, 0.0 failed/s" in shown


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0"), (9999, "9999"), (10_000, "10k"), (999_000, "999k"), (1_234_567, "1.2M"), (2 * 10**10, "20G")],
)
def test_large_counts_are_told_roughly_where_there_is_little_room(count: int, told: str) -> None:
    assert output.short(count) == told
