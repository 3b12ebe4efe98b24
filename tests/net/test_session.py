"""Sending messages over a session, with servers of all kinds; under asyncio's loop and uvloop's."""

import asyncio
import tracemalloc
from collections.abc import Callable

import pytest
from support.smtp_server import PIPELINING, Peer, Script, SmtpServer, taking
from support.smtp_session import LOOPS, Pieces, content, envelope, fast, opened, run

from mailqueue.mail.smtp import MAX_UNANSWERED, Cause, Phase
from mailqueue.net.session import BLOCK

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def result_of(loop, script, *, timeouts=None, sent=None, to=("b@receiver.example",), **more):
    """Send one message to a server that plays `script`; return the result and the transcript."""

    async def play(port):
        session = await opened(port, timeouts=timeouts or fast())
        result = await session.send(envelope(*to, **more), sent or content())
        assert session.used == 1
        if result.lost is not None:
            assert not session.usable
        transcript = session.transcript()
        await session.quit()
        return result, transcript

    with SmtpServer(script) as server:
        return run(loop, play(server.port))


@pytest.mark.parametrize("extensions", [PIPELINING, ()], ids=["pipelining", "stepwise"])
def test_session_sends_many_messages_on_one_connection(loop, extensions):
    async def play(port):
        session = await opened(port)
        for number in range(10):
            result = await session.send(envelope("b@x.example", "c@x.example"), content(b"%d\r\n" % number))
            assert [reply.code for reply in (result.mail, *result.rcpt, result.data, result.final)] == [
                *(250, 250, 250),
                *(354, 250),
            ]
            assert result.final_dot_sent
            assert result.lost is None
            assert session.usable
        assert session.used == 10
        assert session.opened_at <= session.idle_since <= asyncio.get_running_loop().time()
        await session.quit()

    with SmtpServer(taking(10, extensions=extensions, recipients=2)) as server:
        run(loop, play(server.port))
    (peer,) = server.peers
    assert peer.contents == [b"%d\r\n" % number for number in range(10)]
    assert peer.commands[-1] == "QUIT"


def test_old_server_without_ehlo_gets_the_message_too(loop):
    def script(peer):
        peer.says("220 old")
        peer.hears("EHLO")
        peer.says("500 what?")
        peer.hears("HELO client.example")
        peer.says("250 old")
        peer.takes()
        peer.hears("QUIT")

    result, _ = result_of(loop, script)
    assert result.final.code == 250


def test_refused_recipients_are_told_apart_and_the_rest_goes_on_the_same_connection(loop):
    async def play(port):
        session = await opened(port)
        first = await session.send(envelope("b@x.example", "c@x.example", "d@x.example"), content())
        assert [reply.code for reply in first.rcpt] == [250, 550, 452]
        assert str(first.rcpt[1]) == "550 5.1.1 no such user"
        second = await session.send(envelope("d@x.example"), content())
        assert second.final.code == 250
        await session.quit()

    def script(peer):
        peer.greets(*PIPELINING)
        peer.hears("MAIL")
        for _ in range(3):
            peer.hears("RCPT")
        peer.hears("DATA")
        peer.says("250 ok", "250 ok", "550 5.1.1 no such user", "452 4.5.3 too many", "354 go")
        peer.hears_content()
        peer.says("250 taken")
        peer.takes()
        peer.hears("QUIT")

    with SmtpServer(script) as server:
        run(loop, play(server.port))


def test_all_recipients_refused_and_data_taken_sends_no_content(loop):
    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says("250 ok", "550 no", "354 go on")
        assert peer.hears_content() == b""
        peer.says("250 thanks for nothing")
        peer.hears("QUIT")

    result, _ = result_of(loop, script)
    assert (result.final_dot_sent, result.final, result.lost) == (False, None, None)


