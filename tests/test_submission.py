"""Through a real submission server, Postfix with Dovecot's SASL: every mechanism, right and wrong
passwords, right and wrong certificates, and no secret anywhere."""

from __future__ import annotations

import itertools
import json
import logging
import sqlite3
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.certificates import certificates
from support.command import Command
from support.stage import Stage
from support.submission import LISTS, MECHANISMS, PASSWORD, USER, Submission, submission

__all__ = ["submission"]
pytestmark = pytest.mark.postfix

FIRST = timedelta(hours=1)
LETTER = b"From: anna@example.org\r\nTo: alice@example.org\r\nMessage-ID: %s\r\n\r\nHello\r\n"
WRONG = "not the pencil"
SECRETS = [
    form
    for password in (PASSWORD, WRONG)
    for form in (
        password,
        b64encode(password.encode()).decode(),
        b64encode(f"\0{USER}\0{password}".encode()).decode(),
    )
]


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, all of it; in the end no secret is in it."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    shown = "\n".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records)
    assert [secret for secret in SECRETS if secret in shown] == []


def letter() -> tuple[bytes, bytes]:
    """Return a new Message-ID, and a letter with it."""
    message_id = f"<{uuid.uuid4()}@example.org>".encode()
    return message_id, LETTER % message_id


def send(stage: Stage, port: int, *, kind: str = "submission", **more: object) -> tuple[int, bytes]:
    """Send a message by a transport of its own; return its ids."""
    values: dict[str, object] = {
        "username": USER,
        "password": PASSWORD,
        "ca_file": certificates().ca_file if more.get("tls", "verified") == "verified" else None,
        **more,
    }
    stage.queue.transports.add("provider", kind=kind, host="127.0.0.1", port=port, **values)  # type: ignore[arg-type]
    message_id, content = letter()
    [message] = stage.submit("alice@example.org", content=content, sender=USER)
    stage.deliver()
    return message, message_id


def assert_nothing_told(stage: Stage, message: int) -> None:
    """No secret is in what the queue tells of a message, in any way."""
    told = [
        *map(repr, stage.queue.attempts(message)),
        *map(repr, stage.queue.events(message)),
        repr(stage.show(message)),
        repr(stage.queue.explain(message)),
        repr(stage.queue.transports.list()),
        *(notice.content.decode() for notice in stage.queue.notices(message)),
    ]
    with closing(sqlite3.connect(stage.queue.path)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        for table in set(tables) - {"mailqueue_transport"}:
            told += map(repr, connection.execute(f"SELECT * FROM {table}"))
    assert [secret for secret in SECRETS if any(secret in each for each in told)] == []


@pytest.mark.parametrize(
    ("kind", "mechanism"), list(itertools.product(("submission", "submissions"), MECHANISMS))
)
def test_message_arrives_by_each_mechanism(
    stage: Stage, submission: Submission, quiet: object, kind: str, mechanism: str
) -> None:
    port = submission.port(implicit=kind == "submissions")
    message, message_id = send(stage, port, kind=kind, auth=mechanism)
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.tls, attempt.tls_verified) == ("delivered", "TLSv1.3", "ca:127.0.0.1")
    assert_nothing_told(stage, message)
    received = submission.postfix.wait_for(message_id)
    assert b"ESMTPSA" in received
    assert f"sasl_method={mechanism}, sasl_username={USER}" in submission.postfix.log()


