"""Transports that log in, on the command line: where the password comes from, and where it never goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import certificates
from support.command import Command

from mailqueue import Queue

SECRET = "correct horse battery"


@pytest.fixture
def password(tmp_path: Path) -> str:
    """Return the path of a file with the password."""
    path = tmp_path / "password"
    path.write_text(SECRET + "\n")
    return str(path)


def stored(mailqueue: Command, name: str = "out") -> str | None:
    with Queue(mailqueue.db) as queue:
        return {each.name: each.password for each in queue.transports.list()}[name]


def test_provider_is_named_with_its_password_from_a_file(mailqueue: Command, password: str) -> None:
    made = mailqueue.json(
        *("transport", "add", "out", "--kind", "submission", "--host", "smtp.example"),
        *("--username", "me@smtp.example", "--password-file", password),
    )
    assert (made["port"], made["tls"], made["username"], made["password"], made["auth"], made["ca_file"]) == (
        *(587, "verified", "me@smtp.example", True, None),
        None,
    )
    assert stored(mailqueue) == SECRET
    listed = mailqueue("transport", "list") + mailqueue("transport", "list", "--json")
    assert "me@smtp.example" in listed
    assert SECRET not in listed + str(made)


def test_password_comes_from_the_environment(mailqueue: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", SECRET)
    made = mailqueue.json(
        *("transport", "add", "out", "--kind", "submissions", "--host", "smtp.example"),
        *("--username", "me", "--password-env", "SMTP_PASSWORD"),
        *("--auth", "scram-sha-256", "--ca-file", certificates().ca_file),
    )
    assert (made["port"], made["tls"], made["auth"]) == (465, "verified", "SCRAM-SHA-256")
    assert made["ca_file"] == certificates().ca_file
    assert stored(mailqueue) == SECRET


def test_login_is_changed_in_part_and_taken_away(mailqueue: Command, password: str, tmp_path: Path) -> None:
    mailqueue(
        *("transport", "add", "out", "--kind", "submission", "--host", "smtp.example"),
        *("--username", "me", "--password-file", password, "--auth", "plain"),
    )
    (tmp_path / "new").write_text("another\r\n")
    mailqueue("transport", "set", "out", "--password-file", str(tmp_path / "new"))
    assert stored(mailqueue) == "another"
    changed = mailqueue.json("transport", "set", "out", "--auth", "", "--ca-file", certificates().ca_file)
    assert (changed["username"], changed["password"], changed["auth"]) == ("me", True, None)
    changed = mailqueue.json("transport", "set", "out", "--username", "", "--ca-file", "")
    assert (changed["username"], changed["password"], changed["ca_file"]) == (None, False, None)


@pytest.mark.parametrize(
    ("status", "args", "told"),
    [
        (2, ["--username", "me", "--password", SECRET], "--password-env"),
        (2, ["--username", "me", "--password-env", "NOT_SET"], "NOT_SET is not set, or is empty"),
        (2, ["--username", "me", "--password-file", "/nowhere"], "/nowhere: No such file"),
        (2, ["--username", "me", "--password-file", "{two}"], "must hold one line"),
        (2, ["--username", "me", "--password-file", "{latin}"], "is not UTF-8"),
        (2, ["--username", "me", "--password-env", "A", "--password-file", "{good}"], "not both"),
        (3, ["--username", "me"], "password: a user name and a password go together"),
        (3, ["--password-file", "{good}"], "username: a user name and a password go together"),
        (3, ["--auth", "plain"], "auth: needs a user name and a password"),
        (3, ["--auth", "magic", "--username", "me", "--password-file", "{good}"], "auth: must be one of"),
        (3, ["--tls", "opportunistic", "--username", "me", "--password-file", "{good}"], "does not protect"),
        (3, ["--ca-file", "/nowhere"], "cannot be read: No such file"),
        (3, ["--ca-file", "{good}"], "holds no certificates"),
        (3, ["--ca-file", "ca.pem"], "must be a whole path"),
        (3, ["--ca-file", "{ca}", "--tls", "required"], "ca-file: only where tls is verified"),
        (3, ["--kind", "submissions", "--tls", "none"], "submissions is TLS from the first octet"),
    ],
)
def test_login_that_cannot_be_is_refused_without_the_password(
    mailqueue: Command, tmp_path: Path, password: str, status: int, args: list[str], told: str
) -> None:
    (tmp_path / "two").write_text(f"{SECRET}\n{SECRET}\n")
    (tmp_path / "latin").write_bytes(SECRET.encode() + b"\xe4")
    known = {
        "good": password,
        "two": tmp_path / "two",
        "latin": tmp_path / "latin",
        "ca": certificates().ca_file,
    }
    filled = [each.format(**known) for each in args]
    base = ["transport", "add", "out", "--host", "smtp.example", "--kind", "submission"]
    said = mailqueue.fails(status, *base, *filled)
    assert told in said
    assert SECRET not in said
    assert mailqueue.json("transport", "list")["items"] == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--kind", "direct", "--tls", "verified"], "tls: verified is for a next hop that you name"),
        (["--kind", "direct", "--username", "me"], "only relay, submission and submissions have one"),
        (["--kind", "submission"], "host: a submission transport needs the name or the address"),
        (["--kind", "direct", "--host", "a.example"], "host: only relay, submission and submissions"),
    ],
)
def test_login_belongs_to_a_next_hop_that_is_named(
    mailqueue: Command, password: str, args: list[str], told: str
) -> None:
    login = ["--password-file", password] if "--username" in args else []
    assert told in mailqueue.fails(3, "transport", "add", "out", *args, *login)


def test_relay_with_a_password_is_verified_unless_something_else_is_said(
    mailqueue: Command, password: str
) -> None:
    login = ("--username", "me", "--password-file", password)
    assert mailqueue.json("transport", "add", "a", "--host", "a.example", *login)["tls"] == "verified"
    clear = mailqueue.json("transport", "add", "b", "--host", "a.example", *login, "--tls", "none")
    assert clear["tls"] == "none"
    assert mailqueue.json("transport", "add", "c", "--host", "a.example")["tls"] == "opportunistic"
