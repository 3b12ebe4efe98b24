"""The verbs of the history: sending retired messages anew, and purging them before their time.

The rule: as for holds, in steps of bounded size with pauses between, in which others write. All that is
to be sent anew is looked up before the first is: what is sent retires, and would be meant, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice

from mailqueue.clock import Clock, to_datetime
from mailqueue.engine import manage
from mailqueue.engine.envelope import Addressee, Return
from mailqueue.engine.many import Progress
from mailqueue.engine.options import Options
from mailqueue.engine.submit import IN_TRANSACTION, Draft, insert, write_ahead
from mailqueue.engine.sweep import PURGE_STEP
from mailqueue.errors import MailqueueError, NotFound, QuotaExceeded, StoreError
from mailqueue.mail import address
from mailqueue.model.explain import Preview, Purged, Resent
from mailqueue.model.filters import Filter
from mailqueue.model.message import Original
from mailqueue.model.settings import Settings
from mailqueue.store.base import Gone, Reader, Store, Transaction

STEP = 100
"""Messages that are sent anew in one transaction; more where they are of one submission."""

SHOWN = 1000
"""Messages that the answer names at most, of each kind."""

PAUSE = 0.02
"""Seconds between two steps, in which others write."""

_Group = Sequence[Original]


# -- send anew ------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Count:
    """What has come of it so far."""

    sent: int = 0
    gone: int = 0
    refused: int = 0
    refusal: str | None = None
    messages: dict[int, int] = field(default_factory=dict)
    gone_at: dict[int, datetime] = field(default_factory=dict)

    def went(self, new: dict[int, int]) -> None:
        self.sent += len(new)
        self.messages.update(islice(new.items(), SHOWN - len(self.messages)))

    def was_refused(self, group: _Group, error: MailqueueError) -> None:
        self.refused += len(group)
        self.refusal = self.refusal or str(error)

    def has_gone(self, group: _Group, at: int) -> None:
        self.gone += len(group)
        shown = islice(group, SHOWN - len(self.gone_at))
        self.gone_at.update((each.id, to_datetime(at)) for each in shown)


@dataclass(slots=True)
class _Again:
    """Messages of one submission that are sent anew together, as one submission."""

    originals: _Group
    content: bytes
    written: int | None = None
    """Id of the content, where it was written before."""


def resend(
    store: Store, which: Filter, *, actor: str, reason: str, clock: Clock, progress: Progress | None
) -> Resent:
    """Submit retired messages anew, in steps."""
    queued, groups, count = queued_of(store, which), _groups(store, which), _Count()
    total, done = sum(map(len, groups)), 0
    for part in _parts(groups):
        for again in _loads(store, part, count, clock.now()):
            if count.sent:
                store.checkpoint()
                time.sleep(PAUSE)
            _send(store, again, count, actor, reason, clock.now())
        done += len(part)
        if progress is not None:
            progress(done, total)
    return _resent(count, queued)


def preview_resend(store: Store, which: Filter) -> Resent:
    """Return what sending anew would do, and do nothing."""
    count = _Count()
    for part in _parts(_groups(store, which)):
        for group in _of_submissions(store.read(lambda reader, part=part: reader.originals(part))):  # type: ignore[misc]
            if (at := group[0].purged_at) is not None:
                count.has_gone(group, at)
    found = manage.previewed(store, which, "submitted anew, where the content is there", retired=True)
    return _resent(count, queued_of(store, which), found)


def _resent(count: _Count, queued: tuple[int, ...], preview: Preview | None = None) -> Resent:
    return Resent(
        sent=count.sent,
        messages=count.messages,
        gone=count.gone,
        gone_at=count.gone_at,
        refused=count.refused,
        refusal=count.refusal,
        queued=queued,
        preview=preview,
    )


def queued_of(store: Store, which: Filter) -> tuple[int, ...]:
    """Return the ids named whose messages are in the queue. Raises NotFound."""
    return tuple(each.id for each in manage.named(store, which) if not each.state.retired)


def _groups(store: Store, which: Filter) -> list[list[int]]:
    """Return the ids of the messages that are meant, those of one submission together, the oldest first."""
    found = sorted(
        pair
        for page in manage.id_pages(store, which, retired=True)
        for pair in store.read(lambda reader, page=page: reader.submissions_of(page))  # type: ignore[misc]
    )
    return [[message for _, message in group] for _, group in groupby(found, key=lambda pair: pair[0])]


def _parts(groups: Iterable[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the ids of some groups, whole, so many that one transaction takes."""
    part: list[int] = []
    for group in groups:
        if part and len(part) + len(group) > STEP:
            yield part
            part = []
        part += group
    if part:
        yield part


