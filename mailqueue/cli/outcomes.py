"""A line per outcome, as an engine at a terminal prints them.

The rule: a line says when, which message, for whom, what the server said, and what happens next.
"""

from __future__ import annotations

from typing import assert_never

from mailqueue.cli import output
from mailqueue.clock import to_datetime
from mailqueue.model.events import NoticeKind
from mailqueue.model.settlement import Retire, Retry, Settlement


def tell(settlement: Settlement) -> None:
    """Print `06:55:01  12  ann@example.net  deferred: 451 4.7.1 Later; next try in 5m, 07:00:01`."""
    message, at = settlement.message, to_datetime(settlement.at).astimezone()
    parts = (
        f"{at:%H:%M:%S}",
        f"{message.id}",
        message.recipient,
        _said(settlement) + _next(settlement),
    )
    output.wrapped("  ".join(parts), hang=10)


def _said(settlement: Settlement) -> str:
    outcome, move = settlement.outcome, settlement.move
    summary = outcome.summary().replace("\n", " / ")
    if settlement.facts is None and isinstance(move, Retire):
        return f"{move.state.value}: {summary}"
    return summary if summary == outcome.kind.value else f"{outcome.kind.value}: {summary}"


def _next(settlement: Settlement) -> str:
    match settlement.move:
        case Retry(next_attempt_at=at):
            after = f"; next try {output.when(to_datetime(at), settlement.at)}"
        case Retire(state=state):
            told = settlement.facts is None or state.value == settlement.outcome.kind.value
            after = "" if told else f"; given up ({state.value})"
        case _:
            assert_never(settlement.move)
    return after + _notice(settlement.notice)


def _notice(kind: NoticeKind | None) -> str:
    match kind:
        case NoticeKind.FAILED:
            return "; returned with a notice"
        case NoticeKind.DELAYED:
            return "; delay notice"
        case NoticeKind.RELAYED:
            return "; notice that it was handed on"
        case None:
            return ""
        case _:
            assert_never(kind)
