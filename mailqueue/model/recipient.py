"""A recipient as an application names it, with what its sender wishes to be told (RFC 3461)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of `submit`, where an address alone does not say enough."""

    address: str
    """The address, as it would stand in the list by itself."""
    notify: str | Iterable[str] | None = field(default=None, kw_only=True)
    """When the sender is told: `never`, or some of `success`, `failure`, `delay`, in a list or with commas
    between. None: as `submit(notify=)` says."""
    orcpt: str | None = field(default=None, kw_only=True)
    """What the sender called the recipient, where that is not `address` (an alias that was resolved):
    an address, or `type;address`. Notices show it. None: not said."""
