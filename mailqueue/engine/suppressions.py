"""The verbs about suppression lists: put there, taken away, looked up, judged again.

The rule: everything is about one account's list, under the base of an address; a walk through a list goes
page by page, and a change in steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from mailqueue.clock import Clock, to_datetime
from mailqueue.engine import retired
from mailqueue.engine.manage import MAX_PAGE, settings
from mailqueue.engine.options import When, moment
from mailqueue.engine.submit import find_account
from mailqueue.errors import SettingError
from mailqueue.mail.address import parse
from mailqueue.mail.base import base_of
from mailqueue.model.filters import Filter, Page, Times
from mailqueue.model.lifecycle import State
from mailqueue.model.suppression import Cause, Rejudged, Suppression, Unsuppressed
from mailqueue.policy.suppress import refuted
from mailqueue.store.base import Reader, Store, Transaction


# -- the list -------------------------------------------------------------------------------------
def add(
    store: Store,
    address: str,
    *,
    account: str,
    reason: str,
    expires_at: When | None,
    actor: str,
    now: int,
) -> Suppression:
    """Put an address on the list of an account. Raises NotFound, AddressError, SettingError."""
    ends_at = _end(expires_at, now)
    wanted = entry(address, Cause.MANUAL, reason, ends_at, actor, now)

    def job(transaction: Transaction) -> Suppression:
        owner = find_account(transaction.settings(), account)
        transaction.suppress(owner.id, [wanted])
        made = transaction.suppression(owner.id, wanted.base, now)
        assert made is not None, "what a person says takes the place of what was there"
        _note(transaction, made, "is suppressed", reason, actor, now)
        return made

    return store.run(job)


def _end(given: When | None, now: int) -> int | None:
    faults: list[str] = []
    at = moment("expires_at", given, now, faults)
    if at is not None and at <= now:
        faults.append(f"expires_at: must be in the future, not {given}")
    if faults:
        raise SettingError(faults[0])
    return at


def entry(
    address: str, cause: Cause, reason: str, expires_at: int | None, actor: str, now: int
) -> Suppression:
    """Return a new entry, of no account yet. Raises AddressError."""
    return Suppression(
        id=0,
        account="",
        address=str(parse(address)),
        base=base_of(address),
        cause=cause,
        reason=reason,
        message_id=None,
        incoming_id=None,
        evidence=None,
        actor=actor,
        created_at=to_datetime(now),
        expires_at=None if expires_at is None else to_datetime(expires_at),
    )


def _note(transaction: Transaction, entry: Suppression, what: str, reason: str, actor: str, now: int) -> None:
    told = f"{entry.address} {what}" + (f": {reason}" if reason else "")
    data = {"suppression": entry.id, "account": entry.account, "address": entry.address}
    transaction.note_change(told, data, actor=actor, now=now)


def page(store: Store, *, account: str | None, limit: int, after: str | None, now: int) -> Page[Suppression]:
    """Return a page of the list. Raises NotFound, SettingError."""
    if not 1 <= limit <= MAX_PAGE:
        raise SettingError(f"limit: must be 1 to {MAX_PAGE}, not {limit}")

    def question(reader: Reader) -> Page[Suppression]:
        owner = None if account is None else find_account(reader.settings(), account).id
        return reader.suppressions(owner, limit=limit, after=after, now=now)

    return store.read(question)


def pages(store: Store, account: str | None, now: int) -> Iterator[Sequence[Suppression]]:
    """Yield the list, page by page."""
    after: str | None = None
    while True:
        found = page(store, account=account, limit=MAX_PAGE, after=after, now=now)
        yield found.items
        after = found.next
        if after is None:
            return


def lookup(store: Store, address: str, *, account: str, now: int) -> Suppression | None:
    """Return the entry that stops mail to an address. Raises NotFound, AddressError."""
    base = base_of(address)
    return store.read(
        lambda reader: reader.suppression(find_account(reader.settings(), account).id, base, now)
    )


def remove(
    store: Store, address: str, *, account: str, replay: bool, actor: str, clock: Clock
) -> Unsuppressed:
    """Take an address off the list, and submit anew what it has stopped. Raises NotFound, AddressError."""
    base, now = base_of(address), clock.now()

    def job(transaction: Transaction) -> Suppression:
        gone = transaction.unsuppress(find_account(transaction.settings(), account).id, base, now)
        _note(transaction, gone, "is suppressed no more", "", actor, now)
        return gone

    entry = store.run(job)
    if not replay:
        return Unsuppressed(suppression=entry)
    which, reason = Filter(ids=tuple(_stopped(store, entry))), "its recipient is suppressed no more"
    sent = retired.resend(store, which, actor=actor, reason=reason, clock=clock, progress=None)
    return Unsuppressed(suppression=entry, replayed=sent)


def _stopped(store: Store, entry: Suppression) -> list[int]:
    """Return the ids of the messages that an entry has stopped."""
    since = Times(after=entry.created_at - timedelta(microseconds=1))
    which = Filter(account=entry.account, state=State.SUPPRESSED, retired=since)
    found: list[int] = []
    after: str | None = None
    while True:
        page = store.read(
            lambda reader, after=after: reader.retired(which, limit=MAX_PAGE, after=after)  # type: ignore[misc]
        )
        found += [each.id for each in page.items if base_of(each.recipient) == entry.base]
        after = page.next
        if after is None:
            return found


# -- judging again --------------------------------------------------------------------------------
def rejudge(store: Store, *, account: str | None, remove: bool, actor: str, now: int) -> tuple[Rejudged, ...]:
    """Return the entries that engines made and would not make now. Raises NotFound."""
    return tuple(
        each
        for entries in pages(store, account, now)
        for each in _rejudged(store, entries, actor=actor, now=now, remove=remove)
    )


def _rejudged(
    store: Store, entries: Sequence[Suppression], *, actor: str, now: int, remove: bool
) -> Iterator[Rejudged]:
    rules = settings(store).reply_rules
    found = [(each, why) for each in entries if (why := refuted(each, rules)) is not None]
    gone = store.run(lambda transaction: _remove(transaction, found, actor, now)) if remove and found else ()
    for entry, why in found:
        yield Rejudged(suppression=entry, reason=why, removed=entry.id in gone)


def _remove(
    transaction: Transaction, found: Sequence[tuple[Suppression, str]], actor: str, now: int
) -> frozenset[int]:
    """Remove entries that are as they were. Returns the ids of those that went."""
    gone = set()
    for entry, why in found:
        owner = transaction.settings().accounts.get(entry.account)
        if owner is not None and transaction.suppression(owner.id, entry.base, now) == entry:
            transaction.unsuppress(owner.id, entry.base, now)
            _note(transaction, entry, "is suppressed no more", why, actor, now)
            gone.add(entry.id)
    return frozenset(gone)
