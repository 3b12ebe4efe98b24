"""Opening a session, with servers that do not make it easy; under asyncio's loop and uvloop's."""

import asyncio
import socket
import ssl

import pytest
from support.smtp_server import PIPELINING, Peer, SmtpServer, taking
from support.smtp_session import LOOPS, content, envelope, fast, opened, run

from mailqueue.mail.smtp import TIMEOUTS, Cause, Phase
from mailqueue.net.connect import SessionFailed, Tls, open_session

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def failure(loop, *scripts, **more) -> SessionFailed:
    """Open a session to a server that plays `scripts`; it must fail."""

    async def play(port: int) -> SessionFailed:
        with pytest.raises(SessionFailed) as failed:
            await opened(port, **more)
        return failed.value

    with SmtpServer(*scripts) as server:
        return run(loop, play(server.port))


def test_session_tells_what_it_is_connected_to(loop):
    async def play(port):
        session = await opened(port)
        assert (session.host, session.ip, session.port) == ("server.example", "127.0.0.1", port)
        assert session.capabilities.pipelining
        assert (session.tls_version, session.tls_verified, session.tls_fallback) == (None, None, None)
        assert session.usable
        assert session.used == 0
        assert session.idle_since == session.opened_at <= asyncio.get_running_loop().time()
        await session.quit()
        assert not session.usable

    with SmtpServer(taking(0)) as server:
        run(loop, play(server.port))
    assert server.peers[0].commands == ["EHLO client.example", "QUIT"]


def test_nobody_listens(loop):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def play():
        with pytest.raises(SessionFailed) as failed:
            await opened(port)
        return failed.value

    failed = run(loop, play())
    assert (failed.lost.phase, failed.lost.cause, failed.lost.reply) == (Phase.CONNECT, Cause.CLOSED, None)
    assert failed.lost.reason == "Connection refused"
    assert str(failed) == f"server.example [127.0.0.1]:{port}: Connection refused (at connect)"
    assert failed.tls_fallback is None


def test_connecting_takes_no_longer_than_it_may(loop):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]  # the queue of the listener is full: no answer comes
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))

        async def play():
            with pytest.raises(SessionFailed) as failed:
                await opened(port, timeouts=fast(connect=0.1))
            return failed.value

        failed = run(loop, play())
        for filler in fillers:
            filler.close()
    assert (failed.lost.phase, failed.lost.cause) == (Phase.CONNECT, Cause.TIMEOUT)


def test_refusing_greeting_is_told_with_its_reply(loop):
    quits = []

    def script(peer):
        peer.says("554-5.7.1 your address is listed", "554 5.7.1 see https://list.example/127.0.0.1")
        quits.append(peer.hears())

    failed = failure(loop, script)
    assert (failed.lost.phase, failed.lost.cause) == (Phase.GREETING, Cause.REFUSED)
    assert failed.lost.reply.code == 554
    assert "see https://list.example/127.0.0.1" in str(failed)
    assert failed.transcript.startswith("S: 554-5.7.1 your address is listed\n")
    assert quits == ["QUIT"]


@pytest.mark.parametrize("end", [Peer.closes, Peer.resets])
@pytest.mark.parametrize("said", [b"", b"2", b"220 hi", b"220-hi\r\n"])
def test_connection_lost_before_the_greeting_is_whole(loop, end, said):
    def script(peer):
        peer.sends(said)
        end(peer)

    failed = failure(loop, script)
    assert (failed.lost.cause, failed.lost.reply) == (Cause.CLOSED, None)
    # A reset may overtake the news that the connection stands.
    assert failed.lost.phase is Phase.GREETING or (failed.lost.phase is Phase.CONNECT and end is Peer.resets)


def test_silent_server_runs_into_the_deadline_of_the_phase(loop):
    def silent(peer):
        peer.hears_end()

    def silent_after_greeting(peer):
        peer.says("220 hi")
        peer.hears_end()

    failed = failure(loop, silent, timeouts=fast(greeting=0.1))
    assert (failed.lost.phase, failed.lost.cause) == (Phase.GREETING, Cause.TIMEOUT)
    assert failed.lost.reason == "it took longer than 0.1 s"
    failed = failure(loop, silent_after_greeting, timeouts=fast(ehlo=0.1))
    assert (failed.lost.phase, failed.lost.cause) == (Phase.EHLO, Cause.TIMEOUT)


def test_dripping_greeting_runs_into_its_total_deadline(loop):
    """Each octet comes in time; the reply does not."""

    def script(peer):
        peer.drips(b"220-hello\r\n" * 1000)

    failed = failure(loop, script, timeouts=fast(greeting=0.2))
    assert (failed.lost.phase, failed.lost.cause) == (Phase.GREETING, Cause.TIMEOUT)


def test_greeting_of_megabytes_is_broken_off(loop):
    def script(peer):
        megabytes = (b"220-" + b"x" * 994 + b"\r\n") * 20_000
        with pytest.raises(OSError):
            peer.sends(megabytes)

    failed = failure(loop, script)
    assert (failed.lost.phase, failed.lost.cause) == (Phase.GREETING, Cause.PROTOCOL)
    assert "65536" in failed.lost.reason
    assert len(failed.transcript) < 1000


