"""The bytes of a message: what is changed (line ends, Bcc, Date, Message-ID), and what is not."""

import pytest
from support.contents import DATE, GOOD, prepare

from mailqueue.mail import address, content


def test_message_that_lacks_nothing_is_sent_as_it_is():
    prepared = prepare(GOOD + b"\r\nText\r\n", strict=True)
    assert prepared.header == GOOD + b"\r\n"
    assert prepared.body == b"Text\r\n"
    assert prepared.message_id == "<1@sender.example>"
    assert prepared.subject == "Hello"
    assert prepared.sender == address.parse("ann@sender.example")
    assert prepared.recipients == (address.parse("bob@receiver.example"),)
    assert (prepared.changes, prepared.repairs) == ((), ())
    assert (prepared.faults, prepared.envelope_faults) == ((), ())
    assert (prepared.eight_bit, prepared.utf8_header) == (False, False)


@pytest.mark.parametrize(
    ("data", "header", "body", "why"),
    [
        (b"X: 1\r\n\r\nbody", b"X: 1\r\n\r\n", b"body", "the last line need not end"),
        (b"X: 1\r\n\r\n", b"X: 1\r\n\r\n", b"", "an empty body"),
        (b"X: 1\r\n", b"X: 1\r\n\r\n", b"", "no empty line: one is added"),
        (b"X: 1", b"X: 1\r\n\r\n", b"", "nor an end of the last line"),
        (b"X: 1\r\n\r\n\r\n\r\nb", b"X: 1\r\n\r\n", b"\r\n\r\nb", "empty lines of the body stay"),
        (b"X: 1\r\n \r\nY: 2\r\n\r\nb", b"X: 1\r\nY: 2\r\n\r\n", b"b", "a line of a space is no empty line"),
        (
            b"X: 1\r\nnot a field\r\nY: 2\r\n\r\nb",
            b"X: 1\r\nnot a field\r\nY: 2\r\n\r\n",
            b"b",
            "lenient: sent as it is",
        ),
        (b"X : 1\r\n\r\nb", b"X : 1\r\n\r\n", b"b", "a space before the colon stays (RFC 5322 4.5)"),
        (b"X:\r\n\r\nb", b"X:\r\n\r\n", b"b", "a field without a value"),
        (b"X: a\r\n\tb\r\n c\r\n\r\nb", b"X: a\r\n\tb\r\n c\r\n\r\n", b"b", "folds stay as they are"),
        (b"X: 1\n\nb\n", b"X: 1\r\n\r\n", b"b\r\n", "LF becomes CRLF"),
        (b"X: 1\r\rb\r", b"X: 1\r\n\r\n", b"b\r\n", "CR becomes CRLF"),
        (b"X: 1\n\r\nb\r\n", b"X: 1\r\n\r\n", b"b\r\n", "mixed"),
        (b"X: 1\n\nb\r\r\n", b"X: 1\r\n\r\n", b"b\r\n\r\n", "a CR before a CRLF is a line end of its own"),
        (b"X: 1\n\n.\n..\r\n.", b"X: 1\r\n\r\n", b".\r\n..\r\n.", "dots are not stuffed here"),
        (b"X: 1\n\nFrom me\n>From you\n", b"X: 1\r\n\r\n", b"From me\r\n>From you\r\n", "no From is mangled"),
        (b"\nX: 1\n\nb", b"\r\n", b"X: 1\r\n\r\nb", "an empty line first: the header is empty"),
        (b"just text\nmore: text\n", b"\r\n", b"just text\r\nmore: text\r\n", "no header at all"),
        (b" X: 1\n\nb", b"\r\n", b" X: 1\r\n\r\nb", "white space first is no field"),
        ("Größe: 1\n\nb".encode(), b"\r\n", "Größe: 1\r\n\r\nb".encode(), "field names are ASCII"),
        (b": 1\n\nb", b"\r\n", b": 1\r\n\r\nb", "a field without a name is none"),
        (b"", b"\r\n", b"", "nothing at all"),
        (b"\n", b"\r\n", b"", "an empty line"),
        (
            b"X: 1\n\nno end of line \xff\xfe",
            b"X: 1\r\n\r\n",
            b"no end of line \xff\xfe",
            "octets stay octets",
        ),
    ],
)
def test_header_and_body_are_cut_at_the_empty_line(data, header, body, why):
    prepared = prepare(data)
    assert prepared.header == DATE + b"Message-ID: <made@localhost>\r\n" + header, why
    assert prepared.body == body, why
    assert prepared.faults == (), why


def test_separator_of_an_mbox_file_is_no_part_of_the_message():
    prepared = prepare(b"From ann@sender.example Mon Nov 13 10:00:00 2023\n" + GOOD + b"\nText\n")
    assert prepared.header == GOOD + b"\r\n"
    assert "the line 'From ...' of an mbox file was removed" in prepared.changes


def test_field_from_with_a_space_before_its_colon_is_no_mbox_line():
    prepared = prepare(b"From : ann@sender.example 2023\nX: 1\n\n")
    assert b"From : ann@sender.example 2023\r\n" in prepared.header


def test_missing_date_and_message_id_are_added_at_the_top():
    prepared = prepare(b"From: ann@sender.example\n\nText\n")
    assert prepared.header == DATE + b"Message-ID: <made@sender.example>\r\nFrom: ann@sender.example\r\n\r\n"
    assert prepared.message_id == "<made@sender.example>"
    assert prepared.changes[:2] == (
        "Date: Tue, 14 Nov 2023 22:13:20 +0000 was added",
        "Message-ID: <made@sender.example> was added",
    )


