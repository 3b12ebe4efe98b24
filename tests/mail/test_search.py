"""Text is found in messages whatever they are made of, in pieces, with little memory."""

from __future__ import annotations

import base64
import quopri
import tracemalloc
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.mail.search import MAX_HEADER, contains, fold, texts


def message(*lines: str, body: bytes = b"") -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def pieces(octets: bytes, size: int) -> Iterator[bytes]:
    return (octets[start : start + size] for start in range(0, len(octets), size))


LETTER = EmailMessage()
LETTER["From"] = "Ann <ann@example.org>"
LETTER["Subject"] = "Grüße aus Köln"
LETTER.set_content("Die Rechnung über 30 € liegt bei.\nBis bald, Jürgen\n", cte="quoted-printable")
LETTER.add_alternative("<p>Hallo <b>Welt</b></p>", subtype="html", cte="base64")
LETTER.add_attachment("name;price\ntea;3\n", subtype="csv", filename="list.csv")
LETTER.add_attachment(b"the secret of the picture", maintype="image", subtype="png", filename="a.png")
INNER = EmailMessage()
INNER["Subject"] = "an older letter"
INNER.set_content("What was said before")
LETTER.add_attachment(INNER)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("grüsse aus köln", True),  # the header, decoded, ß as it is compared
        ("ann@example.org", True),
        ("rechnung über 30 €", True),  # quoted-printable
        ("liegt bei. Bis bald", True),  # over the end of a line
        ("JU\u0308RGEN", True),  # another form of the accent
        ("<b>Welt</b>", True),  # base64
        ("tea;3", True),  # an attachment of text
        ("an older letter", True),  # a message inside
        ("what was said BEFORE", True),
        ("secret of the picture", False),  # no text
        ("Köln From", False),  # of two fields
        ("Jürgen <p>", False),  # of two parts
        ("nobody", False),
        ("  ", True),
    ],
)
def test_text_is_found_in_what_people_read(size: int, text: str, there: bool) -> None:
    assert contains(pieces(LETTER.as_bytes(policy=SMTP), size), text) is there


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("iso-8859-1", "Übergröße"),
        ("windows-1252", "30 €"),
        ("koi8-r", "Привет, мир"),
        ("iso-2022-jp", "こんにちは世界"),
        ("shift_jis", "こんにちは世界"),
        ("gb18030", "你好世界"),
        ("utf-16-le", "naïve"),
        ("us-ascii", "naïve"),  # says ASCII and is UTF-8
        ("no-such-charset", "naïve"),
        ("punycode", "naïve"),
    ],
)
@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_text_is_found_in_any_charset_and_encoding(charset: str, text: str, encoding: str) -> None:
    known = charset not in ("us-ascii", "no-such-charset", "punycode")
    octets = f"before {text} after".encode(charset if known else "utf-8")
    if encoding == "base64":
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        octets = quopri.encodestring(octets).replace(b"\n", b"\r\n")
    made = message(
        f"Content-Type: text/plain; charset={charset}", f"Content-Transfer-Encoding: {encoding}", body=octets
    )
    for size in (1, 5, 1000):
        assert contains(pieces(made, size), text)
        assert not contains(pieces(made, size), f"{text} before")


@pytest.mark.parametrize(
    ("body", "text", "there"),
    [
        (b"aGVsbG8", "hello", True),  # base64 without its end
        (b"aGVs\r\nbG8g*!d29y\r\nbGQ=\r\n", "hello world", True),  # with junk in it
        (b"A", "hello", False),
        (b"", "hello", False),
    ],
)
def test_broken_base64_is_read_as_far_as_it_goes(body: bytes, text: str, there: bool) -> None:
    made = message("Content-Type: text/plain", "Content-Transfer-Encoding: base64", body=body)
    assert contains([made], text) is there


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"Subject: only a header\r\n", "only a header"),
        (b"Subject: no end", "no end"),
        (b"no header at all", "no header"),
        (b"\r\nonly a body\r\n", "only a body"),
        (message("Content-Type: multipart/mixed", body=b"no boundary"), "no boundary"),
        (
            message("Content-Type: multipart/mixed; boundary=b", body=b"--b\r\n\r\nnot closed\r\n"),
            "not closed",
        ),
        (
            message("Content-Type: multipart/mixed; boundary=b", body=b"--b\r\nX-A: header only\r\n--b--"),
            "only",
        ),
        (message("X-A: 1", body=b"--no delimiter\r\n--\r\n"), "--no delimiter --"),
    ],
)
def test_message_that_is_hardly_one_is_searched_all_the_same(octets: bytes, text: str) -> None:
    for size in (1, 1000):
        assert contains(pieces(octets, size), text)


def test_what_stands_before_and_after_the_parts_is_not_searched() -> None:
    made = message(
        "Content-Type: multipart/mixed; boundary=b",
        body=b"preamble\r\n--b\r\n\r\nthe part\r\n--b--\r\nepilogue\r\n",
    )
    assert contains([made], "the part")
    assert not contains([made], "preamble")
    assert not contains([made], "epilogue")


def test_part_of_an_inner_multipart_ends_at_the_outer_ones_delimiter() -> None:
    made = message(
        "Content-Type: multipart/mixed; boundary=out",
        body=b"--out\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n"
        b"--in\r\n\r\nfirst\r\n--out\r\n\r\n--in\r\nsecond\r\n--out--\r\n",
    )
    assert [text for text in texts([made]) if text and "first" in text]
    assert contains([made], "--in second")


def test_messages_and_multiparts_inside_each_other_end_nothing() -> None:
    nested = b"Content-Type: message/rfc822\r\n\r\n" * 20_000 + b"the core"
    assert contains([nested], "the core")
    parts = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000)
    )
    assert not contains([parts + b"\r\nthe core"], "nobody")


def test_large_message_is_searched_with_little_memory() -> None:
    line = b"eHh4" * 19 + b"\r\n"
    head = message("Content-Type: text/plain", "Content-Transfer-Encoding: base64")

    def made() -> Iterator[bytes]:
        yield head
        for _ in range(80):
            yield line * 3300
        yield base64.b64encode(b" the end")

    tracemalloc.start()
    try:
        assert contains(made(), "xxx the end")
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_line_and_header_without_an_end_take_little_memory() -> None:
    tracemalloc.start()
    try:
        assert not contains((b"x" * 65536 for _ in range(200)), "nobody")
        assert contains([b"X: 1\r\n" * (MAX_HEADER // 6 + 100), b"\r\nthe body"], "the body")
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


WORDS = st.text("abcäßé λ\n=-", min_size=1, max_size=200)


@given(
    WORDS, st.sampled_from(["utf-8", "utf-16"]), st.sampled_from(["base64", "quoted-printable"]), st.data()
)
def test_every_piece_of_a_text_is_found_in_the_message_made_of_it(
    text: str, charset: str, encoding: str, data: st.DataObject
) -> None:
    made = EmailMessage()
    made["Subject"] = "hello"
    made.set_content(text, charset="utf-8", cte=encoding)
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : data.draw(st.integers(start + 1, len(text)))]
    assert contains(pieces(made.as_bytes(policy=SMTP), data.draw(st.integers(1, 50))), part)


@given(st.text(max_size=50))
def test_folding_is_done_with_the_first_time(text: str) -> None:
    assert fold(fold(text)) == fold(text)
