"""What is logged of a settlement: one line, which can be read by people and by programs.

The rule: nothing of the content and no secret. What the server said is on the line, and nothing more
of the dialogue.
"""

from __future__ import annotations

import logging
import re

from mailqueue.clock import SECOND, rfc3339
from mailqueue.model.attempt import Facts, OutcomeKind
from mailqueue.model.settlement import Retire, Retry, Settlement

logger = logging.getLogger("mailqueue.delivery")

_PLAIN = re.compile(r"[^\s\"'=\\]+")


def log(settlement: Settlement) -> None:
    """Write one line about a settlement: INFO when the mail went, WARNING when it did not.

    The record has each field of the line as an attribute too, and `event` for its first word.
    """
    level = logging.INFO if settlement.outcome.kind is OutcomeKind.DELIVERED else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    move = settlement.move
    event = move.state.value if isinstance(move, Retire) else settlement.outcome.kind.value
    found = fields(settlement)
    found["event"] = event
    # As Logger.log with extra= does, without looking up who calls: that is always this line.
    record = logging.getLogRecordFactory()(
        logger.name, level, __file__, 0, _Line(found), (), None, "log", None
    )
    vars(record).update(found)
    logger.handle(record)


class _Line:
    """The fields as text, made when a handler wants text."""

    __slots__ = ("_found",)

    def __init__(self, found: dict[str, object]) -> None:
        self._found = found

    def __str__(self) -> str:
        told = [f"{name}={_shown(value)}" for name, value in self._found.items() if name != "event"]
        return f"{self._found['event']} {' '.join(told)}"


def fields(settlement: Settlement) -> dict[str, object]:
    """Return the fields of the line, in order; what is not known is left out."""
    message, outcome, facts, move = (
        settlement.message,
        settlement.outcome,
        settlement.facts,
        settlement.move,
    )
    found = {
        "attempt": None if facts is None else f"{message.id}.{message.attempts}",
        "message_id": message.id,
        "submission_id": message.submission_id,
        "recipient": message.recipient,
        "category": outcome.category.value,
        **({} if facts is None else _of_attempt(facts)),
        "next_attempt_at": rfc3339(move.next_attempt_at) if isinstance(move, Retry) else None,
        "said": outcome.summary(),
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_attempt(facts: Facts) -> dict[str, object]:
    return {
        "transport": facts.transport,
        "host": facts.host,
        "address": facts.address,
        "tls": facts.tls,
        "size": facts.size,
        "converted": "7bit" if facts.converted else None,
        "duration": round(facts.duration / SECOND, 3),
    }


def _shown(value: object) -> str:
    if not isinstance(value, str):
        return str(value)
    return value if _PLAIN.fullmatch(value) and value.isprintable() else repr(value)
