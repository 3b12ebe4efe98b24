"""The notices of a real Postfix are read: failed, delayed, delivered, and with UTF-8 in them."""

import smtplib
import uuid

import pytest
from support.postfix import Postfix

from mailqueue.mail import dsn

pytestmark = pytest.mark.postfix


def notice(postfix: Postfix, recipient: str, mail=(), rcpt=(), subject: str = "Lunch") -> dsn.ParsedReport:
    """Send a message and return the report about it that comes back to its sender."""
    message_id = f"<{uuid.uuid4()}@example.org>"
    content = f"From: sender@example.org\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n\r\nAt one?\r\n"
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as client:
        client.ehlo("client.example")
        client.sendmail("sender@example.org", [recipient], content.encode(), list(mail), list(rcpt))
    found = dsn.read(postfix.wait_for(message_id.encode(), "sender"))
    assert found.original_message_id == message_id
    assert found.faults == ()
    return found


def test_a_failure_of_postfix_is_read_with_the_senders_own_marks(postfix):
    found = notice(
        postfix,
        "gone@bounce.example",
        mail=["ENVID=QQ+2B1", "RET=FULL"],
        rcpt=["ORCPT=rfc822;Gone+2Baway@example.net"],
    )
    (recipient,) = found.report.recipients
    assert (recipient.action, str(recipient.status)) == (dsn.Action.FAILED, "5.1.1")
    assert recipient.final_recipient == dsn.mailbox("gone@bounce.example")
    assert recipient.original_recipient == dsn.mailbox("Gone+away@example.net")
    assert found.report.original_envelope_id == "QQ+1"
    assert found.report.reporting_mta == dsn.host("postfix.example")
    assert found.full


def test_a_delay_of_postfix_is_read_with_the_time_it_ends(postfix):
    found = notice(postfix, "busy@delay.example")
    (recipient,) = found.report.recipients
    assert (recipient.action, str(recipient.status)) == (dsn.Action.DELAYED, "4.4.1")
    assert recipient.will_retry_until is not None
    assert found.report.arrival_date is not None
    assert recipient.will_retry_until > found.report.arrival_date


def test_a_success_of_postfix_is_read_and_returns_a_header_only(postfix):
    found = notice(postfix, "alice@example.org", rcpt=["NOTIFY=SUCCESS"])
    (recipient,) = found.report.recipients
    assert (recipient.action, recipient.status.cls) == (dsn.Action.DELIVERED, 2)
    assert ("Subject", "Lunch") in found.original_headers
    assert not found.full


def test_a_failure_of_postfix_about_an_address_in_utf_8_is_read(postfix):
    found = notice(postfix, "jürgen@bounce.example", mail=["SMTPUTF8"], subject="Café")
    (recipient,) = found.report.recipients
    assert recipient.final_recipient == dsn.mailbox("jürgen@bounce.example")
    assert ("Subject", "Café") in found.original_headers


def test_a_notice_of_ours_goes_through_postfix_and_comes_out_the_same(postfix):
    made = dsn.Draft(
        report=notice(postfix, "jürgen@bounce.example", mail=["SMTPUTF8"]).report,
        sender="MAILER-DAEMON@example.org",
        to="alice@example.org",
        date=0,
        message_id=f"<{uuid.uuid4()}@example.org>",
        boundary="=_1",
    )
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as client:
        client.ehlo("client.example")
        client.sendmail(dsn.ENVELOPE_SENDER, [made.to], dsn.compose(made), ["BODY=8BITMIME"])
    assert dsn.parse(postfix.wait_for(made.message_id.encode(), "alice")) == made.report
