"""Backups of a database, and what restoring one came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A copy of a database, as one of its commits left it."""

    path: str
    """Of the copy."""
    size: int
    """Octets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What putting a backup in the place of a database came to."""

    path: str
    """Of the database."""
    source: str
    """Path of the backup."""
    copy: str | None
    """Path of the copy of the file as it was before. None: there was nothing, or none was made."""
    held: int
    """Messages that were put on hold, as they may have been delivered since."""
