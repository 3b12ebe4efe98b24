"""What bringing tables up to date came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """What `migrate` did to a database."""

    path: str
    """Of the database."""
    before: int
    """Version of its tables before."""
    after: int
    """Version of its tables now; equal to `before` where there was nothing to do."""
    copy: str | None
    """Path of the copy as it was before. None: none was made."""

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return self.before != self.after
