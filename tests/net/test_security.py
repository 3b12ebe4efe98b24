"""TLS as a must and AUTH, over real sockets: right and wrong certificates, and no way into the clear."""

import os
from base64 import b64encode
from pathlib import Path

import pytest
from support.certificates import HOST, certificates
from support.smtp_server import PIPELINING, Peer, SmtpServer
from support.smtp_session import LOOPS, content, envelope, fast, opened, run

from mailqueue.mail.sasl import Credentials, Mechanism
from mailqueue.mail.smtp import Cause, Phase
from mailqueue.net import contexts
from mailqueue.net.connect import Security, SessionFailed, Tls

SECRET = "pencil-pencil"
KNOWN = Credentials(username="user", password=SECRET)
PLAIN = b64encode(f"\0user\0{SECRET}".encode()).decode()
MUSTS = [Tls.REQUIRED, Tls.VERIFIED]


def offering(*extensions: str, kind: str = "mail", implicit: bool = False, lines=()):
    """Return a script that goes under TLS, takes one exchange of AUTH as `lines`, and one message."""

    def script(peer: Peer) -> None:
        if not implicit:
            peer.greets(*PIPELINING, "STARTTLS")
            peer.hears("STARTTLS")
            peer.says("220 go")
        peer.sock = certificates().context(kind).wrap_socket(peer.sock, server_side=True)
        if implicit:
            peer.greets(*PIPELINING, *extensions)
        else:
            peer.offers(*PIPELINING, *extensions)
        for line in lines:
            peer.hears()
            peer.says(line)
        peer.takes()
        peer.hears("QUIT")
        peer.says("221 bye")

    return script


def breaking(*arguments, **more):
    """Return the script that survives a client that will not go on."""
    script = offering(*arguments, **more)

    def survives(peer: Peer) -> None:
        try:
            script(peer)
        except Exception:  # the client has gone, in the handshake or after it
            peer.gone.set()

    return survives


def delivered(loop, script, **security):
    """Send a message; return the session as it stood, and what the server heard."""

    async def play(port):
        session = await opened(port, **{"host": HOST, **security})
        result = await session.send(envelope(), content())
        assert result.final is not None
        assert result.final.positive
        await session.quit()
        return session

    with SmtpServer(script) as server:
        session = run(loop, play(server.port))
    return session, server.peers[0].commands


def failure(loop, *scripts, **security) -> tuple[SessionFailed, list[Peer]]:
    async def play(port):
        with pytest.raises(SessionFailed) as failed:
            await opened(port, timeouts=fast(tls=5.0), **{"host": HOST, **security})
        return failed.value

    with SmtpServer(*scripts) as server:
        failed = run(loop, play(server.port))
    return failed, server.peers


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("tls", MUSTS)
def test_right_certificate_gives_a_session(loop, implicit, tls):
    session, _ = delivered(
        loop,
        offering(implicit=implicit),
        tls=tls,
        implicit=implicit,
        ca_file=certificates().ca_file,
    )
    assert session.tls_version == "TLSv1.3"
    assert session.tls_verified == ("ca:mail.example" if tls is Tls.VERIFIED else None)
    assert session.tls_fallback is None


def test_address_is_a_name_that_a_certificate_can_have():
    for host in ("127.0.0.1", "MAIL.example.", "[127.0.0.1]"):
        session, _ = delivered(
            "asyncio", offering(), tls=Tls.VERIFIED, ca_file=certificates().ca_file, host=host
        )
        assert session.tls_verified is not None


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("other", "Hostname mismatch, certificate is not valid for 'mail.example'"),
        ("expired", "certificate has expired"),
        ("selfsigned", "self-signed certificate"),
        ("stranger", "unable to get local issuer certificate"),
    ],
)
def test_wrong_certificate_gives_no_session_and_no_second_try(loop, implicit, kind, why):
    failed, peers = failure(
        loop,
        breaking("AUTH PLAIN", kind=kind, implicit=implicit),
        tls=Tls.VERIFIED,
        implicit=implicit,
        ca_file=certificates().ca_file,
        credentials=KNOWN,
    )
    assert (failed.lost.phase, failed.lost.cause) == (Phase.TLS, Cause.TLS)
    assert why in failed.lost.reason
    assert failed.tls_fallback is None
    assert len(peers) == 1
    assert not any("AUTH" in command for command in peers[0].commands)


@pytest.mark.parametrize("kind", ["other", "expired", "selfsigned", "stranger"])
def test_any_certificate_will_do_where_tls_is_only_required(kind):
    session, _ = delivered("asyncio", offering(kind=kind), tls=Tls.REQUIRED)
    assert (session.tls_version, session.tls_verified) == ("TLSv1.3", None)


