"""How the queue stands, in the lines that end `list` and `submit`.

The rule: whoever looks is told when nothing will move, and which command changes that.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from mailqueue.cli import output
from mailqueue.clock import to_datetime
from mailqueue.model.engine import EngineInfo
from mailqueue.model.explain import Status

NO_TRANSPORT = "mailqueue transport add NAME --kind relay --host HOST (or --kind direct)"


def footer(status: Status, now: int) -> Iterator[str]:
    """Yield the lines: `12 queued, 3 held, next in 4m; engine: running (pid 812)`."""
    parts = [f"{status.queued:,} queued", f"{status.held:,} held"]
    if status.claimed:
        parts.append(f"{status.claimed:,} in delivery")
    if status.next_attempt_at is not None:
        wait = status.next_attempt_at - to_datetime(now)
        parts.append("next now" if wait.total_seconds() < 1 else f"next in {output.about(wait)}")
    yield from no_transport(status)
    yield f"{', '.join(parts)}; {engine(status)}"


def no_transport(status: Status) -> Iterator[str]:
    """Yield why nothing is delivered, where no transport is there."""
    if not status.transport:
        but = "; only an engine with --relay delivers" if status.engines else ""
        yield f"no transport{but}: {NO_TRANSPORT}"


def engine(status: Status) -> str:
    """Return whether an engine is running: `engine: running (pid 812)`, `engine: NOT RUNNING`."""
    if not status.engines:
        return "engine: NOT RUNNING"
    return f"engine: running ({', '.join(_name(each) for each in status.engines)})"


def _name(info: EngineInfo) -> str:
    where = "" if info.identity.host == socket.gethostname() else f" on {info.identity.host}"
    return f"pid {info.identity.pid}{where}"
