"""A real Postfix, which offers DSN, does as was wished (RFC 3461), and its notices name what we named."""

from __future__ import annotations

import asyncio
import uuid
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from support.postfix import Postfix

from mailqueue import Engine, Queue, Recipient
from mailqueue.mail import dsn

pytestmark = pytest.mark.postfix

LETTER = b"From: sender@example.org\r\nTo: alice@example.org\r\nSubject: Hello\r\n\r\nThe body.\r\n"


def send(postfix: Postfix, path: Path, *recipients: str | Recipient, **wishes: str) -> str:
    """Send a letter through the queue; return the name that notices of it will carry."""
    envid = wishes.pop("envid", f"order+{uuid.uuid4()}")
    with Queue(path) as queue:
        submission = queue.submit(
            LETTER, sender="sender@example.org", recipients=recipients, envid=envid, **wishes
        )
        asyncio.run(
            Engine(queue, relay=f"127.0.0.1:{postfix.port}", hostname="mx.example.org").run(once=True)
        )
        for message in submission.messages:
            assert queue.show(message.id).state == "delivered"
            assert queue.notices(message.id) == [], "Postfix tells, so we do not"
    return envid


def notice_of(postfix: Postfix, envid: str) -> bytes:
    return postfix.wait_for(f"Original-Envelope-Id: {envid}\n".encode(), "sender")


def test_success_comes_back_with_the_names_that_were_given(postfix: Postfix, tmp_path: Path):
    asked = Recipient("alice@example.org", notify="success", orcpt="Alice+News=1@Old.Example")
    envid = send(postfix, tmp_path / "queue.db", asked, envid=f"order 17+4=21 {uuid.uuid4()}")
    notice = notice_of(postfix, envid)
    report = dsn.parse(notice)
    assert report.original_envelope_id == envid
    (told,) = report.recipients
    assert (told.action, told.status.cls) == (dsn.Action.DELIVERED, 2)
    assert told.original_recipient == dsn.Typed("rfc822", "Alice+News=1@Old.Example")
    assert told.final_recipient.value == "alice@example.org"
    assert b"The body." not in notice, "only the header comes back where nothing failed"


@pytest.mark.parametrize("recipient", ["jörg@example.org", "alice@example.org"])
def test_original_recipient_beyond_ascii_comes_back(postfix: Postfix, tmp_path: Path, recipient: str):
    """With SMTPUTF8 it goes as UTF-8, without as ASCII (RFC 6533 3)."""
    asked = Recipient(recipient, notify="success", orcpt="jürgen@alt.example")
    notice = notice_of(postfix, send(postfix, tmp_path / "queue.db", asked))
    (told,) = dsn.parse(notice).recipients
    assert told.original_recipient is not None
    assert told.original_recipient.value == "jürgen@alt.example"


@pytest.mark.parametrize(("ret", "whole"), [("full", True), ("hdrs", False)])
def test_failure_returns_what_ret_asks_for(postfix: Postfix, tmp_path: Path, ret: str, whole: bool):
    gone = Recipient("gone@bounce.example", notify="failure", orcpt="bob@example.com")
    notice = notice_of(postfix, send(postfix, tmp_path / "queue.db", gone, ret=ret))
    (told,) = dsn.parse(notice).recipients
    assert (told.action, told.original_recipient) == ("failed", dsn.mailbox("bob@example.com"))
    returned = list(message_from_bytes(notice, policy=policy.default).iter_parts())[2]
    assert (returned.get_content_type() == "message/rfc822") == whole
    assert (b"The body." in notice) == whole


def test_notice_names_only_those_who_are_owed_one(postfix: Postfix, tmp_path: Path):
    envid = send(
        postfix,
        tmp_path / "queue.db",
        Recipient("gone@bounce.example", notify="never"),
        Recipient("lost@bounce.example", notify="success"),
        Recipient("bob@example.org", notify="failure,delay"),
        "away@bounce.example",
    )
    notice = notice_of(postfix, envid)
    assert [each.final_recipient.value for each in dsn.parse(notice).recipients] == ["away@bounce.example"]
