"""8-bit content made 7-bit: every part says the same, and what is signed stays as it is."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from support import corpus
from support.contents import sent
from support.mime import MESSAGES, encoded_lines, inner_message, leaf, leaves, multipart

from mailqueue.mail.header import cut
from mailqueue.mail.rewrite import seven_bit

TOP = b"From: ann@sender.example\r\n"
TEXT = "Grüße".encode()


def converted(message: bytes) -> bytes:
    octets, reason = seven_bit(message)
    assert reason == ""
    assert octets is not None
    return octets


@given(MESSAGES)
def test_every_part_decodes_to_what_it_was(message):
    made = converted(message)
    assert leaves(made) == leaves(message)
    assert cut(made)[1].isascii()
    assert seven_bit(made).octets == made
    if encoded_lines(message) == []:
        assert max(map(len, encoded_lines(made)), default=0) <= 76


@pytest.mark.parametrize("name", corpus.names())
def test_real_mail_is_converted_or_refused_for_its_signature(name):
    message = sent(corpus.read(name))
    octets, reason = seven_bit(message)
    if octets is None:
        assert "would break the" in reason
        return
    assert leaves(octets) == leaves(message)
    assert cut(octets)[1].isascii()
    if cut(message)[1].isascii() and b"8bit" not in message.lower():
        assert octets == message


def test_text_becomes_quoted_printable_or_base64_whichever_is_shorter():
    latin = converted(
        TOP
        + b"MIME-Version: 1.0\r\n"
        + leaf(TEXT + b" to all of you out there", "text/plain; charset=utf-8", "8bit")
    )
    assert latin == (
        TOP + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe to all of you out there"
    )
    chinese = converted(TOP + leaf("日本語".encode() * 10, "text/plain; charset=utf-8", "8bit"))
    assert b"Content-Transfer-Encoding: base64\r\n" in chinese


def test_message_without_mime_becomes_one_of_plain_text_without_a_charset():
    assert converted(TOP + b"\r\n" + TEXT + b" from Ann and from Bob\r\n") == (
        TOP
        + b"Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
        b"\r\nGr=C3=BC=C3=9Fe from Ann and from Bob\r\n"
    )


def test_line_ends_of_what_is_no_text_are_octets():
    octets = b"\x80 is an octet of many in a line that ends\r\n" * 2
    made = converted(TOP + leaf(octets, "application/octet-stream", "8bit"))
    assert b"ends=0D=0A" in made
    assert leaves(made) == [("application/octet-stream", octets)]


def test_multiparts_around_are_labelled_7bit_and_other_parts_keep_every_octet():
    plain = b"Content-type:  text/plain\r\nX:  kept\t\r\n\r\nas = it is  \r\n"
    inner = multipart([plain, leaf(TEXT * 9, "text/plain", "8bit")], 2, "mixed", "8bit", b"")
    made = converted(TOP + multipart([inner, plain], 1, "mixed", "8bit", b""))
    assert made.count(b"Content-Transfer-Encoding: 7bit") == 2
    assert made.count(b"Content-Transfer-Encoding: base64") == 1
    assert made.count(plain) == 2
    assert b"8bit" not in made


def test_ascii_part_that_is_labelled_8bit_is_labelled_7bit():
    made = converted(TOP + multipart([leaf(b"ascii", "", "8bit"), leaf(TEXT, "", "")], 1, "mixed", "", b""))
    assert b"--=_1\r\nContent-Transfer-Encoding: 7bit\r\n\r\nascii\r\n" in made


def test_parts_of_a_digest_are_messages():
    message = b"From: a@b.example\r\n\r\n" + TEXT
    made = converted(TOP + multipart([b"\r\n" + message], 1, "digest", "8bit", b""))
    assert b"message/rfc822" not in made
    assert leaves(made)[-1] == ("text/plain", TEXT)
    assert email.message_from_bytes(made).get_payload()[0].get_payload()[0]["MIME-Version"] == "1.0"


def test_multipart_that_calls_itself_encoded_and_is_not_is_labelled_right():
    made = converted(TOP + multipart([leaf(TEXT, "", "8bit")], 1, "mixed", "quoted-printable", b""))
    assert made.startswith(
        TOP + b'Content-Type: multipart/mixed; boundary="=_1"\r\nContent-Transfer-Encoding: 7bit'
    )


def test_message_of_rfc_6532_is_encoded_whole():
    inner = "From: jörg@b.example\r\nSubject: Hello\r\n\r\nGrüße to all of you out there".encode()
    made = converted(TOP + multipart([leaf(inner, "message/global", "8bit")], 1, "mixed", "8bit", b""))
    assert b"Content-Type: message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n" in made


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (
            'Content-Disposition: attachment; filename="Größe 1.txt"',
            "filename*=utf-8''Gr%C3%B6%C3%9Fe%201.txt",
        ),
        (
            "Content-Type: text/plain; name=Größe; charset=utf-8",
            "name*=utf-8''Gr%C3%B6%C3%9Fe; charset=utf-8",
        ),
        ("Content-Description: a Größe here", "Content-Description: a =?utf-8?b?R3LDtsOfZQ==?= here"),
    ],
)
def test_header_of_a_part_becomes_ascii(field, expected):
    part = field.encode() + b"\r\n\r\ntext"
    made = converted(TOP + multipart([part], 1, "mixed", "8bit", b""))
    assert expected.encode() in made


def test_header_of_a_message_inside_becomes_ascii():
    made = converted(TOP + inner_message(leaf(b"text", "", ""), TEXT))
    inner = email.message_from_bytes(made, policy=email.policy.default).get_payload()[0]
    assert inner["Subject"] == "Grüße"


def test_top_header_is_for_smtputf8_and_stays():
    top = "From: ann@sender.example\r\nSubject: Grüße\r\n".encode()
    assert converted(top + leaf(TEXT, "", "8bit")).startswith(top)


def test_quoted_printable_with_raw_octets_is_mended():
    made = converted(TOP + leaf(b"", "text/plain", "quoted-printable") + b"a=3Db \xc3\xbc soft=\r\nbreak")
    assert made.endswith(b"a=3Db =C3=BC soft=\r\nbreak")


SIGNED = multipart(
    [leaf(TEXT, "text/plain", "8bit"), leaf(b"x", "application/pgp-signature", "")], 7, "signed", "8bit", b""
)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            b"DKIM-Signature: v=1\r\n" + TOP + leaf(TEXT, "", "8bit"),
            "body: octets over 127, and to change them would break the DKIM-Signature",
        ),
        (
            TOP + SIGNED,
            "body: octets over 127, and to change them would break the multipart/signed part",
        ),
        (
            TOP + multipart([leaf(TEXT, "", "8bit"), SIGNED], 1, "mixed", "8bit", b""),
            "part 2: octets over 127, and to change them would break the multipart/signed part",
        ),
        (
            TOP + multipart([SIGNED.replace(b"signed", b"encrypted")], 1, "mixed", "8bit", b""),
            "part 1: octets over 127, and to change them would break the multipart/encrypted part",
        ),
        (
            TOP
            + multipart(
                [b"Content-Type: message/rfc822\r\n\r\nDKIM-Signature: v=1\r\n" + leaf(TEXT, "", "8bit")],
                1,
                "mixed",
                "8bit",
                b"",
            ),
            "part 1.1: octets over 127, and to change them would break the DKIM-Signature",
        ),
        (
            TOP + leaf(TEXT, "text/plain", "x-uuencode"),
            "body: octets over 127 in what calls itself x-uuencode",
        ),
        (TOP + leaf(b"", "", "base64") + TEXT, "body: octets over 127 in what calls itself base64"),
        (
            TOP + leaf(b"", "", "quoted-printable") + b"a = b " + TEXT,
            "body: octets over 127 in what calls itself quoted-printable",
        ),
        (
            TOP + multipart([leaf(TEXT, "message/delivery-status", "8bit")], 1, "report", "8bit", b""),
            "part 1: octets over 127 in what calls itself message/delivery-status, which may not be encoded",
        ),
        (
            TOP + leaf(TEXT, "multipart/mixed; boundary=nowhere", "8bit"),
            "body: octets over 127 in what calls itself multipart/mixed, which may not be encoded",
        ),
        (
            TOP + b"Content-Type: text/html\r\n" + leaf(TEXT, "text/plain", "8bit"),
            "body: octets over 127, and it has Content-Type twice",
        ),
        (
            TOP + b"what\r\n" + leaf(TEXT, "text/plain", "8bit"),
            "body: octets over 127, and its header has a line that is no field",
        ),
        (
            TOP + multipart(["References: <ü@b>\r\n\r\ntext".encode()], 1, "mixed", "8bit", b""),
            "part 1: octets over 127 in its header, in References",
        ),
        (
            TOP + multipart([leaf(b"", "", "")], 1, "mixed", "", b"").replace(b"=_1", TEXT),
            "body: octets over 127 outside all parts",
        ),
    ],
)
def test_what_must_not_or_cannot_be_converted_is_refused_with_the_reason(message, reason):
    assert seven_bit(message) == (None, reason)


def test_signed_part_that_is_7bit_stays_beside_one_that_is_converted():
    signed = SIGNED.replace(TEXT, b"ascii  ")
    made = converted(TOP + multipart([leaf(TEXT, "", "8bit"), signed], 1, "mixed", "8bit", b""))
    assert signed in made


def test_message_of_a_thousand_levels_is_refused_and_not_followed():
    part = leaf(TEXT, "", "8bit")
    for number in range(1000):
        part = multipart([part], number, "mixed", "8bit", b"")
    octets, reason = seven_bit(TOP + part)
    assert octets is None
    assert "more than 20 levels deep" in reason


@pytest.mark.parametrize(
    "body",
    [
        b"--b" * 500_000 + TEXT,
        b"\r\n--b" * 300_000 + TEXT,
        b"\r\n--b" + b" " * 1_000_000 + TEXT,
        b"\r\n--b\r\nContent-Transfer-Encoding" * 50_000 + TEXT,
        TEXT * 300_000,
    ],
)
def test_hostile_content_is_converted_in_a_time_that_grows_with_its_length(body):
    """Each would take minutes if the time grew with the square; the suite's time limit is the bound."""
    octets, reason = seven_bit(TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + body)
    assert (octets is None) == (reason != "")


@pytest.mark.parametrize("before", range(60, 80))
@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
def test_a_line_that_is_broken_does_not_become_a_delimiter(before, kind):
    body = b"\xfc" + b"x" * before + b"--=_1\r\n" + b"-" * 300
    for label in ("8bit", "quoted-printable"):
        text = body if label == "8bit" else body.replace(b"=", b"=3D")
        message = TOP + multipart([leaf(b"", kind, label) + text], 1, "mixed", "8bit", b"")
        made = converted(message)
        assert leaves(made) == leaves(message)
        assert max(map(len, encoded_lines(made))) <= 76


def test_text_that_talks_of_8bit_is_no_label():
    text = b"\r\nContent-Transfer-Encoding: 8bit\r\n"
    made = converted(TOP + multipart([text, leaf(TEXT, "", "8bit")], 1, "mixed", "8bit", b""))
    assert b"--=_1\r\n" + text + b"\r\n--=_1" in made


def test_many_reasons_are_not_all_told():
    part = leaf(TEXT, "", "x-uuencode")
    octets, reason = seven_bit(TOP + multipart([part] * 1000, 1, "mixed", "", b""))
    assert octets is None
    assert reason.count("x-uuencode") == 3
    assert reason.endswith("; and 997 more")
