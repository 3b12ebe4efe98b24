"""Limits and destinations in trouble, at the command line: `shaping`, `destinations`, and what waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.command import Command
from support.trouble import blocked, in_trouble

from mailqueue.clock import MINUTE
from mailqueue.queue import Queue

RELAY = "relay mx.example.net:25"
LONG = "direct " + ",".join(f"mx{n}.mail.protection.example.com" for n in range(4))


@pytest.fixture
def queue(mailqueue: Command) -> Iterator[Queue]:
    """The queue of the command, by its other door."""
    with Queue(mailqueue.db) as opened:
        yield opened


# --- shaping -------------------------------------------------------------------------------------
def test_shaping_rule_is_made_listed_shown_and_removed(mailqueue: Command) -> None:
    mailqueue("transport", "add", "out", "--kind", "direct")
    limits = {"connections": 2, "per-connection": 20, "per-minute": 60, "position": 5}
    options = [word for name, value in limits.items() for word in (f"--{name}", value)]
    criteria = ["--transport", "out", "--domain", "Example.NET", "--mx", ".protection.example.com"]
    made = mailqueue.json("shaping", "add", *criteria, *options, "--reason", "they asked for it")
    assert made == {
        "id": 1,
        "position": 5,
        "transport": "out",
        "domain": "example.net",
        "mx": ".protection.example.com",
        "connections": 2,
        "per_connection": 20,
        "per_minute": 60,
        "reason": "they asked for it",
        "actor": made["actor"],
        "created_at": made["created_at"],
    }
    assert made["actor"].startswith("cli:")
    told = mailqueue("shaping", "add", "--connections", 1)
    assert told == "shaping rule 2: all mail: 1 connection at once\n"
    assert [each["id"] for each in mailqueue.json("shaping", "list")["items"]] == [2, 1]
    assert mailqueue.json("shaping", "show", 1) == made
    shown = mailqueue("shaping", "show", 1)
    assert "transport=out domain=example.net mx=.protection.example.com" in shown
    assert "2 connections at once, 20 transactions on each, 60 messages a minute" in " ".join(shown.split())
    assert mailqueue.json("shaping", "remove", 1) == {**made, "removed": True}
    assert mailqueue("shaping", "remove", 2) == "shaping rule 2 is gone\n"
    assert mailqueue.json("shaping", "list")["items"] == []
    assert "no shaping rule 2" in mailqueue.fails(4, "shaping", "remove", 2)


@pytest.mark.parametrize(
    ("args", "status", "told"),
    [
        ((), 3, "needs a limit"),
        (("--connections", 0), 3, "connections: must be 1"),
        (("--per-minute", "-5"), 3, "per-minute: must be 1"),
        (("--connections", 1, "--domain", "a b"), 3, "domain: 'a b': "),
        (("--connections", 1, "--transport", "out"), 4, "no transport 'out'"),
        (("--connections", "many"), 2, "not a valid integer"),
    ],
)
def test_shaping_rule_that_cannot_be_is_refused(
    mailqueue: Command, args: tuple[object, ...], status: int, told: str
) -> None:
    assert told in mailqueue.fails(status, "shaping", "add", *args)
    assert mailqueue.json("shaping", "list")["items"] == []


def test_tables_of_limits_and_of_trouble_fit_eighty_columns(mailqueue: Command, queue: Queue) -> None:
    text = "a reason that is rather longer than there is room for in a table"
    mailqueue("shaping", "add", "--mx", ".protection.example.com", "--per-minute", 100_000, "--reason", text)
    in_trouble(queue, LONG, failures=17, last_error=text)
    for verb in ("shaping", "destinations"):
        lines = mailqueue(verb, "list").splitlines()
        assert all(len(line) <= 80 for line in lines), lines
        assert text in lines[-1]


# --- destinations --------------------------------------------------------------------------------
def test_destination_in_trouble_is_listed_shown_and_tried_again(mailqueue: Command, queue: Queue) -> None:
    mailqueue.submit("ann@example.net", "bob@example.net", "cat@example.com")
    in_trouble(queue, RELAY, since_at=queue.clock.now() - 12 * MINUTE, blocked_until=_in(queue, 4))
    blocked(queue, RELAY, "example.net", "example.com", minutes=4)
    [found] = mailqueue.json("destinations", "list")["items"]
    assert found == mailqueue.json("destinations", "show", RELAY)
    assert found == {
        "name": RELAY,
        "failures": 3,
        "since_at": found["since_at"],
        "blocked_until": found["blocked_until"],
        "canary_at": None,
        "last_error": "451 4.4.1 no connection",
        "lanes": 2,
        "messages": 3,
    }
    _, row, error = mailqueue("destinations", "list").splitlines()
    assert all(told in row for told in (RELAY, "12m ago", "in 4m"))
    assert error == "    451 4.4.1 no connection"
    shown = mailqueue("destinations", "show", *RELAY.split())
    assert "3 messages in 2 lanes" in shown
    assert "3 in a row" in shown
    assert mailqueue("destinations", "retry", *RELAY.split()) == f"{RELAY}: its mail is due now\n"
    done = mailqueue.json("destinations", "retry", RELAY)
    assert (done["blocked_until"], done["lanes"], done["failures"]) == (None, 0, 3)
    assert "now" in mailqueue("destinations", "list")


def _in(queue: Queue, minutes: int) -> int:
    return queue.clock.now() + minutes * MINUTE


def test_message_that_is_trying_a_destination_is_told_of(mailqueue: Command, queue: Queue) -> None:
    in_trouble(queue, RELAY, blocked_until=_in(queue, -1), canary_at=_in(queue, -1))
    assert "under way" in mailqueue("destinations", "list")
    assert "one message, since 1m ago" in mailqueue("destinations", "show", RELAY)


def test_destination_that_is_well_again_is_shown_and_not_listed(mailqueue: Command, queue: Queue) -> None:
    in_trouble(queue, RELAY, failures=0, blocked_until=None)
    assert mailqueue.json("destinations", "list")["items"] == []
    assert mailqueue("destinations", "show", RELAY).splitlines()[1].startswith("well")


def test_destination_of_which_nothing_is_known_is_not_found(mailqueue: Command, queue: Queue) -> None:
    in_trouble(queue, RELAY)
    for verb in ("show", "retry"):
        assert f"did you mean '{RELAY}'" in mailqueue.fails(4, "destinations", verb, "relay", "mx.example:25")


# --- messages ------------------------------------------------------------------------------------
def test_message_that_waits_for_a_destination_says_so_wherever_it_is_shown(
    mailqueue: Command, queue: Queue
) -> None:
    mailqueue("transport", "add", "relay", "--host", "mx.example.net")
    [first, held] = mailqueue.submit("ann@example.net", "bob@example.net")
    mailqueue("hold", held)
    in_trouble(queue, RELAY, blocked_until=_in(queue, 4))
    blocked(queue, RELAY, "example.net", minutes=4)
    one, other = mailqueue.json("list")["items"]
    assert one["blocked_by"] == other["blocked_by"] == RELAY
    assert one["blocked_until"] == one["next_attempt_at"] == mailqueue.json("show", first)["blocked_until"]
    rows = mailqueue("list").splitlines()
    assert "blocked" in rows[1]
    assert "in 4m" in rows[1]
    assert rows[2] == f"    waits for {RELAY}"
    assert "on hold" in rows[3]
    assert f"{RELAY}, until in 4m" in mailqueue("show", first)
    told = " ".join(mailqueue("explain", first).split())
    assert f"destination {RELAY} in trouble since" in told
    assert f"opened by: mailqueue destinations retry '{RELAY}'" in told
    queue.destinations.retry(RELAY)
    assert mailqueue.json("show", first)["blocked_by"] is None
    assert "queued" in mailqueue("list").splitlines()[1]
