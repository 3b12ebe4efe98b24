"""Engines at work, as other processes see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which process an engine is: enough to tell, on the same machine, whether it is gone."""

    host: str
    pid: int
    process_start: str
    """As the kernel says it. '': unknown."""
    boot_id: str
    """'': unknown."""
    pid_namespace: str
    """'': unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """An engine at work, or one that died without a word."""

    id: int
    identity: Identity
    started_at: datetime
    heartbeat_at: datetime
