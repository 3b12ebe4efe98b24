"""The opening of a conversation: greeting, EHLO, TLS, AUTH; and how any conversation ends.

The rule: what must hold before mail may be sent (TLS, that the server knows us) holds before
`Ready`, or the conversation ends and says why.

RFC 5321 3.1 and 3.2, 3207 (STARTTLS), 8314 3 (implicit TLS), 4954 (AUTH).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from mailqueue.mail import codes
from mailqueue.mail.reply import Reply
from mailqueue.mail.sasl import SaslError
from mailqueue.mail.smtp.envelope import Capabilities
from mailqueue.mail.smtp.events import Ended, Event, Ready, TlsWanted, TransactionDone
from mailqueue.mail.smtp.facts import Cause, Lost, Phase
from mailqueue.mail.smtp.login import Authentication, Login
from mailqueue.mail.smtp.replies import ReplyReader
from mailqueue.mail.smtp.transaction import Transaction

_READY: Final = Ready()
_TLS_WANTED: Final = TlsWanted()


class Conversation:
    """A session up to the point where mail may be sent; `Client` goes on from there."""

    __slots__ = (
        "_auth",
        "_awaiting",
        "_ended",
        "_events",
        "_hostname",
        "_log",
        "_login",
        "_must_encrypt",
        "_out",
        "_reader",
        "_standing",
        "_starttls",
        "capabilities",
        "encrypted",
        "replies",
    )

    def __init__(
        self,
        hostname: str,
        *,
        starttls: bool,
        must_encrypt: bool = False,
        tls_first: bool = False,
        login: Login | None = None,
    ) -> None:
        """Begin by waiting for the greeting, or for the handshake.

        Args:
            hostname: what EHLO says that we are: a domain name or an address literal (RFC 5321 4.1.4).
            starttls: whether to take up the server's offer of STARTTLS, if it makes one.
            must_encrypt: end the conversation where there is no such offer.
            tls_first: the handshake comes before the greeting (RFC 8314 3): make it, then call
                `tls_established`.
            login: who we are to the server. None: that is not said.

        Raises:
            ValueError: `hostname` cannot stand in a command.
        """
        if not hostname or not hostname.isascii() or not hostname.isprintable() or " " in hostname:
            raise ValueError(f"{hostname!r} cannot be the name in EHLO")
        self.capabilities = Capabilities()
        self.encrypted = False
        self.replies = 0
        self._hostname = hostname
        self._starttls = starttls
        self._must_encrypt = must_encrypt
        self._login = login
        self._auth: Authentication | None = None  # while it runs
        self._reader = ReplyReader()
        self._awaiting: deque[Phase] = deque()  # replies owed to us, the oldest first
        self._standing = Phase.TLS if tls_first else Phase.IDLE  # the phase while none is owed; or BODY
        if not tls_first:
            self._awaiting.append(Phase.GREETING)
        self._ended = False
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._log: list[bytes | Reply | str | Transaction] = []

    @property
    def phase(self) -> Phase:
        """What is waited for now."""
        return self._awaiting[0] if self._awaiting else self._standing

    @property
    def ended(self) -> bool:
        """Whether the conversation is over."""
        return self._ended

    def tls_established(self) -> None:
        """Go on under TLS: what the server offered in the clear is forgotten and asked again (RFC 3207 4.2).

        Raises:
            RuntimeError: no handshake was due.
        """
        if self.phase is not Phase.TLS or self._ended:
            raise RuntimeError(f"no TLS handshake was due at {self.phase}")
        self.encrypted = True
        self._standing = Phase.IDLE
        self._log.append("TLS")
        if self.replies:
            self._command(Phase.EHLO, f"EHLO {self._hostname}\r\n")
        else:
            self._awaiting.append(Phase.GREETING)

    # --- inside -------------------------------------------------------------------------------

    def _take_events(self) -> list[Event]:
        events = self._events
        if events:
            self._events = []
        return events

    def _lose(
        self, cause: Cause, reason: str, reply: Reply | None = None, phase: Phase | None = None
    ) -> None:
        self._end(Lost(phase=phase or self.phase, cause=cause, reason=reason, reply=reply))

    def _end(self, lost: Lost | None) -> None:
        if self._ended:
            return
        self._ended = True
        # What was asked for in the same breath is not wanted any more.
        self._events = [event for event in self._events if isinstance(event, TransactionDone)]
        self._out = [b"QUIT\r\n"] if lost is not None and _still_listens(lost) else []
        if lost is not None:
            self._log.append(f"{lost.reason} (at {lost.phase})")
        self._abandon(lost)
        self._events.append(Ended(lost))

    def _abandon(self, lost: Lost | None) -> None:
        """End what runs within the session; until it stands, nothing does."""

    def _command(self, phase: Phase, text: str) -> None:
        self._send(text.encode("utf-8"))
        self._awaiting.append(phase)

    def _send(self, octets: bytes) -> None:
        self._log.append(octets)
        self._out.append(octets)

    # --- the session --------------------------------------------------------------------------

    def _greeted(self, reply: Reply) -> None:
        self._command(Phase.EHLO, f"EHLO {self._hostname}\r\n")

    def _extended(self, reply: Reply) -> None:
        offered = Capabilities.from_lines(reply.lines)
        if self._starttls and offered.starttls and not self.encrypted:
            self._command(Phase.STARTTLS, "STARTTLS\r\n")
            return
        self._stand(offered, reply)

    def _not_extended(self, reply: Reply) -> None:
        if reply.code == codes.NO_MAIL_SERVICE:
            self._lose(Cause.REFUSED, "the server takes no mail", reply, phase=Phase.EHLO)
        else:
            self._command(Phase.HELO, f"HELO {self._hostname}\r\n")

    def _plain(self, reply: Reply) -> None:
        self._stand(self.capabilities, reply)

    def _stand(self, offered: Capabilities, reply: Reply) -> None:
        """All is known of the server: go on to AUTH, or be ready."""
        if self._must_encrypt and not self.encrypted:
            self._lose(Cause.TLS, "the server offers no STARTTLS, and TLS is required", phase=Phase.STARTTLS)
            return
        # In the clear anybody may have said that it keeps mail under TLS (RFC 8689).
        self.capabilities = offered if self.encrypted else replace(offered, requiretls=False)
        if self._login is None:
            self._events.append(_READY)
            return
        try:
            self._auth = Authentication(self._login, offered.auth, encrypted=self.encrypted)
        except SaslError as fault:
            self._lose(Cause.AUTH, str(fault), phase=Phase.AUTH)
            return
        self._say_hidden(*self._auth.command())

    def _say_hidden(self, line: bytes, shown: bytes) -> None:
        self._log.append(shown)
        self._out.append(line)
        self._awaiting.append(Phase.AUTH)

    def _challenged(self, reply: Reply) -> None:
        self._say_hidden(*self._authentication().answer())

    def _granted(self, reply: Reply) -> None:
        fault = self._authentication().finish()
        self._auth = None
        if fault is None:
            self._events.append(_READY)
        else:
            self._lose(Cause.AUTH, fault, phase=Phase.AUTH)

    def _denied(self, reply: Reply) -> None:
        ours = self._authentication().fault is not None  # then the reply is to our breaking off
        self._lose(Cause.AUTH, self._authentication().refusal, None if ours else reply, phase=Phase.AUTH)

    def _authentication(self) -> Authentication:
        assert self._auth is not None
        return self._auth

    def _go_tls(self, reply: Reply) -> None:
        self._standing = Phase.TLS
        self._events.append(_TLS_WANTED)

    def _bye(self, reply: Reply) -> None:
        self._end(None)


def _still_listens(lost: Lost) -> bool:
    """Return whether a server that is of no use still listens, so that QUIT is owed to it."""
    return lost.cause in (Cause.REFUSED, Cause.AUTH) or (lost.cause, lost.phase) == (
        Cause.TLS,
        Phase.STARTTLS,
    )
