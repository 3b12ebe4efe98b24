"""Replies as servers send them: in pieces, malformed, endless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_play import Play

from mailqueue.mail.smtp import MAX_REPLY, Cause, Phase
from mailqueue.mail.smtp.replies import MalformedReply, ReplyReader


def read(*pieces: bytes) -> list[tuple[int, str]]:
    reader = ReplyReader()
    replies = [reply for piece in pieces for reply in reader.feed(piece)]
    assert not reader.pending
    return [(reply.code, reply.text) for reply in replies]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"250 ok\r\n", [(250, "ok")]),
        (b"250 ok\n", [(250, "ok")]),
        (b"250\r\n", [(250, "")]),
        (b"250 \r\n", [(250, "")]),
        (b"250-a\r\n250-\r\n250 c\r\n", [(250, "a\n\nc")]),
        (b"250-a\r\n250\r\n", [(250, "a\n")]),
        (b"250 a\r\n550 b\r\n", [(250, "a"), (550, "b")]),
        (b"250-a\r\n251 b\r\n", [(251, "a\nb")]),  # the last line counts, RFC 5321 4.2.1
        (b"550-a\r\n551-b\r\n553 c\r\n", [(553, "a\nb\nc")]),
        (b"250 a\0b\xffc\x1b[2J\r\n", [(250, "a\\x00b\\xffc\\x1b[2J")]),
        ("550 нет\r\n".encode(), [(550, "нет")]),
        (b"550 5.1.1 who?\r\n", [(550, "who?")]),
        (b"250 a\rb\r\n", [(250, "a\\x0db")]),
        (b"250 " + b"x" * 5000 + b"\r\n", [(250, "x" * 5000)]),
    ],
)
def test_reply_is_read_as_servers_write_it(octets, expected):
    assert read(octets) == expected
    assert read(*(bytes([octet]) for octet in octets)) == expected


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b"ok\r\n",
        b"25\r\n",
        b"2500 ok\r\n",
        b"250ok\r\n",
        b"250\tok\r\n",
        b"150 wait\r\n",
        b"650 what\r\n",
        b"000 null\r\n",
        b" 250 ok\r\n",
        b"-250 ok\r\n",
        b"\xd9\xa2\xd9\xa5\xd9\xa0 ok\r\n",  # digits, but not ours
        b"250-ok\r\nhello\r\n",
        b"250-a\r\n550 b\r\n",  # taken or refused?
        b"550-a\r\n250 b\r\n",
        b"250-a\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x01\x00\x02\x02\n",  # a TLS alert
    ],
)
def test_what_is_no_reply_ends_the_session_and_says_so(octets):
    with pytest.raises(MalformedReply):
        read(octets)
    play = Play()
    play.gets(octets)
    assert (play.lost.phase, play.lost.cause) == (Phase.GREETING, Cause.PROTOCOL)
    assert "\n" not in play.lost.reason
    assert play.take() == ""


def test_greeting_of_megabytes_ends_the_session():
    for piece in (b"220-" + b"x" * 60 + b"\r\n", b"x" * 999, b"2", b"220-\n"):
        play = Play()
        for _ in range(0, 4_000_000, len(piece) * 512):
            play.gets(piece * 512)
            if play.ended:
                break
        assert play.lost.cause is Cause.PROTOCOL


def test_reply_may_have_64_kib_and_no_octet_more():
    line = b"250-" + b"x" * 58 + b"\r\n"
    lines = line * (MAX_REPLY // len(line) - 1)
    for room, fits in ((MAX_REPLY - len(lines), True), (MAX_REPLY - len(lines) + 1, False)):
        whole = lines + b"250 " + b"y" * (room - 6) + b"\r\n"
        for pieces in ((whole,), (whole[:100], whole[100:-1], whole[-1:])):
            if fits:
                assert len(whole) == MAX_REPLY
                assert read(*pieces)[0][0] == 250
            else:
                with pytest.raises(MalformedReply, match="65536"):
                    read(*pieces)


def test_many_replies_at_once_may_have_more_than_one_reply_may():
    assert len(read(b"250 ok\r\n" * 20_000)) == 20_000


@given(st.lists(st.sampled_from([b"250 ok\r\n", b"250-a\r\n250 b\n", b"550 5.1.1 \xff\0\r\n"])), st.data())
def test_pieces_of_any_size_make_the_same_replies(replies, data):
    stream = b"".join(replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces) == read(stream)


@given(st.binary(max_size=200))
def test_octets_of_any_kind_do_no_harm(octets):
    play = Play()
    play.gets(octets)
    play.eof()
    assert play.lost is not None
