"""What replies mean, at the command line: `classify`, and own rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.command import Command

from mailqueue.cli.root import cli


def test_classify_says_what_a_reply_means_and_which_rule_says_so(mailqueue: Command) -> None:
    told = mailqueue("classify", "550 5.7.1 Greylisted, come back")
    assert "greylisted (rule about texts)" in told
    assert "temporary: tried again, against its code" in told
    assert "RFC 6647" in told
    assert mailqueue.json("classify", "550 5.7.1 Greylisted, come back") == {
        "reply": "550 5.7.1 Greylisted, come back",
        "category": "greylisted",
        "permanent": False,
        "overrides_code": True,
        "scope": "recipient",
        "status": "4.7.1",
        "kind": "text",
        "rule": "greylisted",
        "note": "greylisted: strangers have to come twice",
        "source": "RFC 6647; Postgrey, SQLgrey, milter-greylist, Exim, rspamd",
    }


def test_classify_reads_a_reply_of_many_lines_from_standard_input(mailqueue: Command) -> None:
    said = "550-5.1.1 The email account that you tried to reach does not exist.\n550 5.1.1 Go away\n"
    found = mailqueue.json("classify", "-", input=said)
    assert (found["category"], found["kind"]) == ("mailbox_unknown", "text")
    assert found["reply"] == said.strip()


def test_what_was_answered_matters(mailqueue: Command) -> None:
    assert mailqueue.json("classify", "550 nope")["category"] == "mailbox_unknown"
    found = mailqueue.json("classify", "550 nope", "--phase", "mail")
    assert (found["category"], found["kind"], found["scope"]) == ("policy", "code", "message")
    assert mailqueue.json("classify", "554 nope", "--phase", "greeting")["scope"] == "host"


@pytest.mark.parametrize("text", ["hello", "250 ok", "", "354 go", "550-half"])
def test_what_is_no_refusal_cannot_be_classified(mailqueue: Command, text: str) -> None:
    assert "reply" in mailqueue.fails(3, "classify", text)


def test_own_rule_is_made_listed_asked_and_removed(mailqueue: Command) -> None:
    made = mailqueue.json(
        "replies",
        "add",
        "Corp Gateway",
        "--category",
        "policy",
        "--code",
        "4??",
        "--permanent",
        "--note",
        "ours",
    )
    assert {**made, "created_at": None} == {
        "id": 1,
        "position": 0,
        "pattern": "Corp Gateway",
        "code": "4??",
        "category": "policy",
        "permanent": True,
        "note": "ours",
        "actor": made["actor"],
        "created_at": None,
    }
    assert made["actor"].startswith("cli:")
    assert mailqueue.json("replies", "list")["items"] == [made]
    assert "Corp Gateway" in mailqueue("replies", "list")
    found = mailqueue.json("classify", "450 greylisted by corp gateway")
    assert (found["kind"], found["rule"], found["category"], found["permanent"]) == (
        "own",
        "1",
        "policy",
        True,
    )
    assert mailqueue.json("classify", "550 greylisted by corp gateway")["kind"] == "text"
    assert "reply rule 1 is gone" in mailqueue("replies", "remove", 1)
    assert mailqueue.json("classify", "450 greylisted by corp gateway")["kind"] == "text"
    assert "reply rule 1" in mailqueue.fails(4, "replies", "remove", 1)


def test_own_rules_are_listed_as_they_are_asked(mailqueue: Command) -> None:
    for pattern, position in (("b", 1), ("a", 0), ("c", 1)):
        assert "as its code says" in mailqueue(
            "replies", "add", pattern, "--category", "other", "--position", position
        )
    assert [each["pattern"] for each in mailqueue.json("replies", "list")["items"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("(",), "no regular expression"),
        (("(a+)+$",), "take too long"),
        ((".*",), "matches every reply"),
        (("x", "--code", "250"), "code: must be"),
        (("x", "--code", "fifty"), "code: must be"),
    ],
)
def test_rule_that_cannot_be_is_refused_with_its_name_and_not_stored(
    mailqueue: Command, args: tuple[str, ...], told: str
) -> None:
    assert told in mailqueue.fails(3, "replies", "add", *args, "--category", "policy")
    assert json.loads(mailqueue("replies", "list", "--json"))["items"] == []


def test_classify_needs_no_database_and_makes_none(tmp_path: Path) -> None:
    alone = Command(tmp_path / "none.db")
    assert alone.json("classify", "450 Greylisted")["category"] == "greylisted"
    assert not alone.db.exists()
    done = CliRunner().invoke(cli, ["classify", "550 5.1.1 no"])
    assert done.exit_code == 0
    assert "mailbox_unknown" in done.stdout
