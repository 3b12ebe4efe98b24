"""Sending retired messages anew and purging them, on the command line."""

from __future__ import annotations

import pytest
from support.command import Command


@pytest.fixture
def done(mailqueue: Command) -> Command:
    """Three messages that failed, and one that waits."""
    mailqueue.submit("ann@example.net", "bob@example.com")
    mailqueue.submit("eve@example.net", sender="news@example.org")
    mailqueue("fail", "--all")
    mailqueue.submit("zoe@example.net")
    return mailqueue


def test_retired_messages_are_sent_anew_by_ids_from_standard_input(done: Command) -> None:
    found = done.json("retired", "resend", "-", "4", "--reason", "again", input="1 3\n")
    assert (found["sent"], found["queued"]) == (2, [4])
    assert found["messages"] == [{"id": 1, "sent_as": 5}, {"id": 3, "sent_as": 6}]
    assert (found["gone"], found["purged"], found["refused"], found["refusal"]) == (0, [], 0, None)
    told = done("retired", "resend", "--to", "bob@example.com")
    assert told == "1 message sent anew\n  2 as 7\n"
    assert "sent anew as message 5: again" in done("timeline", 1)
    assert "message 1 sent anew: again" in done("timeline", 5)


def test_message_without_content_is_not_sent_anew(done: Command) -> None:
    done("account", "set", "default", "--keep-content", "0s")
    done("fail", "4")
    done("run", "--once")
    told = done("retired", "resend", "4").splitlines()
    assert told[:2] == ["0 messages sent anew", "1 not: the content has been purged"]
    assert told[2].startswith("  4 at 2")
    [purged] = done.json("retired", "resend", "4")["purged"]
    assert purged["id"] == 4


def test_only_the_first_of_many_messages_are_told_one_by_one(done: Command) -> None:
    done.submit(*(f"u{number}@example.org" for number in range(12)))
    done("fail", "--to", "@example.org")
    told = done("retired", "resend", "--to", "@example.org").splitlines()
    assert told[0] == "12 messages sent anew"
    assert len(told) == 12
    assert told[-1] == "  and 2 more"


def test_retired_messages_are_purged(done: Command) -> None:
    assert done("retired", "purge", "2", "4") == "1 message purged\nin the queue, and not in the history: 4\n"
    assert done.json("retired", "purge", "--to", "@example.net") == {"messages": 2, "queued": []}
    assert done.json("retired", "list")["items"] == []
    assert done.json("list")["items"][0]["id"] == 4


@pytest.mark.parametrize("verb", ["resend", "purge"])
def test_verb_of_the_history_asks_which_messages_and_shows_what_would_happen(
    done: Command, verb: str
) -> None:
    assert "which messages?" in done.fails(2, "retired", verb)
    assert "--all goes with none" in done.fails(2, "retired", verb, "--all", "1")
    assert done.fails(4, "retired", verb, "99") == "mailqueue: there is no message 99\n"
    before = done.json("retired", "list")
    told = done("retired", verb, "--all", "--dry-run").splitlines()
    assert told[0].startswith("3 messages would be ")
    found = done.json("retired", verb, "--to", "@example.net", "--dry-run")
    assert [each["id"] for each in found["preview"]["sample"]] == [3, 1]
    assert done.json("retired", "list") == before


@pytest.mark.parametrize(("verb", "told"), [("resend", "3 of 3"), ("purge", "3")])
def test_progress_is_told_where_it_is_asked_for(done: Command, verb: str, told: str) -> None:
    assert done.run("retired", verb, "1", "--no-progress").stderr == ""
    done("fail", "--all")
    assert (
        done.run("retired", verb, "2", "3", "4", "--progress").stderr
        == f"mailqueue: {told} messages looked at\n"
    )
