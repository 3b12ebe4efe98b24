"""`incoming`: from a pipe, as a mail server calls it; lists; and what is shown of what came."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.bounces import bounce, complaint
from support.command import LETTER, Command, environment
from support.receiver import Receiver

from mailqueue.cli.root import cli


def pipe(*args: object, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `mailqueue incoming` as a mail server does."""
    command = [sys.executable, "-m", "mailqueue", *map(str, args)]
    return subprocess.run(command, input=input, capture_output=True, env=environment(), timeout=60)


@pytest.fixture
def sent(mailqueue: Command) -> Command:
    """A queue that has delivered a message, order-1."""
    with Receiver() as receiver:
        mailqueue("submit", "--envid", "order-1", input=LETTER)
        mailqueue("run", "--once", "--relay", f"127.0.0.1:{receiver.port}")
    return mailqueue


RAW = bounce("ann@example.net", envid="order-1")


def test_bounce_from_a_pipe_is_taken_with_status_0(sent: Command) -> None:
    done = pipe("--db", sent.db, "incoming", "--recipient", "shop@example.org", "--sender", "", input=RAW)
    assert (done.returncode, b"matched by  envid" in done.stdout) == (0, True), done
    [came] = sent.json("incoming", "list")["items"]
    assert (came["id"], came["kind"], came["messages"], came["recipient"]) == (
        1,
        "bounce",
        [1],
        "shop@example.org",
    )
    assert came["actor"].startswith("cli:")
    assert b"bounce came in, matched by envid" in done.stderr
    assert sent.json("show", 1)["feedback"] == "bounced"
    assert sent.json("incoming", "--recipient", "shop@example.org", input=RAW)["replayed"] is True


def test_take_may_be_named_or_not_wherever_the_common_options_stand(sent: Command) -> None:
    file = sent.db.with_name("bounce.eml")
    file.write_bytes(RAW)
    for words in (
        ["incoming", file],
        ["incoming", "take", file],
        ["incoming", "--json", file],
        ["incoming", "--db", sent.db, "take", file],
        ["incoming", f"--db={sent.db}", "--json", file],
    ):
        assert sent.run(*words).exit_code == 0, words
    assert len(sent.json("incoming", "--json", "list")["items"]) == 1
    assert "take in a message" in sent("incoming", "--help").lower()


def test_where_the_database_is_in_the_way_the_message_has_to_come_again(sent: Command) -> None:
    with closing(sqlite3.connect(sent.db)) as other:
        other.execute("UPDATE mailqueue_meta SET value = 99 WHERE key = 'schema'")
        other.commit()
    assert "newer" in sent.fails(75, "incoming", input=RAW)


@pytest.mark.parametrize(
    "args",
    [
        ["incoming", "--db", "not-there.db"],
        ["incoming"],  # no database is named
        ["--db", ".", "incoming"],  # a folder
        ["incoming", "--no-such-option"],
        ["incoming", "no-such-file"],
    ],
    ids=" ".join,
)
def test_whatever_is_wrong_with_the_call_the_message_has_to_come_again(args: list[str]) -> None:
    done = CliRunner().invoke(cli, args, input=RAW)
    assert (done.exit_code, done.stdout) == (75, "")
    assert done.stderr
    assert not any(Path().iterdir())


def test_null_sender_may_be_called_as_postfix_does(sent: Command) -> None:
    """From the null sender it is an automatic answer; from anybody else, ordinary mail."""
    for number, (sender, kind) in enumerate(
        [("", "auto-reply"), ("MAILER-DAEMON", "auto-reply"), ("a@example.net", "ordinary")]
    ):
        raw = f"From: a@example.net\nSubject: {number}\n\nThanks.\n"
        assert sent.json("incoming", "--sender", sender, input=raw)["kind"] == kind


def test_no_message_at_all_is_an_error_of_its_own(sent: Command) -> None:
    assert "there is no message" in sent.fails(65, "incoming")
    assert sent.json("incoming", "list")["items"] == []


def test_large_message_is_read_to_its_end_and_taken(sent: Command) -> None:
    done = pipe("--db", sent.db, "--json", "incoming", input=RAW + b"x" * 20_000_000)
    assert (done.returncode, json.loads(done.stdout)["size"]) == (0, 8 * 2**20)


def test_what_came_is_listed_and_shown_for_people_and_programs(sent: Command) -> None:
    sent("incoming", input=RAW)
    sent("incoming", "--recipient", "fbl@example.org", input=complaint("zoe@example.com"))
    assert sent("incoming", "list").splitlines()[0].split() == ["ID", "CAME", "KIND", "ABOUT", "BY"]
    assert [each["id"] for each in sent.json("incoming", "list", "--unmatched")["items"]] == [2]
    assert [each["id"] for each in sent.json("incoming", "list", "--account", "default")["items"]] == [1]
    page = sent.json("incoming", "list", "--limit", 1)
    assert [each["id"] for each in sent.json("incoming", "list", "--after", page["next"])["items"]] == [1]
    assert "more: --after 2" in sent("incoming", "list", "--limit", 1)
    told = sent("incoming", "show", 1)
    assert "message 1  failed: failed at mx.example.net: 550 5.1.1 no such user" in told
    assert "nothing: it is about no mail that is known here" in sent("incoming", "show", 2)
    assert sent.run("incoming", "show", 1, "--content").stdout_bytes == RAW
    document = sent.json("incoming", "show", 1)
    assert document["content"].encode() == RAW
    assert [(each["message_id"], each["event"]) for each in document["events"]] == [(1, "failed")]
    sent.fails(4, "incoming", "show", 9)


def test_message_shows_what_came_back(sent: Command) -> None:
    sent("incoming", input=RAW)
    assert re.search(r"feedback +bounced", sent("show", 1))
    assert re.search(r"feedback +bounced", sent("retired", "show", 1))
    lines = sent("timeline", 1).splitlines()
    assert any("incoming by cli:" in line and "bounce: ann@example.net failed" in line for line in lines)
    assert [each["what"] for each in sent.json("timeline", 1)["items"]][-2:] == ["incoming", "failed"]
