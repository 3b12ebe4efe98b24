"""Logs of a process of ours: logfmt on stderr; at a terminal only what is wrong, in plain words.

The rule: one record is one line, whatever a server put into it.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime

from mailqueue.mail.visible import visible

_PLAIN = re.compile(r"[^\s\"=\\]+")
_OURS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Logfmt(logging.Formatter):
    """`ts=2025-11-23T06:51:00.250Z level=info logger=mailqueue.engine msg="..." key=value`.

    A record that says which `event` it is about has all its text in its fields; that word is the msg.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        given = {key: value for key, value in vars(record).items() if key not in _OURS}
        fields: dict[str, object] = {
            "ts": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": given.pop("event", None) or record.getMessage(),
            **given,
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={_value(value)}" for key, value in fields.items() if value is not None)


class Plain(logging.Formatter):
    """`mailqueue: warning: ...`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, and the trace of an exception below it."""
        trace = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        return f"mailqueue: {record.levelname.lower()}: {visible(record.getMessage())}{trace}"


def _value(value: object) -> str:
    text = str(value)
    if _PLAIN.fullmatch(text) and text.isprintable():
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{visible(escaped)}"'


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether someone who reads a line per outcome does not know it yet."""
    return record.name != "mailqueue.delivery" and record.levelno != logging.INFO


def set_up(level: str, *, terminal: bool) -> None:
    """Send the logs of this process to stderr.

    Args:
        level: the least of what is logged: debug, info, warning or error.
        terminal: a person is watching, who sees a line per outcome anyway: only the rest, in plain words.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Plain() if terminal else Logfmt())
    ours = logging.getLogger("mailqueue")
    ours.setLevel(level.upper())
    if terminal:
        handler.addFilter(_is_news)
    ours.handlers[:] = [handler]
    ours.propagate = False
