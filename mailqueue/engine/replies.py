"""The verbs about replies: what one means, and the operator's own rules about it.

The rule: a pattern is looked at before it is stored, so that a rule that cannot be used, or could be
made dear by what strangers send, is refused with its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mailqueue.clock import to_datetime
from mailqueue.engine.audit import note
from mailqueue.engine.manage import settings
from mailqueue.engine.settings import choice
from mailqueue.errors import ParseError, SettingError
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp.facts import Phase
from mailqueue.model.attempt import Category
from mailqueue.model.events import By
from mailqueue.model.rules import ReplyRule
from mailqueue.model.verdict import Verdict
from mailqueue.policy import classify as policy
from mailqueue.policy.pattern import compiled
from mailqueue.store.base import Store, Transaction

_CODE = re.compile(r"[45][0-9?]{2}|[45][0-9?]?\*")


def classify(store: Store, text: str, *, phase: Phase | str) -> Verdict:
    """Return what a reply means, with the rules of this moment. Raises ParseError, SettingError."""
    return _judged(text, phase, settings(store).reply_rules)


def classify_alone(text: str, *, phase: Phase | str) -> Verdict:
    """Return what a reply means by the rules that come with mailqueue. Raises ParseError, SettingError."""
    return _judged(text, phase, ())


def _judged(text: str, phase: Phase | str, own: Sequence[ReplyRule]) -> Verdict:
    reply = Reply.from_text(text)
    if not (reply.transient or reply.permanent):
        raise ParseError(f"no refusal: {text[:200]!r}; a reply that means trouble begins with 4 or 5")
    return policy.classify(reply, choice("phase", phase, Phase), own)


def add_rule(
    store: Store,
    pattern: str,
    *,
    category: Category | str,
    code: str | None,
    permanent: bool | None,
    position: int,
    by: By,
) -> ReplyRule:
    """Make a rule. Raises SettingError."""
    chosen = choice("category", category, Category)
    if chosen in (Category.OK, Category.INTERRUPTED):
        raise SettingError(f"category: no refusal is {chosen.value!r}")
    if code is not None and not _CODE.fullmatch(code):
        raise SettingError(f"code: must be like '550', '4??' or '5*', not {code!r}")
    compiled(pattern)
    wanted = ReplyRule(
        id=0,
        position=position,
        pattern=pattern,
        code=code,
        category=chosen,
        permanent=permanent,
        note=by.reason,
        actor=by.actor,
        created_at=to_datetime(by.at),
    )

    def job(transaction: Transaction) -> ReplyRule:
        made = transaction.add_reply_rule(wanted, by.at)
        note(
            transaction,
            by,
            "replies add",
            id=made.id,
            pattern=pattern,
            category=chosen,
            code=code,
            permanent=permanent,
            position=position or None,
        )
        return made

    return store.run(job)


def remove_rule(store: Store, rule_id: int, by: By) -> ReplyRule:
    """Remove a rule and return it. Raises NotFound."""

    def job(transaction: Transaction) -> ReplyRule:
        gone = transaction.remove_reply_rule(rule_id)
        note(transaction, by, "replies remove", id=rule_id)
        return gone

    return store.run(job)
