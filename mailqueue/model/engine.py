"""Engines at work, as other processes see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which process an engine is: enough to tell, on the same machine, whether it is gone."""

    host: str
    """Name of the machine."""
    pid: int
    """Its process id."""
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
    """Of the engine; a new one with each start."""
    identity: Identity
    """Which process it is."""
    started_at: datetime
    """When it began."""
    heartbeat_at: datetime
    """Its last sign of life."""
    relay: str | None = None
    """HOST:PORT that takes all its mail, whatever transports there are. None: none does."""