def _of_submissions(originals: Iterable[Original]) -> Iterator[_Group]:
    """Yield what can be one submission again; by hand, recipients may have got ways of their own."""
    for _, same in groupby(originals, key=lambda each: each.submission_id):
        of_one: dict[tuple[object, ...], list[Original]] = {}
        for each in same:
            of_one.setdefault((each.transport, each.require_tls), []).append(each)
        yield from of_one.values()


def _loads(store: Store, ids: Sequence[int], count: _Count, now: int) -> Iterator[list[_Again]]:
    """Yield what is sent anew in one transaction, with its content; what has none any more is counted."""
    load: list[_Again] = []
    octets = 0
    for group in _of_submissions(store.read(lambda reader: reader.originals(ids))):
        content, at = store.read(lambda reader, first=group[0]: _content(reader, first, now))  # type: ignore[misc]
        if content is None:
            count.has_gone(group, at)
            continue
        if load and octets + len(content) > IN_TRANSACTION:
            yield load
            load, octets = [], 0
        load.append(_Again(group, content))
        octets += len(content)
    if load:
        yield load


def _content(reader: Reader, original: Original, now: int) -> tuple[bytes | None, int]:
    """Return the content; or None, and when it was purged."""
    if original.purged_at is not None:
        return None, original.purged_at
    try:
        return reader.content(original.content_id), 0
    except NotFound:  # since it was looked at
        return None, now


def _send(store: Store, again: list[_Again], count: _Count, actor: str, reason: str, now: int) -> None:
    """Store some submissions in one transaction; large content is written before, in steps of its own."""
    ready = []
    for each in again:
        try:
            each.written = write_ahead(store, _draft(store.settings(), each, actor, now))
        except QuotaExceeded as error:
            count.was_refused(each.originals, error)
        else:
            ready.append(each)
    made = store.run(lambda transaction: _write(transaction, ready, actor, reason, now))
    for each, new in zip(ready, made, strict=True):
        if isinstance(new, MailqueueError):
            count.was_refused(each.originals, new)
        else:
            count.went(new)


def _write(
    transaction: Transaction, again: list[_Again], actor: str, reason: str, now: int
) -> list[dict[int, int] | MailqueueError]:
    """Return the new messages by the ids of the old ones, or why they are refused."""
    made: list[dict[int, int] | MailqueueError] = []
    for each in again:
        new = _draft(transaction.settings(), each, actor, now)
        try:
            messages = insert(transaction, new, each.written).messages
        except StoreError:
            raise
        except MailqueueError as error:
            made.append(error)
            continue
        pairs = {old.id: one.id for old, one in zip(each.originals, messages, strict=True)}
        transaction.resent(pairs, actor=actor, reason=reason, now=now)
        made.append(pairs)
    return made


def _draft(settings: Settings, again: _Again, actor: str, now: int) -> Draft:
    first = again.originals[0]
    return Draft(
        account=settings.accounts_by_id[first.account_id].name,
        sender=first.sender,
        recipients=tuple(
            Addressee(address.parse(each.recipient), each.notify, each.orcpt) for each in again.originals
        ),
        wishes=Return(ret=first.ret, envid=first.envid),
        options=Options(
            priority=first.priority,
            transport=first.transport if first.transport in settings.transports else None,
            require_tls=first.require_tls,
        ),
        header=again.content,
        body=b"",
        message_id=first.message_id,
        subject=first.subject,
        eight_bit=first.eight_bit,
        utf8_header=first.utf8_header,
        schedule=None,
        idempotency=None,
        extra=first.extra,
        repairs=(),
        actor=actor,
        now=now,
        notice_for=first.notice_for,
    )


# -- purge ----------------------------------------------------------------------------------------
def purge(
    store: Store, which: Filter, *, actor: str, reason: str, now: int, progress: Progress | None
) -> Purged:
    """Remove retired messages from the history, in steps; one event tells how many, after each step."""
    queued = queued_of(store, which)
    total, event_id = Gone(), None

    def step(transaction: Transaction, ids: Sequence[int]) -> tuple[Gone, int]:
        gone = total + transaction.purge_messages(ids)
        data = {"verb": "purge", "messages": gone.messages, "submissions": gone.submissions}
        return gone, transaction.note_so_far(event_id, reason, data, actor=actor, now=now)

    for page in manage.id_pages(store, which, retired=True):
        left = page
        while left:
            ids, before = left[:PURGE_STEP], total.looked
            if before:
                store.checkpoint()
                time.sleep(PAUSE)
            total, event_id = store.run(lambda transaction, ids=ids: step(transaction, ids))  # type: ignore[misc]
            left = left[total.looked - before :]
            if progress is not None:
                progress(total.looked, None)
    return Purged(messages=total.messages, queued=queued)


def preview_purge(store: Store, which: Filter) -> Purged:
    """Return what purging would do, and do nothing."""
    found = manage.previewed(store, which, "removed from the history for good", retired=True)
    return Purged(messages=0, queued=queued_of(store, which), preview=found)
