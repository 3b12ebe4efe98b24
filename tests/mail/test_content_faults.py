"""What keeps a message out of the queue, in either mode and in strict mode."""

import pytest
from support.contents import GOOD, faults, prepare


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (GOOD + b"\nText\n\x00\n", "body line 2: a NUL (1 in all)"),
        (GOOD + b"X: a\x00b\x00\n\nText\n", "header line 6: a NUL (2 in all)"),
        (GOOD.replace(b"\r\n", b"\r") + b"\rText\r\rand\x00", "body line 3: a NUL (1 in all)"),
        (b"\x00", "body line 1: a NUL (1 in all)"),
    ],
)
def test_nul_is_refused_and_never_stripped(data, fault, strict):
    prepared = prepare(data, strict=strict)
    assert fault in prepared.faults
    assert b"\x00" in prepared.header + prepared.body


SIGNED = b"Content-Type: multipart/signed; boundary=b\n"
SEALS = [
    (b"DKIM-Signature: v=1; b=x\n\n", b"", "DKIM-Signature"),
    (b"dkim-signature: v=1;\n b=x\n\n", b"", "DKIM-Signature"),
    (SIGNED + b"\n", b"", "signed or encrypted part"),
    (b"CONTENT-TYPE:\n Multipart/Encrypted; boundary=b\n\n", b"", "signed or encrypted part"),
    (b"Content-Type: multipart/mixed; boundary=a\n\n", b"--a\n" + SIGNED + b"\n", "signed or encrypted part"),
]


@pytest.mark.parametrize(("head", "inner", "seal"), SEALS)
def test_cr_alone_is_refused_where_a_signature_covers_it(head, inner, seal):
    prepared = prepare(GOOD + head + inner + b"a\rb\rc\n")
    (fault,) = prepared.faults
    assert fault.endswith(f": a CR without an LF (2 in all), and to change it would break the {seal}")
    assert fault.startswith("body line ")


@pytest.mark.parametrize(("head", "inner", "seal"), SEALS)
def test_lf_alone_is_no_fault_under_a_signature(head, inner, seal):
    assert prepare(GOOD + head + inner + b"a\nb\n").faults == (), seal


def test_cr_alone_becomes_crlf_in_lenient_mode_and_is_a_fault_in_strict_mode():
    data = GOOD + b"\r\nText\r\na\rb\r\n"
    prepared = prepare(data)
    assert prepared.body == b"Text\r\na\r\nb\r\n"
    assert prepared.repairs == ("1 line ends of CR alone became CRLF",)
    assert faults(data) == ("body line 2: a CR without an LF (1 in all)",)


def test_text_that_talks_of_signatures_is_not_signed():
    data = GOOD + b"\nWrite multipart/signed into the header:\n  Content-Type: multipart/signed\na\rb\n"
    assert prepare(data).faults == ()