@pytest.mark.parametrize(
    ("more", "extensions", "expected"),
    [
        ({"eight_bit": True}, ("PIPELINING",), "554 5.6.3"),
        ({"smtputf8": True, "recipients": ("ü@x.example",)}, ("8BITMIME",), "553 5.6.7"),
        ({"size": 101}, ("SIZE 100",), "552 5.3.4"),
    ],
)
def test_message_that_the_server_cannot_take_is_not_sent(loop, more, extensions, expected):
    async def play(port):
        session = await opened(port)
        result = await session.send(envelope(**more), content())
        assert str(result.lacks).startswith(expected)
        assert (result.mail, result.rcpt, result.final, result.lost) == (None, (None,), None, None)
        assert session.used == 0
        assert session.usable
        await session.quit()

    with SmtpServer(taking(0, extensions=extensions)) as server:
        run(loop, play(server.port))
    assert server.peers[0].commands == ["EHLO client.example", "QUIT"]


# --- servers that break off -------------------------------------------------------------------


def ends_after(octets: int, end: Callable[[Peer], None]) -> Script:
    """Return a script that says all that a server says, as far as so many octets."""
    said = b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go on\r\n250 2.0.0 taken\r\n"

    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        before = said[:-17]
        peer.sends(before[:octets])
        if octets >= len(before):
            peer.hears_content()
            peer.sends(said[len(before) : octets])
        end(peer)

    return script


@pytest.mark.parametrize("octets", [0, 1, 13, 14, 20, 38, 39, 40, 55, 56])
def test_connection_closed_within_a_transaction_leaves_facts_that_agree(loop, octets):
    result, transcript = result_of(loop, ends_after(octets, Peer.closes))
    assert (result.mail is not None) == (octets >= 14)
    assert (result.rcpt[0] is not None) == (octets >= 28)
    assert (result.data is not None) == (octets >= 39)
    assert result.final_dot_sent == (octets >= 39)
    assert ("and the final dot" in transcript) == (octets >= 39)
    assert (result.final is not None) == (octets >= 56)
    assert (result.lost is not None) == (octets < 56)
    assert result.lost is None or result.lost.cause is Cause.CLOSED


@pytest.mark.parametrize("octets", [0, 14, 20, 39, 55])
def test_connection_reset_within_a_transaction_leaves_facts_that_agree(loop, octets):
    """A reset may take with it what the server said last."""
    result, _ = result_of(loop, ends_after(octets, Peer.resets))
    assert result.lost.cause is Cause.CLOSED
    assert result.final is None
    assert octets >= 14 or result.mail is None
    assert octets >= 39 or not result.final_dot_sent


@pytest.mark.parametrize("when", [0, 1, 2, 3])
def test_421_within_a_transaction_ends_the_session(loop, when):
    replies = ["250 ok", "250 ok", "354 go"]

    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says(*replies[:when])
        if when == 3:
            peer.hears_content()
        peer.says("421 4.3.2 shutting down")
        peer.hears_end()

    result, transcript = result_of(loop, script)
    said = (result.mail, result.rcpt[0], result.data, result.final)[when]
    assert str(said) == "421 4.3.2 shutting down"
    assert result.lost.reply == said
    assert result.lost.phase == (Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.FINAL)[when]
    assert transcript.split("\n")[-2] == "S: 421 4.3.2 shutting down"


def test_dripping_reply_runs_into_its_total_deadline(loop):
    def script(peer):
        peer.greets(*PIPELINING)
        peer.hears("MAIL")
        peer.drips(b"250-patience\r\n" * 1000)

    result, _ = result_of(loop, script, timeouts=fast(mail=0.2))
    assert (result.lost.phase, result.lost.cause) == (Phase.MAIL, Cause.TIMEOUT)
    assert result.mail is None


