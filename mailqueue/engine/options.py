"""What a submission says of when it goes, for how long it is tried, what goes first, and by which way.

The rule: as in `envelope`, every fault is noted and none ends the search; what is returned beside a
fault is never used.

RFC 4865 (future release), RFC 8689 (REQUIRETLS, and TLS-Required: No).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mailqueue.clock import DAY, from_datetime, to_micros
from mailqueue.errors import SettingError
from mailqueue.model.duration import LONGEST, format_duration
from mailqueue.model.lane import Priority

When = datetime | timedelta
"""A moment with its time zone, or how long from now."""

MAX_AHEAD = 60 * DAY
"""Microseconds: how far ahead `not_before` may be."""

MOST_ATTEMPTS = 1_000_000
"""What `max_attempts` may be at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was said, as it is stored; without arguments: nothing was."""

    not_before: int | None = None
    """Microseconds UTC, in the future. None: it goes at once."""
    expires_at: int | None = None
    """Microseconds UTC. None: by its lifetime alone."""
    warn_after: int | None = None
    """Microseconds; 0: no delay notice. None: as the schedule says."""
    max_attempts: int | None = None
    """None: by time alone."""
    priority: Priority = Priority.NORMAL
    """What goes first."""
    transport: str | None = None
    """Name. None: as the routes say."""
    require_tls: bool | None = None
    """RFC 8689. True: REQUIRETLS. False: TLS-Required: No. None: not said."""
    parts: tuple[str, ...] = ()
    """What makes it differ from others, for the fingerprint: as it was given, so that `2h` given again
    is the same."""


def read_options(
    *,
    not_before: When | None,
    expires_at: When | None,
    warn_after: timedelta | None,
    max_attempts: int | None,
    priority: Priority | str,
    transport: str | None,
    require_tls: bool | None,
    tls_optional: bool,
    strict: bool,
    now: int,
    faults: list[str],
) -> Options:
    """Return what was said; see `Queue.submit` for the arguments, of which `transport` is known to exist.

    The header says `TLS-Required: No` where `tls_optional` is True; with `strict`, it must not contradict
    `require_tls`. `now` is in microseconds UTC; faults are noted in `faults`.

    Raises:
        TypeError: a value is of another kind than the argument takes.
    """
    _check_kind("require_tls", require_tls, "a bool", bool)
    goes_at = moment("not_before", not_before, now, faults)
    if goes_at is not None and goes_at > now + MAX_AHEAD:
        faults.append(f"not_before: must be at most {format_duration(MAX_AHEAD)} ahead, not {not_before}")
    ends_at = moment("expires_at", expires_at, now, faults)
    if ends_at is not None:
        _check_end(ends_at, expires_at, goes_at, now, faults)
    if require_tls and tls_optional and strict:
        faults.append("require_tls: the header says TLS-Required: No")
    first = _priority(priority, faults)
    return Options(
        not_before=goes_at if goes_at is not None and goes_at > now else None,
        expires_at=ends_at,
        warn_after=_length("warn_after", warn_after, faults),
        max_attempts=_count("max_attempts", max_attempts, faults),
        priority=first,
        transport=transport,
        # REQUIRETLS outweighs the header (RFC 8689 4.1).
        require_tls=False if require_tls is None and tls_optional else require_tls,
        parts=tuple(
            f"{name} {_as_given(value)}"
            for name, value in (
                ("not_before", not_before),
                ("expires_at", expires_at),
                ("warn_after", warn_after),
                ("max_attempts", max_attempts),
                ("priority", None if first is Priority.NORMAL else first),
                ("transport", transport),
                ("require_tls", require_tls),
            )
            if value is not None
        ),
    )


def _as_given(value: object) -> str:
    match value:
        case datetime() if value.utcoffset() is not None:
            return str(from_datetime(value))
        case timedelta():
            return f"+{to_micros(value)}"
        case _:
            return str(value)


def moment(name: str, given: When | None, now: int, faults: list[str]) -> int | None:
    """Return a moment in microseconds UTC; faults are noted in `faults`. Raises TypeError."""
    _check_kind(name, given, "a datetime or a timedelta", datetime, timedelta)
    if isinstance(given, timedelta):
        length = _length(name, given, faults)
        return None if length is None else now + length
    if given is None:
        return None
    try:
        return from_datetime(given)
    except ValueError as error:
        faults.append(f"{name}: {error}")
        return None


def _check_end(at: int, given: When | None, goes_at: int | None, now: int, faults: list[str]) -> None:
    if at <= now:
        faults.append(f"expires_at: must be in the future, not {given}")
    elif at > now + LONGEST:
        faults.append(f"expires_at: must be at most {format_duration(LONGEST)} ahead, not {given}")
    elif goes_at is not None and at <= goes_at:
        faults.append("expires_at: must be later than not_before")


def _length(name: str, given: timedelta | None, faults: list[str]) -> int | None:
    """Return a length of time in microseconds."""
    _check_kind(name, given, "a timedelta", timedelta)
    if given is None:
        return None
    micros = to_micros(given)
    if 0 <= micros <= LONGEST:
        return micros
    wrong = "must not be negative" if micros < 0 else f"must be at most {format_duration(LONGEST)}"
    faults.append(f"{name}: {wrong}, not {given}")
    return None


def _count(name: str, given: int | None, faults: list[str]) -> int | None:
    _check_kind(name, given, "an int", int)
    if given is not None and not 1 <= given <= MOST_ATTEMPTS:
        faults.append(f"{name}: must be 1 to {MOST_ATTEMPTS}, not {given}")
    return given


def _priority(given: Priority | str, faults: list[str]) -> Priority:
    _check_kind("priority", given, "a str or a Priority", Priority, str)
    if isinstance(given, Priority):
        return given
    try:
        return Priority.parse(given)
    except SettingError as error:
        faults.append(str(error))
        return Priority.NORMAL


def _check_kind(name: str, given: object, wanted: str, *kinds: type) -> None:
    """Raise TypeError unless a value is None, or of one of these kinds; a bool is no int."""
    right = isinstance(given, kinds) and (not isinstance(given, bool) or bool in kinds)
    if given is not None and not right:
        raise TypeError(f"{name} is {wanted}, not {type(given).__name__}")
