"""AUTH: an exchange of SASL inside SMTP, and what of it may be shown.

The rule: neither the password nor what it could be guessed from is in a transcript, a reply that
is kept, or an error.

RFC 4954 (AUTH), RFC 4422 (SASL).
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mailqueue.mail import codes
from mailqueue.mail.reply import Reply
from mailqueue.mail.sasl import Credentials, Mechanism, SaslError, begin, choose

HIDDEN: Final = "***"
"""Stands in transcripts and replies where there was a secret."""

_MAX_COMMAND = 510  # octets without CRLF (RFC 5321 4.5.3.1.4); a longer response waits to be asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """That we authenticate on a connection, and how."""

    credentials: Credentials
    """Who we are."""
    nonce: str = field(repr=False)
    """For SCRAM: printable ASCII without commas, new for each connection and not to be guessed."""
    mechanism: Mechanism | None = None
    """None: the best that both sides know."""
    clear: bool = False
    """Whether `mechanism` may tell the password without TLS."""


class Authentication:
    """One exchange on one connection.

    Args:
        login: who we are, and how.
        offered: mechanisms that the server offers (EHLO).
        encrypted: whether the connection is under TLS.

    Attributes:
        fault: why we break the exchange off. None: we do not.

    Raises:
        SaslError: there is no mechanism that may be used, or the credentials do not fit it.
    """

    __slots__ = ("_challenge", "_exchange", "_pending", "_secrets", "fault")

    def __init__(self, login: Login, offered: Iterable[str], *, encrypted: bool) -> None:
        chosen = choose(offered, encrypted=encrypted, wanted=login.mechanism, clear=login.clear)
        self._exchange = begin(chosen, login.credentials, login.nonce)
        password = login.credentials.password
        self._secrets = {password, _base64(password.encode())}
        self._pending: bytes | None = None  # our first message, too long to go with the command
        self._challenge = ""
        self.fault: str | None = None

    @property
    def mechanism(self) -> Mechanism:
        """The mechanism in use."""
        return self._exchange.mechanism

    @property
    def refusal(self) -> str:
        """Why it came to nothing after the server said so, one line."""
        return self.fault or f"the server refused authentication by {self.mechanism}"

    def command(self) -> tuple[bytes, bytes]:
        """Return the AUTH command, CRLF included, and how it is shown."""
        first = self._exchange.first()
        command = f"AUTH {self.mechanism}"
        if first is None:
            return (shown := f"{command}\r\n".encode()), shown
        said = f"{command} {self._said(first) or '='}"
        if len(said) <= _MAX_COMMAND:
            return f"{said}\r\n".encode(), f"{command} {HIDDEN}\r\n".encode()
        self._pending = first
        return (shown := f"{command}\r\n".encode()), shown

    def hear(self, reply: Reply) -> Reply:
        """Take a reply to our last line and return it as it may be shown and kept."""
        if reply.code == codes.AUTH_CONTINUE:
            self._challenge = "\n".join(reply.lines)
            return Reply(reply.code, (HIDDEN,))
        return Reply(reply.code, tuple(map(self._hide, reply.lines)), reply.enhanced)

    def answer(self) -> tuple[bytes, bytes]:
        """Return what to say to the challenge heard, CRLF included, and how it is shown.

        It is `*`, which ends the exchange, where we cannot go on; then `fault` says why.
        """
        try:
            response = self._response()
        except SaslError as fault:
            self.fault = f"authentication by {self.mechanism}: {fault}"
            return b"*\r\n", b"*\r\n"
        return f"{self._said(response)}\r\n".encode(), f"{HIDDEN}\r\n".encode()

    def finish(self) -> str | None:
        """Take note that the server said success; return why it is none, None where it is."""
        if self.fault is None:
            try:
                self._exchange.finish()
            except SaslError as fault:
                self.fault = f"authentication by {self.mechanism}: {fault}"
        return self.fault

    def _response(self) -> bytes:
        if self.fault is not None:
            raise SaslError("the server goes on after we broke off")
        try:
            challenge = binascii.a2b_base64(self._challenge, strict_mode=True) if self._challenge else b""
        except (binascii.Error, ValueError):
            raise SaslError("the server's challenge is not base64 (RFC 4954 4)") from None
        if self._pending is not None:
            first, self._pending = self._pending, None
            return first
        return self._exchange.respond(challenge)

    def _said(self, response: bytes) -> str:
        said = _base64(response)
        self._secrets.add(said)
        return said

    def _hide(self, line: str) -> str:
        """Return a line of a server that may repeat what we said."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if secret:
                line = line.replace(secret, HIDDEN)
        return line


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
