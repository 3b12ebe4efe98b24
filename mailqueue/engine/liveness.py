"""Tell which process an engine is, and whether it is still there.

The rule: an engine is dead at once when its process is gone from this very machine; where the
machine, its boot, or the namespace of its process ids is another or unknown, only the heartbeat
counts (decision 17).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path

from mailqueue.clock import SECOND, from_datetime
from mailqueue.model.engine import EngineInfo, Identity

DEAD_AFTER = 60 * SECOND
"""Microseconds without a heartbeat after which an engine is dead."""


def this_process() -> Identity:
    """Return the identity of this process."""
    return Identity(
        host=socket.gethostname(),
        pid=os.getpid(),
        process_start=_process_start(os.getpid()),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        pid_namespace=_link("/proc/self/ns/pid"),
    )


def dead(engine: EngineInfo, me: Identity, now: int, dead_after: int = DEAD_AFTER) -> bool:
    """Return whether an engine will not settle what it has claimed.

    Args:
        engine: as noted in the database.
        me: the identity of this process.
        now: microseconds UTC.
        dead_after: microseconds without a heartbeat.
    """
    if now - from_datetime(engine.heartbeat_at) > dead_after:
        return True
    return _same_machine(engine.identity, me) and (
        _process_start(engine.identity.pid) != engine.identity.process_start
    )


def living(engines: Iterable[EngineInfo], now: int) -> tuple[EngineInfo, ...]:
    """Return the engines that are at work, of those noted; `now` in microseconds UTC."""
    me = this_process()
    return tuple(engine for engine in engines if not dead(engine, me, now))


def _same_machine(one: Identity, other: Identity) -> bool:
    here = (one.host, one.boot_id, one.pid_namespace) == (other.host, other.boot_id, other.pid_namespace)
    return here and all((one.boot_id, one.pid_namespace, one.process_start))


def _process_start(pid: int) -> str:
    """Return the start time of a process in clock ticks after boot; '' when there is none, or no /proc."""
    stat = _read(f"/proc/{pid}/stat")
    # The second field is the command in parentheses, which may hold anything; state Z is dead already.
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
