"""Open an SMTP session: connect, greet, make TLS, authenticate.

The rule: a session that could not be had is one exception with the facts in it, wherever it failed;
and where TLS is a must there is no way into the clear.

RFC 5321 3.1 and 3.2, RFC 3207 (STARTTLS), RFC 8314 (implicit TLS), RFC 7435 (opportunistic
security), RFC 4954 (AUTH).
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mailqueue.mail.sasl import Credentials, Mechanism
from mailqueue.mail.smtp import TIMEOUTS, Cause, Client, Ended, Login, Lost, Phase, Ready, TlsWanted
from mailqueue.net.contexts import ContextFault, any_certificate, verified
from mailqueue.net.hosts import parse_ip
from mailqueue.net.session import Session
from mailqueue.net.wire import Wire, reason_of


class Tls(StrEnum):
    """How much TLS a connection must have."""

    NONE = "none"
    """None: the server's offer is not taken up."""
    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where it is offered, with any certificate; in the clear where it is not, or fails."""
    REQUIRED = "required"
    """TLS with any certificate, or no session."""
    VERIFIED = "verified"
    """TLS with a certificate for the server's name that a trusted CA signed, or no session."""

    @property
    def is_must(self) -> bool:
        """Whether there is no session without TLS."""
        return self in (Tls.REQUIRED, Tls.VERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How a connection is protected, and who we are on it. Without arguments: as among mail servers."""

    tls: Tls = Tls.OPPORTUNISTIC
    """How much TLS."""
    implicit: bool = False
    """TLS comes before the greeting (RFC 8314 3.3); `tls` is `REQUIRED` or `VERIFIED` then."""
    ca_file: str | None = None
    """Path of the CA certificates (PEM) that `VERIFIED` trusts, and no others. None: those of the system."""
    credentials: Credentials | None = None
    """Who we are to the server. None: that is not said."""
    mechanism: Mechanism | None = None
    """How we prove it. None: the best that both sides know. PLAIN and LOGIN go in the clear only
    where they stand here and `tls` is `NONE`."""

    def __post_init__(self) -> None:
        if self.implicit and not self.tls.is_must:
            raise ValueError("TLS before the greeting cannot be left out")

    def login(self) -> Login | None:
        """Return what the machine of one connection needs to authenticate; None where it does not."""
        if self.credentials is None:
            return None
        return Login(
            credentials=self.credentials,
            nonce=secrets.token_urlsafe(24),
            mechanism=self.mechanism,
            clear=self.tls is Tls.NONE,
        )

    def context(self) -> ssl.SSLContext:
        """Return the context for the handshake. Raises ContextFault."""
        return verified(self.ca_file) if self.tls is Tls.VERIFIED else any_certificate()


OPPORTUNISTIC = Security()
"""As among mail servers: TLS where it can be had (RFC 7435)."""


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
    security: Security = OPPORTUNISTIC,
    timeouts: Mapping[Phase, float] = TIMEOUTS,
) -> Session:
    """Connect to a server and return when it is ready for a message.

    Args:
        host: its name, for TLS and for people.
        ip: its address, which is connected to.
        port: its port.
        hostname: what EHLO says that we are.
        security: TLS and AUTH. Where `tls` is `OPPORTUNISTIC` and STARTTLS fails, a second connection is
            made, in the clear; then `session.tls_fallback` says why.
        timeouts: seconds that each phase may take; must name all that `TIMEOUTS` names.

    Raises:
        SessionFailed: it was not had.
        ValueError: `hostname` cannot stand in a command.
    """
    try:
        return await _open(host, ip, port, hostname, timeouts, security)
    except SessionFailed as failed:
        if not failed.tls_failed or security.tls is not Tls.OPPORTUNISTIC:
            raise
        why = str(failed.lost)
    clear = replace(security, tls=Tls.NONE, mechanism=None)  # so no password is told
    try:
        session = await _open(host, ip, port, hostname, timeouts, clear)
    except SessionFailed as failed:
        failed.tls_fallback = why
        raise
    session.tls_fallback = why
    return session


async def _open(
    host: str, ip: str, port: int, hostname: str, timeouts: Mapping[Phase, float], security: Security
) -> Session:
    wire = Wire(_client(hostname, security), timeouts)
    try:
        lost = await _connect(wire, ip, port, timeouts[Phase.CONNECT]) or await _begin(wire, host, security)
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
    session = Session(wire, host=host, ip=ip, port=port)
    if security.tls is Tls.VERIFIED:
        session.tls_verified = f"ca:{_name(host)}"
    return session


def _client(hostname: str, security: Security) -> Client:
    return Client(
        hostname,
        starttls=security.tls is not Tls.NONE,
        must_encrypt=security.tls.is_must,
        tls_first=security.implicit,
        login=security.login(),
    )


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


async def _begin(wire: Wire, host: str, security: Security) -> Lost | None:
    """Wait until the session stands, with the handshake where it is wanted; return how it was lost."""
    if security.implicit:
        await _make_tls(wire, host, security)
    event = await wire.next()
    if isinstance(event, TlsWanted):
        await _make_tls(wire, host, security)
        event = await wire.next()
    if isinstance(event, Ready):
        return None
    assert isinstance(event, Ended), event
    assert event.lost is not None, "QUIT was not said"
    return event.lost


async def _make_tls(wire: Wire, host: str, security: Security) -> None:
    if wire.client.ended:  # the server spoke first where TLS comes first
        return
    try:
        context = security.context()
    except ContextFault as fault:
        wire.give_up(Cause.TLS, str(fault))
        return
    await wire.start_tls(context, _name(host))


def _name(host: str) -> str:
    """Return what the certificate must be for: the name without a final dot, or the bare address."""
    return parse_ip(host) or host.rstrip(".")


def _is_of_tls(lost: Lost, *, encrypted: bool) -> bool:
    """Return whether STARTTLS or the handshake failed.

    Under TLS 1.3 a server that breaks the handshake off may be heard of only after we think that it
    is done; the alert that says so may get lost with the connection.
    """
    if lost.cause is Cause.TLS or lost.phase in (Phase.STARTTLS, Phase.TLS):
        return True
    return encrypted and lost.phase is Phase.EHLO and lost.cause is Cause.CLOSED
