"""Logging in at the next hop, as the engine does it: what is tried, how often, and who pays for a failure."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta

import pytest
from support.smtp_server import PIPELINING, Peer, SmtpServer, taking
from support.stage import Stage, free_port

HOUR = timedelta(hours=1)
PLAIN = b64encode(b"\0me\0pencil-pencil").decode()
LOGIN = {"tls": "none", "username": "me", "password": "pencil-pencil", "auth": "PLAIN"}


def answers(line: str, *extensions: str):
    """Return a script that answers AUTH, and goes on to a message where it was a welcome."""

    def script(peer: Peer) -> None:
        peer.greets(*PIPELINING, *(extensions or ("AUTH PLAIN",)))
        if extensions:
            peer.hears("QUIT")
            return
        peer.hears(f"AUTH PLAIN {PLAIN}")
        peer.says(line)
        if line.startswith("235"):
            peer.takes()
        peer.hears("QUIT")
        peer.says("221 bye")

    return script


def test_message_waits_for_the_right_password_and_is_not_charged_for_the_wrong(stage: Stage) -> None:
    with SmtpServer(answers("535 5.7.8 no"), answers("235 2.7.0 yes")) as server:
        stage.relay(server.port, **LOGIN)
        [message] = stage.submit("ben@example.com")
        stage.deliver()
        [attempt] = stage.queue.attempts(message)
        assert (attempt.outcome, attempt.category, attempt.scope) == ("deferred", "auth", "destination")
        assert attempt.error is not None
        assert attempt.error.startswith("transport relay: 127.0.0.1 [127.0.0.1]:")
        assert stage.state(message) == "queued"
        stage.deliver(after=HOUR)
    assert stage.outcomes(message) == ["deferred", "delivered"]


@pytest.mark.parametrize(("line", "tried"), [("535 5.7.8 no", 1), ("454 4.7.0 not now", 2)])
def test_refused_password_is_not_tried_at_the_next_address(stage: Stage, line: str, tried: int) -> None:
    class TwoAddresses:
        """The resolver, which knows two addresses of the next hop."""

        def __init__(self, real: object) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        async def addresses(self, host: str) -> list[str]:
            return ["127.0.0.1", "127.0.0.1"]

    stage.dns = free_port("127.0.0.1")
    with SmtpServer(answers(line)) as server:
        stage.relay(server.port, **LOGIN)
        [message] = stage.submit("ben@example.com")
        stage.deliver(resolver=TwoAddresses(stage.new_resolver()))
    assert len(server.peers) == tried
    assert stage.attempt(message).category == "auth"


def test_server_that_offers_nothing_of_ours_is_told_by_name(stage: Stage) -> None:
    with SmtpServer(answers("", "AUTH GSSAPI")) as server:
        stage.relay(server.port, **LOGIN)
        [message] = stage.submit("ben@example.com")
        stage.deliver()
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.category) == ("deferred", "auth")
    assert attempt.error is not None
    assert "the server offers GSSAPI, not PLAIN (at auth)" in attempt.error


@pytest.mark.parametrize("said", ["530 5.7.0 log in first", "530 Authentication required"])
def test_relay_that_wants_a_login_returns_nobodys_mail(stage: Stage, said: str) -> None:
    def wants_login(peer: Peer) -> None:
        peer.greets("AUTH PLAIN")
        peer.hears("MAIL")
        peer.says(said)
        peer.hears()

    with SmtpServer(wants_login, taking()) as server:
        stage.relay(server.port)
        [message] = stage.submit("ben@example.com")
        stage.deliver()
        attempt = stage.attempt(message)
        assert (attempt.outcome, attempt.category, attempt.scope) == ("deferred", "auth", "destination")
        stage.deliver(after=HOUR)
    assert stage.state(message) == "delivered"