@pytest.mark.parametrize(
    ("phase", "replies"),
    [
        ("mail", []),
        ("rcpt", ["250 ok"]),
        ("data", ["250 ok", "250 ok"]),
        ("final", ["250 ok", "250 ok", "354 go"]),
    ],
)
def test_each_phase_has_its_own_deadline(loop, phase, replies):
    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says(*replies)
        peer.hears_end()

    result, _ = result_of(loop, script, timeouts=fast(**{phase: 0.1}))
    assert (result.lost.phase, result.lost.cause) == (Phase(phase), Cause.TIMEOUT)
    assert result.final_dot_sent == (phase == "final")


def test_deadline_starts_anew_with_each_reply(loop):
    """Together the replies take longer than each of them may."""

    def script(peer):
        peer.greets(*PIPELINING)
        peer.hears("MAIL")
        for line in ("250 ok", *["250 ok"] * 5, "354 go"):
            peer.gone.wait(0.2)
            peer.says(line)
        for _ in range(6):
            peer.hears()
        peer.hears_content()
        peer.says("250 taken")
        peer.hears("QUIT")

    to = tuple(f"r{number}@x.example" for number in range(5))
    result, _ = result_of(loop, script, timeouts=fast(mail=1, rcpt=1, data=1), to=to)
    assert result.final.code == 250


# --- the idle connection ----------------------------------------------------------------------


@pytest.mark.parametrize("last_words", [(), ("421 4.4.2 idle too long",), ("250 surprise",)])
def test_server_that_leaves_an_idle_connection_is_noticed(loop, last_words):
    def script(peer):
        peer.greets(*PIPELINING)
        peer.takes()
        peer.says(*last_words)

    async def play(port):
        session = await opened(port)
        assert (await session.send(envelope(), content())).final.code == 250
        while session.usable:
            await asyncio.sleep(0.01)
        result = await session.send(envelope(), content())
        assert result.mail is None
        assert result.lost.phase is Phase.IDLE
        assert not result.final_dot_sent
        assert session.used == 1
        await session.quit()

    with SmtpServer(script) as server:
        run(loop, play(server.port))


def test_idle_connection_has_no_deadline_of_its_own(loop):
    def script(peer):
        peer.greets(*PIPELINING)
        peer.takes()
        peer.hears("QUIT")

    async def play(port):
        session = await opened(port, timeouts=dict.fromkeys(fast(), 1.0))
        await asyncio.sleep(1.2)
        assert session.usable
        assert (await session.send(envelope(), content())).final.code == 250
        await session.quit()

    with SmtpServer(script) as server:
        run(loop, play(server.port))


def test_server_that_does_not_answer_quit_is_left(loop):
    def script(peer):
        peer.greets(*PIPELINING)
        assert peer.hears_end() == b"QUIT\r\n"

    async def play(port):
        session = await opened(port, timeouts=fast(quit=0.1))
        await session.quit()
        assert not session.usable

    with SmtpServer(script) as server:
        run(loop, play(server.port))


# --- the final dot ----------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [content(), Pieces([b"a" * 10_000 + b"\r\n"] * 20)], ids=["whole", "pieces"])
def test_final_dot_is_kept_back_when_we_may_no_longer_send(loop, sent):
    rest = []

    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says("250 ok", "250 ok", "354 go")
        rest.append(peer.hears_end())

    async def play(port):
        session = await opened(port)
        session.before_final_dot = lambda: False
        result = await session.send(envelope(), sent)
        assert (result.lost.phase, result.lost.cause) == (Phase.BODY, Cause.WITHHELD)
        assert not result.final_dot_sent
        assert result.final is None
        assert not session.usable
        assert "final dot was kept back" in session.transcript()

    with SmtpServer(script) as server:
        run(loop, play(server.port))
    assert b"\r\n.\r\n" not in rest[0]


def test_leave_for_the_final_dot_is_asked_once_for_each_message(loop):
    asked = []

    async def play(port):
        session = await opened(port)
        session.before_final_dot = lambda: not asked.append(session.used)
        for _ in range(3):
            assert (await session.send(envelope(), content())).final.code == 250
        await session.send(envelope(), Pieces([b"x\r\n"]))
        await session.quit()

    with SmtpServer(taking(4)) as server:
        run(loop, play(server.port))
    assert asked == [1, 2, 3, 4]


