"""Verbs about what decides: hold rules, transports, routes, schedules, accounts; and care of the file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.command import LETTER, Command

from mailqueue.store.schema import VERSION


def test_hold_rule_holds_new_mail_and_mail_in_the_queue(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net")
    made = mailqueue.json("holdrules", "add", "--recipient-domain", "example.net", "--reason", "audit")
    assert (made["id"], made["recipient_domain"], made["reason"]) == (1, "example.net", "audit")
    assert "message 2  bob@example.net  on hold" in mailqueue(
        "submit", "--to", "bob@example.net", input=LETTER
    )
    assert [each["hold"] for each in mailqueue.json("list")["items"]] == [True, True]
    assert mailqueue.json("show", 1)["holds"][0]["rule_id"] == 1
    assert "by rule 1" in mailqueue("show", 1)
    assert mailqueue.json("holdrules", "show", 1)["held"] == 2
    assert "2 messages" in mailqueue("holdrules", "show", 1)
    mailqueue("release", 1)
    assert "1 message\n" in mailqueue("holdrules", "show", 1)


def test_hold_rules_are_listed_shown_and_removed(mailqueue: Command) -> None:
    mailqueue("account", "add", "shop")
    criteria = {
        "account": "shop",
        "sender-domain": "example.org",
        "sender": "shop@example.org",
        "recipient-domain": "example.net",
        "recipient": "ann@example.net",
    }
    options = [word for name, value in criteria.items() for word in (f"--{name}", value)]
    mailqueue("holdrules", "add", *options)
    mailqueue("holdrules", "add", "--reason", "stop everything")
    rules = mailqueue.json("holdrules", "list")
    assert rules["next"] is None
    assert {name: rules["items"][0][name.replace("-", "_")] for name in criteria} == criteria
    listed = mailqueue("holdrules", "list")
    assert "account=shop" in listed
    assert "all mail" in listed
    assert "stop everything" in mailqueue("holdrules", "show", 2)
    assert mailqueue.json("holdrules", "remove", 2)["id"] == 2
    assert "hold rule 1 is gone" in mailqueue("holdrules", "remove", 1)
    assert mailqueue.json("holdrules", "list")["items"] == []
    mailqueue.fails(4, "holdrules", "show", 1)


def test_first_transport_is_the_default_until_another_is_named(mailqueue: Command) -> None:
    assert "no transport" in mailqueue("transport", "list")
    made = mailqueue.json(
        "transport", "add", "relay1", "--kind", "relay", "--host", "mail.example", "--port", 2525
    )
    assert made == {
        "id": made["id"],
        "name": "relay1",
        "kind": "relay",
        "host": "mail.example",
        "port": 2525,
        "tls": "opportunistic",
        "username": None,
        "password": False,
        "auth": None,
        "ca_file": None,
        "allow_private": False,
        "reply": None,
        "default": True,
    }
    mailqueue("transport", "add", "mx", "--kind", "direct", "--allow-private", "--default")
    mailqueue("transport", "add", "no", "--reply", "550 5.7.1 not from here")
    found = {each["name"]: each for each in mailqueue.json("transport", "list")["items"]}
    assert [name for name, each in found.items() if each["default"]] == ["mx"]
    assert found["no"]["kind"] == "fail"
    listed = mailqueue("transport", "list")
    assert "mail.example:2525" in listed
    assert "answers 550 5.7.1 not from here" in listed


def test_transport_is_changed_in_part_and_removed(mailqueue: Command) -> None:
    assert mailqueue.json("transport", "add", "a", "--host", "[2001:db8::1]:26")["host"] == "2001:db8::1"
    changed = mailqueue.json("transport", "set", "a", "--host", "mail.example", "--tls", "none")
    assert (changed["host"], changed["port"], changed["tls"]) == ("mail.example", 26, "none")
    mailqueue("transport", "add", "b", "--kind", "direct")
    assert mailqueue.json("transport", "set", "b", "--allow-private", "--default")["allow_private"]
    assert not mailqueue.json("transport", "set", "b", "--refuse-private")["allow_private"]
    assert mailqueue.json("transport", "remove", "a") == {"name": "a", "removed": True}
    mailqueue.fails(4, "transport", "remove", "a")


@pytest.mark.parametrize(
    ("status", "args", "told"),
    [
        (2, ["out"], "which kind?"),
        (2, ["out", "--kind", "pigeon"], "pigeon"),
        (2, ["out", "--host", "a:b:c d"], "is not HOST or HOST:PORT"),
        (2, ["out", "--host", "a:25", "--port", "26"], "--host says port 25, and --port 26"),
        (3, ["out", "--kind", "relay"], "host"),
        (3, ["out", "--kind", "direct", "--host", "a.example"], "host"),
        (3, ["out", "--kind", "fail", "--reply", "nonsense"], "reply"),
        (3, ["out", "--host", "a.example", "--port", "70000"], "port"),
    ],
)
def test_transport_that_cannot_be_is_refused(
    mailqueue: Command, status: int, args: list[str], told: str
) -> None:
    assert told in mailqueue.fails(status, "transport", "add", *args)
    assert mailqueue.json("transport", "list")["items"] == []


def test_routes_are_listed_in_the_order_in_which_they_are_tried(mailqueue: Command) -> None:
    mailqueue("transport", "add", "a", "--kind", "direct")
    mailqueue("route", "add", "a", "--recipient-domain", ".example.net", "--position", 5)
    made = mailqueue.json("route", "add", "a", "--sender-domain", "Bücher.example")
    assert made["sender_domain"] == "xn--bcher-kva.example"
    assert [each["id"] for each in mailqueue.json("route", "list")["items"]] == [2, 1]
    assert ".example.net" in mailqueue("route", "list")
    mailqueue.fails(3, "transport", "remove", "a")
    assert mailqueue.json("route", "remove", 1) == {"id": 1, "removed": True}
    mailqueue.fails(4, "route", "remove", 1)
    mailqueue.fails(4, "route", "add", "b")


def test_route_for_an_account_and_for_what_has_failed_says_so(mailqueue: Command) -> None:
    mailqueue("transport", "add", "out", "--kind", "direct")
    mailqueue("account", "add", "shop")
    mailqueue("route", "add", "out", "--position", -9)
    told = mailqueue("route", "add", "out", "--account", "shop", "--min-attempts", 3)
    assert "route 2: mail of shop from any to any after 3 failed attempts by out" in told
    first, second = mailqueue.json("route", "list")["items"]
    assert (first["id"], first["account"], first["min_attempts"]) == (2, "shop", 3)
    assert (second["id"], second["account"], second["min_attempts"]) == (1, None, 0)
    assert "shop" in mailqueue("route", "list")
    assert "min-attempts" in mailqueue.fails(3, "route", "add", "out", "--min-attempts", -1)
    assert "nobody" in mailqueue.fails(4, "route", "add", "out", "--account", "nobody")
    assert len(mailqueue.json("route", "list")["items"]) == 2


def test_schedule_is_made_in_its_readable_form_and_shows_its_times(mailqueue: Command) -> None:
    made = mailqueue.json("schedule", "add", "quick", "1m, 5m*; greylisted: 30s", "--lifetime", "12m")
    assert made == {
        "name": "quick",
        "delays": "1m, 5m*; greylisted: 30s",
        "lifetime": "12m",
        "warn_after": None,
        "shipped": False,
        "times": ["0s", "1m", "6m", "11m"],
    }
    assert mailqueue.json("schedule", "show", "quick") == made
    mailqueue("schedule", "add", "words", "1m,", "1h*", "--lifetime", "1d", "--warn-after", "2h")
    names = [each["name"] for each in mailqueue.json("schedule", "list")["items"]]
    assert names == ["standard", "transactional", "otp", "reference", "quick", "words"]
    assert "after 2h" in mailqueue("schedule", "list")


def test_standard_schedule_is_printed_as_a_list_of_times(mailqueue: Command) -> None:
    lines = mailqueue("schedule", "show", "standard").splitlines()
    assert lines[0] == "schedule standard: 5m, 15m, 30m, 1h, 2h, 3h*"
    rows = [line.split() for line in lines]
    assert ["2", "5m", "5m"] in rows
    assert ["6", "2h", "3h50m"] in rows
    assert "given up after 5d; waits vary by 10 % either way" in lines
    assert "did you mean" in mailqueue.fails(4, "schedule", "show", "standart")


@pytest.mark.parametrize(
    ("status", "args", "told"),
    [
        (3, ["x", "5 parsecs", "--lifetime", "1d"], "5 parsecs"),
        (2, ["x", "5m"], "--lifetime"),
        (2, ["x", "5m", "--lifetime", "soon"], "no length of time"),
        (3, ["standard", "5m", "--lifetime", "1d"], "standard"),
    ],
)
def test_schedule_that_cannot_be_is_refused(
    mailqueue: Command, status: int, args: list[str], told: str
) -> None:
    assert told in mailqueue.fails(status, "schedule", "add", *args)


def test_account_is_changed_in_part(mailqueue: Command) -> None:
    assert mailqueue.json("account", "show", "default") == {
        "id": 1,
        "name": "default",
        "notices": None,
        "schedule": None,
        "retention": "30d",
        "keep_content": "7d",
        "on_uncertain": "retry",
        "strict": False,
        "messages_per_day": None,
        "new_recipients_per_day": None,
        "over_quota": "reject",
        "fromid": False,
        "suppression": True,
        "suppress_for": None,
        "usage": [],
    }
    mailqueue("account", "add", "shop")
    options = (
        "--notices",
        "queue",
        "--retention",
        "90d",
        "--schedule",
        "otp",
        "--strict",
        "--on-uncertain",
        "hold",
    )
    changed = mailqueue.json("account", "set", "shop", *options)
    assert (changed["notices"], changed["retention"], changed["schedule"]) == ("queue", "90d", "otp")
    assert changed["on_uncertain"] == "hold"
    again = mailqueue.json("account", "set", "shop", "--no-strict", "--keep-content", "12h")
    assert again == {**changed, "strict": False, "keep_content": "12h"}
    assert [each["name"] for each in mailqueue.json("account", "list")["items"]] == ["default", "shop"]
    assert "queue: kept, and sent to the envelope sender" in mailqueue("account", "show", "shop")
    assert "90d" in mailqueue("account", "list")
    assert "did you mean" in mailqueue.fails(4, "account", "show", "shpo")
    mailqueue.fails(4, "account", "set", "shop", "--schedule", "none")
    mailqueue.fails(3, "account", "add", "shop")
    mailqueue.fails(2, "account", "set", "shop", "--notices", "everywhere")


def test_quota_of_an_account_is_set_told_and_taken_away(mailqueue: Command) -> None:
    mailqueue("account", "add", "shop")
    options = ("--messages-per-day", 2, "--new-recipients-per-day", 9, "--over-quota", "reject")
    assert mailqueue.json("account", "set", "shop", *options)["messages_per_day"] == 2
    mailqueue.submit("ann@example.net", account="shop")
    more = ("submit", "--account", "shop", "--to", "ann@example.net", "--to", "bob@example.net")
    assert "1 of 2 used, this has 2; there is room from" in mailqueue.fails(3, *more, input=LETTER)
    mailqueue("account", "set", "shop", "--over-quota", "hold")
    assert [each["hold"] for each in mailqueue.json(*more, input=LETTER)["messages"]] == [False, True]
    [hold] = mailqueue.json("show", 3)["holds"]
    assert hold["until"].endswith(":00:00.000000Z")
    assert "by the engine" in mailqueue("show", 3)
    assert ", until in " in mailqueue("show", 3)
    messages, new = mailqueue.json("account", "show", "shop")["usage"]
    assert (messages["quota"], messages["used"], messages["waiting"]) == ("messages", 2, 1)
    assert messages["opens_at"] >= hold["until"]
    assert (new["quota"], new["limit"], new["used"], new["waiting"], new["opens_at"]) == (
        "new_recipients",
        9,
        1,
        1,
        None,
    )
    assert "2 of 2 used, 1 on hold until there is room, " in mailqueue("account", "show", "shop")
    mailqueue("account", "set", "shop", "--over-quota", "drop")
    assert [each["state"] for each in mailqueue.json(*more, input=LETTER)["messages"]] == ["canceled"] * 2
    assert "carl@example.net  canceled" in mailqueue(
        "submit", "--account", "shop", "--to", "carl@example.net", input=LETTER
    )
    free = mailqueue.json("account", "set", "shop", "--messages-per-day", 0, "--new-recipients-per-day", 0)
    assert (free["messages_per_day"], free["new_recipients_per_day"], free["usage"]) == (None, None, [])
    mailqueue.fails(3, "account", "set", "shop", "--messages-per-day", -1)
    mailqueue.fails(2, "account", "set", "shop", "--over-quota", "pray")


def test_account_is_removed_once_nothing_needs_it(mailqueue: Command) -> None:
    mailqueue("account", "add", "shop")
    mailqueue("account", "add", "news")
    mailqueue.submit("ann@example.net", account="shop")
    mailqueue("holdrules", "add", "--account", "shop")
    told = mailqueue.fails(3, "account", "remove", "shop")
    assert "1 message in the queue" in told
    assert "hold rule 1: `mailqueue holdrules remove 1`" in told
    mailqueue.fails(3, "account", "remove", "default")
    assert "did you mean" in mailqueue.fails(4, "account", "remove", "shpo")
    assert mailqueue.json("account", "remove", "news") == {"name": "news", "removed": True}
    assert [each["name"] for each in mailqueue.json("account", "list")["items"]] == ["default", "shop"]


def test_migrate_says_that_there_is_nothing_to_do(mailqueue: Command, tmp_path: Path) -> None:
    assert "nothing to do" in mailqueue("migrate")
    told = mailqueue.json("migrate")
    assert (told["db"], told["migrated"], told["copy"]) == (str(tmp_path / "queue.db"), False, None)
    assert told["before"] == told["after"]


def test_migrate_tells_the_versions_and_where_the_copy_is(tmp_path: Path) -> None:
    old, copy = tmp_path / "old.db", tmp_path / "copy.db"
    schemas = Path(__file__).parent.parent / "data/schema"
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript((schemas / "1.sql").read_text())
    mailqueue = Command(old)
    assert "mailqueue migrate" in mailqueue.fails(5, "list")
    mailqueue.fails(2, "migrate", "--copy", str(copy), "--no-copy")
    copy.write_text("precious")
    assert "is there already" in mailqueue.fails(5, "migrate", "--copy", str(copy))
    assert copy.read_text() == "precious"
    told = mailqueue("migrate")
    assert f"copy of version 1: {old}.v1-backup" in told
    assert f"{old}: the tables were of version 1, and are of version {VERSION}" in told
    done = Command(Path(f"{old}.v1-backup")).json("migrate", "--no-copy")
    assert (done["migrated"], done["before"], done["after"], done["copy"]) == (True, 1, VERSION, None)
    assert mailqueue.json("list")["items"] == []


def test_backup_and_restore_tell_what_they_did(mailqueue: Command, tmp_path: Path) -> None:
    copy, before = tmp_path / "copy.db", Path(f"{mailqueue.db}.before-restore")
    mailqueue.submit("ann@example.net")
    assert mailqueue("backup", str(copy)).startswith(f"{copy}: ")
    assert "is there already" in mailqueue.fails(5, "backup", str(copy))
    assert mailqueue.json("backup", str(tmp_path / "other.db")) == {
        "path": str(tmp_path / "other.db"),
        "size": copy.stat().st_size,
    }
    mailqueue.fails(2, "restore", str(copy), "--copy", str(before), "--no-copy")
    told = mailqueue("restore", str(copy))
    assert f"copy of what was there: {before}" in told
    assert "1 message put on hold" in told
    done = mailqueue.json("restore", str(copy), "--no-copy", "--no-hold")
    assert done == {"db": str(mailqueue.db), "source": str(copy), "copy": None, "held": 0}
    assert "there is no such file" in mailqueue.fails(5, "restore", str(tmp_path / "none.db"))


def test_sound_database_is_clean_and_a_broken_one_is_status_1(mailqueue: Command, tmp_path: Path) -> None:
    mailqueue.submit("ann@example.net")
    assert mailqueue.json("check-integrity")["clean"] is True
    assert mailqueue("check-integrity").strip().endswith("clean")
    with sqlite3.connect(tmp_path / "queue.db") as connection:
        connection.execute("UPDATE mailqueue_message SET holds = 3")
    connection.close()
    done = mailqueue.run("check-integrity")
    assert done.exit_code == 1
    assert "message 1 counts 3 holds, and has 0 marks" in done.stdout


def test_hold_rule_tells_when_it_ends_and_what_becomes_of_its_mail(
    mailqueue: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    made = mailqueue.json("holdrules", "add", "--until", "2h", "--then", "fail")
    assert (made["then"], made["per_minute"], made["ended_at"]) == ("fail", None, None)
    assert made["until"] == made["next_at"]
    mailqueue.json("holdrules", "add", "--until", "2099-01-01T08:00:00Z", "--per-minute", 30)
    listed = mailqueue("holdrules", "list")
    assert "in 2h, " in listed
    assert ", then fail\n" in listed
    assert ", then release 30 a minute\n" in listed
    assert ", then release 30 a minute\n" in mailqueue("holdrules", "show", 2)
    assert "in the future" in mailqueue.fails(3, "holdrules", "add", "--until", "2020-01-01T08:00:00Z")
    assert "time zone" in mailqueue.fails(2, "holdrules", "add", "--until", "2099-01-01T08:00:00")
    assert "goes with until" in mailqueue.fails(3, "holdrules", "add", "--per-minute", 3)
    mailqueue.fails(2, "holdrules", "add", "--until", "2h", "--then", "drop")


def test_hold_rule_is_removed_with_a_release_at_once_or_paced(
    mailqueue: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    mailqueue("holdrules", "add", "--recipient-domain", "example.net")
    mailqueue("holdrules", "add")
    for _ in range(3):
        mailqueue.submit("ann@example.net")
    mailqueue.submit("bob@example.com")
    done = mailqueue.json("holdrules", "remove", 1, "--release", "--reason", "all is well")
    assert (done["let_go"], done["ended_reason"]) == (3, "all is well")
    assert [each["hold"] for each in mailqueue.json("list")["items"]] == [True] * 4
    told = mailqueue("holdrules", "remove", 2, "--release", "--per-minute", 2)
    assert "hold rule 2 holds nothing new" in told
    assert "2 a minute: mailqueue holdrules show 2" in told
    assert "engine: NOT RUNNING" in told
    progress = "releasing 2 a minute: 0 of 4 gone, done in about 2m"
    assert progress in mailqueue("holdrules", "list")
    assert progress in mailqueue("holdrules", "show", 2)
    shown = mailqueue.json("holdrules", "show", 2)
    assert (shown["held"], shown["let_go"], shown["per_minute"]) == (4, 0, 2)
    assert mailqueue.submit("new@example.net")
    assert "what it alone held is released" in mailqueue("holdrules", "remove", 2, "--release")
    assert [each["hold"] for each in mailqueue.json("list")["items"]] == [False] * 5
    mailqueue("holdrules", "add")
    mailqueue("holdrules", "remove", 3, "--release", "--per-minute", 1)
    assert "stays on hold" in mailqueue("holdrules", "remove", 3)
    assert mailqueue.json("holdrules", "list")["items"] == []
    assert "goes with release" in mailqueue.fails(3, "holdrules", "remove", 9, "--per-minute", 2)
    mailqueue.fails(4, "holdrules", "remove", 9, "--release")
