"""Open an SMTP session: connect, greet, make TLS.

The rule: a session that could not be had is one exception with the facts in it, wherever it failed.

RFC 5321 3.1 and 3.2, RFC 3207 (STARTTLS), RFC 7435 (opportunistic security).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from enum import StrEnum
from functools import cache

from mailqueue.mail.smtp import TIMEOUTS, Cause, Client, Ended, Lost, Phase, Ready, TlsWanted
from mailqueue.net.session import Session
from mailqueue.net.wire import Wire, reason_of


class Tls(StrEnum):
    """How much TLS a connection must have."""

    NONE = "none"
    """None: the server's offer is not taken up."""
    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where it is offered, with any certificate; in the clear where it is not, or fails."""


class SessionFailed(Exception):
    """No session was had.

    Attributes:
        lost: phase, cause, reason, and the reply if the server gave one.
        host: the server's name as it was asked for.
        ip: its address.
        port: its port.
        transcript: what was said, for people.
        tls_failed: whether TLS is to blame, so that the clear may still work.
        tls_fallback: why the clear was tried after TLS, before it failed too. None: it was not.
    """

    def __init__(
        self,
        lost: Lost,
        *,
        host: str,
        ip: str,
        port: int,
        transcript: str = "",
        tls_failed: bool = False,
    ) -> None:
        super().__init__(f"{host} [{ip}]:{port}: {lost}")
        self.lost = lost
        self.host = host
        self.ip = ip
        self.port = port
        self.transcript = transcript
        self.tls_failed = tls_failed
        self.tls_fallback: str | None = None


async def open_session(
    host: str,
    ip: str,
    port: int,
    *,
    hostname: str,
    tls: Tls = Tls.OPPORTUNISTIC,
    timeouts: Mapping[Phase, float] = TIMEOUTS,
) -> Session:
    """Connect to a server and return when it is ready for a message.

    Args:
        host: its name, for TLS and for people.
        ip: its address, which is connected to.
        port: its port.
        hostname: what EHLO says that we are.
        tls: `OPPORTUNISTIC` connects a second time, in the clear, where STARTTLS fails; then
            `session.tls_fallback` says why.
        timeouts: seconds that each phase may take; must name all that `TIMEOUTS` names.

    Raises:
        SessionFailed: it was not had.
        ValueError: `hostname` cannot stand in a command.
    """
    try:
        return await _open(host, ip, port, hostname, timeouts, starttls=tls is Tls.OPPORTUNISTIC)
    except SessionFailed as failed:
        if not failed.tls_failed:
            raise
        why = str(failed.lost)
    try:
        session = await _open(host, ip, port, hostname, timeouts, starttls=False)
    except SessionFailed as failed:
        failed.tls_fallback = why
        raise
    session.tls_fallback = why
    return session


async def _open(
    host: str, ip: str, port: int, hostname: str, timeouts: Mapping[Phase, float], *, starttls: bool
) -> Session:
    wire = Wire(Client(hostname, starttls=starttls), timeouts)
    try:
        lost = await _connect(wire, ip, port, timeouts[Phase.CONNECT]) or await _begin(wire, host)
    except BaseException:  # a cancellation, or a mistake of ours
        wire.give_up(Cause.ABORTED, "broken off")
        raise
    if lost is not None:
        raise SessionFailed(
            lost,
            host=host,
            ip=ip,
            port=port,
            transcript=wire.client.transcript(),
            tls_failed=_is_of_tls(lost, encrypted=wire.client.encrypted),
        )
    return Session(wire, host=host, ip=ip, port=port)


async def _connect(wire: Wire, ip: str, port: int, limit: float) -> Lost | None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit):
            await loop.create_connection(lambda: wire, ip, port)
    except TimeoutError:
        return Lost(phase=Phase.CONNECT, cause=Cause.TIMEOUT, reason=f"no connection within {limit:g} s")
    except OSError as error:
        return Lost(phase=Phase.CONNECT, cause=Cause.CLOSED, reason=reason_of(error))
    return None


async def _begin(wire: Wire, host: str) -> Lost | None:
    """Wait until the session stands, with the handshake where it is wanted; return how it was lost."""
    event = await wire.next()
    if isinstance(event, TlsWanted):
        await wire.start_tls(_unverified(), host.rstrip("."))
        event = await wire.next()
    if isinstance(event, Ready):
        return None
    assert isinstance(event, Ended), event
    assert event.lost is not None, "QUIT was not said"
    return event.lost


def _is_of_tls(lost: Lost, *, encrypted: bool) -> bool:
    """Return whether STARTTLS or the handshake failed.

    Under TLS 1.3 a server that breaks the handshake off may be heard of only after we think that it
    is done; the alert that says so may get lost with the connection.
    """
    if lost.cause is Cause.TLS or lost.phase in (Phase.STARTTLS, Phase.TLS):
        return True
    return encrypted and lost.phase is Phase.EHLO and lost.cause is Cause.CLOSED


@cache
def _unverified() -> ssl.SSLContext:
    """Return the context, made once, that takes any certificate: better than none (RFC 7435 3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
