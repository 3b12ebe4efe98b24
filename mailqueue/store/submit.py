"""Storing submissions: one content, one row per recipient, the marks that hold them, the idempotency key.

The one rule: ids are known before the rows are written, so that all submissions of a group go to
the database in a few statements.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mailqueue.errors import NotFound
from mailqueue.model.events import EventKind
from mailqueue.model.lane import Lane
from mailqueue.model.lifecycle import State
from mailqueue.model.message import (
    SYSTEM,
    Idempotency,
    NewMessage,
    NewSubmission,
    Submission,
    SubmittedMessage,
    Wait,
)
from mailqueue.model.rules import HoldRule
from mailqueue.store import rows
from mailqueue.store.batch import CHUNK, CONTENT, EVENT, HOLD, MESSAGE, SUBMISSION, Batch, write_rows
from mailqueue.store.queries import query

_HELD = EventKind.HELD.value
_QUEUED = State.QUEUED.value


def replay(batch: Batch, account_id: int, key: str) -> tuple[bytes, Submission] | None:
    """Return fingerprint and first submission of an idempotency key. None: it is new."""
    found = batch.now().execute(query("find_key"), (account_id, key)).fetchone()
    return None if found is None else (bytes(found[0]), rows.replayed(found[1]))


def submit(batch: Batch, new: NewSubmission) -> Submission:
    """Store a submission.

    Raises:
        NotFound: its content was begun in steps, and is not there whole.
    """
    identity = batch.take_id("submission")
    content_id = new.content if isinstance(new.content, int) else batch.take_id("content")
    if isinstance(new.content, int) or len(new.content) > CHUNK:
        _store_large(batch, identity, content_id, new)
    else:
        batch.add(CONTENT, (content_id, identity, len(new.content), new.submitted_at, new.content))
    batch.add(SUBMISSION, rows.submission_row(identity, content_id, new))
    submission = Submission(
        id=identity,
        message_id=new.message_id,
        messages=tuple([_add_message(batch, identity, new, each) for each in new.messages]),
        repairs=new.repairs,
    )
    if any(each.drop is not None for each in new.messages):
        submission = _drop(batch, submission, content_id, new)
    if new.idempotency is not None:
        _insert_key(batch, new, new.idempotency, submission)
    return submission


def _add_message(batch: Batch, submission_id: int, new: NewSubmission, each: NewMessage) -> SubmittedMessage:
    identity = batch.take_id("message")
    batch.add(
        MESSAGE,
        (
            identity,
            submission_id,
            new.account_id,
            each.recipient,
            each.domain,
            _QUEUED,
            len(each.holds) + (each.wait is not None),
            each.next_attempt_at,
            each.fallback,
            each.schedule,
            each.give_up_at,
            each.notify or "",
            each.orcpt or "",
            each.priority.value,
            each.transport,
            -1 if each.require_tls is None else int(each.require_tls),
            each.expires_at or 0,
            each.fromid,
        ),
    )
    batch.waits(each.domain, new.submitted_at)
    if each.holds or each.wait is not None:
        batch.held += 1
        batch.wake = True
        for rule in _rules(batch, each.holds):
            add_mark(batch, identity, rule, new.submitted_at)
        if each.wait is not None:
            _add_wait(batch, identity, each.wait, new.submitted_at)
    elif each.drop is None:
        batch.due(
            Lane(each.priority.value, new.account_id, each.domain, each.transport), each.next_attempt_at
        )
    return SubmittedMessage(
        id=identity, recipient=each.recipient, state=State.QUEUED, fromid=each.fromid or None
    )


def _add_wait(batch: Batch, message_id: int, wait: Wait, at: int) -> None:
    """Gather a mark that ends by itself, and its event."""
    batch.add(HOLD, (message_id, None, at, SYSTEM, wait.reason, wait.until))
    batch.add(EVENT, (_HELD, message_id, at, "", wait.reason, 0, ""))


def _drop(batch: Batch, made: Submission, content_id: int, new: NewSubmission) -> Submission:
    """Let the messages retire that are not let in. Returns the submission as it is then."""
    retired: list[Any] = []
    messages = []
    for message, each in zip(made.messages, new.messages, strict=True):
        if each.drop is None:
            messages.append(message)
            continue
        at, reason = new.submitted_at, each.drop.reason
        state = each.drop.state
        batch.retires(each.domain, at, state.value, at)
        retired += (message.id, state.value, at, reason)
        batch.add(EVENT, (EventKind(state.value).value, message.id, at, "", reason, 0, ""))
        messages.append(replace(message, state=state))
    write_rows(batch.flush(), query("retire"), retired)
    until = max(each.drop.keep_content_until for each in new.messages if each.drop is not None)
    batch.now().execute(query("keep_content"), (until, content_id))
    return replace(made, messages=tuple(messages))


def _rules(batch: Batch, ids: Sequence[int]) -> list[HoldRule]:
    known = {rule.id: rule for rule in batch.settings().hold_rules}
    gone = [str(identity) for identity in ids if identity not in known]
    if gone:
        raise NotFound(f"no hold rule {', '.join(gone)}")
    return [known[identity] for identity in ids]


def add_mark(batch: Batch, message_id: int, rule: HoldRule, at: int) -> None:
    """Gather the mark of a hold rule and its event; the message's count is the caller's."""
    batch.add(HOLD, (message_id, rule.id, at, rule.actor, rule.reason, 0))
    data = json.dumps({"rule": rule.id})
    batch.add(EVENT, (_HELD, message_id, at, rule.actor, rule.reason, 0, data))


def count_marks(batch: Batch, ids: str) -> None:
    """Count one more mark on each of these messages (a JSON list)."""
    first = batch.now().execute(query("count_marks"), (ids,)).fetchall()
    batch.held += sum(fresh for (fresh,) in first)


def _insert_key(batch: Batch, new: NewSubmission, key: Idempotency, submission: Submission) -> None:
    text = rows.submission_text(submission)
    batch.now().execute(
        query("insert_key"), (new.account_id, key.key, key.fingerprint, text, new.submitted_at)
    )


# --- large content ----------------------------------------------------------------------------
def begin_content(batch: Batch, size: int, now: int) -> int:
    """Begin content that is written in steps. Returns its id."""
    if size <= CHUNK:
        raise ValueError(f"content of {size} octets is not written in steps: {CHUNK} go into one row")
    found = batch.cursor().execute(query("begin_content"), (size, now)).lastrowid
    assert found is not None
    return found


def append_content(batch: Batch, content_id: int, number: int, data: bytes) -> None:
    """Write chunk `number` of content that nobody has yet. Raises NotFound: there is no such content."""
    if len(data) > CHUNK:
        raise ValueError(f"a chunk has {CHUNK} octets at most, not {len(data)}")
    if batch.cursor().execute(query("append_chunk"), (number, data, content_id)).rowcount != 1:
        raise NotFound(f"content {content_id} is not being written (any more)")


def _store_large(batch: Batch, submission_id: int, content_id: int, new: NewSubmission) -> None:
    cursor = batch.flush()
    if isinstance(new.content, int):
        if cursor.execute(query("link_content"), (submission_id, content_id)).rowcount != 1:
            raise NotFound(f"content {content_id} is not there whole, or belongs to a submission already")
        return
    octets = memoryview(new.content)
    batch.add(CONTENT, (content_id, submission_id, len(octets), new.submitted_at, None))
    pieces = (octets[start : start + CHUNK] for start in range(0, len(octets), CHUNK))
    batch.flush().executemany(
        query("insert_chunk"), ((content_id, number, piece) for number, piece in enumerate(pieces))
    )
