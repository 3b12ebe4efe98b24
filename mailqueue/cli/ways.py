"""What stands in the way of a message, and which way it would go, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailqueue.cli import output
from mailqueue.model.explain import Gate
from mailqueue.model.rules import Tls
from mailqueue.model.way import ChosenBy, NextHost, Way


def print_gates(gates: Sequence[Gate], now: int) -> None:
    """Print the gates in their order, each with what opens it; `now` in microseconds UTC."""
    output.details(row for gate in gates for row in _gate(gate, now))


def _gate(gate: Gate, now: int) -> Iterator[tuple[str, str]]:
    yield ("  ok" if gate.open else "  WAITS"), gate.text
    if gate.until is not None:
        yield "", f"until {output.when(gate.until, now)}"
    if gate.frees is not None and gate.frees not in gate.text:
        yield "", f"opened by: {gate.frees}"


def rows(way: Way) -> Iterator[tuple[str, str]]:
    """Yield names and values: the transport and what chose it, the hosts, and how much TLS."""
    yield "by", f"transport {way.transport}, {_why(way)}"
    if way.reply is not None:
        yield "to", f"nowhere: the answer is {way.reply}"
        return
    for number, host in enumerate(way.hosts):
        yield "to" if number == 0 else "", _host(host)
    if way.error is not None:
        yield "" if way.hosts else "to", f"nowhere now: {way.error}"
    elif not way.hosts:
        yield "to", "the MX hosts of the recipient's domain; DNS was not asked"
    yield "TLS", _tls(way)


def _why(way: Way) -> str:
    match way.chosen_by:
        case ChosenBy.ENGINE:
            return "which the engine takes for all mail"
        case ChosenBy.MESSAGE:
            return "which the message names"
        case ChosenBy.ROUTE:
            return f"by route {way.route_id}"
        case ChosenBy.DEFAULT:
            return "the default"


def _host(host: NextHost) -> str:
    name = f"[{host.name}]" if ":" in host.name else host.name
    preference = "" if host.preference is None else f" (preference {host.preference})"
    addresses = "" if host.addresses in ((), (host.name,)) else f": {', '.join(host.addresses)}"
    return f"{name}:{host.port}{preference}{addresses}"


def _tls(way: Way) -> str:
    match way.tls:
        case Tls.OPPORTUNISTIC:
            text = "opportunistic: where it is offered, else in the clear"
        case Tls.NONE:
            text = "none: in the clear"
        case Tls.REQUIRED:
            text = "required, with any certificate"
        case _:
            text = "verified: required, with a certificate for the host"
    wish = {True: "; REQUIRETLS", False: "; TLS-Required: No", None: ""}
    return text + wish[way.require_tls]
