"""Reports in the manner of other systems are read; what only looks like one is not taken for one."""

import json
from pathlib import Path

import pytest

from mailqueue.errors import ParseError
from mailqueue.mail import dsn

RECEIVED = Path(__file__).parent.parent / "data" / "dsn" / "received"

# file: (action, status, final recipient, remote MTA, how the diagnostic begins, Message-ID, whole message)
ONE_RECIPIENT = {
    "exim": (
        "failed", "5.0.0", "rfc822; anna@example.com", "dns; mx.example.com",
        "smtp; 550-Verification failed for <anna@example.com>\n550 No Such User Here",
        "<lunch.1@example.org>", True,
    ),
    "sendmail": (
        "failed", "5.1.1", "rfc822; list@gate.example.edu", "dns; mx.example.com",
        "smtp; 550 5.1.1 <anna@example.com>... User unknown", "<lunch.1@example.org>", False,
    ),
    "sendmail-delayed": (
        "delayed", "4.4.1", "rfc822; anna@example.com", "dns; mx.example.com", None,
        "<lunch.1@example.org>", False,
    ),
    "exchange": (
        "failed", "5.1.10", "rfc822; anna@example.com", None,
        "smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", "<lunch.1@example.org>", True,
    ),
    "outlook-com": (
        "failed", "5.5.0", "rfc822; anna@hotmail.example", "dns; mx1.hotmail.example",
        "smtp; 550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).",
        "<lunch.1@example.org>", True,
    ),
    "gmail": (
        "failed", "5.1.1", "rfc822; anna@example.com",
        "dns; mx.example.com. (192.0.2.25, the server for the domain example.com.)",
        "smtp; 550-5.1.1 The mailbox that you tried to reach does not exist. Please try\n550-5.1.1 to look",
        "<CAE+lunch@mail.gmail.example>", True,
    ),
    "yahoo": (
        "failed", "5.0.0", "rfc822; anna@yahoo.example", "dns; mta5.mail.yahoo.example",
        "smtp; 554 delivery error: dd No such account (anna@yahoo.example) [0] - mta5",
        "<lunch.1@example.org>", True,
    ),
    "zimbra": (
        "failed", "4.2.2", "rfc822; anna@zimbra.example.net", "dns; zimbra.example.net",
        "smtp; 452 4.2.2 Over quota", "<lunch.1@example.org>", False,
    ),
    "mox": (
        "failed", "5.1.1", "rfc822; anna@example.com", "dns; mx.example.com",
        "smtp; 550 5.1.1 no such user", "<lunch.1@example.org>", False,
    ),
    "postfix-utf8": (
        "delayed", "4.2.2", "utf-8; jörg@bücher.example", "dns; mx.xn--bcher-kva.example",
        "smtp; 452 4.2.2 Das Postfach von jörg ist voll", "<gruss.1@example.org>", False,
    ),
    "x400-gateway": (
        "failed", "5.1.6", "x400; /G=Anna/S=Example/O=Office/ADMD=example/C=de/", None,
        "x400; recipient-has-moved-no-forwarding", None, False,
    ),
}  # fmt: skip
ALL = [*ONE_RECIPIENT, "postfix"]

NO_REPORTS = {
    "ordinary": "text/plain, not multipart/report",
    "auto-reply": "text/plain, not multipart/report",
    "mdn": "MDN",
    "mdn-without-report-type": "message/disposition-notification",
    "complaint": "ARF",
    "forwarded": "multipart/mixed, not multipart/report",
    "returned-report": "without a part of type message/delivery-status",
}


def load(name: str) -> bytes:
    return (RECEIVED / f"{name}.eml").read_bytes()


@pytest.mark.parametrize("name", ONE_RECIPIENT)
def test_a_report_of_another_system_says_what_happened_to_whom(name):
    action, status, final, remote, diagnostic, message_id, full = ONE_RECIPIENT[name]
    found = dsn.read(load(name))
    (recipient,) = found.report.recipients
    assert recipient.action == action
    assert str(recipient.status) == status
    assert str(recipient.final_recipient) == final
    assert recipient.remote_mta == remote or str(recipient.remote_mta) == remote
    assert (recipient.diagnostic is None) == (diagnostic is None)
    assert str(recipient.diagnostic).startswith(diagnostic or "None")
    assert found.original_message_id == message_id
    assert found.full is full
    assert found.faults == ()


