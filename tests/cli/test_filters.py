"""Filters on the command line: the same words for lists, counts, holds and releases."""

from __future__ import annotations

import pytest
from support.command import Command
from support.receiver import Receiver

LIST = (("list",), ("retired", "list"))
BULK = (("hold",), ("release",))


@pytest.fixture
def full(mailqueue: Command) -> Command:
    mailqueue.submit("ann@example.net", "bob@example.com")
    mailqueue.submit("eve@example.net", sender="news@example.org")
    return mailqueue


def ids(mailqueue: Command, *words: str) -> list[int]:
    return [each["id"] for each in mailqueue.json("list", *words)["items"]]


def test_list_takes_every_filter(full: Command) -> None:
    assert ids(full, "--to", "@example.net") == [1, 3]
    assert ids(full, "--to", "@example.net", "--from", "news@example.org") == [3]
    assert ids(full, "--subject", "ORDER", "--id", "s1") == [1, 2]
    assert ids(full, "--id", "3", "--id", "1") == [1, 3]
    assert ids(full, "--submitted", ">-1h <now", "--hold", "no", "--state", "queued") == [1, 2, 3]
    assert ids(full, "--submitted", "<-1h") == []
    assert ids(full, "--text", "on its way", "--account", "default", "--priority", "normal") == [1, 2, 3]
    assert ids(full, "--next-attempt", ">now", "--transport", "", "--category", "dns") == []
    assert ids(full, "--message-id", full.json("show", 3)["message_id"].strip("<>")) == [3]
    assert ids(full, "--event", "held", "--destination", "x", "--retired", "<now") == []


def test_list_is_sorted_and_counted(full: Command) -> None:
    assert ids(full, "--sort", "-submitted") == [3, 2, 1]
    assert ids(full, "--sort=recipient") == [2, 1, 3]
    assert full("list", "--count", "--to", "@example.net") == "2 messages\n"
    assert full.json("list", "--count") == {"count": 3}
    assert full.json("retired", "list", "--count") == {"count": 0}


def test_list_takes_ids_from_standard_input(full: Command) -> None:
    found = full.json("list", "--id", "-", input="3\ns1\n")["items"]
    assert [each["id"] for each in found] == [1, 2, 3]
    assert full.json("list", "--id", "-", input="")["items"] == []


def test_hold_and_release_take_filters_with_ids_or_without(full: Command) -> None:
    assert full.json("hold", "--to", "@example.net")["changed"] == 2
    assert ids(full, "--hold", "yes") == [1, 3]
    assert full.json("release", "-", "--from", "news@example.org", input="1 3")["changed"] == 1
    assert ids(full, "--hold", "yes") == [1]
    assert "1 message released" in full("release", "--text", "order", "--hold", "yes")


def test_history_takes_filters(full: Command, receiver: Receiver) -> None:
    full("run", "--once", "--relay", f"127.0.0.1:{receiver.port}")
    found = full.json(
        "retired", "list", "--state", "delivered", "--to", "@example.net", "--sort", "submitted"
    )
    assert [(each["id"], each["category"]) for each in found["items"]] == [(1, "ok"), (3, "ok")]
    assert full.json("retired", "list", "--count", "--event", "delivered") == {"count": 3}


@pytest.mark.parametrize("verb", [*LIST, *BULK], ids=" ".join)
@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--from", "ann", "@example.net for a whole domain"),
        ("--to", "", "@example.net for a whole domain"),
        ("--submitted", "yesterday", "give < (before)"),
        ("--next-attempt", "<-1x", "no length of time"),
        ("--hold", "maybe", "must be yes or no"),
        ("--state", "faild", "did you mean failed?"),
        ("--category", "greylist", "did you mean greylisted?"),
        ("--event", "hold", "did you mean held?"),
        ("--priority", "high", "must be one of interactive"),
        ("--text", " ", "blank"),
    ],
)
def test_bad_value_names_the_option_the_value_and_what_would_be_right(
    full: Command, verb: tuple[str, ...], option: str, value: str, told: str
) -> None:
    error = " ".join(full.fails(2, *verb, option, value).split())
    assert f"'{option}'" in error
    assert repr(value) in error
    assert told in error
    assert ids(full, "--hold", "yes") == []


@pytest.mark.parametrize("verb", LIST, ids=" ".join)
def test_order_that_there_is_not_is_refused(full: Command, verb: tuple[str, ...]) -> None:
    assert "must be one of submitted" in full.fails(2, *verb, "--sort", "id")


def test_page_that_ends_early_says_so(full: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailqueue.store.lists.LOOK", 2)
    monkeypatch.setattr("mailqueue.store.lists.FEW", 1)
    told = full("list", "--subject", "nobody")
    assert "looked at 2 messages; more: --after " in told
    cursor = told.partition("--after ")[2].split()[0]
    assert "more:" not in full("list", "--subject", "nobody", "--after", cursor)
    assert "not a cursor" in full.fails(3, "list", "--after", cursor[:-3])
