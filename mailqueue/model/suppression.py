"""Suppression: whom an account writes to no more, why, and what is learnt about addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailqueue.clock import DAY
from mailqueue.model.attempt import Category
from mailqueue.model.explain import Resent

FAILURES = 3
"""Messages that must have failed for an address, with none delivered to it meanwhile, to suppress it."""

SPAN = 3 * DAY
"""Microseconds that must lie between the first of these failures and the last."""


class Cause(StrEnum):
    """Why an address is suppressed; equal to the text stored."""

    CODE = "code"
    """A server said that it is dead."""
    FAILURES = "failures"
    """Several messages failed for it, over some days."""
    COMPLAINT = "complaint"
    """Its owner called our mail spam."""
    MANUAL = "manual"
    """Somebody put it there."""
    IMPORT = "import"
    """It came with a list."""


class Finding(StrEnum):
    """What one thing that happened says about an address."""

    DEAD = "dead"
    """No mail arrives there any more: it is suppressed at once."""
    FAILED = "failed"
    """A message failed for it: it is suppressed when that happens again and again."""
    COMPLAINED = "complained"
    """Its owner does not want our mail: it is suppressed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was judged, so that it can be judged again."""

    category: Category
    """What it was taken for."""
    phase: str | None = None
    """What was answered (`mailqueue.mail.smtp.facts.Phase`); of a report about a recipient, `rcpt`. None:
    no server answered."""
    reply: str | None = None
    """All that was said, with its codes, lines separated by LF. None: nothing was."""
    status: str | None = None
    """The enhanced code, the server's or ours. None: there is none."""
    error: str | None = None
    """Our words for it. None: the reply says it all."""
    failures: tuple[int, ...] = ()
    """When messages failed, microseconds UTC, where several had to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What is learnt about an address."""

    account_id: int
    """Whose mail it was."""
    address: str
    """As it was written to."""
    finding: Finding
    """What follows."""
    at: int
    """Microseconds UTC."""
    reason: str
    """A line for people."""
    message_id: int | None
    """The message that showed it. None: none did; a failure of none counts for nothing."""
    evidence: Evidence | None = None
    """What was judged. None: there is nothing to judge again."""
    incoming_id: int | None = None
    """The report that showed it. None: none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that an account writes to no more."""

    id: int
    """Of the entry."""
    account: str
    """Name of the account."""
    address: str
    """As it was written to, or given."""
    base: str
    """What is compared: `mailqueue.mail.base.base_of` the address."""
    cause: Cause
    """Why it is here."""
    reason: str
    """A line for people; '' is none."""
    message_id: int | None
    """The message that showed it; it may have been purged. None: none did."""
    incoming_id: int | None
    """The report that showed it. None: none did."""
    evidence: Evidence | None
    """What was judged. None: nobody judged."""
    actor: str | None
    """Who put it here. None: an engine."""
    created_at: datetime
    """Since when."""
    expires_at: datetime | None
    """It counts no more then. None: it stays until somebody removes it."""

    @property
    def told(self) -> str:
        """Why, in a line: `code: 550 5.1.1 No such user`."""
        return told(self.cause, self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsuppressed:
    """What taking an address off the list came to."""

    suppression: Suppression
    """The entry that is gone."""
    replayed: Resent | None = None
    """With `replay`: what came of the mail that it had stopped. None: nobody asked for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import came to."""

    read: int
    """Lines that were good, and whose end is not past."""
    changed: int
    """Entries that are new, or last longer now; the others were there already."""
    faults: tuple[str, ...] = ()
    """What was wrong with lines that were skipped, each with its number."""
    ignored: tuple[str, ...] = ()
    """Columns that mean nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """An entry that an engine made, and would not make now."""

    suppression: Suppression
    """The entry."""
    reason: str
    """Why not, in a line."""
    removed: bool
    """It is gone."""


def told(cause: str, reason: str) -> str:
    """Return why an address is suppressed, in a line."""
    return f"{cause}: {reason}" if reason else str(cause)


def enough(failures: Sequence[int]) -> bool:
    """Return whether so many failures over so long suppress an address (their moments, microseconds UTC)."""
    return len(failures) >= FAILURES and max(failures) - min(failures) >= SPAN


def evidence_json(found: Evidence) -> dict[str, object]:
    """Return evidence as JSON has it; what is not known is left out."""
    code = found.reply[:3] if found.reply else ""
    pairs: dict[str, object] = {
        "code": int(code) if code.isdigit() else None,
        "status": found.status,
        "category": found.category.value,
        "phase": found.phase,
        "reply": found.reply,
        "error": found.error,
        "failures": list(found.failures) or None,
    }
    return {name: value for name, value in pairs.items() if value is not None}


def evidence_of(kept: Mapping[str, object]) -> Evidence:
    """Return the evidence that `evidence_json` wrote."""

    def text(name: str) -> str | None:
        value = kept.get(name)
        return value if isinstance(value, str) else None

    failures = kept.get("failures")
    return Evidence(
        category=Category(text("category") or Category.OTHER),
        phase=text("phase"),
        reply=text("reply"),
        status=text("status"),
        error=text("error"),
        failures=tuple(map(int, failures)) if isinstance(failures, list) else (),
    )
