"""A message of the history, submitted anew: the same content, sender and wishes, to the same recipient.

The rule: it is mail like any other. Holds, quotas and suppression act on it; the moments that were set for
the old one are over, and not set again.
"""

from __future__ import annotations

from mailqueue.engine.submit import Draft, draft, store_draft
from mailqueue.model.message import Message, Submission
from mailqueue.model.recipient import Recipient
from mailqueue.model.settings import Settings
from mailqueue.store.base import Reader, Store

_SLACK = 2**16  # octets that preparing a content once more may add to it


def again(store: Store, message_id: int, *, actor: str, now: int) -> Submission:
    """Submit a message of the history anew.

    Raises:
        NotFound: there is no such message, or its content has been purged.
        QuotaExceeded: its account has sent what it may.
    """
    return store_draft(store, store.read(lambda reader: _draft(reader, message_id, actor, now)))


def _draft(reader: Reader, message_id: int, actor: str, now: int) -> Draft:
    content = reader.content(reader.content_of(message_id))
    return _of(reader.message(message_id), content, reader.settings(), actor, now)


def _of(old: Message, content: bytes, settings: Settings, actor: str, now: int) -> Draft:
    return draft(
        content,
        settings=settings,
        now=now,
        sender=old.sender,
        recipients=[Recipient(old.recipient, notify=old.notify, orcpt=old.orcpt)],
        account=old.account,
        idempotency_key=None,
        schedule=old.schedule if old.schedule in settings.schedules else None,
        strict=False,
        extra=old.extra,
        notify=None,
        ret=old.ret,
        envid=old.envid,
        not_before=None,
        expires_at=None,
        warn_after=old.warn_after,
        max_attempts=old.max_attempts,
        priority=old.priority,
        transport=old.transport if old.transport in settings.transports else None,
        require_tls=old.require_tls,
        max_size=len(content) + _SLACK,
        actor=actor,
    )
