"""What a sender is told, as it was wished for: the rules of RFC 3461, section 5.2, as tables."""

from dataclasses import replace
from itertools import product

import pytest
from support.claims import NOW, account, claimed, facts, settings

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND
from mailqueue.mail import dsn
from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import Phase
from mailqueue.model.account import Account, Notices
from mailqueue.model.attempt import Outcome
from mailqueue.model.events import EventKind, NoticeKind
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Claimed
from mailqueue.model.schedule import SHIPPED
from mailqueue.model.settlement import NewNotice, Retire, Retry, Settlement
from mailqueue.policy import outcome as judge
from mailqueue.policy.report import Owed, Reporter, compose_notices, compose_warnings
from mailqueue.policy.settle import owes, settle

TAKEN = judge.delivered(Reply.from_text("250 2.6.0 queued as 81C3F"))
REFUSED = judge.refused(Reply.from_text("550 5.1.1 no such user"), Phase.RCPT)
BUSY = judge.refused(Reply.from_text("451 4.3.0 disk trouble"), Phase.RCPT)
FAILED, DELAYED, RELAYED = NoticeKind.FAILED, NoticeKind.DELAYED, NoticeKind.RELAYED
ORIGINAL = b"From: app@sender.example\r\nMessage-ID: <1@sender.example>\r\nSubject: Hi\r\n\r\nThe body\r\n"


def settled(
    outcome: Outcome, message: Claimed, *, dsn: bool = False, who: Account | None = None, now: int = NOW
) -> Settlement:
    return settle(
        message,
        outcome,
        facts(dsn=dsn),
        now=now,
        schedule=SHIPPED["standard"],
        account=who or account(),
        jitter=0.0,
    )


def noticed(*settlements: Settlement, who: Account | None = None) -> list[NewNotice]:
    known = replace(settings(), accounts_by_id={1: who or account()})
    return compose_notices(settlements, {5: ORIGINAL}, known, reporter(), NOW + HOUR)


def reporter() -> Reporter:
    return Reporter(
        hostname="queue.sender.example", message_id=lambda: "<n@queue.sender.example>", boundary=lambda: "b"
    )


def one(notice: NewNotice) -> dsn.RecipientReport:
    (recipient,) = dsn.parse(notice.content).recipients
    return recipient


# --- when -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("notify", "server_tells", "expected"),
    [
        # the next server has DSN: it has been asked, and we say nothing (RFC 3461 5.2.1)
        (None, True, None),
        ("success", True, None),
        ("success,failure,delay", True, None),
        ("never", True, None),
        # it has not: 5.2.2 (b), (d), (e)
        ("success", False, RELAYED),
        ("success,failure,delay", False, RELAYED),
        ("failure,delay", False, None),
        ("never", False, None),
        (None, False, None),
    ],
)
def test_who_tells_of_a_success(notify, server_tells, expected):
    found = settled(TAKEN, claimed(notify=notify), dsn=server_tells)
    assert found.notice is expected
    assert found.move == Retire(state=State.DELIVERED, keep_content_until=None)
    events = [event.event for event in found.events]
    assert events == [EventKind.DELIVERED, *([EventKind.RELAYED] if expected else [])]


@pytest.mark.parametrize(
    ("notify", "expected"),
    [
        (None, FAILED),  # 5.2.6 (c)
        ("failure", FAILED),  # 5.2.6 (a)
        ("success,failure", FAILED),
        ("success", None),  # 5.2.6 (b)
        ("delay", None),
        ("never", None),
    ],
)
@pytest.mark.parametrize("server_tells", [True, False])
def test_who_is_told_of_a_failure(notify, expected, server_tells):
    found = settled(REFUSED, claimed(notify=notify), dsn=server_tells)
    assert found.notice is expected
    assert [event.event for event in found.events] == [EventKind.FAILED], "the history tells in any case"
    expired = settled(BUSY, claimed(notify=notify), now=NOW + 5 * DAY)
    assert isinstance(expired.move, Retire)
    assert expired.notice is expected, "so also when it was given up"


@pytest.mark.parametrize(
    ("notify", "expected"),
    [
        (None, DELAYED),  # 5.2.5 (b)
        ("delay", DELAYED),  # 5.2.5 (a)
        ("success,delay", DELAYED),
        ("success,failure", None),  # 5.2.5 (c)
        ("never", None),
    ],
)
def test_who_is_told_of_a_delay(notify, expected):
    first = settled(BUSY, claimed(notify=notify))
    assert isinstance(first.move, Retry)
    assert first.move.warn_at == (NOW + 4 * HOUR if expected else None)
    late = claimed(notify=notify, attempts=9, warn_at=first.move.warn_at)
    assert settled(BUSY, late, now=NOW + 4 * HOUR + MINUTE).notice is expected
    owed = Owed(message=late, next_attempt_at=NOW + 5 * HOUR, last=None)
    warnings = compose_warnings([owed], {5: ORIGINAL}, settings(), reporter(), NOW + 4 * HOUR)
    assert [warning.kind for warning in warnings] == ([DELAYED] if expected else [])