# --- large content ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        Pieces([b".line %d\r\n" % n * 999 for n in range(200)]),
        content(b"." + b"x" * 97 + b"\r\n" + b".\r\n" * BLOCK),
        Pieces([]),
        Pieces([b"", b".", b"\r", b"\n", b"."]),
        content(b""),
    ],
    ids=["pieces", "whole", "no pieces", "tiny pieces", "nothing"],
)
def test_content_of_any_size_arrives_as_it_is(loop, sent):
    expected = sent.data if sent.data is not None else b"".join(sent.pieces)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    got = []

    def script(peer):
        peer.greets(*PIPELINING)
        peer.takes()
        got.extend(peer.contents)
        peer.hears("QUIT")

    result, _ = result_of(loop, script, sent=sent)
    assert result.final.code == 250
    assert got == [expected]


def test_slow_server_is_fed_no_faster_than_it_takes(loop):
    """Content comes from its source as the network takes it, so that memory does not grow with it."""
    sent = Pieces([b"x" * 255 + b"\r\n" + b"y" * 131072] * 400)  # 50 MiB
    asked = []

    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says("250 ok", "250 ok", "354 go")
        peer.gone.wait(0.5)
        asked.append(sent.asked)

    tracemalloc.start()
    try:
        result, _ = result_of(loop, script, sent=sent)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert asked[0] < 200
    assert sent.closed
    assert peak < 8 * 2**20
    assert not result.final_dot_sent
    assert result.lost.phase is Phase.BODY


def test_server_that_takes_no_octet_of_a_block_runs_into_its_deadline(loop):
    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says("250 ok", "250 ok", "354 go")
        peer.gone.wait(0.6)

    result, _ = result_of(loop, script, sent=Pieces([b"x" * 2**20] * 100), timeouts=fast(body=0.2))
    assert (result.lost.phase, result.lost.cause) == (Phase.BODY, Cause.TIMEOUT)
    assert not result.final_dot_sent


def test_refusal_in_the_middle_of_the_content_is_told(loop):
    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says("250 ok", "250 ok", "354 go")
        peer.sock.recv(1000)
        peer.says("552 5.3.4 that is too much")
        peer.hears_end()

    sent = Pieces([b"x" * 2**20] * 100)
    result, _ = result_of(loop, script, sent=sent)
    assert result.final.code == 552
    assert not result.final_dot_sent
    assert sent.closed


def test_content_that_cannot_be_read_breaks_the_connection_off(loop):
    rest = []

    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says("250 ok", "250 ok", "354 go")
        rest.append(peer.hears_end())

    async def play(port):
        session = await opened(port)
        with pytest.raises(LookupError, match="purged"):
            await session.send(envelope(), Pieces([b"half of it"], fault=LookupError("purged")))
        assert not session.usable

    with SmtpServer(script) as server:
        run(loop, play(server.port))
    assert rest == [b"half of it"]


# --- chunks -----------------------------------------------------------------------------------

CHUNKING = (*PIPELINING, "CHUNKING")
LARGE = b"." + b"x" * 97 + b"\r\n" + b".\r\n" * BLOCK


def at_chunks(peer: Peer, *extensions: str) -> None:
    """Go on to where content comes in chunks."""
    peer.greets(*(extensions or CHUNKING))
    for command in ("MAIL", "RCPT"):
        peer.hears(command)
        peer.says("250 ok")