@pytest.mark.parametrize(
    ("data", "fault", "source"),
    [
        (GOOD + b"what\n\n", "header line 6: has no colon: 'what'", "RFC 5322 2.2"),
        (GOOD + b"X : y\n\n", "header line 6: white space before the colon of X", "RFC 5322 2.2, 4.5"),
        (
            "Grüße: y\n".encode().join([GOOD, b"\n"]),
            "header line 6: a field name may have printable ASCII only: 'Grüße'",
            "RFC 5322 2.2",
        ),
        (
            GOOD + b"X y: z\n\n",
            "header line 6: a field name may have printable ASCII only: 'X y'",
            "RFC 5322 2.2",
        ),
        (GOOD + b": z\n\n", "header line 6: a field name may have printable ASCII only: ''", "RFC 5322 2.2"),
        (b" " + GOOD + b"\n", "header line 1: not a header field, so there is no header", "RFC 5322 2.2.3"),
        (b"Hello\n", "header line 1: not a header field, so there is no header", "RFC 5322 3.6"),
        (b"\n" + GOOD, "header line 1: not a header field, so there is no header", "RFC 5322 3.6"),
        (
            GOOD + b"X: y\n \n z\n\n",
            "header line 6: X is followed by a line of white space only",
            "RFC 5322 3.2.2",
        ),
        (GOOD + b"X: \xfc\n\n", "header line 6: octet 0xfc is not UTF-8", "RFC 6532 3.2"),
        (
            GOOD + b"X: " + b"y" * 996 + b"\n\n",
            "header line 6: 999 octets, and 998 are the most",
            "RFC 5322 2.1.1",
        ),
        (
            GOOD + b"X: a\n " + b"y " * 500 + b"\n\n",
            "header line 7: 1001 octets, and 998 are the most",
            "RFC 5322 2.1.1",
        ),
        (
            GOOD + b"Bcc: a@b.example,\n " + b" " * 999 + b"c@d.example\n\n",
            "header line 7: 1011 octets, and 998 are the most",
            "RFC 5322 2.1.1",
        ),
        (
            GOOD + b"\na\n" + b"y" * 999 + b"\n",
            "body line 2: 999 octets, and 998 are the most",
            "RFC 5322 2.1.1",
        ),
        (GOOD[32:] + b"\n", "header: no From", "RFC 5322 3.6"),
        (
            GOOD + b"From: x@y.example\n\n",
            "header lines 1 and 6: From may stand there once only",
            "RFC 5322 3.6",
        ),
        (GOOD + b"TO: x@y.example\n\n", "header lines 2 and 6: To may stand there once only", "RFC 5322 3.6"),
        (
            GOOD + b"Subject: x\nSubject: y\n\n",
            "header lines 5 and 6 and 7: Subject may stand there once only",
            "RFC 5322 3.6",
        ),
        (
            GOOD + b"Bcc: x@y.example\nbcc: z@y.example\n\n",
            "header lines 6 and 7: Bcc may stand there once only",
            "RFC 5322 3.6",
        ),
        (
            GOOD + b"MIME-Version: 1.0\nMIME-Version: 1.0\n\n",
            "header lines 6 and 7: MIME-Version may stand there once only",
            "RFC 2045 3",
        ),
        (GOOD + b"Cc: me\n\n", "header line 6: Cc: 'me': there is no @", "RFC 5322 3.4"),
        (
            GOOD + b"Reply-To: a@b@c.example\n\n",
            "header line 6: Reply-To: 'a@b@c.example': another @ at position 2 of the domain",
            "RFC 5322 3.4",
        ),
        (GOOD + b"Resent-To: me\n\n", "header line 6: Resent-To: 'me': there is no @", "RFC 5322 3.6.6"),
        (GOOD + b"Cc: \n\n", "header line 6: Cc has no address in it", "RFC 5322 3.6.3"),
        (
            GOOD + b"Sender: a@b.example, c@d.example\n\n",
            "header line 6: Sender may have one address only",
            "RFC 5322 3.6.2",
        ),
        (
            b"From: a@b.example, c@d.example\n\n",
            "header line 1: From has 2 addresses, and there is no Sender",
            "RFC 5322 3.6.2",
        ),
        (
            b"From: a@b.example\nDate: yesterday\n\n",
            "header line 2: Date is not a date: 'yesterday'",
            "RFC 5322 3.3",
        ),
        (
            b"From: a@b.example\nMessage-ID: 17\n\n",
            "header line 2: Message-ID is not of the form <left@right>: '17'",
            "RFC 5322 3.6.4",
        ),
        (
            GOOD + b"Content-Type: text\n\n",
            "header line 6: Content-Type is not of the form type/subtype: 'text'",
            "RFC 2045 5.1",
        ),
        (
            GOOD + b"Content-Type: multipart/mixed\n\n",
            "header line 6: Content-Type is multipart/mixed without a boundary",
            "RFC 2046 5.1.1",
        ),
        (
            GOOD + b'Content-Type: multipart/mixed; boundary=""\n\n',
            "header line 6: Content-Type is multipart/mixed without a boundary",
            "RFC 2046 5.1.1",
        ),
        (
            GOOD + b'Content-Type: multipart/mixed; boundary="' + b"b" * 71 + b'"\n\n',
            "header line 6: Content-Type has a boundary that is not allowed: '" + "b" * 60 + "'...",
            "RFC 2046 5.1.1",
        ),
        (
            GOOD + b'Content-Type: multipart/mixed; boundary="b "\n\n',
            "header line 6: Content-Type has a boundary that is not allowed: 'b '",
            "RFC 2046 5.1.1",
        ),
        (
            GOOD + b"Content-Type: multipart/mixed; boundary=b\n\ntext\n",
            "body: the boundary 'b' of multipart/mixed is not in it",
            "RFC 2046 5.1.1",
        ),
        (
            GOOD + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n",
            "body: the last part of multipart/mixed is not closed by --b--",
            "RFC 2046 5.1.1",
        ),
        (
            GOOD
            + b"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n"
            + b"\n--b\n\n--b--\n",
            "header line 7: the encoding of a multipart cannot be 'base64'",
            "RFC 2045 6.4",
        ),
    ],
)
def test_strict_mode_refuses_what_the_standards_forbid(data, fault, source):
    found = faults(data)
    assert fault in found, source
    expected_with_it = {"header: no From", "header line 1: not a header field, so there is no header"}
    assert set(found) - {fault} <= expected_with_it, "and nothing else"
    assert prepare(data).faults == (), "lenient mode sends it"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (GOOD + b"\n" + b"y" * 998 + b"\n", "998 octets are allowed"),
        (GOOD + b"X: " + b"y" * 995 + b"\n\n", "in the header too"),
        (GOOD + b"\ntext \xfc\n", "8-bit text in the body"),
        (GOOD + "X: ü\n\n".encode(), "UTF-8 in the header (RFC 6532)"),
        (GOOD + b"Bcc:\n\n", "an empty Bcc (RFC 5322 3.6.3)"),
        (GOOD + b"Cc: undisclosed-recipients:;\n\n", "an empty group"),
        (
            GOOD + b"Received: a\nReceived: b\nComments: c\nComments: d\nX: \nX:\n\n",
            "fields that may come often",
        ),
        (GOOD + b"Resent-To: a@b.example\nResent-To: c@d.example\n\n", "blocks of Resent- fields"),
        (b"From: a@b.example\n\n", "Date and Message-ID are added"),
        (b"From: a@b.example, c@d.example\nSender: e@f.example\n\n", "several authors and who sent it"),
        (GOOD + b'Content-Type: multipart/mixed;\n boundary="b c"\n\n--b c\n\ntext\n--b c--', "a multipart"),
        (
            GOOD
            + b"content-type: MULTIPART/Mixed; Boundary=b (comment)\n\npreamble\n--b\n\n--b--\nepilogue\n",
            "another",
        ),
        (
            GOOD
            + b"Content-Transfer-Encoding: 8BIT\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n--b--\n",
            "8bit",
        ),
        (
            GOOD + b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nYQ==\n",
            "a text",
        ),
        (
            b"From: a@b.example\nDate: Mon, 13 Nov 2023 10:00:00 GMT\nMessage-ID: (c) <a@[192.0.2.1]>\n\n",
            "odd but legal",
        ),
    ],
)
def test_strict_mode_takes_what_the_standards_allow(data, why):
    assert faults(data) == (), why