@pytest.mark.parametrize("name", ALL)
def test_a_report_reads_the_same_whatever_ends_its_lines(name):
    lf = load(name).replace(b"\r\n", b"\n")
    assert dsn.read(lf.replace(b"\n", b"\r\n")) == dsn.read(lf)


@pytest.mark.parametrize("name", ALL)
def test_a_report_has_words_for_people_and_can_be_written_as_json(name):
    found = dsn.read(load(name))
    assert found.text.strip()
    assert json.loads(json.dumps(found.to_dict()))["text"] == found.text


@pytest.mark.parametrize("name", ALL)
def test_a_report_of_another_system_composed_by_us_says_the_same(name):
    report = dsn.parse(load(name))
    notice = dsn.Draft(
        report=report, sender="a@example", to="b@example", date=0, message_id="<n@example>", boundary="b"
    )
    assert dsn.parse(dsn.compose(notice)) == report


@pytest.mark.parametrize("name", NO_REPORTS)
def test_what_only_looks_like_a_report_is_refused_with_what_it_is(name):
    with pytest.raises(ParseError, match="not a delivery report") as refused:
        dsn.parse(load(name))
    assert NO_REPORTS[name] in str(refused.value)


def test_a_report_about_two_recipients_keeps_them_apart():
    found = dsn.read(load("postfix"))
    first, second = found.report.recipients
    assert first.original_recipient == dsn.mailbox("Anna@example.com")
    assert first.diagnostic == dsn.said(
        "550 5.1.1 <anna@example.com>: Recipient address rejected: User unknown in virtual mailbox table"
    )
    assert str(second.final_recipient) == "rfc822; bert@nowhere.example"
    assert second.remote_mta is None
    assert second.diagnostic is not None
    assert second.diagnostic.type == "x-postfix"


def test_the_fields_about_the_message_are_read_with_their_times():
    report = dsn.parse(load("postfix"))
    assert report.reporting_mta == dsn.host("relay.example.org")
    assert report.to_dict()["arrival_date"] == "2027-11-22T08:14:01Z"
    assert report.extensions == (
        ("X-Postfix-Queue-ID", "4F1x2y3z4k"),
        ("X-Postfix-Sender", "rfc822; paul@example.org"),
    )


def test_a_delayed_report_says_until_when_it_is_tried():
    (recipient,) = dsn.parse(load("sendmail-delayed")).recipients
    assert recipient.to_dict()["will_retry_until"] == "2027-11-27T08:14:01Z"
    assert recipient.to_dict()["last_attempt"] == "2027-11-22T12:14:05Z"


def test_a_gateways_report_keeps_names_that_are_not_of_the_internet():
    report = dsn.parse(load("x400-gateway"))
    assert report.reporting_mta == dsn.Typed("x400", "mta1 in /ADMD=example/C=de/")
    assert report.dsn_gateway == dsn.host("gateway.example.gov")
    assert report.original_envelope_id == "QQ 314159"
    assert report.recipients[0].status_comment == "recipient has moved"


def test_an_address_with_escapes_of_rfc_6533_is_read_as_it_is_meant():
    (recipient,) = dsn.parse(load("postfix-utf8")).recipients
    assert recipient.original_recipient == dsn.mailbox("jörg@bücher.example")


def test_a_quoted_printable_report_is_decoded_before_it_is_read():
    (recipient,) = dsn.parse(load("mox")).recipients
    assert recipient.status_comment == 'delivering to mx.example.com: "no such user", permanent'


def test_the_header_of_the_original_is_returned_unfolded():
    headers = dsn.read(load("exim")).original_headers
    assert ("From", "Paul <paul@example.org>") in headers
    received = next(value for name, value in headers if name == "Received")
    assert received.startswith("from laptop.example.org ([198.51.100.7]) by hub.example.net with esmtpsa")
    assert dict(dsn.read(load("mox")).original_headers)["X-Long"] == "ab"


def test_the_plain_text_is_taken_out_of_an_alternative():
    assert "Please check the address and send" in dsn.read(load("exchange")).text
    assert "“unknown”" in dsn.read(load("outlook-com")).text
    assert dsn.read(load("gmail")).text.lstrip().startswith("** No such address **")
