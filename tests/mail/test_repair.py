"""What lenient mode repairs at submit, what it says of it, and what it leaves alone."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.contents import GOOD, prepare, sent
from support.mime import MESSAGES, inner_message, leaf, leaves, multipart

from mailqueue.mail.content import Prepared
from mailqueue.mail.lines import longest

LONG = b"x" * 999
WORDS = b"word " * 250
SIGNED = multipart(
    [leaf(LONG, "text/plain", ""), leaf(b"x", "application/pgp-signature", "")], 7, "signed", "", b""
)


def repaired(data: bytes) -> Prepared:
    """Return the message as it is prepared, without a fault, and no line of it is too long."""
    prepared = prepare(data)
    assert prepared.faults == ()
    assert longest(prepared.header + prepared.body) <= 998
    return prepared


def read(prepared: Prepared) -> EmailMessage:
    found = email.message_from_bytes(prepared.header + prepared.body, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def fields(prepared: Prepared) -> bytes:
    """Return the fields that do not belong to GOOD."""
    return prepared.header.replace(GOOD, b"")


# --- body ----------------------------------------------------------------------------------------
def test_body_with_a_long_line_becomes_quoted_printable():
    prepared = repaired(GOOD + b"\r\nshort\r\n" + LONG + b"\r\n")
    assert fields(prepared) == (
        b"Content-Transfer-Encoding: quoted-printable\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
    )
    assert prepared.body.startswith(b"short\r\n" + b"x" * 75 + b"=\r\n")
    assert read(prepared).get_content() == "short\r\n" + "x" * 999 + "\r\n"
    assert prepared.repairs == ("body: lines of over 998 octets, so text/plain became quoted-printable",)


def test_long_line_of_8_bit_text_becomes_base64_and_the_message_7_bit():
    text = "日本語" * 200
    prepared = repaired(GOOD + leaf(text.encode(), "text/plain; charset=utf-8", "8bit"))
    assert fields(prepared).count(b"\r\nContent-Transfer-Encoding: base64\r\n") == 1
    assert read(prepared).get_content() == text
    assert prepared.eight_bit is False


def test_only_the_part_with_the_long_line_is_encoded():
    plain = leaf("Grüße".encode(), "text/plain; charset=utf-8", "8bit")
    prepared = repaired(GOOD + multipart([plain, leaf(LONG, "text/html", "")], 1, "alternative", "8bit", b""))
    assert plain in prepared.body
    assert b"Content-Transfer-Encoding: 8bit\r\n" in prepared.header
    assert prepared.eight_bit is True
    assert prepared.repairs == ("part 2: lines of over 998 octets, so text/html became quoted-printable",)


@given(MESSAGES)
def test_every_part_decodes_to_what_it_was_and_no_line_is_too_long(message):
    prepared = repaired(message)
    assert leaves(prepared.header + prepared.body) == leaves(message)
    again = prepare(prepared.header + prepared.body)
    assert (again.header, again.body, again.repairs) == (prepared.header, prepared.body, ())


def test_long_lines_of_encoded_parts_are_broken():
    parts = [leaf(LONG, "text/plain", "base64"), leaf(b"a=b\xff" + LONG, "text/plain", "quoted-printable")]
    prepared = repaired(GOOD + multipart(parts, 1, "mixed", "", b""))
    assert prepared.repairs == (
        "part 1: lines of over 998 octets in base64 were broken",
        "part 2: lines of over 998 octets in quoted-printable were broken",
    )


def test_long_lines_in_headers_of_parts_are_folded_and_outside_all_parts_broken():
    part = b"Content-Description: " + WORDS + b"\r\n\r\ntext"
    prepared = repaired(GOOD + multipart([part, inner_message(part, WORDS)], 1, "mixed", "", LONG))
    assert set(prepared.repairs) == {
        "body: long lines outside all parts were broken",
        "part 1: Content-Description was folded",
        "part 2.1: Subject was folded",
        "part 2.1: Content-Description was folded",
    }
    assert b"\r\n--x" not in prepared.body


def test_line_outside_all_parts_is_not_broken_into_a_delimiter():
    before = b"p" * 997 + b"--=_1\r\n"
    prepared = repaired(GOOD + multipart([leaf(b"text", "", "")], 1, "mixed", "", before))
    assert len(list(read(prepared).iter_parts())) == 1


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (
            b"DKIM-Signature: v=1\r\n\r\n" + LONG,
            "body: lines of over 998 octets, and to change them would break the DKIM-Signature",
        ),
        (SIGNED, "body: lines of over 998 octets, and to change them would break the multipart/signed part"),
        (
            multipart([leaf(b"", "", ""), SIGNED.replace(b"signed", b"encrypted")], 1, "mixed", "", b""),
            "part 2: lines of over 998 octets, and to change them would break the multipart/encrypted part",
        ),
        (
            multipart(
                [b"Content-Type: message/rfc822\r\n\r\nDKIM-Signature: b=1\r\n\r\n" + LONG], 1, "x", "", b""
            ),
            "part 1.1: lines of over 998 octets, and to change them would break the DKIM-Signature",
        ),
        (
            leaf(LONG, "text/plain", "x-uuencode"),
            "body: lines of over 998 octets in what calls itself x-uuencode",
        ),
        (
            multipart([leaf(LONG, "message/partial", "")], 1, "mixed", "", b""),
            "part 1: lines of over 998 octets in what calls itself message/partial, which may not be encoded",
        ),
        (
            multipart([b"X: " + LONG[2:] + b"\r\n\r\n"], 1, "mixed", "", b""),
            None,  # after the colon there is white space
        ),
        (
            multipart([b"X:" + LONG + b"y\r\n\r\n"], 1, "mixed", "", b""),
            "part 1: lines of over 998 octets in its header, in X",
        ),
        (
            b"what\r\n\r\n" + LONG,
            "body: lines of over 998 octets, and its header has a line that is no field",
        ),
        (
            multipart([leaf(b"", "", "")], 1, "mixed", "", b"").replace(b"--=_1--", b"--=_1--" + b" " * 999),
            "body: lines of over 998 octets outside all parts",
        ),
    ],
)
def test_long_line_that_cannot_be_repaired_is_refused(message, fault):
    prepared = prepare(GOOD + message)
    assert prepared.faults == (() if fault is None else (fault,))
    if fault is not None:
        assert GOOD + message == prepared.header + prepared.body, "and nothing of it is changed"


def test_signed_part_stays_as_it_is_beside_one_that_is_repaired():
    signed = SIGNED.replace(LONG, b"signed  text\t")
    prepared = repaired(GOOD + multipart([signed, leaf(LONG, "", "")], 1, "mixed", "", b""))
    assert signed in prepared.body


# --- header --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"X: " + b"a " * 600, b"X: " + b"a " * 37 + b"a\r\n a"),
        (b"X: " + b"y" * 996, b"X:\r\n " + b"y" * 996),
        (b"X: short\r\n " + b"b c " * 300, b"X: short\r\n b c"),
        (b"Cc: " + b",".join(b"user%d@b.example" % n for n in range(90)), b"user3@b.example,\r\n user"),
        (b"Cc: " + b'"a,b"<c@d>,' * 120 + b"e@f.example", b'"a,b"<c@d>,\r\n "a,b"<c@d>'),
        (b"References: " + b"<a@b.example>" * 90, b"<a@b.example>\r\n <a@b.example>"),
        (b"Subject: " + b"y" * 1200, b"Subject: =?us-ascii?q?yyy"),
        (b"Subject: " + "件".encode() * 400, b"Subject: =?utf-8?b?"),
        (b"X: " + "件".encode() * 400, b"X: =?utf-8?b?"),
        (b'Cc: "a,\r\n b,c" <a@b.example>,' + b"d@e.example," * 90 + b"f@g.example", b'"a,\r\n b,c" <a@b'),
    ],
)
def test_long_line_of_the_header_is_folded(field, expected):
    head = GOOD.replace(b"Subject: Hello\r\n", b"") if field.startswith(b"Subject") else GOOD
    prepared = repaired(head + field + b"\r\n\r\ntext")
    assert expected in prepared.header
    name = field.partition(b":")[0].decode()
    line = head.count(b"\n") + 1
    assert prepared.repairs == (f"header line {line}: {name} was folded, as it had lines of over 998 octets",)
    value = read(prepared)[name]
    assert "".join(str(value).split()) == "".join(field.partition(b":")[2].decode().split())


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (b"X:" + LONG, "and there is no white space to fold it at"),
        (b"X: a" + b" " * 1000 + b"b", "and there is no white space to fold it at"),
        (b"Subject: =?utf-8?q?" + LONG + b"?=", "and there is no white space to fold it at"),
        (b"no field " * 120, "and there is no white space to fold it at"),
        (b"DKIM-Signature: " + WORDS, "and to fold it would break the DKIM-Signature"),
    ],
)
def test_long_line_of_the_header_that_cannot_be_folded_is_refused(field, why):
    head = GOOD.replace(b"Subject: Hello\r\n", b"")
    assert prepare(head + field + b"\r\n\r\n").faults == (f"header line 5: a line of over 998 octets, {why}",)


def test_long_bcc_is_dropped_like_any():
    assert repaired(GOOD + b"Bcc:" + LONG + b"\r\n\r\n").repairs == ()


@pytest.mark.parametrize(
    ("fields_", "expected", "repair"),
    [
        (b"X: a\n \n\t\n b\n", b"X: a\r\n b\r\n", "header line 6: X: lines of white space only were removed"),
        (b"X: a\n  \n", b"X: a\r\n", "header line 6: X: lines of white space only were removed"),
        (
            b"X: This is Gr\xfc\xdfe for all\n",
            b"X: This is =?unknown-8bit?b?R3L832U=?= for all\r\n",
            "header line 6: X: octets that are not UTF-8 were encoded, as unknown-8bit",
        ),
        (
            b"Content-Type: text/plain; charset=ISO-8859-1\nX: a Gr\xfc\xdfe\n",
            b"X: a =?iso-8859-1?b?R3L832U=?=\r\n",
            "header line 7: X: octets that are not UTF-8 were encoded, as iso-8859-1",
        ),
        (
            b'Cc: J\xfcrgen M. <a@b.example>, "\xc4, B" <c@d.example>, e@f.example (G\xfcnter)\n',
            b"Cc: =?unknown-8bit?b?SvxyZ2VuIE0u?= <a@b.example>, =?unknown-8bit?q?=C4=2C_B?=\r\n"
            b" <c@d.example>, e@f.example (=?unknown-8bit?q?G=FCnter?=)\r\n",
            "header line 6: Cc: octets that are not UTF-8 were encoded, as unknown-8bit",
        ),
        (
            b"Subject: Hello\n",
            b"",
            "header: Subject was removed where it stood again (1 times)",
        ),
        (
            b"MIME-Version: 1.0\nMime-version:\n 1.0\n",
            b"MIME-Version: 1.0\r\n",
            "header: MIME-Version was removed where it stood again (1 times)",
        ),
        (
            b"Cc: a@b.example\nCc: c@d.example,\n  e@f.example\n",
            b"Cc: a@b.example,\r\n c@d.example,\r\n  e@f.example\r\n",
            "header: several Cc became one",
        ),
        (
            b"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: quoted-printable\n",
            b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n",
            "header line 7: Content-Transfer-Encoding: quoted-printable of a multipart became 7bit",
        ),
    ],
)
def test_fault_of_the_header_is_repaired_and_told(fields_, expected, repair):
    prepared = repaired(GOOD + fields_ + b"\n--b\n\ntext\n--b--\n")
    assert fields(prepared).endswith(expected + b"\r\n")
    assert prepared.repairs == (repair,)


@pytest.mark.parametrize(
    ("fields_", "why"),
    [
        (b"From: eve@other.example\n", "who wrote it is not ours to say"),
        (b"Subject: another\n", "nor which of two subjects counts"),
        (b"Cc: a@b.example\nCc: me\n", "what cannot be read is not joined"),
        (b"what\n", "a line that is no field"),
        (b"X : 1\n", "a blank before a colon (RFC 5322 4.5)"),
        (b"Cc:\n", "an empty list"),
        (b"References: <\xfc@b.example>\n", "an identifier"),
        (b"Cc: J\xfcrgen@b.example, x@y.example\n", "an address"),
        (b"Cc: X <J\xfcrgen@b.example>\n", "an address with a name"),
        (b"X: =?utf-8?q?a?= \xfc\n", "a space beside an encoded word is lost"),
        (b"Content-Type: multipart/mixed\n", "no boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\n", "not closed"),
        (
            b"Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n",
            "it may be encoded",
        ),
        (b"Content-Type: text\n", "no type"),
        ("X: Grüße\n".encode(), "UTF-8 (RFC 6532)"),
        (b"DKIM-Signature: v=1\nX: \xfc\nX: a\n \n b\nSubject: Hello\n", "what may be signed"),
    ],
)
def test_what_nobody_can_repair_safely_is_sent_as_it_is(fields_, why):
    prepared = repaired(GOOD + fields_ + b"\n--b\n\ntext\n")
    assert fields(prepared) == fields_.replace(b"\n", b"\r\n") + b"\r\n", why
    assert prepared.repairs == (), why


def test_recipients_of_a_repaired_message_are_those_of_the_one_handed_in():
    prepared = repaired(GOOD + b"To: c@d.example\nBcc: e@f.example\n\n")
    assert list(map(str, prepared.recipients)) == ["bob@receiver.example", "c@d.example", "e@f.example"]
    assert b"To: bob@receiver.example,\r\n c@d.example\r\n" in prepared.header


def test_subject_in_a_named_charset_is_shown_in_it():
    data = b"Subject: Gr\xfc\xdfe\nContent-Type: text/plain; charset=iso-8859-1\n\n"
    assert repaired(data).subject == "Grüße"


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=200)


@given(TEXT, st.sampled_from(["iso-8859-1", "shift_jis", "windows-1252", "koi8-r", "euc-kr"]))
def test_text_that_becomes_encoded_words_is_read_as_it_was(text, charset):
    raw = text.encode(charset, "ignore")
    data = b"Subject: a " + raw + b"\nContent-Type: text/plain; charset=" + charset.encode() + b"\n\n"
    prepared = repaired(data)
    if prepared.repairs:
        assert max(map(len, prepared.header.split(b"\r\n"))) <= 100
        assert "".join((prepared.subject or "").split()) == "".join(("a " + raw.decode(charset)).split())
        assert prepared.utf8_header is False


def test_repairs_are_told_without_what_is_in_the_message():
    data = b"Subject: secret\xfc\nSubject: secret\xfc\nTo: secret@b.example\nX: secret\n \n\nsecret" + LONG
    prepared = repaired(data)
    assert len(prepared.repairs) == 5
    assert "secret" not in " ".join(prepared.repairs)


@pytest.mark.parametrize(
    "data",
    [
        b"To: " + b"a@b.example," * 80_000 + b"\n\n",
        b"To: " + b'"' * 300_000 + b"\n\n",
        b"To: " + b"(" * 300_000 + b"\xfc\n\n",
        b"Subject: " + b"\xfc " * 100_000 + b"\n\n",
        b"Subject: " + b"x" * 500_000 + b"\n\n",
        b"Content-Type: text/plain" + b"; name=\xfc" * 50_000 + b"\n\n",
        b"X: a\n" + b" \n" * 300_000 + b" b\n\n",
        b"To: a@b.example\n" * 20_000 + b"\n",
        b"Cc: <a@b.example>\n" * 2 + b"X: \xff\n" * 20_000 + b"\n",
    ],
)
def test_a_hostile_header_is_repaired_in_a_time_that_grows_with_its_length(data):
    """Each would take minutes if the time grew with the square; the suite's time limit is the bound."""
    assert longest(sent(data)) < len(data)