def test_every_fault_is_listed_with_its_place():
    data = b"Subject: a\nwhat\nSubject : b\nTo: me\nX: \xfc\n\nline\rline\n" + b"y" * 1200 + b"\n"
    assert faults(data) == (
        "body line 1: a CR without an LF (1 in all)",
        "header line 2: has no colon: 'what'",
        "header line 3: white space before the colon of Subject",
        "header line 5: octet 0xfc is not UTF-8",
        "body line 3: 1200 octets, and 998 are the most",
        "header: no From",
        "header lines 1 and 3: Subject may stand there once only",
        "header line 4: To: 'me': there is no @",
    )


def test_many_long_lines_are_counted_not_listed():
    found = faults(GOOD + b"\n" + (b"y" * 1000 + b"\n") * 5000)
    assert len(found) == 11
    assert found[0] == "body line 1: 1000 octets, and 998 are the most"
    assert found[-1] == "body: 4990 more lines of over 998 octets"


def test_unreadable_address_is_named_once_in_strict_mode():
    prepared = prepare(GOOD + b"Cc: me\n\n", strict=True)
    assert prepared.faults == ("header line 6: Cc: 'me': there is no @",)
    assert prepared.envelope_faults == ()


def test_a_fault_can_be_shown_whatever_is_in_it():
    for fault in faults(b"\x1b[2J\xe2\x80\xae\nFrom\x07: x\nTo: \x1b@x\nDate: \x9b\nMessage-ID: \x1b\n\n"):
        assert fault.isprintable()