def test_other_service_is_no_mail_server(loop):
    def script(peer):
        peer.sends(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        peer.hears_end()

    failed = failure(loop, script)
    assert (failed.lost.phase, failed.lost.cause) == (Phase.GREETING, Cause.PROTOCOL)
    assert "SSH-2.0" in failed.lost.reason


def tls(peer: Peer) -> None:
    peer.greets("STARTTLS", "SIZE 1")
    peer.hears("STARTTLS")
    peer.says("220 2.0.0 go ahead")
    peer.starts_tls()
    peer.offers(*PIPELINING, "SIZE 2000")
    peer.takes()
    peer.hears("QUIT")
    peer.says("221 bye")


def test_starttls_is_taken_up_where_it_is_offered(loop):
    async def play(port):
        session = await opened(port)
        assert session.tls_version == "TLSv1.3"
        assert session.tls_verified is None
        assert session.tls_fallback is None
        assert session.capabilities.size == 0, "the first SIZE that is said under TLS counts"
        result = await session.send(envelope(), content())
        assert result.final.code == 250
        await session.quit()

    with SmtpServer(tls) as server:
        run(loop, play(server.port))
    assert server.peers[0].contents == [content().data]


def test_starttls_is_left_alone_where_tls_is_none(loop):
    def script(peer):
        peer.greets("STARTTLS")
        peer.hears("QUIT")

    async def play(port):
        session = await opened(port, tls=Tls.NONE)
        assert session.tls_version is None
        assert session.tls_fallback is None
        await session.quit()

    with SmtpServer(script) as server:
        run(loop, play(server.port))


def refused(peer: Peer) -> None:
    peer.greets("STARTTLS")
    peer.hears("STARTTLS")
    peer.says("454 4.7.0 TLS not available due to temporary reason")
    peer.hears("QUIT")


def garbage(peer: Peer) -> None:
    peer.greets("STARTTLS")
    peer.hears("STARTTLS")
    peer.says("220 go")
    peer.sock.recv(100)
    peer.sends(b"this is no handshake, this is SMTP\r\n" * 10)
    peer.hears_end()


def closing(peer: Peer) -> None:
    peer.greets("STARTTLS")
    peer.hears("STARTTLS")
    peer.says("220 go")
    peer.sock.recv(10)
    peer.closes()


def silent(peer: Peer) -> None:
    peer.greets("STARTTLS")
    peer.hears("STARTTLS")
    peer.says("220 go")
    peer.hears_end()


def injecting(peer: Peer) -> None:
    peer.greets("STARTTLS")
    peer.hears("STARTTLS")
    peer.says("220 go", "250-evil", "250 PIPELINING")
    peer.hears_end()


def wanting_our_certificate(peer: Peer) -> None:
    """TLS 1.3: the client thinks that the handshake is done, and then the server says that it is not."""
    peer.greets("STARTTLS")
    peer.hears("STARTTLS")
    peer.says("220 go")
    with pytest.raises(ssl.SSLError):
        peer.starts_tls(wants_ours=True)


@pytest.mark.parametrize(
    ("broken", "phase"),
    [
        (refused, Phase.STARTTLS),
        (garbage, Phase.TLS),
        (closing, Phase.TLS),
        (silent, Phase.TLS),
        (injecting, Phase.TLS),
        (wanting_our_certificate, Phase.EHLO),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_where_tls_fails_the_message_goes_in_the_clear_and_the_session_says_why(loop, broken, phase):
    async def play(port):
        session = await opened(port, timeouts=fast(tls=0.3))
        assert f"(at {phase})" in session.tls_fallback
        assert session.tls_version is None
        result = await session.send(envelope(), content())
        assert result.final.code == 250
        await session.quit()

    with SmtpServer(broken, taking(extensions=("STARTTLS",))) as server:
        run(loop, play(server.port))
    assert len(server.peers) == 2
    assert "STARTTLS" not in server.peers[1].commands


def test_clear_that_fails_after_tls_is_told_with_both_reasons(loop):
    def busy(peer):
        peer.says("421 4.7.0 too many connections")

    failed = failure(loop, refused, busy)
    assert (failed.lost.phase, failed.lost.cause) == (Phase.GREETING, Cause.CLOSING)
    assert "454 4.7.0 TLS not available" in failed.tls_fallback


def test_failure_that_is_not_of_tls_is_not_tried_twice(loop):
    def busy(peer):
        peer.greets("STARTTLS")
        peer.hears("STARTTLS")
        peer.says("220 go")
        peer.starts_tls()
        peer.hears("EHLO")
        peer.says("450 4.3.2 later")
        peer.hears("QUIT")

    with SmtpServer(busy) as server:

        async def play():
            with pytest.raises(SessionFailed) as failed:
                await opened(server.port)
            return failed.value

        failed = run(loop, play())
    assert (failed.lost.phase, failed.lost.cause) == (Phase.EHLO, Cause.REFUSED)
    assert len(server.peers) == 1


def test_cancelled_opening_closes_the_connection(loop):
    def script(peer):
        peer.hears_end()

    async def play(server):
        task = asyncio.ensure_future(opened(server.port))
        while not server.peers:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.peers[0].gone.wait, 10)

    with SmtpServer(script) as server:
        run(loop, play(server))


def test_name_that_cannot_be_said_is_a_mistake_of_the_caller(loop):
    with pytest.raises(ValueError, match="EHLO"):
        run(loop, open_session("h", "127.0.0.1", 1, hostname="a b", timeouts=TIMEOUTS))
