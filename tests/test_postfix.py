"""The Postfix that other tests deliver to does what they count on."""

from __future__ import annotations

import smtplib
import uuid

import pytest
from support.postfix import Postfix

pytestmark = pytest.mark.postfix

HEAD = b"From: sender@example.org\r\nTo: %s\r\nMessage-ID: %s\r\nX-Odd:   kept   as it is\r\n"
TEXT = HEAD + b"\r\n.dot\r\nEnd \xc3\xa9\r\n"


def send(postfix: Postfix, recipient: str, sender: str = "sender@example.org") -> bytes:
    message_id = f"<{uuid.uuid4()}@example.org>".encode()
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as client:
        client.ehlo("client.example")
        options = ["SMTPUTF8"] if not recipient.isascii() else []
        client.sendmail(sender, [recipient], TEXT % (recipient.encode(), message_id), options)
    return message_id


@pytest.mark.parametrize("user", ["alice", "jörg", "Odd.Case", '"two words"'])
def test_message_is_in_the_maildir_as_it_was_sent(postfix: Postfix, user: str):
    message_id = send(postfix, f"{user}@example.org")
    found = postfix.wait_for(message_id, user.strip('"'))
    sent = TEXT % (f"{user}@example.org".encode(), message_id)
    assert found.endswith(sent.replace(b"\r\n", b"\n"))


def test_large_message_is_taken(postfix: Postfix):
    body = (
        b"From: sender@example.org\r\nMessage-ID: <large@example.org>\r\n\r\n"
        + (b"x" * 998 + b"\r\n") * 21_000
    )
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=60) as client:
        client.sendmail("sender@example.org", ["bob@example.org"], body)
    assert len(postfix.wait_for(b"<large@example.org>", "bob")) > 20 * 1024 * 1024


@pytest.mark.parametrize(("recipient", "code"), [("nobody@example.org", 550), ("a@elsewhere.example", 554)])
def test_unknown_user_and_foreign_domain_are_refused(postfix: Postfix, recipient: str, code: int):
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(postfix, recipient)
    assert refused.value.recipients[recipient][0] == code


def test_accepted_message_comes_back_as_a_report(postfix: Postfix):
    message_id = send(postfix, "gone@bounce.example")
    report = postfix.wait_for(message_id, "sender")
    assert b"\nReturn-Path: <>\n" in b"\n" + report
    assert b"Content-Type: multipart/report; report-type=delivery-status" in report
    assert b"Final-Recipient: rfc822; gone@bounce.example" in report
    assert b"Action: failed\nStatus: 5.1.1" in report


def test_kept_message_is_reported_as_delayed(postfix: Postfix):
    message_id = send(postfix, "busy@delay.example")
    report = postfix.wait_for(message_id, "sender")
    assert b"Action: delayed\nStatus: 4.4.1" in report


def test_server_offers_what_the_tests_need(postfix: Postfix):
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as client:
        client.ehlo("client.example")
        assert {
            "pipelining",
            "size",
            "8bitmime",
            "smtputf8",
            "dsn",
            "enhancedstatuscodes",
            "chunking",
        } <= set(client.esmtp_features)