@pytest.mark.parametrize("extensions", [CHUNKING, ("CHUNKING",)], ids=["pipelining", "stepwise"])
@pytest.mark.parametrize(
    "sent",
    [
        content(LARGE),
        Pieces([b".line %d\r\n" % n * 999 for n in range(100)]),
        Pieces([b"", b".", b"\r", b"\n", b"."]),
        Pieces([]),
    ],
    ids=["whole", "pieces", "tiny pieces", "no pieces"],
)
def test_large_content_goes_in_chunks_where_the_server_takes_them(loop, extensions, sent):
    expected = sent.data if sent.data is not None else b"".join(sent.pieces)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    got = []

    def script(peer):
        at_chunks(peer, *extensions)
        got.append(peer.hears_chunks())
        peer.says("250 2.0.0 taken")
        peer.hears("QUIT")

    result, _ = result_of(loop, script, sent=sent)
    assert (str(result.final), result.data) == ("250 2.0.0 taken", None)
    assert result.final_dot_sent
    assert got == [expected]


def test_small_content_has_data_and_its_final_dot_in_one_go(loop):
    result, _ = result_of(loop, taking(extensions=CHUNKING), sent=content(b"x" * (BLOCK - 2) + b"\r\n"))
    assert result.final.code == 250
    assert result.data.code == 354


@pytest.mark.parametrize("extensions", [CHUNKING, ("CHUNKING",)], ids=["pipelining", "stepwise"])
def test_refused_first_chunk_spares_the_connection(loop, extensions):
    def refusing(peer):
        at_chunks(peer, *extensions)
        peer.hears_chunk()
        peer.says("552 5.3.4 too much")
        while (command := peer.hears()).startswith("BDAT"):
            peer.reads_chunk(command)
            peer.says("503 5.5.1 after an error")
        assert command == "RSET"
        peer.says("250 reset")
        peer.takes()
        peer.hears("QUIT")

    async def play(port):
        session = await opened(port)
        sent = Pieces([b"x" * 2**18] * 40)
        result = await session.send(envelope(), sent)
        assert str(result.final) == "552 5.3.4 too much"
        assert (result.final_dot_sent, result.lost) == (False, None)
        assert sent.closed
        assert sent.asked <= MAX_UNANSWERED + 1
        assert session.usable
        assert (await session.send(envelope(), content())).final.code == 250
        await session.quit()

    with SmtpServer(refusing) as server:
        run(loop, play(server.port))
    assert not any("LAST" in command for command in server.peers[0].commands)


def test_421_to_the_first_chunk_leaves_no_doubt(loop):
    def script(peer):
        at_chunks(peer)
        peer.hears_chunk()
        peer.says("421 4.3.2 shutting down")
        peer.hears_end()

    result, _ = result_of(loop, script, sent=Pieces([b"x" * 2**18] * 40))
    assert (result.final.code, result.final_dot_sent) == (421, False)
    assert (result.lost.phase, result.lost.cause) == (Phase.BDAT, Cause.CLOSING)


@pytest.mark.parametrize("end", [Peer.closes, Peer.resets])
def test_connection_lost_after_the_last_chunk_leaves_doubt(loop, end):
    def script(peer):
        at_chunks(peer)
        peer.hears_chunks()
        end(peer)

    result, transcript = result_of(loop, script, sent=content(LARGE))
    assert (result.final_dot_sent, result.final) == (True, None)
    assert (result.lost.phase, result.lost.cause) == (Phase.FINAL, Cause.CLOSED)
    assert "C: BDAT 2 LAST" in transcript


def test_last_chunk_is_kept_back_when_we_may_no_longer_send(loop):
    def script(peer):
        at_chunks(peer)
        for _ in range(4):
            peer.hears_chunk()
            peer.says("250 ok")
        assert peer.hears_end() == b""

    async def play(port):
        session = await opened(port)
        asked = []
        session.before_final_dot = lambda: bool(asked.append(session.transcript().count("S: 250 ok")))
        result = await session.send(envelope(), content(LARGE))
        assert asked == [2 + 4], "it is asked when every chunk was taken"
        assert (result.lost.phase, result.lost.cause) == (Phase.BODY, Cause.WITHHELD)
        assert not result.final_dot_sent

    with SmtpServer(script) as server:
        run(loop, play(server.port))


