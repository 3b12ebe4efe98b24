"""Suppression: at submit, mail to those who are on the list retires at once.

The rule: it is looked up in the transaction that stores the mail. The notices that we make are not submitted
by this, and go to whom they go.
"""

from __future__ import annotations

from dataclasses import replace

from mailqueue.model.account import Account
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Drop, NewMessage
from mailqueue.store.base import Transaction


def stop(
    transaction: Transaction, account: Account, messages: tuple[NewMessage, ...], now: int
) -> tuple[NewMessage, ...]:
    """Return the messages of a submission, those to suppressed recipients as dropped."""
    found = transaction.suppressed(account.id, [each.recipient for each in messages], now)
    if not found:
        return messages
    return tuple(
        replace(each, holds=(), drop=_drop(found[each.recipient], account, now))
        if each.recipient in found
        else each
        for each in messages
    )


def _drop(why: str, account: Account, now: int) -> Drop:
    return Drop(
        reason=f"not sent, as its recipient is suppressed ({why})",
        state=State.SUPPRESSED,
        keep_content_until=now + account.keep_content,
    )
