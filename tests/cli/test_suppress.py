"""Suppression lists at the command line."""

from __future__ import annotations

from pathlib import Path

from support.command import Command

from mailqueue import Queue


def test_address_is_added_looked_up_listed_and_removed(mailqueue: Command) -> None:
    made = mailqueue.json(
        "suppress", "add", "Ann+x@Example.net", "--reason", "asked", "--expires", "2030-01-01T00:00:00Z"
    )
    assert (made["address"], made["base"], made["cause"]) == (
        "Ann+x@example.net",
        "ann@example.net",
        "manual",
    )
    assert (made["expires_at"], made["evidence"]) == ("2030-01-01T00:00:00.000000Z", None)
    assert mailqueue.json("suppress", "lookup", "ann@example.net") == {"suppression": made}
    told = mailqueue("suppress", "lookup", "ann@example.net")
    assert "asked" in told
    assert "compared as" in told
    assert mailqueue.json("suppress", "list") == {"items": [made], "next": None}
    assert "Ann+x@example.net" in mailqueue("suppress", "list", "--account", "default")
    sent = mailqueue.json("submit", "--to", "ann@example.net", input="From: a@example.org\n\nHello.\n")
    assert sent["messages"][0]["state"] == "suppressed"
    told = mailqueue("suppress", "remove", "ann@example.net", "--replay")
    assert told.splitlines() == ["Ann+x@example.net is suppressed no more", "1 message submitted anew"]
    assert mailqueue.json("suppress", "lookup", "ann@example.net") == {"suppression": None}
    assert "is not suppressed" in mailqueue("suppress", "lookup", "ann@example.net")
    assert "is not suppressed" in mailqueue.fails(4, "suppress", "remove", "ann@example.net")


def test_list_goes_on_where_the_page_before_ended(mailqueue: Command) -> None:
    for each in "abc":
        mailqueue("suppress", "add", f"{each}@example.net")
    page = mailqueue.json("suppress", "list", "--limit", "2")
    assert f"more: --after {page['next']}" in mailqueue("suppress", "list", "--limit", "2")
    rest = mailqueue.json("suppress", "list", "--limit", "2", "--after", page["next"])
    assert [each["address"] for each in (*page["items"], *rest["items"])] == [
        f"{each}@example.net" for each in "abc"
    ]


def test_list_is_imported_and_exported(mailqueue: Command, tmp_path: Path) -> None:
    given = tmp_path / "given.csv"
    given.write_bytes('\ufeffAddress,Reason,Other\r\nann@example.net,"a, b",1\r\nnobody,,2\r\n'.encode())
    refused = mailqueue.fails(3, "suppress", "import", str(given))
    assert "nothing was imported: line 3: 'nobody': there is no @" in refused
    told = mailqueue("suppress", "import", str(given), "--skip-bad")
    assert told.splitlines() == [
        "1 address suppressed, 1 of them new",
        "columns that mean nothing here: other",
        "skipped line 3: 'nobody': there is no @",
    ]
    written = mailqueue("suppress", "export")
    assert written.splitlines()[1].startswith('ann@example.net,import,"a, b",')
    found = mailqueue.json("suppress", "export")
    assert (found["addresses"], found["content"]) == (1, written)
    file = tmp_path / "written.csv"
    assert mailqueue.json("suppress", "export", str(file)) == {"addresses": 1, "file": str(file)}
    assert file.read_text() == written
    done = mailqueue.json("suppress", "import", input=written)
    assert done == {
        "read": 1,
        "changed": 0,
        "faults": [],
        "ignored": [],
    }
    given.write_bytes(b"address\n\xff@example.net\n")
    assert "line 1" in mailqueue.fails(3, "suppress", "import", str(given))


def test_entries_that_rules_refute_are_named(mailqueue: Command) -> None:
    assert "0 addresses to be removed with --remove" in mailqueue("suppress", "rejudge")
    assert mailqueue.json("suppress", "rejudge", "--remove") == {"items": [], "next": None}


def test_account_says_whether_it_suppresses_and_for_how_long(mailqueue: Command, tmp_path: Path) -> None:
    assert "until somebody removes the address" in mailqueue("account", "show", "default")
    assert "yes, for 30d" in mailqueue("account", "set", "default", "--suppress-for", "30d")
    found = mailqueue.json("account", "set", "default", "--no-suppression", "--suppress-for", "0s")
    assert (found["suppression"], found["suppress_for"]) == (False, None)
    assert "its mail goes to everybody" in mailqueue("account", "show", "default")
    with Queue(tmp_path / "queue.db") as queue:
        assert not queue.accounts.show("default").suppression
