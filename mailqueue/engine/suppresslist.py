"""Suppression lists as CSV: read whole before anything is stored, and written page by page.

The rule: a line that cannot be is named with its number, and then nothing is stored unless it is said
that such lines are to be skipped.

RFC 4180 (CSV).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TextIO

from mailqueue.clock import from_datetime, rfc3339
from mailqueue.engine.submit import find_account
from mailqueue.engine.suppressions import entry, pages
from mailqueue.errors import AddressError, ParseError
from mailqueue.mail.address import parse
from mailqueue.model.suppression import Cause, Imported, Suppression
from mailqueue.store.base import Store, Transaction

COLUMNS = ("address", "cause", "reason", "created_at", "expires_at")
"""Columns of what is exported; `cause` and `created_at` mean nothing in what is imported."""

STEP = 1000
"""Addresses that one transaction of an import stores."""

SHOWN = 20
"""Faults that an error tells."""

_New = tuple[str, str, int | None]  # address, reason, expires_at


@dataclass(slots=True)
class _Read:
    """What a list has."""

    columns: tuple[str, ...] = ()
    good: list[_New] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def write(store: Store, file: TextIO, *, account: str, now: int) -> int:
    """Write the list of an account. Returns how many addresses it has. Raises NotFound."""
    found = pages(store, account, now)
    first = next(found)  # there is such an account
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for entries in (first, *found):
        writer.writerows(map(_row, entries))
        count += len(entries)
    return count


def _row(each: Suppression) -> tuple[str, ...]:
    ends = "" if each.expires_at is None else rfc3339(from_datetime(each.expires_at))
    return each.address, each.cause.value, each.reason, rfc3339(from_datetime(each.created_at)), ends


def read(
    store: Store,
    lines: Iterable[str],
    *,
    account: str,
    skip_bad: bool,
    actor: str,
    now: int,
) -> Imported:
    """Put the addresses of a list on that of an account, in steps. Raises NotFound, ParseError."""
    store.read(lambda reader: find_account(reader.settings(), account))
    found = _read(lines, now)
    if found.faults and not skip_bad:
        raise ParseError(_refusal(found.faults))
    good, added = found.good, 0
    for start in range(0, len(good), STEP):
        part = good[start : start + STEP]
        added += store.run(lambda transaction, part=part: _store(transaction, part, account, actor, now))  # type: ignore[misc]
    if good:
        told, data = f"{len(good)} addresses imported as suppressed", {"account": account, "changed": added}
        store.run(lambda transaction: transaction.note_change(told, data, actor=actor, now=now))
    ignored = tuple(name for name in found.columns if name not in COLUMNS)
    return Imported(read=len(good), changed=added, faults=tuple(found.faults), ignored=ignored)


def _refusal(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return f"nothing was imported: {'; '.join(faults[:SHOWN])}{more}"


def _store(transaction: Transaction, part: Sequence[_New], account: str, actor: str, now: int) -> int:
    entries = [
        entry(address, Cause.IMPORT, reason, expires_at, actor, now) for address, reason, expires_at in part
    ]
    return transaction.suppress(find_account(transaction.settings(), account).id, entries)


def _read(lines: Iterable[str], now: int) -> _Read:
    """Return what a list has. Raises ParseError where its columns cannot be told."""
    found = _Read()
    rows = csv.reader(lines)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            break
        except (csv.Error, UnicodeDecodeError) as error:
            found.faults.append(f"line {rows.line_num + 1}: {error}")
            if isinstance(error, UnicodeDecodeError):
                break
            continue
        if not found.columns:
            found.columns = _columns(row)
        elif any(row):
            _note(found, rows.line_num, row, now)
    if not found.columns:
        empty = "the list is empty: its first line names the columns, such as address,reason"
        raise ParseError(found.faults[0] if found.faults else empty)
    return found


def _columns(row: Sequence[str]) -> tuple[str, ...]:
    names = tuple(each.strip().lower() for each in row)
    if "address" not in names:
        raise ParseError(f"line 1: no column is called address, there are {', '.join(map(repr, names))}")
    return names


def _note(found: _Read, number: int, row: Sequence[str], now: int) -> None:
    """Note what a line says, or what is wrong with it; one whose end is past is passed over."""
    try:
        if len(row) != len(found.columns):
            raise ParseError(f"has {len(row)} values, and there are {len(found.columns)} columns")
        new = _new(dict(zip(found.columns, row, strict=True)))
    except (AddressError, ParseError) as error:
        found.faults.append(f"line {number}: {error}")
        return
    if new[2] is None or new[2] > now:
        found.good.append(new)


def _new(values: Mapping[str, str]) -> _New:
    address = str(parse(values["address"].strip()))
    text = values.get("expires_at", "").strip()
    try:
        expires_at = from_datetime(datetime.fromisoformat(text)) if text else None
    except ValueError:
        raise ParseError(f"expires_at {text[:40]!r} is no moment such as 2027-01-15T08:00:00Z") from None
    return address, values.get("reason", "").strip(), expires_at