@pytest.mark.parametrize(
    ("fields", "domain", "why"),
    [
        (b"From: a@b.example\n", "b.example", "the domain of From"),
        (b"From: a@b.example\nSender: c@d.example\n", "d.example", "Sender is who sends it"),
        (b"From: a@b\xc3\xbccher.example\n", "xn--bcher-kva.example", "in A-labels"),
        (b"X: 1\n", "localhost", "nobody is named"),
        (b"From: nobody\n", "localhost", "nobody can be read"),
    ],
)
def test_new_message_id_is_of_the_senders_domain(fields, domain, why):
    assert prepare(fields + b"\n").message_id == f"<made@{domain}>", why


@pytest.mark.parametrize(
    ("field", "expected", "why"),
    [
        (b"Message-ID: <a@b>", "<a@b>", "the ordinary case"),
        (b"MESSAGE-Id:<a@b>", "<a@b>", "names are without case"),
        (b"Message-ID:\r\n <a@b>", "<a@b>", "folded, as Outlook does"),
        (b"Message-ID: (made) <a@b> (here)", "<a@b>", "comments"),
        (b"Message-ID: a@b", "<a@b>", "without brackets it gets them, for us only"),
        (b"Message-ID: <a b>", "<a b>", "not of the right form, and its own"),
        (b"Message-ID: <\xff\x1b@b>", "<\\xff\\x1b@b>", "nothing hidden in it"),
        (b"Message-ID: <a@b>\r\nMessage-ID: <c@d>", "<a@b>", "the first of two"),
        (b"Message-ID: \r\nMessage-ID: <c@d>", "<c@d>", "the first with something in it"),
    ],
)
def test_message_id_that_is_there_is_kept(field, expected, why):
    prepared = prepare(field + b"\r\nX: 1\r\n\r\n")
    assert prepared.message_id == expected, why
    assert field in prepared.header


@pytest.mark.parametrize(
    "field", [b"Message-ID:", b"Message-ID: \t", b"Message-ID: <>", b"Date:", b"Date : "]
)
def test_empty_field_is_put_in_anew(field):
    prepared = prepare(field + b"\r\nX: 1\r\n\r\n")
    assert prepared.header == DATE + b"Message-ID: <made@localhost>\r\nX: 1\r\n\r\n"
    assert any(change.startswith("an empty ") for change in prepared.changes)


@pytest.mark.parametrize(
    ("now", "date"),
    [
        (0, b"Thu, 01 Jan 1970 00:00:00 +0000"),
        (951_782_400_000_000, b"Tue, 29 Feb 2000 00:00:00 +0000"),
        (4_102_444_799_999_999, b"Thu, 31 Dec 2099 23:59:59 +0000"),
    ],
)
def test_date_is_written_in_english_and_utc(now, date):
    prepared = content.prepare(b"X: 1\n\n", now=now, make_message_id=lambda domain: "<x@y>")
    assert prepared.header.startswith(b"Date: " + date + b"\r\n")


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (b"Bcc: secret@receiver.example\n", "the ordinary case"),
        (b"BCC: secret@receiver.example\n", "without case"),
        (b"Bcc : secret@receiver.example\n", "a space before the colon"),
        (b"Bcc\n : secret@receiver.example\n", "a fold before the colon"),
        (b"Bcc: a@b.example,\n secret@receiver.example\n\t, c@d.example\n", "folded"),
        (b"Bcc: a@b.example\nBcc: secret@receiver.example\n", "two of them"),
        (b"X: 1\nnot a field\nBcc: secret@receiver.example\n", "behind a line that is no field"),
        (b"X: 1\rBcc: secret@receiver.example\n", "behind a CR alone"),
        (b"Bcc: secret@receiver.example (\n", "unreadable"),
        (b"Resent-Bcc: secret@receiver.example\n", "of a message sent again"),
        (
            b"Resent-To: a@b.example\nResent-Bcc: secret@receiver.example\n"
            b"Resent-To: c@d.example\nResent-Bcc: x@y.example\n",
            "of any time it was",
        ),
    ],
)
def test_blind_copies_stay_blind(field, why):
    for data in (
        b"Subject: x\n" + field + b"To: a@b.example\n\nText\n",
        field + b"\nText\n",
        b"X: 1\n" + field,
    ):
        prepared = prepare(data)
        assert b"secret" not in prepared.header + prepared.body, why
        assert b"bcc" not in prepared.header.lower(), why
        assert any("Bcc was removed" in change for change in prepared.changes), why


def test_bcc_in_the_body_is_text():
    assert prepare(b"X: 1\n\nBcc: a@b.example\n").body == b"Bcc: a@b.example\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\nFrom: a@b.example\nBcc: secret@receiver.example\n\nText\n",  # its literal begins with a line end
        b"\nBcc: secret@receiver.example",
        b"  Subject: x\n  y\nResent-BCC : secret@receiver.example\n\nText\n",  # an indented one
        b"what\nBcc: secret@receiver.example\n\nText\n",
    ],
)
def test_blind_copy_that_would_become_text_is_refused(data):
    (fault,) = prepare(data).faults
    assert fault == "body line 1: the message does not begin with a header field, so all would see its Bcc"


def test_recipients_of_dropped_bcc_still_get_it():
    prepared = prepare(b"To: a@b.example\nBcc: c@d.example, e@f.example\n\n")
    assert list(map(str, prepared.recipients)) == ["a@b.example", "c@d.example", "e@f.example"]
