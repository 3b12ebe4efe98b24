"""What a transport may be: which values fit its kind, and what those are that nobody gave.

The rule: nothing that would tell a password to the wrong one is accepted without somebody having
said so, and no text here shows it.

RFC 6409 (submission), RFC 8314 (implicit TLS, and TLS with the right certificate).
"""

from __future__ import annotations

from typing import Final

from mailqueue.errors import ParseError, SettingError
from mailqueue.mail.reply import Reply
from mailqueue.mail.sasl import Credentials
from mailqueue.model.rules import Tls, Transport, TransportKind
from mailqueue.net.contexts import ContextFault, verified

_PORTS: Final = {TransportKind.SUBMISSION: 587, TransportKind.SUBMISSIONS: 465}
_MUSTS: Final = (Tls.REQUIRED, Tls.VERIFIED)


def default_port(kind: TransportKind) -> int:
    """Return the TCP port of a transport of which none is said."""
    return _PORTS.get(kind, 25)


def default_tls(kind: TransportKind, username: str | None) -> Tls:
    """Return how much TLS a transport has of which it is not said: all, where there is a password to lose."""
    return Tls.VERIFIED if kind in _PORTS or username else Tls.OPPORTUNISTIC


def relay_transport(text: str) -> Transport:
    """Return the transport for `HOST:PORT`, `HOST` (port 25) or `[IPV6]:PORT`. Raises SettingError."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "25"
    if not host.strip("[]") or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise SettingError(f"relay: must be HOST:PORT, not {text!r}")
    return Transport(id=0, name="relay", kind=TransportKind.RELAY, host=host.strip("[]"), port=int(port))


def check_transport(transport: Transport) -> None:
    """Raise SettingError where the values of a transport do not fit its kind."""
    kind = transport.kind
    if kind.names_host != bool(transport.host):
        raise SettingError(
            f"host: {_article(kind)} needs the name or the address of its next hop"
            if kind.names_host
            else f"host: only relay, submission and submissions have one, not {kind}"
        )
    if (kind is TransportKind.FAIL) != bool(transport.reply):
        raise SettingError(
            "reply: a fail transport needs the reply it answers, e.g. '550 5.7.1 not from here'"
            if kind is TransportKind.FAIL
            else f"reply: only a fail transport has one, not {kind}"
        )
    if not 1 <= transport.port <= 65535:
        raise SettingError(f"port: must be 1 to 65535, not {transport.port}")
    if transport.allow_private and kind is not TransportKind.DIRECT:
        raise SettingError("allow-private: only for direct; a relay that you name may be anywhere")
    _check_reply(transport.reply)
    _check_host(transport.host)
    _check_login(transport)
    _check_tls(transport)


def check_ca_file(path: str | None) -> None:
    """Raise SettingError unless there are CA certificates at `path`."""
    if path is None:
        return
    if not path.startswith("/"):
        raise SettingError(f"ca-file: must be a whole path, from '/' on: every engine reads it; not {path!r}")
    try:
        verified(path)
    except ContextFault as fault:
        raise SettingError(f"ca-file: {fault}") from None


def _article(kind: TransportKind) -> str:
    return "a relay" if kind is TransportKind.RELAY else f"a {kind} transport"


def _check_reply(text: str | None) -> None:
    if text is None:
        return
    try:
        reply = Reply.from_text(text)
    except ParseError as error:
        raise SettingError(f"reply: {error}; give e.g. '550 5.7.1 not from here'") from None
    if not (reply.transient or reply.permanent):
        raise SettingError(f"reply: must be a 4xx or 5xx reply, not {text!r}")


def _check_host(host: str | None) -> None:
    if host is not None and (not host.isprintable() or any(each in host for each in " /@<>")):
        raise SettingError(f"host: {host!r} is no host name or address")


def _check_tls(transport: Transport) -> None:
    kind, tls = transport.kind, transport.tls
    if kind is TransportKind.SUBMISSIONS and tls not in _MUSTS:
        raise SettingError(f"tls: submissions is TLS from the first octet: verified or required, not {tls}")
    if tls is Tls.VERIFIED and not kind.names_host:
        raise SettingError(
            f"tls: verified is for a next hop that you name; {kind} has required, opportunistic and none"
        )
    if transport.ca_file is not None and tls is not Tls.VERIFIED:
        raise SettingError(f"ca-file: only where tls is verified, not {tls}")


def _check_login(transport: Transport) -> None:
    if transport.username is None and transport.password is None:
        if transport.auth is not None:
            raise SettingError("auth: needs a user name and a password")
        return
    if not transport.kind.names_host:
        raise SettingError(f"username: only relay, submission and submissions have one, not {transport.kind}")
    if transport.username is None or transport.password is None:
        missing = "password" if transport.password is None else "username"
        raise SettingError(f"{missing}: a user name and a password go together")
    try:
        Credentials(username=transport.username, password=transport.password)
    except ValueError as error:
        raise SettingError(f"username, password: {error}") from None
    if transport.tls is Tls.OPPORTUNISTIC:
        raise SettingError(
            "tls: opportunistic does not protect a password; take verified or required, "
            "or none in a network that nobody listens to"
        )
