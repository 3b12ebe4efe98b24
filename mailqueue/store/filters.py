"""Filters of lists as SQL, and the cursors of their pages: the only place where SQL is put together.

The one rule: values are parameters, never text; and each condition is one that an index of the list
it is for can begin with.
"""

from __future__ import annotations

import json
from typing import Any

from mailqueue.errors import SettingError
from mailqueue.model.filters import Filter
from mailqueue.store.queries import query

_Built = tuple[str, list[Any]]


def conditions(which: Filter) -> _Built:
    """Return the conditions on `message` that `which` stands for, each begun with AND, and their values."""
    text = ""
    values: list[Any] = []
    if which.ids is not None:
        text += " AND message.id IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(which.ids))
    if which.submission_id is not None:
        text += " AND message.submission_id = ?"
        values.append(which.submission_id)
    if which.account is not None:
        text += " AND message.account_id = (SELECT id FROM mailqueue_account WHERE name = ?)"
        values.append(which.account)
    return text, values


# --- pages ------------------------------------------------------------------------------------
def queue_page(which: Filter, limit: int, after: str | None) -> _Built:
    """Return the question for `limit` messages of the queue and one more, oldest first."""
    text, values = _active(which, _number(after))
    return f"{query('read_messages')} {text} LIMIT ?", [*values, limit + 1]


def queue_cursor(message_id: int) -> str:
    """Return the cursor of the page that follows a message in the queue."""
    return str(message_id)


def retired_page(which: Filter, limit: int, after: str | None) -> _Built:
    """Return the question for `limit` messages of the history and one more, last retired first."""
    text, values = conditions(which)
    place = ""
    if after is not None:
        at, _, identity = after.partition("-")
        place = " AND (message.retired_at, message.id) < (?, ?)"
        values += [_number(at), _number(identity)]
    order = "ORDER BY message.retired_at DESC, message.id DESC LIMIT ?"
    where = f"WHERE message.retired_at IS NOT NULL{text}{place}"
    return f"{query('read_messages')} {where} {order}", [*values, limit + 1]


def retired_cursor(retired_at: int, message_id: int) -> str:
    """Return the cursor of the page that follows a message in the history."""
    return f"{retired_at}-{message_id}"


def _number(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise SettingError(f"after {text!r}: not a cursor; take `next` of the page before, as it is")
    return int(text)


# --- steps of bulk changes --------------------------------------------------------------------
def _active(which: Filter, after: int) -> _Built:
    """Return conditions and order for messages that have not retired, beyond the id `after`.

    The index of these messages is by submission, which is the order of ids too, so the place to
    begin is the submission of the message at `after`, or of the last one before it.
    """
    text, values = conditions(which)
    place = ""
    if after and which.ids is None:
        place = (
            " AND message.submission_id >= coalesce("
            "(SELECT submission_id FROM mailqueue_message WHERE id <= ? ORDER BY id DESC LIMIT 1), 0)"
        )
        values.append(after)
    where = f"WHERE message.retired_at IS NULL{text}{place} AND message.id > ?"
    return f"{where} ORDER BY message.submission_id, message.id", [*values, after]


def steps(which: Filter, after: int, limit: int, *, held: bool) -> _Built:
    """Return the question for the next `limit` messages to look at: their ids, and whether each is meant.

    Where the filter names messages or a submission, those are looked at; else all that have not
    retired (`held`: of these, the ones on hold), so that a step costs the same whatever matches.
    """
    if which.ids is not None or which.submission_id is not None:
        text, values = _active(which, after)
        return f"SELECT message.id, 1 FROM mailqueue_message AS message {text} LIMIT ?", [*values, limit]
    meant, wanted = conditions(which)
    if held:
        text = "WHERE message.retired_at IS NULL AND message.holds > 0 AND message.id > ? ORDER BY message.id"
        values = [after]
    else:
        text, values = _active(Filter(), after)
    question = f"SELECT message.id, 1{meant} FROM mailqueue_message AS message {text} LIMIT ?"
    return question, [*wanted, *values, limit]
