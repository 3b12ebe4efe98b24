"""Changes that a person makes to messages in the queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RescheduleAt:
    """The next attempt is made at a moment."""

    at: int
    """Microseconds UTC."""


@dataclass(frozen=True, slots=True)
class RescheduleBy:
    """The next attempt is made so much later."""

    by: int
    """Microseconds; below 0: earlier."""


@dataclass(frozen=True, slots=True)
class Reroute:
    """They take a transport, whatever the routes say."""

    via: str
    """Its name. '': as the routes say."""


@dataclass(frozen=True, slots=True)
class RequireTls:
    """What is asked of TLS (RFC 8689)."""

    value: bool | None
    """True: REQUIRETLS. False: TLS-Required: No. None: not said."""


Change = RescheduleAt | RescheduleBy | Reroute | RequireTls
