"""Verbs on the command line that fail, drop, reschedule, reroute, and ask other TLS of messages."""

from __future__ import annotations

import pytest
from support.command import Command

VERBS = (
    ("hold",),
    ("release",),
    ("fail",),
    ("drop",),
    ("reschedule", "--at", "2h"),
    ("reroute", "--via", ""),
    ("require-tls", "--value", "no"),
)


@pytest.fixture
def full(mailqueue: Command) -> Command:
    mailqueue.submit("ann@example.net", "bob@example.com")
    mailqueue.submit("eve@example.net", sender="news@example.org")
    return mailqueue


def test_messages_are_failed_and_dropped_by_ids_from_standard_input(full: Command) -> None:
    done = full.json("fail", "-", "--reason", "a mistake", input="1 3\n")
    assert done == {"changed": 2, "unchanged": 0, "in_delivery": 0, "retired": []}
    assert full("drop", "2", "1") == "1 message dropped\nin the history, where nothing waits: 1\n"
    states = {each: full.json("retired", "show", each)["state"] for each in (1, 2, 3)}
    assert states == {1: "failed", 2: "canceled", 3: "failed"}


def test_messages_are_rescheduled_rerouted_and_asked_for_tls(full: Command) -> None:
    before = full.json("show", 1)["next_attempt_at"]
    assert full("reschedule", "--by", "2h", "1") == "1 message rescheduled\n"
    assert full.json("show", 1)["next_attempt_at"] > before
    assert full.json("reschedule", "--by=-1h", "--to", "@example.net")["changed"] == 2
    full("transport", "add", "relay", "--kind", "relay", "--host", "127.0.0.1")
    assert full("reroute", "--via", "relay", "--all") == "3 messages rerouted\n"
    assert full.json("show", 2)["transport"] == "relay"
    full("require-tls", "2", "--value", "yes")
    assert full.json("show", 2)["require_tls"] is True


@pytest.mark.parametrize("verb", VERBS, ids=lambda words: words[0])
def test_verb_asks_which_messages_and_shows_what_would_happen(full: Command, verb: tuple[str, ...]) -> None:
    assert "which messages?" in full.fails(2, *verb)
    before = full.json("list")
    told = full(*verb, "--all", "--dry-run").splitlines()
    assert told[0].startswith("3 messages would be ")
    assert told[1].split()[0] == "1"
    found = full.json(*verb, "--to", "@example.net", "--dry-run")
    assert (found["changed"], found["preview"]["messages"]) == (0, 2)
    assert [each["id"] for each in found["preview"]["sample"]] == [1, 3]
    assert full.json("list") == before


def test_time_is_given_in_one_way(full: Command) -> None:
    assert "--at or --by" in full.fails(2, "reschedule", "1")
    assert "--at or --by" in full.fails(2, "reschedule", "1", "--at", "2h", "--by", "2h")