@pytest.mark.parametrize(
    ("message", "who"),
    [
        (claimed(sender=""), account()),  # RFC 3461 5.2, the note: never to the null return path
        (claimed(is_notice=True), account()),
        (claimed(), account(notices=Notices.NONE)),
    ],
)
def test_where_nobody_is_told_whatever_was_wished(message, who):
    for kind, notify in product(NoticeKind, (None, "success,failure,delay")):
        assert not owes(kind, replace(message, notify=notify), who)
    found = settled(TAKEN, replace(message, notify="success"), who=who)
    assert found.notice is None
    assert [event.event for event in found.events] == [EventKind.DELIVERED, EventKind.RELAYED]


# --- what -------------------------------------------------------------------------------------
def test_relayed_notice_tells_who_took_it_and_what_was_said():
    wished = claimed(notify="success", orcpt="rfc822;Bob.B@example.com", envid="order 17", ret="FULL")
    (notice,) = noticed(settled(TAKEN, wished))
    assert (notice.kind, notice.submission_id, notice.message_ids) == (RELAYED, 3, (7,))
    report = dsn.parse(notice.content)
    assert report.original_envelope_id == "order 17"  # RFC 3461 6.3 (a)
    assert one(notice) == dsn.RecipientReport(
        original_recipient=dsn.Typed("rfc822", "Bob.B@example.com"),  # 6.3 (d)
        final_recipient=dsn.mailbox("bob@example.org"),
        action=dsn.Action.RELAYED,
        status=EnhancedCode(2, 6, 0),
        remote_mta=dsn.host("mx.example.org"),  # 6.3 (h)
        diagnostic=dsn.said("250 2.6.0 queued as 81C3F"),  # 6.3 (i)
        last_attempt=NOW,
    )
    assert b"Subject: Handed on: Hi" in notice.content
    assert b"will hear of it again only if that fails" in notice.content.replace(b"\r\n", b" ")
    assert b"The body" not in notice.content, "nothing failed: only the header (RFC 3461 4.3)"
    assert b"Message-ID: <1@sender.example>" in notice.content


def test_status_of_a_success_without_an_enhanced_code_is_2_0_0():
    plain = judge.delivered(Reply.from_text("250 ok"))
    (notice,) = noticed(settled(plain, claimed(notify="success")))
    assert one(notice).status == EnhancedCode(2, 0, 0)


@pytest.mark.parametrize(
    ("ret", "whole"), [(None, True), ("FULL", True), ("HDRS", False)], ids=["unsaid", "full", "hdrs"]
)
def test_failure_notice_returns_what_ret_asks_for(ret, whole):
    (notice,) = noticed(settled(REFUSED, claimed(ret=ret)))
    assert (b"The body" in notice.content) == whole
    assert b"Subject: Hi" in notice.content


def test_notice_names_neither_envelope_id_nor_original_recipient_where_none_was_given():
    (notice,) = noticed(settled(REFUSED, claimed()))  # RFC 3461 6.3 (a) and (d)
    assert b"Original-" not in notice.content


def test_delay_notice_names_them_too():
    wished = claimed(orcpt="utf-8;jörg@example.com", envid="e1", attempts=9, warn_at=NOW + 4 * HOUR)
    (notice,) = noticed(settled(BUSY, wished, now=NOW + 4 * HOUR))
    assert dsn.parse(notice.content).original_envelope_id == "e1"
    assert one(notice).original_recipient == dsn.Typed("utf-8", "jörg@example.com")
    assert one(notice).will_retry_until == NOW + 5 * DAY // SECOND * SECOND


def test_recipients_are_grouped_by_what_is_told_of_them_and_nobody_else_is_named():
    """RFC 3461 5.2.8: a notice says nothing of those who are owed none."""
    found = noticed(
        settled(TAKEN, claimed(id=1, recipient="a@example.org", notify="success")),
        settled(REFUSED, claimed(id=2, recipient="b@example.org", notify="failure")),
        settled(TAKEN, claimed(id=3, recipient="c@example.org", notify="success,failure")),
        settled(TAKEN, claimed(id=4, recipient="d@example.org", notify="failure")),
        settled(REFUSED, claimed(id=5, recipient="e@example.org", notify="never")),
        settled(TAKEN, claimed(id=6, recipient="f@example.org", notify="success"), dsn=True),
    )
    assert [(notice.kind, notice.message_ids) for notice in found] == [(RELAYED, (1, 3)), (FAILED, (2,))]
    named = [[each.final_recipient.value for each in dsn.parse(n.content).recipients] for n in found]
    assert named == [["a@example.org", "c@example.org"], ["b@example.org"]]


def test_relayed_notice_goes_to_the_sender_where_the_account_queues_notices():
    who = account(notices=Notices.QUEUE)
    (notice,) = noticed(settled(TAKEN, claimed(notify="success"), who=who), who=who)
    assert notice.submission is not None
    assert (notice.submission.sender, notice.submission.notice_for) == ("", 3)
    assert [each.recipient for each in notice.submission.messages] == ["app@sender.example"]
    assert (notice.submission.ret, notice.submission.messages[0].notify) == (None, None)  # RFC 3461 6.1
