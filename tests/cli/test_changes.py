"""Whatever is done by hand is in the history, with who did it and why."""

from __future__ import annotations

import getpass
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cli.test_doors import COMMANDS, options
from support.command import Command
from support.trouble import in_trouble

from mailqueue.queue import Queue

NO_CHANGE = {
    *("submit", "submit-many", "run", "demo"),  # mail, which has a history of its own
    *("list", "status", "stats", "top", "show", "attempts", "timeline", "explain", "dump"),
    *("changes", "follow"),
    *("holdrules list", "holdrules show", "transport list", "route list", "shaping list", "shaping show"),
    *("destinations list", "destinations show", "schedule list", "schedule show", "replies list", "classify"),
    *("account list", "account show", "retired list", "retired show", "notice show"),
    *("plan", "domain list", "webhook endpoints", "webhook list", "webhook show", "webhook attempts"),
    *("webhook test", "webhook retired list", "webhook retired show"),
    *("suppress list", "suppress lookup", "suppress export", "incoming list", "incoming show"),
    *("incoming listen", "incoming take", "retired resend"),  # what comes in, and mail again
    *("dsn parse", "arf parse", "check-integrity"),
}
TELL_IN_WORDS = {"suppress add", "suppress remove", "suppress import", "retired purge"}
"""Their reason says what was done, too."""
TRIED_ELSEWHERE = {"suppress rejudge"}  # it needs evidence: tests/test_suppression.py
RELAY = "relay mx.example.net:25"
CHANGES: dict[str, str] = {
    "hold": "--all",
    "release": "2",
    "fail": "1",
    "drop": "--to ann@example.net",
    "reschedule": "1 --by 1h",
    "reroute": "1 --via out",
    "require-tls": "1 --value yes",
    "holdrules add": "--recipient-domain example.com",
    "holdrules remove": "1",
    "transport add": "new --kind direct",
    "transport set": "out --tls required",
    "transport remove": "spare",
    "route add": "out --account shop",
    "route remove": "1",
    "shaping add": "--connections 1",
    "shaping remove": "1",
    "destinations retry": RELAY,
    "schedule add": "quick 1m* --lifetime 1h",
    "replies add": "no.such --category mailbox_unknown",
    "replies remove": "1",
    "account add": "news",
    "account set": "shop --strict",
    "account remove": "spare",
    "domain set": "example.org --separator -",
    "domain remove": "example.com",
    "webhook set": "--url http://127.0.0.1:9/other",
    "webhook unset": "--account default",
    "webhook schedule": "2",
    "webhook cancel": "2",
    "webhook replay": "1",
    "suppress add": "new@example.net",
    "suppress remove": "old@example.net",
    "suppress import": "list.csv",
    "retired purge": "--state canceled",
    "migrate": "",
    "backup": "copy.db",
    "restore": "old.db --no-hold",
}
TOLD_OTHERWISE = {("require-tls", "yes"), ("webhook replay", "1")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A queue that has something of everything that may be changed."""
    path = tmp_path_factory.mktemp("changes") / "queue.db"
    with Queue(path) as queue:
        queue.transports.add("out", kind="direct")
        queue.transports.add("spare", kind="direct")
        queue.accounts.add("shop")
        queue.accounts.add("spare")
        queue.routes.add("out", account="shop")
        queue.hold_rules.add(sender="nobody@example.org")
        queue.shaping_rules.add(per_minute=1)
        queue.reply_rules.add("nothing", category="other")
        queue.sender_domains.set("example.com", separator="=")
        queue.webhooks.set(url="http://127.0.0.1:9/", new_secret=True, allow_private=True)
        for to in ("ann@example.net", "ben@example.net"):
            queue.submit(f"From: shop@example.org\nTo: {to}\n\nHello\n".encode())
        queue.suppressions.add("old@example.net")
        queue.drop(queue.submit(b"From: shop@example.org\nTo: carl@example.net\n\nHello\n").messages[0].id)
        queue.hold(2)
        queue.hold(1)
        queue.release(1)
        queue.webhooks.cancel(1)
        in_trouble(queue, RELAY)
        queue.backup(path.parent / "whole.db")
    return path.parent / "whole.db"


@pytest.fixture
def mailqueue(made: Path, tmp_path: Path) -> Command:
    command = Command(tmp_path / "queue.db")
    for name in ("queue.db", "old.db"):
        (tmp_path / name).write_bytes(made.read_bytes())
    return command


def test_every_verb_either_changes_nothing_or_is_tried_here() -> None:
    assert set(COMMANDS) == NO_CHANGE | set(CHANGES) | TRIED_ELSEWHERE


@pytest.mark.parametrize("verb", CHANGES)
def test_change_is_kept_with_who_made_it_and_why(mailqueue: Command, verb: str) -> None:
    said = next((each for each in ("--reason", "--note") if each in options(COMMANDS[verb])), None)
    if verb == "migrate":
        old = Path(__file__).parents[1] / "data/schema/1.sql"
        Path(mailqueue.db).unlink()
        with closing(sqlite3.connect(mailqueue.db)) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
            raw.executescript(old.read_text())
    before = [] if verb == "migrate" else mailqueue.json("changes")["items"]
    (mailqueue.db.parent / "list.csv").write_text("address\nlisted@example.net\n")
    mailqueue(*verb.split(), *CHANGES[verb].split(), *([said, "the boss said so"] if said else []))
    change, *others = mailqueue.json("changes")["items"]
    assert change["actor"] == f"cli:{getpass.getuser()}"
    assert others == before
    if verb in TELL_IN_WORDS:
        assert "the boss said so" in change["reason"] or not said
        return
    assert change["data"]["verb"] == verb
    assert change["reason"] == ("the boss said so" if said else None)
    for word in CHANGES[verb].split():
        if not word.startswith("-"):
            assert word in str(change["data"]) or (verb, word) in TOLD_OTHERWISE


def test_password_is_told_by_no_history(mailqueue: Command, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("Xyzzy-7\n")
    login = ("--username", "me", "--password-file", tmp_path / "secret")
    mailqueue("transport", "add", "in", "--kind", "submission", "--host", "smtp.example", *login)
    [change, *_] = mailqueue.json("changes")["items"]
    assert change["data"]["password"] == "not told"
    assert "Xyzzy" not in str(mailqueue.json("changes"))


def test_what_is_taken_away_is_kept_too(mailqueue: Command) -> None:
    mailqueue("transport", "set", "out", "--ca-file", "")
    [change, *_] = mailqueue.json("changes")["items"]
    assert change["data"] == {"verb": "transport set", "name": "out", "ca_file": ""}


def test_verb_that_is_refused_is_not_kept(mailqueue: Command) -> None:
    before = mailqueue.json("changes")["items"]
    mailqueue.fails(3, "transport", "remove", "out")
    mailqueue("hold", "1", "--dry-run")
    mailqueue("hold", "2")
    assert mailqueue.json("changes")["items"] == before


def test_changes_are_read_page_by_page_the_last_first(mailqueue: Command) -> None:
    for number in range(5):
        mailqueue("account", "add", f"a{number}", "--reason", f"reason {number}")
    page = mailqueue.json("changes", "--limit", 2)
    assert [each["reason"] for each in page["items"]] == ["reason 4", "reason 3"]
    second = mailqueue.json("changes", "--limit", 2, "--after", page["next"])
    assert [each["reason"] for each in second["items"]] == ["reason 2", "reason 1"]
    shown = mailqueue("changes", "--limit", 1)
    assert f"cli:{getpass.getuser()}  account add name=a4: reason 4" in " ".join(shown.split("\n    "))
    assert shown.splitlines()[-1] == f"more: --after {mailqueue.json('changes', '--limit', 1)['next']}"
    rest = mailqueue.json("changes", "--limit", 1000)
    assert rest["next"] is None
    assert [each["id"] for each in rest["items"]] == sorted(
        (each["id"] for each in rest["items"]), reverse=True
    )


@pytest.mark.parametrize("args", [("--after", "x"), ("--after", "-1"), ("--limit", 0), ("--limit", 1001)])
def test_page_of_changes_that_cannot_be_is_refused(mailqueue: Command, args: tuple[object, ...]) -> None:
    assert "must be" in mailqueue.fails(3, "changes", *args)