def test_certificates_of_our_ca_are_strangers_to_the_system():
    failed, _ = failure("asyncio", breaking(), tls=Tls.VERIFIED)
    assert failed.lost.cause is Cause.TLS
    assert "unable to get local issuer certificate" in failed.lost.reason


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tls", MUSTS)
def test_without_starttls_there_is_no_session_where_tls_is_a_must(loop, tls):
    def in_the_clear(peer):
        peer.greets(*PIPELINING, "AUTH PLAIN")
        peer.hears("QUIT")

    failed, peers = failure(loop, in_the_clear, tls=tls, ca_file=certificates().ca_file, credentials=KNOWN)
    assert (failed.lost.phase, failed.lost.cause) == (Phase.STARTTLS, Cause.TLS)
    assert len(peers) == 1


@pytest.mark.parametrize("tls", MUSTS)
def test_refused_starttls_is_no_way_into_the_clear(tls):
    def refusing(peer):
        peer.greets("STARTTLS")
        peer.hears("STARTTLS")
        peer.says("454 4.7.0 not now")
        peer.hears("QUIT")

    failed, peers = failure("asyncio", refusing, tls=tls, ca_file=certificates().ca_file)
    assert failed.lost.phase is Phase.STARTTLS
    assert failed.lost.reply.code == 454
    assert len(peers) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_reply_injected_behind_starttls_ends_the_session(loop):
    def injecting(peer):
        peer.greets("STARTTLS", "AUTH PLAIN")
        peer.hears("STARTTLS")
        peer.says("220 go", "250-server.example", "250 AUTH PLAIN")
        peer.hears_end()

    failed, peers = failure(
        loop, injecting, tls=Tls.VERIFIED, ca_file=certificates().ca_file, credentials=KNOWN
    )
    assert failed.lost.cause is Cause.PROTOCOL
    assert len(peers) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_server_that_speaks_in_the_clear_on_the_port_of_tls(loop):
    def in_the_clear(peer):
        peer.says("220 server.example ESMTP")
        peer.hears_end()

    failed, _ = failure(loop, in_the_clear, tls=Tls.REQUIRED, implicit=True)
    assert (failed.lost.phase, failed.lost.cause) == (Phase.TLS, Cause.TLS)


@pytest.mark.parametrize("loop", LOOPS)
def test_silence_in_the_handshake_has_an_end(loop):
    def silent(peer):
        peer.hears_end()

    async def play(port):
        with pytest.raises(SessionFailed) as failed:
            await opened(port, tls=Tls.REQUIRED, implicit=True, timeouts=fast(tls=0.3))
        return failed.value

    with SmtpServer(silent) as server:
        failed = run(loop, play(server.port))
    assert (failed.lost.phase, failed.lost.cause) == (Phase.TLS, Cause.TIMEOUT)


def test_implicit_tls_cannot_be_left_out():
    for tls in (Tls.NONE, Tls.OPPORTUNISTIC):
        with pytest.raises(ValueError, match="cannot be left out"):
            Security(tls=tls, implicit=True)


# -- the CA file ------------------------------------------------------------------------------------


