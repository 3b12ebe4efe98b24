"""Content never changes what the remote takes for the message's end."""

from hypothesis import given
from hypothesis import strategies as st
from support.smtp_contents import LINE_END, contents, expected, pieces
from support.smtp_play import PIPELINING, Play

from mailqueue.mail.smtp.stuffing import DotStuffing


def stuffed(chunks: list[bytes]) -> bytes:
    stuffing = DotStuffing()
    return b"".join([*(stuffing.feed(chunk) for chunk in chunks), stuffing.finish()])


def strict_receiver(stream: bytes) -> tuple[bytes, bytes]:
    """Return content and rest as RFC 5321 4.5.2 says: only CRLF ends a line."""
    content = b""
    while True:
        line, end, stream = stream.partition(b"\r\n")
        assert end, "the content did not end"
        if line == b".":
            return content, stream
        content += line.removeprefix(b".") + end


def lenient_receiver(stream: bytes) -> tuple[bytes, bytes]:
    """Return content and rest as a server does that takes any CR or LF for a line end."""
    content = b""
    while True:
        end = LINE_END.search(stream)
        assert end, "the content did not end"
        line, stream = stream[: end.start()], stream[end.end() :]
        if line == b".":
            return content, stream
        content += line.removeprefix(b".") + b"\r\n"


@given(contents)
def test_content_ends_where_it_ends_for_every_receiver(content):
    wire = stuffed([content]) + b"QUIT\r\n"
    assert strict_receiver(wire) == (expected(content), b"QUIT\r\n")
    assert lenient_receiver(wire) == (expected(content), b"QUIT\r\n")


@given(contents, st.data())
def test_chunks_of_any_size_make_the_same_content(content, data):
    assert stuffed(pieces(data, content)) == stuffed([content])


def test_content_handed_in_octet_by_octet_is_the_same():
    content = b".\r\n..\r\n\r\n.\r\n.\n.\r.\r\r\n\n\r.a\r\n.b\r"
    assert stuffed([bytes([octet]) for octet in content]) == stuffed([content])


def test_smuggled_transaction_stays_content():
    """A second MAIL behind a malformed end of data is the trick of SMTP smuggling."""
    for end in (
        b"\n.\n",
        b"\n.\r\n",
        b"\r.\r",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r\n.\r\n",
        b"\r.\r\n",
        b"\r\r\n.\r\r\n",
    ):
        evil = (
            b"Subject: x\r\n\r\nhi" + end + b"MAIL FROM:<admin@bank.example>\r\nRCPT TO:<you@x.example>\r\n"
        )
        play = Play.ready(*PIPELINING, content=evil)
        play.starts()
        wire = play.says("250 ok", "250 ok", "354 go").encode()
        for receiver in (strict_receiver, lenient_receiver):
            content, rest = receiver(wire)
            assert rest == b""
            assert b"MAIL FROM:<admin@bank.example>" in content


def test_empty_content_is_a_dot():
    assert stuffed([]) == stuffed([b""]) == b".\r\n"
    assert stuffed([b"."]) == b"..\r\n.\r\n"
    assert stuffed([b"\r"]) == b"\r\n.\r\n"


def test_ordinary_content_is_not_copied():
    content = b"Subject: x\r\n\r\nno dots\r\n"
    assert DotStuffing().feed(content) is content
