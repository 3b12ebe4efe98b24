"""Purging: what is over goes, in small steps that never hold up delivery.

The one rule: whatever belongs to a thing goes with it, in the same transaction; but for the pieces of
large content, which are many pages and go a few at a time. (Rows of lanes stay: there are few for
each domain ever written to, and they are small.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from mailqueue.store.base import Gone
from mailqueue.store.batch import CHUNK, Batch
from mailqueue.store.queries import query

_PIECES = 16
"""Pieces of content that one step removes at most: some 4 MiB, some milliseconds."""
_OCTETS = _PIECES * CHUNK


def purge_history(batch: Batch, now: int, limit: int) -> int:
    """Remove messages whose retention is over. Returns how many went."""
    cursor = batch.flush()
    ids: list[int] = []
    for account in batch.settings().accounts.values():
        values = (account.id, now - account.retention, limit - len(ids))
        ids += json.loads(cursor.execute(query("outdated_messages"), values).fetchone()[0])
        if len(ids) >= limit:
            break
    return purge_messages(batch, ids).messages if ids else 0


def purge_messages(batch: Batch, ids: Sequence[int]) -> Gone:
    """Remove the first of these messages; see `Transaction.purge_messages`."""
    found = batch.flush().execute(query("retired_with_octets"), (json.dumps(ids),)).fetchall()
    contents = {submission: octets for _, submission, octets in found}
    # (The content of a submission counts once, with its first message.)
    chosen = _some((message, contents.pop(submission, 0)) for message, submission, _ in found)
    last = len(chosen) == len(found)
    looked = len(ids) if last else ids.index(chosen[-1]) + 1
    submissions = {submission for _, submission, _ in found[: len(chosen)]}
    emptied = _remove_messages(batch, json.dumps(chosen), json.dumps(list(submissions)))
    return Gone(looked, len(chosen), emptied)


def _remove_messages(batch: Batch, ids: str, submissions: str) -> int:
    """Remove messages, and of their submissions those whose last message went. Returns how many these are."""
    cursor = batch.now()
    for name in ("purge_attempts", "purge_events", "remove_marks", "purge_messages"):
        cursor.execute(query(name), (ids,)).fetchall()
    emptied = cursor.execute(query("emptied_submissions"), (submissions,)).fetchall()
    gone = json.dumps([submission for submission, _ in emptied])
    cursor.execute(query("purge_notices"), (gone,))
    cursor.execute(query("purge_incoming_of_submissions"), (gone,))
    cursor.execute(query("purge_submissions"), (gone,))
    _remove_contents(batch, json.dumps([content for _, content in emptied]))
    return len(emptied)


def _remove_contents(batch: Batch, ids: str) -> None:
    """Remove contents; of large ones so many pieces, and the rest of them is nobody's."""
    batch.now().execute(query("purge_chunks"), (ids, _PIECES))
    batch.now().execute(query("purge_contents"), (ids,))
    batch.now().execute(query("disown_contents"), (ids,))


def purge_content(batch: Batch, now: int, limit: int) -> int:
    """Remove octets whose keep time is over. Returns how many contents were looked at."""
    cursor = batch.flush()
    found = cursor.execute(query("outdated_contents"), (now, limit)).fetchall()
    # What a message still needs goes when that message retires, unless it wishes it kept in turn.
    needed = json.dumps([content for content, _, needed in found if needed])
    cursor.execute(query("no_longer_kept"), (needed,))
    chosen = _some((content, size) for content, size, needed in found if not needed)
    over = json.dumps(chosen)
    cursor.execute(query("purge_octets"), (now, over))
    cursor.execute(query("purge_chunks"), (over, _PIECES))
    cursor.execute(query("purged_whole"), (over,))
    return len(chosen)


def _some(things: Iterable[tuple[int, int]]) -> list[int]:
    """Return the first of these contents or messages, at least one, so many that a step stays short."""
    chosen, octets = [], 0
    for each, size in things:
        if octets >= _OCTETS:
            break
        chosen.append(each)
        octets += size
    return chosen


def purge_keys(batch: Batch, older_than: int, limit: int) -> int:
    """Remove idempotency keys made before `older_than`. Returns how many went."""
    return batch.now().execute(query("purge_keys"), (older_than, limit)).rowcount


def purge_orphans(batch: Batch, older_than: int, limit: int) -> int:
    """Remove content begun before `older_than` that no submission took. Returns how many went."""
    ids = batch.flush().execute(query("orphans"), (older_than, limit)).fetchone()[0]
    _remove_contents(batch, ids)
    return len(json.loads(ids))


def purge_tally(batch: Batch, older_than: int) -> int:
    """Forget what happened in the hours before `older_than`. Returns how many counts went."""
    return batch.cursor().execute(query("purge_tally"), (older_than,)).rowcount
