"""Whom accounts write to no more: looked up, learnt, listed, taken away.

The one rule: an entry stands under the base of its address, so that a lookup is one step into an index; and
where nobody is suppressed and nothing has failed, a transaction asks that once and no more.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from mailqueue.errors import AddressError, NotFound, SettingError
from mailqueue.mail.base import base_of
from mailqueue.model.filters import Page
from mailqueue.model.suppression import FAILURES, Cause, Finding, Lesson, Suppression, enough, told
from mailqueue.store import rows
from mailqueue.store.batch import Batch, write_rows
from mailqueue.store.queries import query

_LAST_ACCOUNT = 2**63 - 1

Who = tuple[int, str]
"""An account's id, and an address."""


# --- looked up --------------------------------------------------------------------------------
def suppressed(batch: Batch, whom: Sequence[Who], now: int) -> dict[Who, str]:
    """Return which of these accounts write to which of these addresses no more, and why, in a line."""
    accounts = batch.settings().accounts_by_id
    asked = [each for each in whom if accounts[each[0]].suppression]
    if not asked or not _any(batch)[0]:
        return {}
    places = json.dumps([(account_id, _base(address)) for account_id, address in asked])
    found = batch.now().execute(query("suppressed"), (places, now)).fetchall()
    return {asked[place]: told(cause, reason) for place, cause, reason in found}


def _base(address: str) -> str:
    """Return the base of an address; what another hand has stored, and is none, stands for itself."""
    try:
        return base_of(address)
    except AddressError:
        return address


def _any(batch: Batch) -> tuple[bool, bool]:
    """Return whether anybody is suppressed, and whether anything has failed; asked once in a transaction."""
    if batch.suppressing is None:
        entry, strike = batch.now().execute(query("any_suppression")).fetchone()
        batch.suppressing = bool(entry), bool(strike)
    return batch.suppressing


def one(cursor: sqlite3.Cursor, account_id: int, base: str, now: int) -> Suppression | None:
    """Return an entry that counts. None: there is none."""
    row = cursor.execute(query("one_suppression"), (account_id, base, now)).fetchone()
    return None if row is None else rows.suppression(row)


def page(
    cursor: sqlite3.Cursor, account_id: int | None, *, limit: int, after: str | None, now: int
) -> Page[Suppression]:
    """Return a page of the entries that count. Raises SettingError: a bad cursor."""
    first = (0 if account_id is None else account_id, "")
    place = first if after is None else max(first, _decode(after))
    last = _LAST_ACCOUNT if account_id is None else account_id
    found = cursor.execute(query("list_suppressions"), (*place, last, now, limit + 1)).fetchall()
    more = _encode(found[limit - 1][-1], found[limit - 1][3]) if len(found) > limit else None
    return Page(items=tuple(map(rows.suppression, found[:limit])), next=more)


def _encode(account_id: int, base: str) -> str:
    body = json.dumps([account_id, base], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def _decode(cursor: str) -> Who:
    try:
        octets = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        account_id, base = json.loads(octets)
    except (ValueError, TypeError):
        account_id, base = None, None
    if type(account_id) is not int or not 0 <= account_id < _LAST_ACCOUNT or not isinstance(base, str):
        raise SettingError(f"after {cursor!r}: not a cursor; take `next` of the page before, as it is")
    return account_id, base


# --- learnt -----------------------------------------------------------------------------------
def learn(batch: Batch, lessons: Iterable[Lesson]) -> list[Suppression]:
    """Take in what is learnt about addresses; see `Transaction.learn`."""
    made: list[Suppression] = []
    for each in lessons:
        account = batch.settings().accounts_by_id.get(each.account_id)
        if account is None or not account.suppression:
            continue
        base = _base(each.address)
        judged = _judged(batch, each, base)
        if judged is None:
            continue
        expires_at = None if account.suppress_for is None else each.at + account.suppress_for
        row = rows.suppression_row(each.account_id, base, *judged, lesson=each, expires_at=expires_at)
        if _put(batch, [row]):
            entry = one(batch.now(), each.account_id, base, each.at)
            made += [] if entry is None else [entry]
    return made


def _judged(batch: Batch, lesson: Lesson, base: str) -> tuple[Cause, str, Sequence[int]] | None:
    """Return cause and reason of the entry that a lesson makes, and the failures. None: it makes none yet."""
    match lesson.finding:
        case Finding.DEAD:
            return Cause.CODE, lesson.reason, ()
        case Finding.COMPLAINED:
            return Cause.COMPLAINT, lesson.reason, ()
        case Finding.FAILED:
            failures = _strike(batch, lesson, base)
            reason = f"several messages failed, the last: {lesson.reason}"
            return (Cause.FAILURES, reason, failures) if enough(failures) else None


def _strike(batch: Batch, lesson: Lesson, base: str) -> list[int]:
    """Note a failure. Returns when messages failed: the first ones, and this."""
    if lesson.message_id is None:
        return []
    where = (lesson.account_id, base, lesson.message_id)
    batch.now().execute(query("insert_strike"), (*where, lesson.at))
    batch.suppressing = _any(batch)[0], True
    found = batch.now().execute(query("first_strikes"), (*where, FAILURES - 1)).fetchall()
    return [*(at for (at,) in found), lesson.at]


def delivered(batch: Batch, whom: Iterable[Who]) -> None:
    """Forget the failures of addresses to which something was delivered."""
    if _any(batch)[1]:
        _clear(batch, [(account_id, _base(address)) for account_id, address in whom])


def _clear(batch: Batch, whom: Sequence[Who]) -> None:
    batch.now().execute(query("clear_strikes"), (json.dumps(whom),))


def _put(batch: Batch, entries: Sequence[tuple[Any, ...]]) -> int:
    """Store entries, whose failures count no more. Returns how many are new or have changed."""
    if _any(batch)[1]:
        _clear(batch, [(account_id, base) for account_id, base, *_ in entries])
    batch.suppressing = True, _any(batch)[1]
    return write_rows(batch.now(), query("suppress"), [value for row in entries for value in row])


# --- by hand ----------------------------------------------------------------------------------
def suppress(batch: Batch, account_id: int, entries: Sequence[Suppression]) -> int:
    """Put addresses on the list of an account; see `Transaction.suppress`."""
    return _put(batch, [rows.suppression_entry_row(account_id, each) for each in entries])


def unsuppress(batch: Batch, account_id: int, base: str, now: int) -> Suppression:
    """Take an address off the list of an account; see `Transaction.unsuppress`."""
    found = one(batch.now(), account_id, base, now)
    if found is None:
        raise NotFound(f"{base} is not suppressed")
    batch.now().execute(query("delete_suppression"), (found.id,))
    _clear(batch, [(account_id, base)])
    return found


# --- upkeep -----------------------------------------------------------------------------------
def purge(batch: Batch, now: int, limit: int) -> int:
    """Remove entries that count no more. Returns how many went."""
    return batch.now().execute(query("purge_suppressions"), (now, limit)).rowcount


def purge_strikes(batch: Batch, older_than: int, limit: int) -> int:
    """Forget failures from before `older_than`. Returns how many went."""
    return batch.now().execute(query("purge_strikes"), (older_than, limit)).rowcount


def forget(batch: Batch, account_id: int, limit: int) -> int:
    """Remove the entries and failures of an account that is gone. Returns how many went."""
    return sum(
        batch.now().execute(query(name), (account_id, limit)).rowcount
        for name in ("forget_suppressions", "forget_strikes")
    )