def test_missing_or_empty_ca_file_is_told_and_nothing_is_sent(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path, why in (
        (str(tmp_path / "none"), "cannot be read: No such file"),
        (str(empty), "no certificates"),
    ):
        failed, _ = failure("asyncio", breaking(implicit=True), tls=Tls.VERIFIED, implicit=True, ca_file=path)
        assert failed.lost.cause is Cause.TLS
        assert failed.lost.reason.startswith(f"the CA file {path}")
        assert why in failed.lost.reason


def test_context_is_made_once_and_anew_when_the_file_changes(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(certificates().ca_file).read_bytes())
    first = contexts.verified(str(path))
    assert contexts.verified(str(path)) is first
    path.write_bytes(Path(certificates().path("stranger-ca")).read_bytes() + b"\n")
    os.utime(path, ns=(1, 1))
    assert contexts.verified(str(path)) is not first
    assert contexts.verified(None) is contexts.verified(None)


# -- AUTH -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("implicit", [False, True])
def test_message_goes_after_authentication_under_tls(loop, implicit):
    _, heard = delivered(
        loop,
        offering("AUTH PLAIN LOGIN", implicit=implicit, lines=["235 2.7.0 welcome"]),
        tls=Tls.VERIFIED,
        implicit=implicit,
        ca_file=certificates().ca_file,
        credentials=KNOWN,
    )
    assert [line for line in heard if "AUTH" in line] == [f"AUTH PLAIN {PLAIN}"]


@pytest.mark.parametrize("loop", LOOPS)
def test_refused_password_is_told_with_phase_cause_and_reply_and_without_the_password(loop):
    failed, peers = failure(
        loop,
        breaking("AUTH PLAIN", lines=[f"535 5.7.8 no such {PLAIN}"]),
        tls=Tls.VERIFIED,
        ca_file=certificates().ca_file,
        credentials=KNOWN,
    )
    assert (failed.lost.phase, failed.lost.cause) == (Phase.AUTH, Cause.AUTH)
    assert str(failed).endswith("the server refused authentication by PLAIN (at auth): 535 5.7.8 no such ***")
    shown = str(failed) + repr(failed.lost) + failed.transcript
    assert SECRET not in shown
    assert PLAIN not in shown
    assert "C: AUTH PLAIN ***" in failed.transcript
    assert len(peers) == 1


def test_password_is_not_told_in_the_clear_after_tls_failed():
    def broken(peer):
        peer.greets("STARTTLS", "AUTH PLAIN")
        peer.hears("STARTTLS")
        peer.says("454 4.7.0 not now")
        peer.hears("QUIT")

    def in_the_clear(peer):
        peer.greets("AUTH PLAIN")
        peer.hears("QUIT")

    failed, peers = failure("asyncio", broken, in_the_clear, credentials=KNOWN, mechanism=Mechanism.PLAIN)
    assert failed.lost.cause is Cause.AUTH
    assert len(peers) == 2
    assert not any(command.startswith("AUTH") for peer in peers for command in peer.commands)


def test_password_goes_in_the_clear_where_both_were_said():
    def in_the_clear(peer):
        peer.greets("AUTH PLAIN")
        peer.hears(f"AUTH PLAIN {PLAIN}")
        peer.says("235 ok")
        peer.takes()
        peer.hears("QUIT")

    delivered("asyncio", in_the_clear, tls=Tls.NONE, credentials=KNOWN, mechanism=Mechanism.PLAIN)


def test_nonce_is_new_for_each_connection():
    security = Security(tls=Tls.REQUIRED, credentials=KNOWN)
    nonces = {security.login().nonce for _ in range(100)}
    assert len(nonces) == 100
    assert min(map(len, nonces)) >= 24
    assert SECRET not in repr(security)


# -- REQUIRETLS -------------------------------------------------------------------------------------


def required(script, **security):
    """Try to send a message that has to stay under TLS; return the result and what the server heard."""

    async def play(port):
        session = await opened(port, **{"host": HOST, **security})
        result = await session.send(envelope(require_tls=True), content())
        await session.quit()
        return result

    with SmtpServer(script) as server:
        result = run("asyncio", play(server.port))
    return result, server.peers[0].commands


@pytest.mark.parametrize("implicit", [False, True])
def test_message_that_has_to_stay_under_tls_goes_where_that_is_promised(implicit):
    result, heard = required(
        offering("REQUIRETLS", implicit=implicit),
        tls=Tls.VERIFIED,
        implicit=implicit,
        ca_file=certificates().ca_file,
    )
    assert result.final.code == 250
    assert "MAIL FROM:<a@sender.example> SIZE=100 REQUIRETLS" in heard


def leaving(peer: Peer, *extensions: str, tls: bool) -> None:
    peer.greets(*extensions, *(["STARTTLS"] * tls))
    if tls:
        peer.hears("STARTTLS")
        peer.says("220 go")
        peer.sock = certificates().context("mail").wrap_socket(peer.sock, server_side=True)
        peer.offers(*extensions)
    peer.hears("QUIT")


@pytest.mark.parametrize(
    ("tls", "offers", "security", "expected"),
    [
        (True, [], {"tls": Tls.VERIFIED}, "550 5.7.30"),
        (True, ["REQUIRETLS"], {"tls": Tls.REQUIRED}, "523 5.7.10"),
        (True, ["REQUIRETLS"], {"tls": Tls.OPPORTUNISTIC}, "523 5.7.10"),
        (False, ["REQUIRETLS"], {"tls": Tls.OPPORTUNISTIC}, "523 5.7.10"),
        (False, ["REQUIRETLS"], {"tls": Tls.NONE}, "523 5.7.10"),
    ],
    ids=["not offered", "not verified", "any certificate", "no STARTTLS", "no TLS"],
)
def test_message_that_has_to_stay_under_tls_is_not_sent_otherwise(tls, offers, security, expected):
    if security["tls"] is Tls.VERIFIED:
        security = {**security, "ca_file": certificates().ca_file}
    result, heard = required(lambda peer: leaving(peer, *offers, tls=tls), **security)
    assert str(result.lacks).startswith(f"{expected} not sent to this server: it has to stay under TLS")
    assert result.lacks.permanent
    assert not any(command.startswith("MAIL") for command in heard)
