"""What options take beside text and numbers: lengths of time, and HOST[:PORT].

The rule: a value that cannot be read is a usage error that says what would be right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

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


def host_port(text: str | HostPort) -> HostPort:
    """Return what HOST or HOST:PORT means; an IPv6 address with a port stands in brackets, `[::1]:25`."""
    if isinstance(text, HostPort):
        return text
    found = _HOST_PORT.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not HOST or HOST:PORT.")
    host = found["name"] or found["bracketed"] or found["bare"]
    return HostPort(host, int(found["port"]) if found["port"] else None)