def test_server_that_is_slow_to_take_chunks_is_fed_no_faster(loop):
    sent = Pieces([b"x" * 2**18] * 200)  # 50 MiB
    asked = []

    def script(peer):
        at_chunks(peer)
        for _ in range(MAX_UNANSWERED):
            peer.hears_chunk()
        peer.gone.wait(0.3)
        asked.append(sent.asked)

    tracemalloc.start()
    try:
        result, _ = result_of(loop, script, sent=sent)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert asked[0] <= MAX_UNANSWERED + 1, "one waits to be sent"
    assert sent.closed
    assert peak < 8 * 2**20
    assert (result.final_dot_sent, result.lost.phase) == (False, Phase.BDAT)


@pytest.mark.parametrize("takes", [0, 1])
def test_server_that_does_not_answer_chunks_runs_into_its_deadline(loop, takes):
    def script(peer):
        at_chunks(peer)
        for _ in range(takes):
            peer.hears_chunk()
            peer.says("250 ok")
        peer.gone.wait(0.6)

    result, _ = result_of(loop, script, sent=Pieces([b"x" * 2**20] * 100), timeouts=fast(bdat=0.2))
    assert (result.lost.phase, result.lost.cause) == (Phase.BDAT, Cause.TIMEOUT)
    assert not result.final_dot_sent


# --- what the server limits -------------------------------------------------------------------


def test_connection_that_has_carried_all_it_may_is_not_used_again(loop):
    async def play(port):
        session = await opened(port)
        for _ in range(2):
            assert session.usable
            assert (await session.send(envelope(), content())).final.code == 250
        assert not session.usable
        with pytest.raises(RuntimeError, match="2 transactions"):
            await session.send(envelope(), content())
        await session.quit()

    with SmtpServer(taking(2, extensions=(*PIPELINING, "LIMITS MAILMAX=2"))) as server:
        run(loop, play(server.port))
    assert server.peers[0].commands[-1] == "QUIT"


def test_connection_carries_no_more_domains_than_it_may(loop):
    async def play(port):
        session = await opened(port)
        to = ["a@one.example", "b@two.example", "c@one.example"]
        assert list(session.fitting(to)) == [0, 2]
        assert (await session.send(envelope("a@one.example"), content())).final.code == 250
        assert list(session.fitting(to)) == [0, 2]
        assert list(session.fitting(to[1:2])) == []
        await session.quit()

    with SmtpServer(taking(extensions=(*PIPELINING, "LIMITS RCPTDOMAINMAX=1"))) as server:
        run(loop, play(server.port))


# --- breaking off -----------------------------------------------------------------------------


def test_aborted_session_returns_what_is_known(loop):
    def script(peer):
        peer.greets(*PIPELINING)
        for command in ("MAIL", "RCPT", "DATA"):
            peer.hears(command)
        peer.says("250 ok", "250 ok", "354 go")
        peer.hears_content()
        peer.hears_end()

    async def play(server):
        session = await opened(server.port)
        sending = asyncio.ensure_future(session.send(envelope(), content()))
        while not server.peers[0].contents:
            await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError):
            await session.send(envelope(), content())
        session.abort()
        result = await sending
        assert (result.lost.phase, result.lost.cause) == (Phase.FINAL, Cause.ABORTED)
        assert result.final_dot_sent
        session.abort()

    with SmtpServer(script) as server:
        run(loop, play(server))


def test_cancelled_send_closes_the_connection(loop):
    def script(peer):
        peer.greets(*PIPELINING)
        peer.hears_end()

    async def play(server):
        session = await opened(server.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.send(envelope(), content()), 0.1)
        assert not session.usable
        assert await asyncio.to_thread(server.peers[0].gone.wait, 10)

    with SmtpServer(script) as server:
        run(loop, play(server))
