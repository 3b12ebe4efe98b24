"""Filters as people and programs write them: the one place where text becomes a `Filter`.

The one rule: a value that cannot be is refused with what would be right; a name that there is not, with the
nearest one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from typing import Any, TypedDict

from mailqueue.clock import from_datetime, to_datetime
from mailqueue.errors import AddressError, ScheduleError, SettingError
from mailqueue.mail import address, domain
from mailqueue.mail.search import fold
from mailqueue.model.attempt import Category
from mailqueue.model.duration import parse_duration
from mailqueue.model.events import EventKind
from mailqueue.model.filters import Filter, Times
from mailqueue.model.fromid import LENGTH
from mailqueue.model.lane import Priority
from mailqueue.model.lifecycle import State


class Wanted(TypedDict, total=False):
    """Which messages are meant, as verbs take it: the AND of all that is given; None is not given."""

    account: str | None
    sender: str | None
    recipient: str | None
    subject: str | None
    hold: bool | str | None
    transport: str | None
    submitted: Times | str | None
    next_attempt: Times | str | None
    retired: Times | str | None
    category: Category | str | None
    state: State | str | None
    event: EventKind | str | None
    message_id: str | None
    fromid: str | None
    text: str | None
    priority: Priority | str | None
    destination: str | None


def chosen(given: Mapping[str, Any], *, ids: int | Iterable[int] | None = None, now: int) -> Filter:
    """Return the filter for what was given.

    Args:
        given: values by the names of `Wanted`, as text or as they are.
        ids: message ids. None: any.
        now: microseconds UTC; what `-1h` counts from.

    Raises:
        SettingError: a name that there is not, or a value that cannot be; the text says what would be right.
    """
    values = {name: _named(name, value, now) for name, value in given.items() if value is not None}
    return Filter(ids=None if ids is None else _ids(ids), **values)


def _named(name: str, value: object, now: int) -> Any:  # noqa: ANN401 - each filter has its own type
    if name not in _READERS:
        near = get_close_matches(name, _READERS, n=1, cutoff=0.4)
        told = f"did you mean {near[0]}?" if near else f"there are {', '.join(_READERS)}"
        raise SettingError(f"there is no filter {name!r}: {told}")
    try:
        return read(name, value, now)
    except (AddressError, SettingError) as error:
        raise SettingError(f"{name}: {error}") from error.__cause__


def read(name: str, value: object, now: int) -> object:
    """Return the value of one filter of `Wanted`.

    Raises:
        SettingError, AddressError: it cannot be; the text says what would be right.
    """
    return _READERS[name](value, now)


# --- ids and texts ----------------------------------------------------------------------------
def _ids(ids: int | Iterable[int]) -> tuple[int, ...]:
    found = (ids,) if isinstance(ids, int) else tuple(dict.fromkeys(ids))
    for each in found:
        if not isinstance(each, int) or not 0 <= each < 2**63:
            raise SettingError(f"ids: {each!r} is not the id of a message: a number, such as 12")
    return found


def _text(value: object, _: int) -> str:
    if not isinstance(value, str):
        raise SettingError(f"{value!r} is not text")
    return value


def _words(value: object, now: int) -> str:
    if not fold(_text(value, now)).strip():
        raise SettingError(f"{value!r} is blank: give some of the text that is looked for")
    return _text(value, now)


def _message_id(value: object, now: int) -> str:
    text = _words(value, now).strip()
    return text if text.startswith("<") else f"<{text}>"


def _fromid(value: object, now: int) -> str:
    text = _words(value, now).strip().lower()
    if len(text) != LENGTH or not (text.isascii() and text.isalnum()):
        raise SettingError(f"{value!r}: must be the {LENGTH} letters and digits that a return address has")
    return text


def _yes(value: object, _: int) -> bool:
    match value:
        case bool():
            return value
        case "yes" | "no":
            return value == "yes"
        case _:
            raise SettingError(f"{value!r}: must be yes or no")


# --- addresses --------------------------------------------------------------------------------
def _sender(value: object, now: int) -> str:
    return "" if value in ("", "<>") else _address(value, now)


def _address(value: object, now: int) -> str:
    text = _text(value, now)
    try:
        if text.startswith("@"):
            return f"@{domain.normalise_domain(text[1:])}"
        return str(address.parse(text))
    except AddressError as error:
        raise AddressError(f"{error}; give ann@example.net, or @example.net for a whole domain") from None


# --- words of ours ----------------------------------------------------------------------------
def _one_of(kind: type[StrEnum | Priority], value: object, _: int) -> StrEnum | Priority:
    known = {str(each): each for each in kind}
    if str(value) not in known:
        near = get_close_matches(str(value), known, n=1)
        told = f"did you mean {near[0]}?" if near else f"must be one of {', '.join(known)}"
        raise SettingError(f"{value!r}: {told}")
    return known[str(value)]


# --- times ------------------------------------------------------------------------------------
_TIMES = re.compile(r"\s*(?:[<>][^<>]+)+")
_PART = re.compile(r"([<>])\s*([^<>]*[^<>\s])")
_HOW = (
    "give < (before) or > (after), and then now, -1h (an hour ago), +1h (in an hour), 2026-01-31 (UTC) or "
    "2026-01-31T12:00Z; two of them for what is between"
)


def _times(value: object, now: int) -> Times:
    match value:
        case Times():
            found = value
        case str() if _TIMES.fullmatch(value):
            found = _read_times(value, now)
        case _:
            raise SettingError(f"{value!r} is no time: {_HOW}")
    try:
        ends = [from_datetime(each) for each in (found.after, found.before) if each is not None]
    except ValueError as error:
        raise SettingError(str(error)) from None
    if ends != sorted(ends):
        raise SettingError(f"{value!r}: nothing is both after {found.after} and before {found.before}")
    return found


def _read_times(text: str, now: int) -> Times:
    ends: dict[str, datetime] = {}
    for sign, moment in _PART.findall(text):
        end = "before" if sign == "<" else "after"
        if end in ends:
            raise SettingError(f"{text!r}: {sign} is there twice")
        ends[end] = _moment(moment, text, now)
    return Times(after=ends.get("after"), before=ends.get("before"))


def _moment(text: str, whole: str, now: int) -> datetime:
    """Return the moment meant by `now`, `-1h`, `+1h`, a day or a moment of RFC 3339."""
    try:
        if text == "now":
            return to_datetime(now)
        if text[0] in "+-":
            length = parse_duration(text[1:])
            return to_datetime(now + (length if text[0] == "+" else -length))
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except ScheduleError as error:
        raise SettingError(f"{whole!r}: {error}") from None
    except (ValueError, OverflowError):
        raise SettingError(f"{whole!r} is no time: {_HOW}") from None
    if found.tzinfo is None and len(text) > len("2026-01-31"):
        raise SettingError(
            f"{whole!r}: say of which time zone: {text}Z is UTC, {text}+01:00 an hour before it"
        )
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


_READERS: Mapping[str, Callable[[object, int], object]] = {
    "account": _text,
    "sender": _sender,
    "recipient": _address,
    "subject": _words,
    "hold": _yes,
    "transport": _text,
    "submitted": _times,
    "next_attempt": _times,
    "retired": _times,
    "category": partial(_one_of, Category),
    "state": partial(_one_of, State),
    "event": partial(_one_of, EventKind),
    "message_id": _message_id,
    "fromid": _fromid,
    "text": _words,
    "priority": partial(_one_of, Priority),
    "destination": _text,
}
