"""Mail that has to stay under TLS, and mail that is to arrive rather than be protected (RFC 8689)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from support.certificates import certificates
from support.dns_server import DnsServer
from support.receiver import Receiver
from support.smtp_server import PIPELINING, Gone, Peer, Script, SmtpServer
from support.stage import MAIL, Stage, free_port

from mailqueue.mail import dsn
from mailqueue.net import contexts

HOUR = timedelta(hours=1)
REQUIRETLS = (*PIPELINING, "REQUIRETLS")
HEADER_NO = b"TLS-Required: No\r\n" + MAIL


def under_tls(*extensions: str, kind: str = "mail") -> Script:
    """Return a script that goes under TLS, and takes what comes."""

    def script(peer: Peer) -> None:
        peer.greets(*PIPELINING, "STARTTLS")
        peer.hears("STARTTLS")
        peer.says("220 go")
        with suppress(Gone, OSError):
            peer.sock = certificates().context(kind).wrap_socket(peer.sock, server_side=True)
            peer.offers(*extensions)
            takes_what_comes(peer)

    return script


def takes_what_comes(peer: Peer) -> None:
    while peer.hears().startswith("MAIL"):
        peer.says("250 2.1.0 ok")
        if "nobody@" in peer.hears("RCPT"):
            peer.says("550 5.1.1 nobody here")
            peer.hears("DATA")
            peer.says("554 5.5.1 for nobody")
            continue
        peer.says("250 2.1.5 ok")
        peer.hears("DATA")
        peer.says("354 go on")
        peer.hears_content()
        peer.says("250 2.0.0 taken")
    peer.says("221 bye")


def in_the_clear(peer: Peer) -> None:
    """Offer no STARTTLS, and say REQUIRETLS all the same."""
    peer.greets(*REQUIRETLS)
    takes_what_comes(peer)


def refusing_tls(line: str) -> Script:
    def script(peer: Peer) -> None:
        peer.greets(*PIPELINING, "STARTTLS")
        peer.hears("STARTTLS")
        peer.says(line)
        peer.hears_end()

    return script


def relayed(stage: Stage, port: int) -> None:
    """Send all mail to a relay on loopback, whose certificate must be of our CA."""
    stage.relay(port, tls="verified", ca_file=certificates().ca_file)


def mail_commands(server: SmtpServer) -> list[str]:
    return [line for peer in server.peers for line in peer.commands if line.startswith("MAIL")]


# --- required, by a relay ------------------------------------------------------------------------
def test_mail_that_has_to_stay_under_tls_goes_to_a_verified_server_with_requiretls(stage: Stage):
    with SmtpServer(under_tls(*REQUIRETLS)) as server:
        relayed(stage, server.port)
        [message] = stage.submit("ben@example.com", require_tls=True)
        stage.deliver()
        assert stage.state(message) == "delivered"
        assert [line.endswith(" REQUIRETLS") for line in mail_commands(server)] == [True]
    attempt = stage.attempt(message)
    assert (attempt.tls, attempt.tls_verified) == ("TLSv1.3", "ca:127.0.0.1")


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        (under_tls(*PIPELINING), "5.7.30", "it does not offer REQUIRETLS"),
        (under_tls(*REQUIRETLS, kind="stranger"), "5.7.10", "certificate verify failed"),
        (under_tls(*REQUIRETLS, kind="other"), "5.7.10", "certificate verify failed"),
        (in_the_clear, "5.7.10", "the server offers no STARTTLS"),
        (refusing_tls("502 5.5.1 what?"), "5.7.10", "502 5.5.1 what?"),
    ],
    ids=["no REQUIRETLS", "a certificate of nobody", "another's certificate", "no STARTTLS", "refused"],
)
def test_server_that_cannot_keep_it_under_tls_does_not_get_it_and_the_sender_hears_so_at_once(
    stage: Stage, script: Script, code: str, said: str
):
    with SmtpServer(script) as server:
        relayed(stage, server.port)
        [message] = stage.submit("ben@example.com", require_tls=True)
        stage.deliver()
        assert mail_commands(server) == []
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.category, attempt.enhanced) == ("failed", "tls", code)
    assert attempt.scope == "message", "the server is not to blame"
    assert said in (stage.show(message).last_error or "")
    assert stage.state(message) == "failed"
    assert stage.queue.notices(message) != []


@pytest.mark.parametrize(
    "script", [refusing_tls("454 4.7.0 TLS is busy"), Peer.closes], ids=["454", "closed"]
)
def test_trouble_that_may_pass_is_tried_again_and_holds_up_nobody_else(
    stage: Stage, script: Callable[[Peer], None]
):
    def busy(peer: Peer) -> None:
        script(peer)

    with SmtpServer(busy, under_tls(*REQUIRETLS)) as server:
        relayed(stage, server.port)
        [message] = stage.submit("ben@example.com", require_tls=True)
        stage.deliver()
        assert stage.state(message) == "queued"
        stage.deliver(HOUR)
    assert stage.outcomes(message) == ["deferred", "delivered"]


def test_relay_without_tls_is_not_in_trouble_for_others(stage: Stage):
    with Receiver() as receiver:
        stage.relay(receiver.port)
        secret = [stage.submit(f"r{n}@example.com", require_tls=True)[0] for n in range(5)]
        usual = [stage.submit(f"u{n}@example.com")[0] for n in range(5)]
        stage.deliver()
        assert {stage.state(each) for each in secret} == {"failed"}
        assert {stage.state(each) for each in usual} == {"delivered"}


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Our CA is one of the system's."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates().ca_file)
    contexts._of_system.cache_clear()
    yield
    contexts._of_system.cache_clear()


def test_connections_of_mail_that_has_to_stay_under_tls_are_its_own(stage: Stage, trusted: None):
    with SmtpServer(under_tls(*REQUIRETLS)) as server:
        stage.relay(server.port)
        for number in range(2):
            stage.submit(f"r{number}@example.com", require_tls=True)
            stage.submit(f"u{number}@example.com")
        stage.deliver(connections=1)
    by_connection = [
        [line.endswith("REQUIRETLS") for line in peer.commands if line.startswith("MAIL")]
        for peer in server.peers
    ]
    assert sorted(by_connection) == [[False, False], [True, True]]


def test_recipients_of_one_content_go_apart_by_their_wish(stage: Stage):
    with SmtpServer(under_tls(*REQUIRETLS)) as server:
        relayed(stage, server.port)
        stage.submit("ann@example.com", require_tls=True)
        stage.submit("ben@example.com", content=HEADER_NO)
        stage.deliver()
        assert len(mail_commands(server)) == 2


# --- its notices ---------------------------------------------------------------------------------
def test_notice_about_it_returns_the_header_only_and_has_to_stay_under_tls_too(stage: Stage):
    stage.queue.accounts.set("default", notices="queue")
    with SmtpServer(under_tls(*REQUIRETLS)) as server:
        relayed(stage, server.port)
        [message] = stage.submit("nobody@example.com", require_tls=True, ret="full")
        stage.deliver()
        stage.deliver()
        [notice] = stage.queue.notices(message)
        [carrier] = stage.queue.submission(notice.sent_as or 0)
        assert (carrier.require_tls, carrier.state) == (True, "delivered")
        assert mail_commands(server)[1].startswith("MAIL FROM:<>")
        assert mail_commands(server)[1].endswith(" REQUIRETLS")
    assert b"Hello, it is me." not in notice.content
    assert dsn.read(notice.content).report is not None


def test_notice_goes_without_requiretls_rather_than_not_at_all_but_under_tls(stage: Stage):
    stage.queue.accounts.set("default", notices="queue")
    with SmtpServer(under_tls(*PIPELINING)) as server:
        relayed(stage, server.port)
        [message] = stage.submit("ben@example.com", require_tls=True)
        stage.deliver()
        stage.deliver()
        [notice] = stage.queue.notices(message)
        [carrier] = stage.queue.submission(notice.sent_as or 0)
        assert carrier.state == "delivered"
        assert stage.attempt(carrier.id).tls_verified == "ca:127.0.0.1"
        assert "REQUIRETLS" not in mail_commands(server)[0]


# --- direct --------------------------------------------------------------------------------------
def direct(stage: Stage, port: int, dns: int, **more: object) -> None:
    stage.dns = dns
    stage.queue.transports.add("mx", kind="direct", port=port, allow_private=True, **more)


def test_direct_delivery_cannot_verify_the_receiver_so_it_fails_at_once(stage: Stage):
    stage.queue.transports.add("mx", kind="direct")
    stage.dns = free_port("127.0.0.1")  # nobody answers there, and nobody is asked
    [message] = stage.submit("ben@example.com", require_tls=True)
    assert "where what has to stay under TLS is refused" in gate_text(stage, message)
    stage.deliver()
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.category, attempt.enhanced) == ("failed", "tls", "5.7.10")
    assert (attempt.transport, attempt.host) == ("mx", None)
    notice = " ".join(stage.notice(message).split())
    assert "it needs a relay with a verified certificate and REQUIRETLS" in notice


def gate_text(stage: Stage, message: int) -> str:
    return next(each.text for each in stage.queue.explain(message).gates if each.gate == "transport")


@pytest.mark.parametrize("how", ["header", "argument"])
def test_mail_that_need_not_be_protected_goes_in_the_clear_where_the_transport_demands_tls(
    stage: Stage, how: str
):
    port = free_port("127.0.0.1")
    zone = {"example.com": {"MX": ["10 mx.example.com."]}, "mx.example.com": {"A": ["127.0.0.1"]}}
    with DnsServer(zone) as names, Receiver(host="127.0.0.1", port=port) as receiver:
        direct(stage, port, names.port, tls="required")
        if how == "header":
            [open_] = stage.submit("ben@example.com", content=HEADER_NO)
        else:
            [open_] = stage.submit("ben@example.com", require_tls=False)
        [usual] = stage.submit("ann@example.com")
        stage.deliver()
        assert stage.show(open_).require_tls is False
        assert (stage.state(open_), stage.state(usual)) == ("delivered", "queued")
        assert b"REQUIRETLS" not in receiver.messages[0].sender_options.encode()


def test_mail_that_need_not_be_protected_changes_nothing_at_a_relay(stage: Stage):
    with Receiver() as receiver:
        stage.relay(receiver.port, tls="required")
        [message] = stage.submit("ben@example.com", content=HEADER_NO)
        stage.deliver()
        assert (stage.state(message), receiver.messages) == ("queued", [])


def test_argument_outweighs_the_header(stage: Stage):
    """REQUIRETLS given, TLS-Required: No is ignored, and goes along (RFC 8689 4.1)."""
    with SmtpServer(under_tls(*REQUIRETLS)) as server:
        relayed(stage, server.port)
        [message] = stage.submit("ben@example.com", content=HEADER_NO, require_tls=True)
        stage.deliver()
        assert stage.state(message) == "delivered"
        assert server.peers[0].contents[0].startswith(b"Date:")
        assert b"TLS-Required: No" in server.peers[0].contents[0]


@pytest.mark.parametrize(
    ("field", "wish"),
    [
        (b"TLS-Required: No", False),
        (b"tls-required:no", False),
        (b"TLS-Required:\r\n NO ", False),
        (b"TLS-Required: Yes", None),
        (b"X-TLS-Required: No", None),
    ],
)
def test_header_field_counts_where_it_says_no(stage: Stage, field: bytes, wish: bool | None):
    [message] = stage.submit("ben@example.com", content=field + b"\r\n" + MAIL)
    assert stage.show(message).require_tls is wish
