"""What is seen in a message: its envelope, its needs, its subject."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.contents import prepare

from mailqueue.mail.header import decode_words
from mailqueue.mail.lines import longest


@pytest.mark.parametrize(
    ("fields", "sender", "recipients", "why"),
    [
        (b"From: a@x.example\nTo: b@x.example", "a@x.example", ["b@x.example"], "the ordinary case"),
        (b"From: a@x.example\nSender: s@x.example", "s@x.example", [], "Sender before From"),
        (b"From: a@x.example, b@x.example", "a@x.example", [], "the first of From"),
        (
            b"Cc: c@x.example\nTo: a@x.example\nBcc: b@x.example",
            None,
            ["a@x.example", "c@x.example", "b@x.example"],
            "To, Cc, Bcc",
        ),
        (b"To: a@x.example\nTo: b@x.example", None, ["a@x.example", "b@x.example"], "every To"),
        (
            b"To: a@x.example, a@X.example, A@x.example\nCc: a@x.example",
            None,
            ["a@x.example", "A@x.example"],
            "each once",
        ),
        (b"To: undisclosed-recipients:;", None, [], "nobody named"),
        (b"Reply-To: r@x.example\nReturn-Path: <p@x.example>", None, [], "other fields do not count"),
        (
            b'From: =?utf-8?q?A=2C_B?= <a@x.example>\nTo: "B, C" <b@x.example>',
            "a@x.example",
            ["b@x.example"],
            "names",
        ),
        (b"From: J\xfcrgen <a@x.example>", "a@x.example", [], "a name that is not UTF-8"),
        (
            b"From: a@x.example\nTo: old@x.example\nResent-From: r@x.example\nResent-To: new@x.example",
            "r@x.example",
            ["new@x.example"],
            "RFC 5322 3.6.6",
        ),
        (
            b"Resent-Sender: s@x.example\nResent-From: r@x.example\nTo: old@x.example",
            "s@x.example",
            [],
            "nobody to resend it to",
        ),
        (
            b"Resent-To: new@x.example\nFrom: a@x.example",
            None,
            ["new@x.example"],
            "the author did not resend it",
        ),
        (
            b"Resent-To: 2@x.example\nResent-Cc: 3@x.example\nReceived: x\nResent-To: 1@x.example",
            None,
            ["2@x.example", "3@x.example"],
            "the newest block only",
        ),
        (
            b"Resent-To: 2@x.example\nResent-To: 1@x.example\nResent-Cc: 0@x.example",
            None,
            ["2@x.example"],
            "a name again begins an older block",
        ),
        (b"Resent-Bcc: 2@x.example\nTo: 1@x.example", None, ["2@x.example"], "a blind copy of a resent one"),
    ],
)
def test_envelope_is_taken_from_the_header(fields, sender, recipients, why):
    prepared = prepare(fields + b"\n\n")
    assert (str(prepared.sender) if prepared.sender else None) == sender, why
    assert list(map(str, prepared.recipients)) == recipients, why
    assert prepared.envelope_faults == (), why


def test_unreadable_address_is_a_fault_only_for_who_needs_it():
    data = b"X: 1\nFrom: ann@sender.example\nTo: bob@receiver.example,\n me at home\nCc: c@d.example\n\n"
    prepared = prepare(data)
    assert prepared.faults == ()
    (fault,) = prepared.envelope_faults
    assert fault.startswith("header line 3: To: ")
    assert list(map(str, prepared.recipients)) == ["c@d.example"]


@pytest.mark.parametrize(
    ("data", "eight_bit", "utf8_header"),
    [
        (b"Subject: a\n\nb", False, False),
        (b"Subject: a\n\n\xfc", True, False),
        ("Subject: ü\n\nb".encode(), False, True),
        ("Subject: ü\n\nü".encode(), True, True),
        (b"Subject: \xfc\n\n\xfc", True, False),  # octets that are not UTF-8 are encoded
        ("Bcc: ü@b.example\nX: 1\n\nb".encode(), False, False),  # what is dropped needs nothing
    ],
)
def test_needs_of_8_bit_and_utf_8_are_found(data, eight_bit, utf8_header):
    prepared = prepare(data)
    assert (prepared.eight_bit, prepared.utf8_header) == (eight_bit, utf8_header)


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        (b"", 0),
        (b"x" * 5000, 5000),
        (b"x" * 5000 + b"\r\n", 5000),
        ((b"x" * 76 + b"\r\n") * 40_000 + b"y" * 100 + b"\r\n", 100),
        (b"y" * 100 + b"\r\n" + (b"x" * 76 + b"\r\n") * 40_000, 100),
        (b"y" * 3_000_000 + b"\r\n" + b"x\r\n" * 600_000, 3_000_000),
    ],
)
def test_longest_line_is_measured(data, octets):
    assert longest(data) == octets


@pytest.mark.parametrize(
    ("raw", "subject", "why"),
    [
        (b"plain text", "plain text", "ASCII"),
        (b"", "", "an empty one"),
        ("Grüße".encode(), "Grüße", "UTF-8 (RFC 6532)"),
        (b"Gr\xfc\xdfe", "Gr\\xfc\\xdfe", "not UTF-8: shown by octets"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße", "Q (RFC 2047 4.2)"),
        (b"=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße", "B (RFC 2047 4.1)"),
        (b"=?UTF-8?B?R3LDvMOfZQ?=", "Grüße", "B without padding"),
        (b"=?iso-8859-1?q?a_b=5Fc?=", "a b_c", "_ is a space, =5F is a _"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab", "space between encoded words means nothing (RFC 2047 6.2)"),
        (b"=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab", "nor does a fold"),
        (b"=?utf-8?q?a?= b =?utf-8?q?c?= d", "a b c d", "space beside other text stays"),
        (b"Re: =?utf-8?q?a?=", "Re: a", "text before"),
        (b"=?utf-8?q?Gr=C3?= =?utf-8?q?=BC=C3=9Fe?=", "Grüße", "a character cut in two, as some writers do"),
        (b"=?utf-8?b?w7w=?= =?iso-8859-1?q?=FC?=", "üü", "two charsets"),
        (b"=?iso-2022-jp?b?GyRCRnxLXDhsGyhC?=", "日本語", "a charset with escapes"),
        (b"=?utf-8*en?q?a?=", "a", "with a language (RFC 2231 5)"),
        (b"=?utf-8?q?a b?=", "a b", "a raw space in it: illegal and common"),
        (b"=?utf-8?b?!!!!?=", "", "no base64"),
        (b"=?nonsense?q?=FC?=", "\\xfc", "an unknown charset"),
        (b"=?hex?q?6161?=", "6161", "a codec that is no charset"),
        (b"=?utf-8?q?a", "=?utf-8?q?a", "an open word"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?=", "an unknown encoding"),
        (b"=?utf-8?q?a=0Ab=1B=00?=", "a\\x0ab\\x1b\\x00", "hidden characters are shown"),
        (b"=?unicode_escape?q?=5Cud800?=", "\\ud800", "half of a pair could not be stored"),
        (b"=?utf-7?q?+2AA-?=", "\\ud800", "nor from another charset"),
        (b"folded\r\n line", "folded line", "a fold is one space"),
    ],
)
def test_subject_is_decoded_for_people(raw, subject, why):
    found = prepare(b"Subject: " + raw + b"\n\n").subject
    assert found == subject, why
    assert found.encode("utf-8").decode("utf-8") == found


def test_no_subject_is_not_an_empty_subject():
    assert prepare(b"X: 1\n\n").subject is None


@given(st.binary(max_size=80))
def test_whatever_a_subject_holds_it_can_be_shown_and_stored(raw):
    for value in (raw, b"=?utf-8?q?" + raw + b"?=", b"=?" + raw + b"?b?w7w=?=", b"=?utf-16?b?" + raw + b"?="):
        shown = decode_words(value)
        assert shown.encode("utf-8").decode("utf-8") == shown
        assert not set("\r\n\x00\x1b") & set(shown)


def test_subject_of_a_megabyte_is_cut():
    assert len(decode_words(b"=?punycode?q?" + b"a" * 1_000_000 + b"?=")) < 20_000
