"""What options take beside text and numbers: lengths of time, moments, HOST[:PORT], secrets.

The rule: a value that cannot be read is a usage error that says what would be right; a secret is
never written on the command line, where others could read it, and never shown.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import click

from mailqueue.errors import ScheduleError
from mailqueue.model.duration import parse_duration

_HOST_PORT = re.compile(
    r"(?P<bare>[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*)"
    r"|(?:(?P<name>[^:\[\]\s]+)|\[(?P<bracketed>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host, and its port where one was written."""

    host: str
    port: int | None


def duration(text: str | timedelta) -> timedelta:
    """Return the length of time that `text` means, such as 30d or 1h30m."""
    if isinstance(text, timedelta):
        return text
    try:
        return timedelta(microseconds=parse_duration(text))
    except ScheduleError as error:
        raise click.BadParameter(str(error)) from None


def shift(text: str | timedelta) -> timedelta:
    """Return what `2h`, or `-2h`, means."""
    if isinstance(text, str) and text.startswith("-"):
        return -duration(text[1:])
    return duration(text)


def moment(text: str | datetime | timedelta) -> datetime | timedelta:
    """Return what `2h` (from now), or `2027-01-15T08:00:00Z` means; a moment has its time zone (RFC 3339)."""
    if not isinstance(text, str):
        return text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            return timedelta(microseconds=parse_duration(text))
        except ScheduleError:
            raise click.BadParameter(
                f"{text!r} is neither a length of time from now, such as 2h or 1d12h, nor a moment such as "
                "2027-01-15T08:00:00Z."
            ) from None
    if found.utcoffset() is None:
        raise click.BadParameter(f"{text!r} has no time zone: end it with Z, or an offset such as +02:00.")
    return found


def host_port(text: str | HostPort) -> HostPort:
    """Return what HOST or HOST:PORT means; an IPv6 address with a port stands in brackets, `[::1]:25`."""
    if isinstance(text, HostPort):
        return text
    found = _HOST_PORT.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not HOST or HOST:PORT.")
    host = found["name"] or found["bracketed"] or found["bare"]
    return HostPort(host, int(found["port"]) if found["port"] else None)


def secret(variable: str | None, file: str | None, what: str = "password") -> str | None:
    """Return a secret from an environment variable or from a file of one line; None: neither is given.

    The options are called `--WHAT-env` and `--WHAT-file`.
    """
    if variable is not None and file is not None:
        raise click.UsageError(f"--{what}-env or --{what}-file, not both.")
    if variable is not None:
        found = os.environ.get(variable)
        if not found:
            raise click.UsageError(f"--{what}-env: {variable} is not set, or is empty.")
        return found
    return None if file is None else _first_line(file, what)


def _first_line(file: str, what: str) -> str:
    try:
        text = Path(file).read_bytes().decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise click.UsageError(f"--{what}-file: {file}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"--{what}-file: {file} is not UTF-8.") from None
    if not text or "\n" in text:
        raise click.UsageError(f"--{what}-file: {file} must hold one line, the {what}.")
    return text
