"""Which mechanism, and the machines of the simple ones.

The rule: a mechanism that tells the password is taken in the clear only where somebody said both
"no TLS" and this very mechanism.

RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5); LOGIN as servers have it; RFC 4422 6.1 (which to take).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import assert_never

from mailqueue.mail.sasl.scram import Scram
from mailqueue.mail.sasl.values import Credentials, Exchange, Mechanism, SaslError


def choose(
    offered: Iterable[str], *, encrypted: bool, wanted: Mechanism | None = None, clear: bool = False
) -> Mechanism:
    """Return the best mechanism that both sides know, in the order of `Mechanism`.

    Args:
        offered: names as the server gives them, in any case.
        encrypted: whether the connection is under TLS.
        wanted: this one or none. None: the best.
        clear: whether `wanted` may tell the password in the clear.

    Raises:
        SaslError: there is none that may be used; the text says what the server offers.
    """
    names = [name.upper() for name in offered]
    known = [each for each in Mechanism if each in names and wanted in (None, each)]
    for each in known:
        if encrypted or not each.tells_password or (clear and each is wanted):
            return each
    what = ", ".join(names) or "no mechanism"
    if known:
        raise SaslError(f"the server offers {what} without TLS: the password is not told in the clear")
    raise SaslError(f"the server offers {what}, not {wanted or 'one of ' + ', '.join(Mechanism)}")


def begin(mechanism: Mechanism, credentials: Credentials, nonce: str) -> Exchange:
    """Return the machine of a mechanism for one exchange.

    Args:
        mechanism: from `choose`.
        credentials: who we are.
        nonce: for SCRAM, see `Scram`.

    Raises:
        SaslError: the credentials cannot be used with it.
    """
    match mechanism:
        case Mechanism.SCRAM_SHA_256:
            return Scram(credentials, nonce)
        case Mechanism.CRAM_MD5:
            return CramMd5(credentials)
        case Mechanism.PLAIN:
            return Plain(credentials)
        case Mechanism.LOGIN:
            return Login(credentials)
        case _:
            assert_never(mechanism)


class Plain:
    """PLAIN: all in one message (RFC 4616 2)."""

    mechanism = Mechanism.PLAIN

    def __init__(self, credentials: Credentials) -> None:
        self._message = f"\0{credentials.username}\0{credentials.password}".encode()

    def first(self) -> bytes:
        """Return the message; nobody else's identity is asked for."""
        return self._message

    def respond(self, challenge: bytes) -> bytes:
        """Refuse: nothing is asked in PLAIN."""
        raise SaslError("the server asks for more than PLAIN tells")

    def finish(self) -> None:
        """Take note of success."""


class Login:
    """LOGIN: the user name, then the password, whatever the server calls them."""

    mechanism = Mechanism.LOGIN

    def __init__(self, credentials: Credentials) -> None:
        self._left = [credentials.password.encode(), credentials.username.encode()]

    def first(self) -> None:
        """Wait: the server asks."""

    def respond(self, challenge: bytes) -> bytes:
        """Return the user name, then the password."""
        if not self._left:
            raise SaslError("the server asks for more than LOGIN tells")
        return self._left.pop()

    def finish(self) -> None:
        """Take note of success."""


class CramMd5:
    """CRAM-MD5: the user name, and a digest of the challenge with the password (RFC 2195 2)."""

    mechanism = Mechanism.CRAM_MD5

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._responded = False

    def first(self) -> None:
        """Wait: the server challenges."""

    def respond(self, challenge: bytes) -> bytes:
        """Return the user name and the digest."""
        if self._responded:
            raise SaslError("the server challenges a second time")
        self._responded = True
        digest = hmac.new(self._credentials.password.encode(), challenge, "md5").hexdigest()
        return f"{self._credentials.username} {digest}".encode()

    def finish(self) -> None:
        """Take note of success."""
        if not self._responded:
            raise SaslError("the server said success without a challenge")
