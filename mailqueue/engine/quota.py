"""Quotas at submit: what an account has sent is looked at, and counted, in the transaction that stores more.

The rule: policy decides what is over a quota; here that becomes an error, a mark that ends by itself, or
a message that retires at once. An account without a quota costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailqueue.clock import to_datetime
from mailqueue.errors import QuotaExceeded
from mailqueue.model.account import Account, OverQuota, Quota
from mailqueue.model.message import Drop, NewMessage, Wait
from mailqueue.policy.quota import Admission, Excess, admit, since
from mailqueue.store.base import Reader, Transaction


def look(counts: Transaction | Reader, account: Account, recipients: Sequence[str], now: int) -> Admission:
    """Return what the quotas of an account let in of mail to `recipients`. Raises QuotaExceeded."""
    uses = counts.usage(account.id, since(now))
    new_ones_count = Quota.NEW_RECIPIENTS in account.quotas
    known = counts.known_recipients(account.id, recipients) if new_ones_count else {}
    found = admit(account, uses, known, recipients, now)
    if isinstance(found, Excess):
        raise QuotaExceeded(
            account.name,
            quota=found.quota.value,
            limit=found.limit,
            used=found.used,
            wanted=found.wanted,
            opens_at=None if found.opens_at is None else to_datetime(found.opens_at),
        )
    return found


def let_in(
    transaction: Transaction, account: Account, messages: tuple[NewMessage, ...], now: int
) -> tuple[NewMessage, ...]:
    """Return the messages of a submission as the quotas of its account let them in, and count them.

    Those that are dropped already are left as they are, and count nothing.

    Raises:
        QuotaExceeded: they do not; nothing was counted.
    """
    wanted = [each.recipient for each in messages if each.drop is None]
    if not account.quotas or not wanted:
        return messages
    admission = look(transaction, account, wanted, now)
    transaction.count_use(account.id, admission.uses, admission.first)
    return as_admitted(messages, admission, account, now)


def as_admitted(
    messages: tuple[NewMessage, ...], admission: Admission, account: Account, now: int
) -> tuple[NewMessage, ...]:
    """Return messages as quotas let them in: as they are, on hold for a while, or to retire at once."""
    over = iter(admission.over)
    return tuple(
        each if each.drop is not None else _let_in(each, next(over), account, now) for each in messages
    )


def _let_in(message: NewMessage, excess: Excess | None, account: Account, now: int) -> NewMessage:
    return message if excess is None else _put_off(message, excess, account, now)


def _put_off(message: NewMessage, excess: Excess, account: Account, now: int) -> NewMessage:
    reason = f"over the quota of {excess.quota.words} a day ({excess.limit})"
    if account.over_quota is OverQuota.DROP or excess.opens_at is None:
        drop = Drop(reason=reason, keep_content_until=now + account.keep_content)
        return replace(message, drop=drop, holds=())
    return replace(message, wait=Wait(until=excess.opens_at, reason=reason))