@pytest.mark.parametrize(("known", "taken"), list(zip(LISTS, MECHANISMS, strict=True)), ids=MECHANISMS)
def test_best_mechanism_of_both_sides_is_taken(
    stage: Stage, submission: Submission, quiet: object, known: tuple[str, ...], taken: str
) -> None:
    before = len(submission.postfix.log())
    message, message_id = send(stage, submission.only(*known))
    assert stage.state(message) == "delivered"
    submission.postfix.wait_for(message_id)
    assert f"sasl_method={taken}" in submission.postfix.log()[before:]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_wrong_password_defers_and_says_which_transport_and_mechanism(
    stage: Stage, submission: Submission, quiet: object, mechanism: str
) -> None:
    message, message_id = send(stage, submission.port(), auth=mechanism, password=WRONG)
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.category, attempt.code) == ("deferred", "auth", 535)
    assert attempt.error is not None
    assert attempt.error.startswith("transport provider: 127.0.0.1 [127.0.0.1]:")
    assert attempt.error.endswith(f"the server refused authentication by {mechanism} (at auth)")
    assert attempt.transcript is not None
    assert f"C: AUTH {mechanism}" in attempt.transcript
    assert stage.state(message) == "queued"
    assert_nothing_told(stage, message)
    stage.queue.transports.set("provider", password=PASSWORD)
    stage.deliver(after=FIRST)
    assert stage.outcomes(message) == ["deferred", "delivered"]
    submission.postfix.wait_for(message_id)


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        ("other", "IP address mismatch"),
        ("expired", "certificate has expired"),
        ("selfsigned", "self-signed certificate"),
        ("stranger", "unable to get local issuer certificate"),
    ],
)
@pytest.mark.parametrize("kind", ["submission", "submissions"])
def test_wrong_certificate_defers_before_anything_is_told(
    stage: Stage, submission: Submission, quiet: object, kind: str, certificate: str, why: str
) -> None:
    before = len(submission.postfix.log())
    message, _ = send(stage, submission.port(certificate, implicit=kind == "submissions"), kind=kind)
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.category, attempt.tls) == ("deferred", "tls", None)
    assert attempt.error is not None
    assert why in attempt.error
    assert "sasl_method" not in submission.postfix.log()[before:]
    assert stage.state(message) == "queued"


@pytest.mark.parametrize("kind", ["submission", "submissions"])
def test_wrong_certificate_will_do_where_tls_is_only_required(
    stage: Stage, submission: Submission, quiet: object, kind: str
) -> None:
    port = submission.port("selfsigned", implicit=kind == "submissions")
    message, message_id = send(stage, port, kind=kind, tls="required")
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.tls, attempt.tls_verified) == ("delivered", "TLSv1.3", None)
    submission.postfix.wait_for(message_id)


def test_certificate_of_an_unknown_ca_is_wrong_where_the_system_is_to_know_it(
    stage: Stage, submission: Submission
) -> None:
    message, _ = send(stage, submission.port(), ca_file=None)
    assert stage.attempt(message).category == "tls"


def test_server_without_starttls_gets_nothing(stage: Stage, submission: Submission) -> None:
    message, _ = send(stage, submission.clear)
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.category) == ("deferred", "tls")
    assert attempt.error is not None
    assert "the server offers no STARTTLS, and TLS is required" in attempt.error


def test_in_the_clear_the_password_is_told_only_where_that_very_mechanism_was_named(
    stage: Stage, submission: Submission, quiet: object
) -> None:
    message, message_id = send(stage, submission.clear, tls="none")
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.category) == ("deferred", "auth")
    assert attempt.error is not None
    assert "the password is not told in the clear" in attempt.error
    stage.queue.transports.set("provider", auth="PLAIN")
    stage.deliver(after=FIRST)
    assert stage.outcomes(message) == ["deferred", "delivered"]
    submission.postfix.wait_for(message_id)


def test_submission_server_without_a_login_wants_one(stage: Stage, submission: Submission) -> None:
    message, _ = send(stage, submission.port(), username=None, password=None)
    attempt = stage.attempt(message)
    assert attempt.code == 554  # Postfix's word for it
    assert attempt.tls_verified == "ca:127.0.0.1"


def test_no_door_shows_a_secret(
    tmp_path: Path, submission: Submission, quiet: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From `transport add` to the history, by the command line, with a password that is wrong."""
    monkeypatch.setenv("PASSWORD", WRONG)
    mailqueue = Command(tmp_path / "queue.db")
    said = mailqueue(
        *("transport", "add", "out", "--kind", "submission", "--host", f"127.0.0.1:{submission.port()}"),
        *("--username", USER, "--password-env", "PASSWORD", "--ca-file", certificates().ca_file),
    )
    [message] = mailqueue.submit("alice@example.org")
    said += mailqueue("run", "--once")
    shown = (("show", message), ("attempts", message), ("explain", message), ("list",), ("transport", "list"))
    for verb in (*shown, ("status",)):
        said += mailqueue(*verb) + json.dumps(mailqueue.json(*verb), ensure_ascii=False)
    assert "the server refused authentication by SCRAM-SHA-256" in said
    assert [secret for secret in SECRETS if secret in said] == []
