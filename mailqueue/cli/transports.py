"""Ways out: `transport`."""

from __future__ import annotations

from collections.abc import Callable

import click

from mailqueue.cli import output, shape
from mailqueue.cli.base import Face, Verbs, pass_face, reason
from mailqueue.cli.values import HostPort, host_port, secret
from mailqueue.model.rules import Tls, Transport, TransportKind

_KINDS = click.Choice([kind.value for kind in TransportKind])
_TLS = click.Choice([tls.value for tls in Tls])

_LOGIN_OPTIONS = (
    click.option("--username", metavar="USER", help="Who we are to the next hop."),
    click.option("--password-env", metavar="VAR", help="Environment variable that has the password."),
    click.option("--password-file", metavar="FILE", help="File that has the password, in one line."),
    click.option("--auth", metavar="MECHANISM", help="How it is proved; else the best both sides know."),
    click.option("--ca-file", metavar="FILE", help="CA certificates (PEM) to trust; else the system's."),
)


def _login_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options about who we are to the next hop, and whom we trust."""
    for option in reversed(_LOGIN_OPTIONS):
        verb = option(verb)
    return verb


@click.group(cls=Verbs)
def transport() -> None:
    """Ways out: direct, by a relay, or a refusal.

    The first one made takes all mail that no route matches.
    """


@transport.command("list")
@pass_face
def list_(face: Face) -> None:
    """List the transports."""
    found = face.queue().transports.list()

    def people() -> None:
        if not found:
            output.line("no transport: mail waits until there is one; see mailqueue transport add --help")
            return
        output.table(
            ("NAME", "KIND", "TO", "TLS", "USER", "DEFAULT"),
            map(_row, found),
        )

    face.answer(output.items(map(shape.transport, found)), people)


def _row(found: Transport) -> tuple[object, ...]:
    kind, tls = found.kind.value, found.tls.value
    return found.name, kind, _target(found), tls, found.username or "", found.is_default


def _target(found: Transport) -> str:
    match found.kind:
        case TransportKind.RELAY | TransportKind.SUBMISSION | TransportKind.SUBMISSIONS:
            return f"{found.host}:{found.port}"
        case TransportKind.FAIL:
            return f"answers {found.reply}"
        case TransportKind.DIRECT:
            port = "" if found.port == 25 else f", port {found.port}"
            return f"MX hosts{port}" + (", private addresses too" if found.allow_private else "")


@transport.command("add")
@click.argument("name")
@click.option("--kind", type=_KINDS, help="How it delivers; else relay with --host, fail with --reply.")
@click.option("--host", type=host_port, metavar="HOST[:PORT]", help="Of the next hop: name or address.")
@click.option("--port", type=int, metavar="N", help="TCP port; else 587 or 465 of submission(s), or 25.")
@click.option("--tls", type=_TLS, help="How much; else verified of submission(s) and with a password.")
@_login_options
@click.option("--allow-private", is_flag=True, help="Of direct: private addresses that DNS gave, too.")
@click.option("--reply", metavar="TEXT", help="Of fail: what it answers, such as '550 5.7.1 not from here'.")
@click.option("--default", is_flag=True, help="It takes what no route matches.")
@reason
@pass_face
def add(
    face: Face,
    name: str,
    kind: str | None,
    host: HostPort | None,
    port: int | None,
    tls: str | None,
    username: str | None,
    password_env: str | None,
    password_file: str | None,
    auth: str | None,
    ca_file: str | None,
    allow_private: bool,
    reply: str | None,
    default: bool,
    reason: str,
) -> None:
    """Make a transport.

    For example: transport add relay1 --kind relay --host mail.example;
    or, by a provider: transport add out --kind submission --host smtp.example
    --username me --password-file FILE
    """
    made = face.queue().transports.add(
        name,
        kind=kind or _kind(host, reply),
        host=host.host if host else None,
        port=_port(host, port),
        tls=tls,
        username=username,
        password=secret(password_env, password_file),
        auth=auth,
        ca_file=ca_file,
        allow_private=allow_private,
        reply=reply,
        default=default,
        reason=reason,
    )
    face.answer(shape.transport(made), lambda: _tell(made))


def _kind(host: HostPort | None, reply: str | None) -> TransportKind:
    if host is None and reply is None:
        raise click.UsageError(
            "which kind? Give --kind relay --host HOST, --kind direct, or --kind fail --reply."
        )
    return TransportKind.RELAY if host is not None else TransportKind.FAIL


def _port(host: HostPort | None, port: int | None) -> int | None:
    written = host.port if host else None
    if None not in (written, port) and written != port:
        raise click.UsageError(f"--host says port {written}, and --port {port}.")
    return port if port is not None else written


def _tell(found: Transport) -> None:
    default = ", the default" if found.is_default else ""
    output.wrapped(f"transport {found.name}: {found.kind.value}, {_target(found)}{default}", 4)


@transport.command("set")
@click.argument("name")
@click.option("--host", type=host_port, metavar="HOST[:PORT]", help="Of the next hop: name or address.")
@click.option("--port", type=int, metavar="N", help="TCP port.")
@click.option("--tls", type=_TLS, help="How much TLS.")
@_login_options
@click.option("--allow-private/--refuse-private", default=None, help="Of direct: private addresses from DNS.")
@click.option("--reply", metavar="TEXT", help="Of fail: what it answers.")
@click.option("--default", is_flag=True, default=None, help="It takes what no route matches.")
@reason
@pass_face
def set_(
    face: Face,
    name: str,
    host: HostPort | None,
    port: int | None,
    tls: str | None,
    username: str | None,
    password_env: str | None,
    password_file: str | None,
    auth: str | None,
    ca_file: str | None,
    allow_private: bool | None,
    reply: str | None,
    default: bool | None,
    reason: str,
) -> None:
    """Change what is given of a transport, and leave the rest.

    An empty --username, --auth or --ca-file takes it away.
    """
    changed = face.queue().transports.set(
        name,
        host=host.host if host else None,
        port=_port(host, port),
        tls=tls,
        username=username,
        password=secret(password_env, password_file),
        auth=auth,
        ca_file=ca_file,
        allow_private=allow_private,
        reply=reply,
        default=default,
        reason=reason,
    )
    face.answer(shape.transport(changed), lambda: _tell(changed))


@transport.command("remove")
@click.argument("name")
@reason
@pass_face
def remove(face: Face, name: str, reason: str) -> None:
    """Remove a transport that no route uses."""
    face.queue().transports.remove(name, reason=reason)
    face.answer({"name": name, "removed": True}, lambda: output.line(f"transport {name} is gone"))
