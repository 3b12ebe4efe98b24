"""The verbs that look at the queue and hold mail: lists, histories, holds.

The rule: a bulk change goes in steps of bounded size, so that it never blocks delivery, and what is
named is looked up before anything is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike, fspath

from mailqueue.clock import to_datetime
from mailqueue.engine import audit, liveness
from mailqueue.engine.submit import find_account
from mailqueue.errors import NotFound, SettingError, StoreError
from mailqueue.model.attempt import Attempt
from mailqueue.model.backup import Backup, Restored
from mailqueue.model.engine import EngineInfo
from mailqueue.model.events import By, Event, Happened, Notice
from mailqueue.model.explain import Preview, Status, Steered
from mailqueue.model.filters import LAST_RETIRED_FIRST, OLDEST_FIRST, Filter, Order, Page, Sort
from mailqueue.model.incoming import Incoming
from mailqueue.model.message import Message
from mailqueue.model.migration import Migration
from mailqueue.model.settings import Settings
from mailqueue.model.webhook import Webhook, WebhookAttempt, WebhookFilter
from mailqueue.policy.timeline import timeline as in_order
from mailqueue.store.base import Check, Copy, Progress, Reader, Store, Transaction

Tell = Callable[[int, int | None], object]
"""Called with how many messages have been changed, and how many are meant (None: nobody knows)."""

STEP = 1000
"""Messages that one step of a bulk change looks at."""

MAX_PAGE = 1000

SAMPLE = 10
"""Messages that a preview shows."""


def settings(store: Store) -> Settings:
    """Return all that decides about mail, as it is now."""
    return store.read(lambda reader: reader.settings())


# -- look -----------------------------------------------------------------------------------------
def message(store: Store, message_id: int) -> Message:
    """Return a message, queued or retired. Raises NotFound."""
    return store.read(lambda reader: reader.message(message_id))


def submission(store: Store, submission_id: int) -> Sequence[Message]:
    """Return the messages of a submission. Raises NotFound."""
    return store.read(lambda reader: reader.submission_messages(submission_id))


def attempts(store: Store, message_id: int) -> Sequence[Attempt]:
    """Return the attempts of a message. Raises NotFound."""
    return store.read(lambda reader: reader.attempts(message_id))


def events(store: Store, message_id: int) -> Sequence[Event]:
    """Return the events of a message. Raises NotFound."""
    return store.read(lambda reader: (reader.message(message_id), reader.events(message_id))[1])


def timeline(store: Store, message_id: int) -> Sequence[Happened]:
    """Return all that happened to a message, in order. Raises NotFound."""
    return store.read(
        lambda reader: in_order(
            reader.message(message_id),
            reader.submitted(message_id),
            reader.attempts(message_id),
            reader.events(message_id),
            reader.incoming_about(message_id),
            _posted(reader, message_id),
        )
    )


def _posted(reader: Reader, message_id: int) -> list[tuple[Webhook, WebhookAttempt]]:
    """Return every attempt to post what happened to a message."""
    which = WebhookFilter(message_id=message_id)
    pages = [reader.webhooks(which, retired=retired, limit=MAX_PAGE, after=None) for retired in (True, False)]
    hooks = [hook for page in pages for hook in page.items]
    return [(hook, attempt) for hook in hooks for attempt in reader.webhook_attempts(hook.id)]


def changes(store: Store, *, limit: int, after: str | None) -> Page[Event]:
    """Return a page of what was done by hand. Raises SettingError."""
    return audit.changes(store, limit=limit, after=after, most=MAX_PAGE)


def incoming_page(
    store: Store, *, limit: int, after: str | None, account: str | None, matched: bool | None
) -> Page[Incoming]:
    """Return a page of what came in. Raises SettingError, NotFound."""
    if not 1 <= limit <= MAX_PAGE:
        raise SettingError(f"limit: must be 1 to {MAX_PAGE}, not {limit}")
    if account is not None:
        find_account(settings(store), account)
    return store.read(
        lambda reader: reader.incoming_page(limit=limit, after=after, account=account, matched=matched)
    )


def incoming(store: Store, incoming_id: int) -> Incoming:
    """Return what came in, whole. Raises NotFound."""
    return store.read(lambda reader: reader.incoming(incoming_id))


def notices(store: Store, message_id: int) -> Sequence[Notice]:
    """Return the notices that told of a message. Raises NotFound."""
    return store.read(lambda reader: reader.notices(message_id))


def dump(store: Store, message_id: int) -> bytes:
    """Return the content of a message. Raises NotFound."""
    return store.read(lambda reader: reader.content(reader.content_of(message_id)))


def retired_message(store: Store, message_id: int) -> Message:
    """Return a retired message. Raises NotFound, also where it is still queued."""
    found = message(store, message_id)
    if not found.state.retired:
        raise NotFound(f"message {message_id} is not retired: it is {found.state.value}")
    return found


def queue_page(
    store: Store, which: Filter, *, limit: int, after: str | None, sort: Order | str | None
) -> Page[Message]:
    """Return a page of the queue."""
    order = _checked(store, which, limit, sort, retired=False)
    return store.read(lambda reader: reader.queue(which, limit=limit, after=after, order=order))


def retired_page(
    store: Store, which: Filter, *, limit: int, after: str | None, sort: Order | str | None
) -> Page[Message]:
    """Return a page of the history."""
    order = _checked(store, which, limit, sort, retired=True)
    return store.read(lambda reader: reader.retired(which, limit=limit, after=after, order=order))


def _checked(store: Store, which: Filter, limit: int, sort: Order | str | None, *, retired: bool) -> Order:
    """Return the order of a list, once all that was asked for can be."""
    if not 1 <= limit <= MAX_PAGE:
        raise SettingError(f"limit: must be 1 to {MAX_PAGE}, not {limit}")
    _check(store, which, retired=retired)
    order = Order.parse(sort) if isinstance(sort, str) else sort
    if order is None:
        return LAST_RETIRED_FIRST if retired else OLDEST_FIRST
    if order.by is (Sort.NEXT_ATTEMPT if retired else Sort.RETIRED):
        raise SettingError(f"sort {str(order)!r}: is of the {'queue' if retired else 'history'} only")
    return order


def _check(store: Store, which: Filter, *, retired: bool) -> None:
    """See that what a filter names is there, and can be in that list. Raises NotFound, SettingError."""
    if which.account is not None:
        find_account(settings(store), which.account)
    if which.state is not None and which.state.retired is not retired:
        there, other = ("history", "queue") if retired else ("queue", "history")
        raise SettingError(f"state: nothing in the {there} is {which.state.value}; look in the {other}")


def count(store: Store, which: Filter, *, retired: bool) -> int:
    """Return how many messages are meant: what an index tells, else counted page by page."""
    _check(store, which, retired=retired)
    if which.empty and not retired:
        depth = store.read(lambda reader: reader.depth())
        return depth.queued + depth.claimed
    known = store.read(lambda reader: reader.count(which, retired=retired))
    if known is not None:
        return known
    return sum(len(page) for page in id_pages(store, which, retired=retired))


def id_pages(store: Store, which: Filter, *, retired: bool) -> Iterator[tuple[int, ...]]:
    """Yield the ids of the messages that are meant, page by page."""
    after = None
    while True:
        page = store.read(
            lambda reader, after=after: reader.ids(which, retired=retired, after=after)  # type: ignore[misc]
        )
        yield page.items
        after = page.next
        if after is None:
            return


def status(store: Store, now: int) -> Status:
    """Return how the queue stands."""
    depth, now_set = store.read(lambda reader: (reader.depth(), reader.settings()))
    due = depth.next_due_at
    return Status(
        queued=depth.queued + depth.claimed,
        claimed=depth.claimed,
        held=depth.held,
        next_attempt_at=None if due is None else to_datetime(due),
        engines=alive(store, now),
        transport=bool(now_set.transports),
    )


def alive(store: Store, now: int) -> tuple[EngineInfo, ...]:
    """Return the engines at work."""
    return liveness.living(store.read(lambda reader: reader.engines()), now)


def check_integrity(store: Store, by: By | None) -> Sequence[str]:
    """Return every fault found in the database; where `by` says who mends, those that are left then."""
    found = store.read(lambda reader: reader.integrity())
    if by is None or not found:
        return found
    store.run(lambda transaction: _mend(transaction, by, len(found)))
    return store.read(lambda reader: reader.integrity())


def _mend(transaction: Transaction, by: By, faults: int) -> None:
    transaction.mend()
    audit.note(transaction, by, "mend", faults=faults)


def migrate(store: Store, copy: Copy, by: By) -> Migration:
    """Bring older tables up to date. Raises StoreError, also where an engine is at work."""
    done = store.migrate(copy=copy, check=_nobody_at_work("migrate", by.at))
    if done.changed:
        told = {"before": done.before, "after": done.after, "copy": done.copy}
        store.run(lambda transaction: audit.note(transaction, by, "migrate", **told))
    return done


def _nobody_at_work(verb: str, now: int) -> Check:
    """Return what raises StoreError where an engine is at work."""

    def check(engines: Sequence[EngineInfo]) -> None:
        at_work = [each.identity for each in liveness.living(engines, now)]
        if at_work:
            told = ", ".join(f"pid {each.pid} on {each.host}" for each in at_work)
            raise StoreError(f"an engine is at work ({told}): stop it, then {verb}; nothing was changed")

    return check


def back_up(store: Store, target: str | PathLike[str], by: By) -> Backup:
    """Copy the whole file, while it is in use. Raises StoreError."""
    done = store.back_up(fspath(target))
    with suppress(StoreError):  # read-only, or busy: it is a backup all the same
        store.run(lambda transaction: audit.note(transaction, by, "backup", path=done.path))
    return done


def restore(
    store: Store,
    source: str | PathLike[str],
    *,
    copy: Copy,
    whole_file: bool,
    hold_all: bool,
    by: By,
) -> Restored:
    """Put a backup in the place of the file. Raises StoreError, also where an engine is at work."""
    check = _nobody_at_work("restore", by.at)
    done = store.restore(fspath(source), copy=copy, whole_file=whole_file, check=check)
    store.run(lambda transaction: audit.note(transaction, by, "restore", source=done.source, copy=done.copy))
    if not hold_all:
        return done
    reason = f"restored from {done.source}: it may have been delivered since"
    held = hold(store, Filter(), replace(by, reason=reason))
    return replace(done, held=held.changed)


# -- hold and release -----------------------------------------------------------------------------
def check_meant(store: Store, which: Filter, *, all: bool, retired: bool = False) -> None:
    """See that a bulk verb says which messages it means, and that what it names is there.

    Args:
        store: where they are.
        which: the messages meant.
        all: everything is meant where `which` says nothing.
        retired: the verb is for the history, or else for the queue.

    Raises:
        SettingError: nothing says which messages are meant, or nothing that is there can be.
        NotFound: an id is unknown, or no such account.
    """
    if which.empty and not all:
        raise SettingError("which messages? give ids or a filter, or say that all are meant")
    _check(store, which, retired=retired)
    named(store, which)


def named(store: Store, which: Filter) -> Sequence[Message]:
    """Return the messages whose ids are given. Raises NotFound."""
    return store.read(lambda reader: [reader.message(each) for each in which.ids or ()])


def hold(store: Store, which: Filter, by: By, progress: Tell | None = None) -> Steered:
    """Put messages on hold by hand, in steps."""

    def step(transaction: Transaction, part: Filter, after: int) -> Progress:
        return transaction.hold(part, actor=by.actor, reason=by.reason, now=by.at, after=after, limit=STEP)

    return audit.steered(store, by, "hold", which, steer(store, which, step, progress))


def release(store: Store, which: Filter, by: By, progress: Tell | None = None) -> Steered:
    """Take all marks from messages, in steps."""

    def step(transaction: Transaction, part: Filter, after: int) -> Progress:
        return transaction.release(part, actor=by.actor, reason=by.reason, now=by.at, after=after, limit=STEP)

    return audit.steered(store, by, "release", which, steer(store, which, step, progress))


def steer(
    store: Store,
    which: Filter,
    step: Callable[[Transaction, Filter, int], Progress],
    progress: Tell | None = None,
) -> Steered:
    """Change messages, in steps; where there is more than one, `progress` is told after each."""
    retired = retired_of(store, which)
    changed = in_delivery = done = 0
    for part in _parts(store, which):
        for each in steps(store, lambda transaction, after, part=part: step(transaction, part, after)):  # type: ignore[misc]
            changed += each.changed
            in_delivery += each.in_delivery
            some = each.changed + each.in_delivery > 0
            done += some
            if progress is not None and some and done > 1:
                progress(changed + in_delivery, in_all(which))
    return steered(which, retired, changed, in_delivery)


def in_all(which: Filter) -> int | None:
    """Return how many messages are meant, as far as that is known without looking. None: it is not."""
    return len(which.ids) if which.ids is not None and which == Filter(ids=which.ids) else None


def retired_of(store: Store, which: Filter) -> tuple[int, ...]:
    """Return the ids named whose messages have retired. Raises NotFound."""
    return tuple(each.id for each in named(store, which) if each.state.retired)


def steered(which: Filter, retired: tuple[int, ...], changed: int, in_delivery: int) -> Steered:
    """Return what a bulk change came to."""
    named = len(which.ids or ()) if which == Filter(ids=which.ids) else 0
    unchanged = max(0, named - len(retired) - changed - in_delivery)
    return Steered(changed=changed, unchanged=unchanged, retired=retired, in_delivery=in_delivery)


def preview(store: Store, which: Filter, would: str) -> Steered:
    """Return what a bulk change would do, and do nothing."""
    found = previewed(store, which, would, retired=False)
    return Steered(changed=0, unchanged=0, retired=retired_of(store, which), preview=found)


def previewed(store: Store, which: Filter, would: str, *, retired: bool) -> Preview:
    """Return how many messages of the history or of the queue are meant, and the first of them."""
    page = (retired_page if retired else queue_page)(store, which, limit=SAMPLE, after=None, sort=None)
    return Preview(messages=count(store, which, retired=retired), sample=page.items, would=would)


def _parts(store: Store, which: Filter) -> Iterator[Filter]:
    """Yield filters that mean together what `which` does, each with few ids, and none with a text."""
    if which.text is not None:
        for found in id_pages(store, which, retired=False):
            yield from _parts(store, replace(which, ids=found, text=None))
    elif which.ids is not None:
        for start in range(0, len(which.ids), STEP):
            yield replace(which, ids=which.ids[start : start + STEP])
    else:
        yield which


def in_steps(store: Store, step: Callable[[Transaction, int], Progress]) -> int:
    """Run `step` from the last one's end until it says it was the last; return how much changed."""
    return sum(each.changed for each in steps(store, step))


def steps(store: Store, step: Callable[[Transaction, int], Progress]) -> Iterator[Progress]:
    """Run `step` from the last one's end until it says it was the last; yield what each came to."""
    after: int | None = 0
    while after is not None:
        progress = store.run(lambda transaction, begin=after: step(transaction, begin))  # type: ignore[misc]
        yield progress
        after = progress.after
