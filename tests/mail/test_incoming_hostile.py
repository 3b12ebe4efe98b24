"""What is made to hurt costs bounded work and memory, counted in lines run and octets; nothing raises."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import incoming as stored
from support import work

from mailqueue.errors import ParseError
from mailqueue.mail import arf, dsn, incoming
from mailqueue.mail.mime import MAX_MESSAGE

MEBIBYTE = 1 << 20
DAEMON = (
    b"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net\nTo: paul@example.org\n"
    b"Subject: Undelivered mail\nMIME-Version: 1.0\n"
)
REPORT = DAEMON + b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: text/plain\n\nx\n"
STATUS = REPORT + b"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.example\n\n"
RECIPIENT = b"Final-Recipient: rfc822; anna@example.com\nAction: failed\nStatus: 5.1.1\n\n"
FEEDBACK = REPORT + b"--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n"
FAILED = b"\nThe following address(es) failed:\n\n  anna@example.com\n    550 no such user\n\n"

# what is repeated without end: a beginning, and what follows it again and again
ENDLESS = {
    "lines of the text": (DAEMON + FAILED, b"and so on\n"),
    "one line of the text": (DAEMON + FAILED, b"x"),
    "addresses in the text": (DAEMON + FAILED, b"bert@example.com\n"),
    "replies in the text": (DAEMON + FAILED, b"550 5.1.1 <bert@example.com> no\n"),
    "tags in the text": (DAEMON + b"Content-Type: text/html\n" + FAILED, b"<p>&lt;"),
    "one header field": (DAEMON + b"X: ", b"y"),
    "header fields": (DAEMON, b"X: y\n"),
    "parts": (REPORT, b"--b\n\nx\n"),
    "parts without a delimiter named": (REPORT.replace(b"y=b", b"y=c"), b"--b\nContent-Type: a/b\n\n"),
    "parts inside parts": (REPORT, b"--b\nContent-Type: multipart/mixed; boundary=b\n\n"),
    "messages inside messages": (REPORT, b"--b\nContent-Type: message/rfc822\n\n"),
    "status parts": (STATUS + RECIPIENT, b"--b\nContent-Type: message/delivery-status\n\nAction: failed\n\n"),
    "recipients": (STATUS, RECIPIENT),
    "one recipient": (STATUS + b"Final-Recipient: rfc822; ", b"<"),
    "fields of a recipient": (STATUS + RECIPIENT[:-1], b"X-More: y\n"),
    "lines of a diagnostic": (STATUS + RECIPIENT[:-1] + b"Diagnostic-Code: smtp; 550-a\n", b" 550-b\n"),
    "one diagnostic": (STATUS + RECIPIENT[:-1] + b"Diagnostic-Code: smtp; 550 ", b"no "),
    "the original": (STATUS + RECIPIENT + b"--b\nContent-Type: message/rfc822\n\nX: y\n\n", b"line\n"),
    "fields of a complaint": (FEEDBACK, b"Reported-URI: http://example.org/\n"),
    "recipients of a complaint": (FEEDBACK + b"Original-Rcpt-To: ", b"<anna@example.com>,"),
    "brackets in a complaint": (FEEDBACK + b"Original-Rcpt-To: ", b"< "),
    "line ends of CR alone": (DAEMON.replace(b"\n", b"\r"), b"\r"),
}  # fmt: skip
LONG_STATUS = {"recipients", "fields of a recipient", "lines of a diagnostic", "fields of a complaint"}
"""Those with a limit so high that counting takes long: one has to do for memory; their work grows evenly."""


def endless(name, size):
    beginning, again = ENDLESS[name]
    return beginning + again * (size // len(again))


@pytest.mark.parametrize("name", sorted(ENDLESS.keys() - LONG_STATUS | {"lines of a diagnostic"}))
def test_memory_is_bounded_however_much_comes(name):
    data = endless(name, 4 * MAX_MESSAGE)
    assert work.peak(lambda: incoming.read(data)) <= 6 * MAX_MESSAGE


@pytest.mark.parametrize("name", sorted(ENDLESS.keys() - LONG_STATUS))
def test_work_is_bounded_however_much_comes(name):
    much, more = endless(name, MAX_MESSAGE + MEBIBYTE), endless(name, 4 * MAX_MESSAGE)
    assert work.steps(lambda: incoming.read(more)) <= work.steps(lambda: incoming.read(much)) + 100


@pytest.mark.parametrize("name", ENDLESS)
def test_work_grows_no_faster_than_the_message(name):
    little, much = endless(name, 8192), endless(name, 32768)
    assert work.steps(lambda: incoming.read(much)) <= 4.5 * work.steps(lambda: incoming.read(little))


def test_a_line_of_a_hundred_megabytes_takes_little_memory():
    data = DAEMON + FAILED + b"x" * 100 * MEBIBYTE
    assert work.peak(lambda: incoming.read(data)) < 4 * MEBIBYTE
    assert isinstance(incoming.read(data), incoming.Bounce)


WORDS = [
    *(
        b"a",
        b"<",
        b"@",
        b"a@",
        b"a.b@c.example ",
        b" ",
        b"\t \n",
        b"-",
        b"--\n",
        b"\n>",
        b"\n",
        b'"a"@',
        b">",
        b"*",
    ),
    *(b"550 ", b"5.1.1 ", b"user ", b"not ", b"message to ", b"host a.b.c.", b"the following addresses had "),
    *(
        b"could be not been be ",
        b"address unknown\n",
        b"original message ",
        b"<style",
        b"received: x\nfrom: y\n ",
    ),
    *(
        b"your message to ",
        b"hi. this is the ",
        b"delivery ",
        "ü@ü.example\n".encode(),
        b"final-recipient: a@b\n",
    ),
]


@pytest.mark.parametrize("kind", [b"text/plain", b"text/html"])
@pytest.mark.parametrize("word", WORDS)
def test_no_word_repeated_makes_a_pattern_go_back_and_forth(word, kind):
    # A pattern that is tried at each place against all that follows takes minutes here.
    data = DAEMON + b"Content-Type: " + kind + b"\n\n" + word * (64 * 1024 // len(word))
    incoming.read(data)


def test_thousands_of_recipients_of_whom_nothing_is_said_are_not_looked_up_one_by_one():
    text = b"".join(b"a%d@b.example\n\n" % number for number in range(4000))
    found = incoming.read(DAEMON + b"\nThe following address(es) failed:\n\n" + text)
    assert len(found.report.recipients) > 3000


@pytest.mark.parametrize("path", sorted((stored.FOLDER / "fuzz").iterdir()), ids=lambda path: path.name)
def test_what_a_fuzzer_found_is_read_and_what_is_read_can_be_sent_again(path):
    check(path.read_bytes())


_PIECES = st.sampled_from(
    [
        *(
            b"\n",
            b"\r\n",
            b"\r",
            b"\n\n",
            b"--b",
            b"--b--",
            b":",
            b";",
            b" ",
            b"\t",
            b'"',
            b"\\",
            b"(",
            b"<",
            b">",
        ),
        *(
            b"\0",
            b"\xff",
            b"\xef\xbb\xbf",
            b"Content-Type: ",
            b"multipart/mixed; boundary=c",
            b"--c\n",
            b"@",
            b",",
        ),
        *(
            b"message/delivery-status",
            b"message/feedback-report",
            b"message/rfc822",
            b"text/html",
            b"<p>",
            b"&lt;",
        ),
        *(
            b"Action: ",
            b"failed",
            b"Status: ",
            b"5.1.1",
            b"Final-Recipient: ",
            b"rfc822;a@b.example",
            b"550 5.1.1 no",
        ),
        *(
            b"Feedback-Type: abuse",
            b"Original-Rcpt-To: ",
            b"<a@b.example>",
            b"Arrival-Date: ",
            b"Incidents: 3",
        ),
        *(
            b"The following address(es) failed:",
            b"Hi. This is the ",
            b"----- Original message -----",
            b"Received: x",
        ),
        *(
            b"Content-Transfer-Encoding: base64",
            b"Content-Transfer-Encoding: quoted-printable",
            b"charset=utf-16",
        ),
    ]
)


@given(
    st.lists(_PIECES | st.binary(max_size=5), max_size=60).map(b"".join),
    st.sampled_from([b"", DAEMON, DAEMON + b"\n", REPORT, STATUS, FEEDBACK]),
    st.sampled_from([None, "", "anna@example.com"]),
)
@settings(max_examples=200, deadline=None)
def test_any_octets_are_judged_and_what_is_read_can_be_sent_again(octets, head, sender):
    check(head + octets, sender)


@given(st.sampled_from(sorted(stored.table("bounces"))), st.data())
@settings(max_examples=100, deadline=None)
def test_a_bounce_with_anything_cut_out_is_judged(name, pick):
    data = stored.read("bounces", name)
    begin = pick.draw(st.integers(0, len(data)))
    check(data[:begin] + data[begin + pick.draw(st.integers(0, 200)) :])


def check(data, sender=None):
    """Judge `data`, which never raises; a report that was read says the same when it is composed and read."""
    envelope = {
        "sender": "a@b",
        "to": "c@d",
        "date": 0,
        "message_id": "<n@b>",
        "boundary": "-",
        "original": data,
    }
    found = incoming.read(data, sender)
    assert found.to_dict()["hints"] == found.hints.to_dict()
    if isinstance(found, incoming.Bounce) and found.report.reporting_mta is not None:
        assert dsn.parse(dsn.compose(dsn.Draft(report=found.report, **envelope))) == found.report
    elif isinstance(found, incoming.Complaint):
        assert arf.parse(arf.compose(arf.Draft(report=found.report, **envelope))) == found.report
    for read in (dsn.read, arf.read):
        with contextlib.suppress(ParseError):
            read(data)
