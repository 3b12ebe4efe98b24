"""What is learnt about an address from what became of a message: that it is dead, or that one more failed.

The rule: an address is only judged by what is said about it alone. What a server says of our mail, of our
address or of its own state (policy, reputation, content, rates, TLS, its disk ...) says nothing about the
recipient, whatever its code; and 550 without more can mean anything (RFC 5321 4.2.3).

RFC 3463 3.2 and 3.3 (codes about addresses and mailboxes), RFC 5321 4.2.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from mailqueue.errors import ParseError
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp.facts import Phase
from mailqueue.model.account import Account
from mailqueue.model.attempt import Category, Outcome, Scope
from mailqueue.model.incoming import Learnt, Match, MatchedBy
from mailqueue.model.lifecycle import State
from mailqueue.model.rules import ReplyRule
from mailqueue.model.settlement import Retire, Settlement
from mailqueue.model.suppression import Cause, Evidence, Finding, Lesson, Suppression, enough
from mailqueue.model.verdict import RuleKind, Verdict
from mailqueue.policy.classify import classify
from mailqueue.policy.replies import text_of

_Own = Sequence[ReplyRule]

_DEAD = frozenset({Category.MAILBOX_UNKNOWN, Category.MAILBOX_DISABLED})
_ABOUT_ADDRESS = _DEAD | {Category.MAILBOX_FULL, Category.DOMAIN_UNKNOWN, Category.OTHER}

_DEAD_CODES = frozenset({(1, 1), (1, 3), (1, 6), (2, 1)})
"""Subjects and details that say by themselves that an address is dead: no such mailbox, not an address
there, moved away, disabled."""

_VAGUE_RULES = frozenset({"mailbox-unavailable", "recipient-verify"})
"""Shipped rules about texts that mostly mean a dead address, and may mean something else: the words of
RFC 5321 for any 550, and what another server behind this one said for whatever reason."""

_FOR_NOW = re.compile(r"temporar|currently|for now|later")

_OF_MAIL = frozenset({Phase.RCPT, Phase.DATA, Phase.BODY, Phase.BDAT, Phase.FINAL})


def finding(evidence: Evidence, own: _Own = ()) -> Finding | None:
    """Return what the last answer about an address says of it. None: nothing.

    Args:
        evidence: the answer. Only one to RCPT is about one recipient; a later one, which all recipients of
            a transaction share, never condemns an address by itself.
        own: the operator's rules about replies.
    """
    if evidence.reply is None and evidence.phase is None:
        return Finding.FAILED if evidence.category is Category.DOMAIN_UNKNOWN else None
    reply = _reply(evidence)
    if reply is None or evidence.phase not in _OF_MAIL:
        return None
    verdict = classify(reply, evidence.phase, own)
    if verdict.scope is not Scope.RECIPIENT or verdict.category not in _ABOUT_ADDRESS:
        return None
    at_once = evidence.phase == Phase.RCPT and verdict.permanent and _certain(verdict)
    return Finding.DEAD if at_once else Finding.FAILED


def _reply(evidence: Evidence) -> Reply | None:
    """Return what was said; of a report, which may have its status only, a reply with that code."""
    status = evidence.status or ""
    told = f"{status[:1]}50 {status} {evidence.error or ''}".rstrip()
    try:
        return Reply.from_text(evidence.reply or told)
    except ParseError:
        return None


def _certain(verdict: Verdict) -> bool:
    """Return whether a refusal for good says that the address is dead."""
    if verdict.category not in _DEAD:
        return False
    if verdict.kind is RuleKind.OWN:
        return True
    if _FOR_NOW.search(text_of(verdict.reply)):
        return False
    if verdict.reply.enhanced is not None and verdict.reply.enhanced[1:] in _DEAD_CODES:
        return True
    return verdict.kind is RuleKind.TEXT and verdict.rule not in _VAGUE_RULES


def lesson(settlement: Settlement, account: Account, own: _Own = ()) -> Lesson | None:
    """Return what a settlement teaches about its recipient. None: nothing.

    Nothing is learnt from what was not tried, from notices, or for an account without suppression.
    """
    message, move = settlement.message, settlement.move
    over = isinstance(move, Retire) and move.state in (State.FAILED, State.EXPIRED)
    if not over or settlement.facts is None or message.is_notice or not account.suppression:
        return None
    evidence = evidence_in(settlement.outcome)
    found = finding(evidence, own)
    if found is None:
        return None
    return Lesson(
        account_id=message.account_id,
        address=message.recipient,
        finding=found,
        at=settlement.at,
        reason=settlement.outcome.summary().replace("\n", " / "),
        message_id=message.id,
        evidence=evidence,
    )


def evidence_in(outcome: Outcome) -> Evidence:
    """Return what there is to judge in an outcome."""
    return Evidence(
        category=outcome.category,
        phase=outcome.phase,
        reply=None if outcome.reply is None else outcome.reply.to_wire(),
        status=None if outcome.status is None else str(outcome.status),
        error=outcome.error,
    )


def lessons(match: Match, incoming_id: int, at: int, own: _Own = ()) -> list[Lesson]:
    """Return what a report that came in teaches about addresses that were written to.

    A complaint counts where it names the address. A failure condemns an address at once where it names it
    and was found by what only its own mail had; anybody who got the mail knows its Message-ID. Nothing is
    learnt about what is still to be sent.

    Args:
        match: which mail it is about, and what follows.
        incoming_id: of the report.
        at: when it came, microseconds UTC.
        own: the operator's rules about replies.
    """
    return [
        Lesson(
            account_id=each.account_id,
            address=each.address,
            finding=found,
            at=at,
            reason=each.text,
            message_id=each.message_id,
            evidence=None if each.status is None else _reported(each.status, each.text),
            incoming_id=incoming_id,
        )
        for follows in match.follows
        if (each := follows.learnt) is not None
        and follows.message.state.retired
        and (found := _found(each, sure=match.by is not MatchedBy.MESSAGE_ID, own=own)) is not None
    ]


def _found(learnt: Learnt, *, sure: bool, own: _Own) -> Finding | None:
    if learnt.status is None:
        return Finding.COMPLAINED if learnt.named else None
    found = finding(_reported(learnt.status, learnt.text), own)
    return Finding.FAILED if found is Finding.DEAD and not (sure and learnt.named) else found


def _reported(status: str, text: str) -> Evidence:
    evidence = Evidence(category=Category.OTHER, phase=Phase.RCPT, status=status, error=text)
    reply = _reply(evidence)
    return evidence if reply is None else replace(evidence, category=classify(reply, Phase.RCPT).category)


def refuted(entry: Suppression, own: _Own = ()) -> str | None:
    """Return why an entry that an engine made would not be made now. None: it would, or nobody can tell.

    Args:
        entry: of the list, with its evidence.
        own: the operator's rules about replies.
    """
    if entry.evidence is None:
        return None
    found = finding(entry.evidence, own)
    match entry.cause:
        case Cause.CODE:
            return None if found is Finding.DEAD else _says(entry.evidence, found, own)
        case Cause.FAILURES:
            if found is None:
                return _says(entry.evidence, found, own)
            return None if enough(entry.evidence.failures) else "not enough messages failed, or not for long"
        case Cause.COMPLAINT | Cause.MANUAL | Cause.IMPORT:
            return None
        case _:
            assert_never(entry.cause)


def _says(evidence: Evidence, found: Finding | None, own: _Own) -> str:
    reply, category = _reply(evidence), evidence.category
    if reply is not None and evidence.phase is not None:
        category = classify(reply, evidence.phase, own).category
    weight = "nothing about the address" if found is None else "not for certain that the address is dead"
    return f"{category.value} says {weight}"
