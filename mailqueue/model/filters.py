"""Which messages are meant, and pages of lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which messages are meant: the AND of all that is set."""

    ids: tuple[int, ...] | None = None
    """Message ids. None: any."""
    submission_id: int | None = None
    account: str | None = None
    """Name."""

    @property
    def empty(self) -> bool:
        """Nothing is set: all messages are meant."""
        return self.ids is None and self.submission_id is None and self.account is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items of a list, and where the next page begins."""

    items: tuple[T, ...]
    """At most as many as were asked for."""
    next: str | None
    """Hand it back as `after`. None: this was the last page."""
