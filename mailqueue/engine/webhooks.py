"""The verbs about webhooks: what is on its way to an endpoint, and what became of the rest.

The rule: an id that nothing has is an error before anything is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from mailqueue.clock import rfc3339
from mailqueue.engine import audit
from mailqueue.engine.manage import MAX_PAGE, STEP, settings
from mailqueue.engine.options import When
from mailqueue.engine.submit import find_account
from mailqueue.engine.verbs import reschedule
from mailqueue.errors import Conflict, NotFound, SettingError
from mailqueue.model.change import RescheduleAt
from mailqueue.model.events import By, EventKind
from mailqueue.model.filters import Page
from mailqueue.model.webhook import Webhook, WebhookAttempt, WebhookFilter, WebhookState
from mailqueue.store.base import Store, Transaction

T = TypeVar("T")


def page(
    store: Store,
    *,
    retired: bool,
    account: str | None,
    event: EventKind | str | None,
    message_id: int | None,
    state: WebhookState | str | None = None,
    limit: int,
    after: str | None,
) -> Page[Webhook]:
    """Return a page of webhooks. Raises NotFound, SettingError."""
    if not 1 <= limit <= MAX_PAGE:
        raise SettingError(f"limit: must be 1 to {MAX_PAGE}, not {limit}")
    if account is not None:
        find_account(settings(store), account)
    which = WebhookFilter(
        account=account,
        event=None if event is None else _one(EventKind, "event", event),
        message_id=message_id,
        state=None if state is None else _one(WebhookState, "state", state),
    )
    place = None if after is None else _place(after)
    return store.read(lambda reader: reader.webhooks(which, retired=retired, limit=limit, after=place))


def _one(kind: Callable[[str], T], setting: str, value: str) -> T:
    try:
        return kind(value)
    except ValueError:
        raise SettingError(f"{setting}: there is no {value!r}") from None


def _place(after: str) -> int:
    if not (after.isascii() and after.isdecimal() and len(after) < 19):
        raise SettingError(f"after: {after!r} is no cursor of this list")
    return int(after)


def show(store: Store, webhook_id: int, *, retired: bool = False) -> Webhook:
    """Return one webhook; with `retired`, only one that has retired. Raises NotFound."""
    found = store.read(lambda reader: reader.webhook(webhook_id))
    if retired and found.retired_at is None:
        raise NotFound(f"webhook {webhook_id} is on its way, not in the history")
    return found


def attempts(store: Store, webhook_id: int) -> Sequence[WebhookAttempt]:
    """Return the attempts of a webhook, in order. Raises NotFound."""
    return store.read(lambda reader: reader.webhook_attempts(webhook_id))


def schedule(store: Store, ids: int | Iterable[int], at: When | None, by: By) -> Sequence[int]:
    """Have webhooks posted at another time. Returns those that wait. Raises NotFound, SettingError."""
    due = by.at
    if at is not None:
        change = reschedule(at, None, by.at)
        assert isinstance(change, RescheduleAt)
        due = max(by.at, change.at)
    done = _each(store, ids, lambda transaction, some: transaction.schedule_webhooks(some, due))
    return _noted(store, by, "webhook schedule", done, at=rfc3339(due))


def cancel(store: Store, ids: int | Iterable[int], by: By) -> Sequence[int]:
    """Retire webhooks that have not. Returns those. Raises NotFound."""
    said = ": ".join(filter(None, (f"canceled by {by.actor}", by.reason)))
    done = _each(store, ids, lambda transaction, some: transaction.cancel_webhooks(some, said, by.at))
    return _noted(store, by, "webhook cancel", done)


def replay(store: Store, ids: int | Iterable[int], by: By) -> Sequence[int]:
    """Post webhooks once more, as new ones. Returns the ids of these. Raises NotFound, Conflict."""
    named = _named(ids)
    at_work = {each.account_id for each in settings(store).endpoints.values() if each.disabled_at is None}
    for each in named:
        found = show(store, each)
        if found.retired_at is None:
            raise Conflict(f"webhook {each} is on its way: schedule it, so that it goes now")
        if find_account(settings(store), found.account).id not in at_work:
            raise Conflict(f"account {found.account!r} has no webhook at work")
    made = _each(
        store, named, lambda transaction, some: [transaction.replay_webhook(each, by.at) for each in some]
    )
    return _noted(store, by, "webhook replay", made)


def _noted(store: Store, by: By, verb: str, done: Sequence[int], **told: object) -> Sequence[int]:
    """Write what was done to webhooks, where anything was, and return their ids."""
    if done:
        store.run(lambda transaction: audit.note(transaction, by, verb, ids=audit.few(done), **told))
    return done


def _named(ids: int | Iterable[int]) -> Sequence[int]:
    return list(dict.fromkeys([ids] if isinstance(ids, int) else ids))


def _each(
    store: Store, ids: int | Iterable[int], step: Callable[[Transaction, Sequence[int]], Sequence[int]]
) -> Sequence[int]:
    """Run a step for webhooks that exist, some at a time; return the ids that it returns."""
    named = _named(ids)
    for each in named:
        show(store, each)
    done: list[int] = []
    for start in range(0, len(named), STEP):
        some = named[start : start + STEP]
        done += store.run(lambda transaction, some=some: step(transaction, some))  # type: ignore[misc]
    return tuple(done)
