"""Content never changes what the remote takes for the message's end."""

import re

from hypothesis import given
from hypothesis import strategies as st
from support.smtp_play import PIPELINING, Play

from mailqueue.mail.smtp.stuffing import DotStuffing

LINE_END = re.compile(rb"\r\n|\r|\n")
# Dots and line ends are what matters; they are most of what is drawn.
contents = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b".", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\0", b"\xff", b"a" * 5000]
        ),
        st.binary(max_size=8),
    ),
    max_size=24,
).map(b"".join)


def stuffed(chunks: list[bytes]) -> bytes:
    stuffing = DotStuffing()
    return b"".join([*(stuffing.feed(chunk) for chunk in chunks), stuffing.finish()])


def expected(content: bytes) -> bytes:
    """Return the content as the remote should have it: CRLF only, and one at the end."""
    lines = LINE_END.sub(b"\r\n", content)
    return lines if not lines or lines.endswith(b"\r\n") else lines + b"\r\n"


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
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    chunks = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert stuffed(chunks) == stuffed([content])


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
