"""Pages of lists: each from a bounded number of messages, whatever the filter and however many there are.

The one rule: where many must be looked at, a page ends before it is full, with the cursor that goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mailqueue.clock import from_datetime
from mailqueue.errors import NotFound, SettingError
from mailqueue.mail.search import contains
from mailqueue.model.filters import LAST_RETIRED_FIRST, OLDEST_FIRST, Filter, Order, Page
from mailqueue.store import cursors
from mailqueue.store.filters import LAST, SLACK, Place, Source, conditions, sources
from mailqueue.store.queries import query

FEW = 500
"""Messages that may be read and sorted for each page."""
LOOK = 3_000
"""Messages that are looked at for a page, at most, in the order of the list."""
SORTED = 50_000
"""Messages that a slow order reads for a page, at most."""
SEARCHED = 8 * 1024 * 1024
"""Octets of content that are searched for a page; the last message is searched whole."""

SKIP = 10_000
"""Submissions among which the first and the last of some time are looked for."""

_Row = tuple[Place, bool, str | None, int]
Contents = Callable[[int], Iterable[bytes]]
"""Reads a content by its id, in pieces. Raises NotFound where it was purged."""


def page(
    cursor: sqlite3.Cursor,
    which: Filter,
    order: Order,
    *,
    retired: bool,
    limit: int,
    after: str | None,
    contents: Contents,
) -> Page[int]:
    """Return the ids of a page of the history (`retired`), or of the queue.

    Raises:
        SettingError: `after` is no cursor of this list, or too many messages are to be sorted.
    """
    place = None if after is None else cursors.decode(after, order, retired=retired)
    rows = _rows(cursor, which, order, place, retired=retired)
    search = _Search(which, contents)
    found: list[int] = []
    looked, last = 0, place
    for at, meant, subject, content_id in rows:
        if (looked == LOOK and not order.by.slow) or search.octets >= SEARCHED:
            break
        if meant and which.has_subject(subject) and search.finds(content_id):
            if len(found) == limit:
                break
            found.append(int(at[-1]))
        looked, last = looked + 1, at
    else:
        last = None
    more = None if last is None else cursors.encode(last, order, retired=retired)
    return Page(items=tuple(found), next=more, looked=looked)


def count(cursor: sqlite3.Cursor, which: Filter, *, retired: bool) -> int | None:
    """Return how many messages are meant, where a stretch of an index has just these. None: none has."""
    if which.subject is not None or which.text is not None:
        return None
    asked = set(conditions(which, retired=retired))
    for each in sources(which, LAST_RETIRED_FIRST if retired else OLDEST_FIRST, retired=retired):
        if asked <= set(each.where):
            return _count(cursor, each, LAST)
    return None


class _Search:
    """Looks for a text in contents; those of one submission are searched once."""

    def __init__(self, which: Filter, contents: Contents) -> None:
        self.octets = 0
        self._text = which.text
        self._contents = contents
        self._seen: dict[int, bool] = {}

    def finds(self, content_id: int) -> bool:
        if self._text is None:
            return True
        if content_id not in self._seen:
            self._seen[content_id] = contains(self._read(content_id), self._text)
        return self._seen[content_id]

    def _read(self, content_id: int) -> Iterator[bytes]:
        try:
            for piece in self._contents(content_id):
                self.octets += len(piece)
                yield piece
        except NotFound:
            return


def _rows(
    cursor: sqlite3.Cursor, which: Filter, order: Order, place: Place | None, *, retired: bool
) -> Iterator[_Row]:
    """Yield messages in their order, beyond `place`, those that are meant among them."""
    low, high = _bounds(cursor, which, retired=retired)
    found = sources(which, order, retired=retired, low=low, high=high, after=place)
    source = _best(cursor, found, order)
    rows = _read(cursor, source.rows(which, order, retired=retired))
    if source.order is order.by:
        return rows
    meant = [row for row in rows if row[1] and _beyond(row[0], place, order)]
    return iter(sorted(meant, reverse=order.descending))


def _beyond(at: Place, place: Place | None, order: Order) -> bool:
    return place is None or (at < place if order.descending else at > place)


def _read(cursor: sqlite3.Cursor, question: tuple[str, list[Any]]) -> Iterator[_Row]:
    """Ask, and yield the answer row by row, on a cursor of its own."""
    for *place, meant, subject, content_id in cursor.connection.cursor().execute(*question):
        yield tuple(place), bool(meant), subject, content_id


def _best(cursor: sqlite3.Cursor, found: list[Source], order: Order) -> Source:
    """Return where to begin: at what leads to few messages, else at what has the order of the list."""
    for each in found:
        if _count(cursor, each, FEW + 1) <= FEW:
            return each
    for each in found:
        if each.order is order.by:
            return each
    for each in found:
        if _count(cursor, each, SORTED + 1) <= SORTED:
            return each
    raise SettingError(
        f"sort {str(order)!r}: each page would have to read more than {SORTED:,} messages; narrow it down by "
        "account, sender, recipient, state or times, or take the order that the list has by itself"
    )


def _count(cursor: sqlite3.Cursor, source: Source, limit: int) -> int:
    return int(cursor.execute(*source.count(limit)).fetchone()[0])


# --- the first and the last id ----------------------------------------------------------------
def _bounds(cursor: sqlite3.Cursor, which: Filter, *, retired: bool) -> tuple[int, int]:
    """Return the first and the last id that what is meant may have."""
    low, high = (0, LAST) if retired else cursor.execute(query("active_ids")).fetchone()
    times = which.submitted
    if times is not None and times.after is not None:
        low = max(low, _first_since(cursor, from_datetime(times.after)))
    if times is not None and times.before is not None:
        high = min(high, _last_until(cursor, from_datetime(times.before)))
    return low, high


def _first_since(cursor: sqlite3.Cursor, at: int) -> int:
    """Return an id below which nothing was submitted after a moment: ids are nearly in the order of time."""
    start = _submission_after(cursor, at - SLACK)
    found = cursor.execute(query("submission_since"), (start, start + SKIP, at)).fetchone()
    first = cursor.execute(query("message_from"), (found[0] or start + SKIP,)).fetchone()
    return LAST if first is None else int(first[0])


def _last_until(cursor: sqlite3.Cursor, at: int) -> int:
    """Return an id above which nothing was submitted before a moment."""
    end = _submission_after(cursor, at + SLACK)
    found = cursor.execute(query("submission_until"), (end - SKIP, end, at)).fetchone()
    following = (end - SKIP if found[0] is None else found[0]) + 1
    first = cursor.execute(query("message_from"), (following,)).fetchone()
    return LAST if first is None else int(first[0]) - 1


def _submission_after(cursor: sqlite3.Cursor, at: int) -> int:
    """Return which submission is the first after a moment, as if ids were in the order of time."""
    low, high = cursor.execute(query("submission_ids")).fetchone()
    while low <= high:
        middle = (low + high) // 2
        found, submitted_at = cursor.execute(query("submission_from"), (middle,)).fetchone()
        if submitted_at > at:
            high = middle - 1
        else:
            low = found + 1
    return int(low)
