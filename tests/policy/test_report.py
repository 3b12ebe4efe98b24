import email.policy
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import NOW, account, claimed, facts, settings

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND, from_datetime, to_datetime
from mailqueue.mail import dsn
from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import Cause, Lost, Phase, TransactionResult
from mailqueue.model.account import Account, Notices
from mailqueue.model.attempt import Attempt, Category, Outcome, OutcomeKind, Scope
from mailqueue.model.events import NoticeKind
from mailqueue.model.message import Claimed
from mailqueue.model.rules import HoldRule, Transport, TransportKind
from mailqueue.model.schedule import SHIPPED
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import NewNotice, Settlement
from mailqueue.policy import outcome as judge
from mailqueue.policy.report import (
    ORIGINAL_OCTETS,
    Owed,
    Reporter,
    compose_notices,
    compose_warnings,
    wanted,
)
from mailqueue.policy.settle import expire, settle

ORIGINAL = (
    b"From: App <app@sender.example>\r\nTo: bob@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <1@sender.example>\r\n\r\nHello Bob\r\n"
)
NO_USER = judge.refused(Reply.from_text("550-5.1.1 no such user\n550 5.1.1 ask bob"), Phase.RCPT)
BUSY = judge.refused(Reply.from_text("451 4.3.0 disk trouble"), Phase.RCPT)
LATER = NOW + 5 * HOUR


def reporter() -> Reporter:
    numbers = count(1)
    return Reporter(
        hostname="queue.sender.example",
        message_id=lambda: f"<notice{next(numbers)}@queue.sender.example>",
        boundary=lambda: f"boundary{next(numbers)}",
    )


def known(who: Account, rules: tuple[HoldRule, ...] = ()) -> Settings:
    return replace(settings(), accounts_by_id={1: who}, hold_rules=rules)


def settled(
    outcome: Outcome,
    message: Claimed | None = None,
    *,
    now: int = NOW + SECOND,
    host: str | None = "mx.example.org",
) -> Settlement:
    return settle(
        message or claimed(),
        outcome,
        facts(host=host),
        now=now,
        schedule=SHIPPED["standard"],
        account=account(),
        jitter=0.0,
    )


def noticed(
    *settlements: Settlement,
    who: Account | None = None,
    original: bytes | None = ORIGINAL,
    rules: tuple[HoldRule, ...] = (),
) -> list[NewNotice]:
    originals = {} if original is None else dict.fromkeys(wanted(settlements), original)
    return compose_notices(settlements, originals, known(who or account(), rules), reporter(), NOW + DAY)


def told(notice: NewNotice) -> dsn.RecipientReport:
    (recipient,) = dsn.parse(notice.content).recipients
    return recipient


def words(notice: NewNotice) -> str:
    """The part for people, its white space evened out."""
    part = opened(notice).get_body(("plain",))
    assert part is not None
    return " ".join(part.get_content().split())


def opened(notice: NewNotice) -> EmailMessage:
    message = message_from_bytes(notice.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


# --- what it says -----------------------------------------------------------------------------


def test_a_failure_notice_tells_who_said_what_when():
    (notice,) = noticed(settled(NO_USER))
    assert (notice.kind, notice.submission_id, notice.message_ids) == (NoticeKind.FAILED, 3, (7,))
    assert notice.at == NOW + DAY
    assert notice.submission is None, "kept with the history, which is the default"
    report = dsn.parse(notice.content)
    assert report.reporting_mta == dsn.host("queue.sender.example")
    assert report.arrival_date == NOW
    assert told(notice) == dsn.RecipientReport(
        final_recipient=dsn.mailbox("bob@example.org"),
        action=dsn.Action.FAILED,
        status=EnhancedCode(5, 1, 1),
        remote_mta=dsn.host("mx.example.org"),
        diagnostic=dsn.said("550-5.1.1 no such user\n550 5.1.1 ask bob"),
        last_attempt=NOW,
    )


def test_a_notice_is_mail_from_the_mailer_daemon_about_the_original():
    message = opened(noticed(settled(NO_USER))[0])
    assert message["From"].addresses[0].addr_spec == "MAILER-DAEMON@queue.sender.example"
    assert message["To"] == "app@sender.example"
    assert message["Message-ID"] == "<notice1@queue.sender.example>"
    assert message["In-Reply-To"] == "<1@sender.example>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert "Grüße" in message["Subject"]


def test_a_small_original_goes_back_whole():
    (notice,) = noticed(settled(NO_USER))
    assert ORIGINAL in notice.content
    assert "Your message is attached." in words(notice)


def test_of_a_large_original_the_header_goes_back_and_the_text_says_so():
    large = ORIGINAL + b"line\r\n" * 10_000
    (notice,) = noticed(settled(NO_USER), original=large[:ORIGINAL_OCTETS])
    assert b"Hello Bob" not in notice.content
    assert b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=" in notice.content
    assert "larger than 50 KiB, so only its header is attached" in words(notice)


def test_a_notice_about_content_that_is_gone_returns_nothing():
    (notice,) = noticed(settled(NO_USER), original=None)
    assert told(notice).status == EnhancedCode(5, 1, 1)
    assert b"rfc822" not in notice.content.partition(b"Final-Recipient: rfc822")[2]


def test_the_error_stands_in_the_comment_of_the_status():
    gone = judge.resolve_failed(True, EnhancedCode(5, 1, 2), "example.org does not exist")
    (notice,) = noticed(settled(gone, host=None))
    found = told(notice)
    assert (found.status_comment, found.diagnostic, found.remote_mta) == (
        "example.org does not exist",
        None,
        None,
    )


def test_an_expired_message_failed_for_lack_of_time_and_the_last_reply_is_quoted():
    (notice,) = noticed(settled(BUSY, claimed(attempts=44), now=NOW + 5 * DAY - HOUR))
    found = told(notice)
    assert (found.action, found.status) == (dsn.Action.FAILED, EnhancedCode(4, 4, 7))
    assert found.diagnostic == dsn.said("451 4.3.0 disk trouble")
    assert found.status_comment == "given up after 4d23h and 44 attempts"


def test_an_expired_message_that_got_no_reply_tells_what_went_wrong_at_last():
    silent = judge.session_failed(Phase.CONNECT, None, "connection refused")
    (notice,) = noticed(settled(silent, claimed(attempts=44), now=NOW + 5 * DAY))
    assert told(notice).status_comment == "given up after 5d and 44 attempts; at last: connection refused"
    (only,) = noticed(settled(silent, claimed(give_up_at=NOW + MINUTE)))
    assert told(only).status_comment == "given up after 1s and 1 attempt; at last: connection refused"


UNCERTAIN = judge.outcomes(
    TransactionResult(
        mail=Reply.from_text("250 ok"),
        rcpt=(Reply.from_text("250 ok"),),
        final_dot_sent=True,
        lost=Lost(phase=Phase.FINAL, cause=Cause.TIMEOUT, reason="no answer within 600 s"),
    ),
    1,
)[0]

MAYBE = [
    (settled(NO_USER, claimed(attempts=2, uncertain=True)), True, "an earlier attempt was uncertain"),
    (settled(UNCERTAIN, now=NOW + 5 * DAY), True, "the last one was, and there is no further time"),
    (settled(UNCERTAIN, now=LATER), True, "a delay notice tells it too"),
    (settled(NO_USER), False, "no attempt was"),
    (settled(BUSY, now=NOW + 5 * DAY), False, "no attempt was"),
]


@pytest.mark.parametrize(("settlement", "maybe", "why"), MAYBE)
def test_a_notice_says_when_the_message_may_have_arrived_all_the_same(settlement, maybe, why):
    (notice,) = noticed(settlement)
    assert ("It may have arrived" in words(notice)) is maybe, why


def test_a_delay_notice_tells_the_true_next_time_and_until_when():
    (notice,) = noticed(settled(BUSY, claimed(attempts=6, warn_at=NOW + 4 * HOUR), now=LATER))
    assert notice.kind is NoticeKind.DELAYED
    found = told(notice)
    assert (found.action, found.status) == (dsn.Action.DELAYED, EnhancedCode(4, 3, 0))
    assert found.will_retry_until == NOW + 5 * DAY
    assert "tried again at Fri, 15 Jan 2027 16:00 UTC" in words(notice)
    assert b"Hello Bob" not in notice.content, "nothing failed, so only the header goes back"


HOSTS = [
    ("mx.example.org", "mx.example.org", "a name"),
    ("192.0.2.1", "[192.0.2.1]", "an IPv4 address is a literal in brackets"),
    ("2001:db8::1", "[IPv6:2001:db8::1]", "an IPv6 address too"),
    ("[192.0.2.1]", "[192.0.2.1]", "one that has its brackets"),
]


@pytest.mark.parametrize(("reached", "named", "why"), HOSTS)
def test_the_server_is_named_as_mail_names_hosts(reached, named, why):
    (notice,) = noticed(settled(NO_USER, host=reached))
    assert told(notice).remote_mta == dsn.host(named), why


def test_a_transport_that_refuses_is_told_as_ours():
    no = Transport(id=1, name="no", kind=TransportKind.FAIL, reply="550 5.7.1 not from here")
    (notice,) = noticed(settled(judge.refused_by_transport(no), host=None))
    assert told(notice).remote_mta is None
    assert "This mail system said: 550 5.7.1 not from here" in words(notice)


# --- who is told together ---------------------------------------------------------------------


def test_recipients_of_a_submission_that_fail_together_share_a_notice():
    batch = [settled(NO_USER, claimed(id=n, recipient=f"r{n}@example.org")) for n in range(3)]
    other = settled(NO_USER, claimed(id=9, submission_id=4, content_id=6))
    first, second = noticed(*batch, other)
    assert (first.submission_id, first.message_ids) == (3, (0, 1, 2))
    assert [r.final_recipient.value for r in dsn.parse(first.content).recipients] == [
        "r0@example.org",
        "r1@example.org",
        "r2@example.org",
    ]
    assert (second.submission_id, second.message_ids) == (4, (9,))


def test_failures_and_delays_of_a_submission_are_two_notices():
    found = noticed(settled(NO_USER), settled(BUSY, claimed(id=8), now=LATER))
    assert [(notice.kind, notice.message_ids) for notice in found] == [
        (NoticeKind.FAILED, (7,)),
        (NoticeKind.DELAYED, (8,)),
    ]


def test_a_message_that_was_never_tried_expires_with_a_notice_that_says_so():
    message = claimed(attempts=0, engine_id=0, expires_at=NOW + 2 * HOUR)
    (notice,) = noticed(expire(message, None, now=NOW + 2 * HOUR, account=account()))
    assert told(notice) == dsn.RecipientReport(
        final_recipient=dsn.mailbox("bob@example.org"),
        action=dsn.Action.FAILED,
        status=EnhancedCode(4, 4, 7),
        status_comment="given up after 2h, before any attempt",
    )


def test_a_message_that_expires_while_it_waits_tells_of_its_last_attempt():
    message = claimed(attempts=2, engine_id=0, expires_at=NOW + 2 * HOUR, uncertain=True)
    last = replace(LAST, reply="451 4.7.1 not now", error="it was busy", host="mx2.example.org")
    (notice,) = noticed(expire(message, last, now=NOW + 2 * HOUR, account=account()))
    assert told(notice).status_comment == "given up after 2h and 2 attempts; at last: it was busy"
    assert told(notice).diagnostic == dsn.said("451 4.7.1 not now")
    assert told(notice).remote_mta == dsn.host("mx2.example.org")
    assert told(notice).last_attempt == from_datetime(last.started_at)
    assert "may have arrived" in words(notice)


def test_a_notice_names_the_release_that_was_asked_for():
    (usual,), (later,) = (
        noticed(settled(NO_USER, claimed(not_before=at))) for at in (None, NOW + DAY + SECOND // 2)
    )
    assert dsn.parse(usual.content).future_release_request is None
    assert dsn.parse(later.content).future_release_request == "until;2027-01-16T08:00:00Z"


@pytest.mark.parametrize(
    ("wish", "whole", "protected"), [(True, False, True), (False, True, None), (None, True, None)]
)
def test_a_notice_is_protected_as_the_message_it_is_about(wish, whole, protected):
    message = claimed(require_tls=wish, ret="FULL")
    (notice,) = noticed(settled(NO_USER, message), who=account(notices=Notices.QUEUE))
    assert (b"Hello Bob" in notice.content) is whole, "of what has to stay under TLS, the header goes back"
    assert notice.submission is not None
    assert notice.submission.messages[0].require_tls is protected


def test_only_what_owes_a_notice_gets_one():
    quiet = (
        settled(judge.delivered(Reply.from_text("250 ok"))),
        settled(BUSY, claimed(id=8)),
        settled(NO_USER, claimed(id=9, sender="")),
        settled(NO_USER, claimed(id=10, is_notice=True)),
    )
    assert wanted(quiet) == frozenset()
    assert noticed(*quiet) == []


# --- where it goes ----------------------------------------------------------------------------

HOLD = HoldRule(
    id=4,
    account_id=None,
    sender_domain=None,
    sender=None,
    recipient_domain="sender.example",
    recipient=None,
    reason="",
    actor="test",
    created_at=to_datetime(NOW),
    marking=False,
)


def test_a_notice_that_is_queued_goes_to_the_sender_with_the_null_return_path():
    (notice,) = noticed(settled(NO_USER), who=account(notices=Notices.QUEUE))
    carried = notice.submission
    assert carried is not None
    assert (carried.sender, carried.notice_for, carried.account_id) == ("", 3, 1)
    assert carried.content == notice.content
    assert carried.message_id == opened(notice)["Message-ID"]
    assert carried.subject == "Not delivered: Grüße"
    assert (carried.eight_bit, carried.utf8_header) == (False, False)
    assert carried.submitted_at == NOW + DAY
    (message,) = carried.messages
    assert (message.recipient, message.domain) == ("app@sender.example", "sender.example")
    assert message.next_attempt_at == NOW + DAY
    assert message.give_up_at == NOW + 3 * DAY, "notices live two days"
    assert (message.schedule, message.fallback, message.holds) == ("standard", 5 * MINUTE, ())


def test_hold_rules_hold_notices_too():
    elsewhere = replace(HOLD, id=5, sender_domain="sender.example")
    (notice,) = noticed(settled(NO_USER), who=account(notices=Notices.QUEUE), rules=(HOLD, elsewhere))
    assert notice.submission is not None
    assert notice.submission.messages[0].holds == (4,), "a rule for the sender's domain is not for ''"


def test_a_notice_about_an_address_beyond_ascii_needs_what_it_needs():
    message = claimed(sender="jörg@sender.example", recipient="žofie@example.org")
    (notice,) = noticed(settled(NO_USER, message), who=account(notices=Notices.QUEUE))
    assert notice.submission is not None
    assert (notice.submission.eight_bit, notice.submission.utf8_header) == (True, True)
    assert told(notice).final_recipient == dsn.mailbox("žofie@example.org")


# --- delay notices that time makes due --------------------------------------------------------

LAST = Attempt(
    id=1,
    message_id=7,
    number=6,
    engine_id=1,
    started_at=to_datetime(NOW + 3 * HOUR),
    duration=to_datetime(1) - to_datetime(0),
    outcome=OutcomeKind.DEFERRED,
    category=Category.SYSTEM,
    scope=Scope.RECIPIENT,
    transport="smarthost",
    route_id=None,
    host="mx.example.org",
    address="192.0.2.1:25",
    tls=None,
    tls_verified=None,
    size=None,
    code=451,
    enhanced="4.3.0",
    reply="451 4.3.0 disk trouble",
    error=None,
    transcript=None,
)


def warned(*owed: Owed, who: Account | None = None) -> list[NewNotice]:
    return compose_warnings(owed, {5: ORIGINAL}, known(who or account()), reporter(), NOW + 4 * HOUR)


def test_a_message_that_waits_when_four_hours_are_over_gets_its_delay_notice():
    (notice,) = warned(Owed(message=claimed(attempts=6), next_attempt_at=LATER, last=LAST))
    assert (notice.kind, notice.submission_id, notice.message_ids) == (NoticeKind.DELAYED, 3, (7,))
    assert told(notice) == dsn.RecipientReport(
        final_recipient=dsn.mailbox("bob@example.org"),
        action=dsn.Action.DELAYED,
        status=EnhancedCode(4, 3, 0),
        remote_mta=dsn.host("mx.example.org"),
        diagnostic=dsn.said("451 4.3.0 disk trouble"),
        last_attempt=NOW + 3 * HOUR,
        will_retry_until=NOW + 5 * DAY,
    )
    assert "tried again at Fri, 15 Jan 2027 13:00 UTC" in words(notice)


UNTOLD = [
    (None, "4.0.0", "nothing is known of an attempt"),
    (replace(LAST, enhanced=None, reply=None, code=None), "4.0.0", "its engine died"),
    (
        replace(LAST, enhanced="5.7.1", reply="554 5.7.1 go"),
        "4.7.1",
        "a delay has class 4, whatever was said",
    ),
    (replace(LAST, reply="what is this?"), "4.3.0", "a reply in the history that nobody can read"),
]


@pytest.mark.parametrize(("last", "status", "why"), UNTOLD)
def test_a_delay_notice_is_made_of_whatever_is_known(last, status, why):
    (notice,) = warned(Owed(message=claimed(attempts=6), next_attempt_at=LATER, last=last))
    assert str(told(notice).status) == status, why


def test_a_delay_notice_never_names_a_time_that_is_over():
    (notice,) = warned(Owed(message=claimed(attempts=6), next_attempt_at=NOW, last=LAST))
    assert "tried again at Fri, 15 Jan 2027 12:00 UTC" in words(notice)


def test_delay_notices_of_a_submission_are_one():
    owed = [Owed(message=claimed(id=n), next_attempt_at=LATER, last=LAST) for n in (1, 2)]
    (notice,) = warned(*owed)
    assert notice.message_ids == (1, 2)


def test_a_delay_is_told_to_nobody_who_wants_no_notices_any_more():
    assert (
        warned(Owed(message=claimed(), next_attempt_at=LATER, last=LAST), who=account(notices=Notices.NONE))
        == []
    )


# --- laws -------------------------------------------------------------------------------------

lines = st.binary(max_size=60) | st.sampled_from(
    [
        b"Subject: x",
        b"Subject: =?x?q?=FF?= \xff",
        b"Message-ID: <a@b>",
        b"Message-ID: <\xff>",
        b"Message-ID: " + b"<" + b"x" * 2000 + b">",
        b"",
        b"--boundary2",
        b"\0",
    ]
)
originals = st.lists(lines, max_size=12).map(b"\r\n".join)
replies = st.builds(
    lambda code, texts: Reply.from_lines(code, texts),
    st.integers(min_value=400, max_value=599),
    st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=4),
)
troubles = (
    st.builds(judge.refused, replies, st.sampled_from(Phase))
    | st.builds(judge.session_failed, st.sampled_from(Phase), st.none() | replies, st.text(max_size=30))
    | st.builds(Outcome, kind=st.sampled_from(OutcomeKind), category=st.sampled_from(Category))
)
clams = st.builds(
    claimed,
    id=st.integers(min_value=1, max_value=1000),
    submission_id=st.integers(min_value=1, max_value=3),
    sender=st.sampled_from(["", "app@sender.example", '"a b"@sender.example', "jörg@sender.example"]),
    recipient=st.sampled_from(["bob@example.org", "žofie@example.org", "x@[192.0.2.1]", '"\\""@x.example']),
    attempts=st.integers(min_value=1, max_value=50),
    warn_at=st.none() | st.just(NOW),
    uncertain=st.booleans(),
    is_notice=st.booleans(),
)


@given(
    st.lists(st.tuples(troubles, clams), min_size=1, max_size=6, unique_by=lambda pair: pair[1].id),
    originals,
    st.none() | st.sampled_from(["mx", "192.0.2.1", "::1"]),
    st.sampled_from([NOW + SECOND, LATER, NOW + 6 * DAY]),
    st.sampled_from([Notices.KEEP, Notices.QUEUE]),
)
def test_whatever_was_said_of_whatever_mail_everyone_owed_a_notice_is_told_once(
    pairs, original, host, now, where
):
    settlements = [settled(outcome, message, now=now, host=host) for outcome, message in pairs]
    found = noticed(*settlements, original=original, who=account(notices=where))
    owed = sorted(s.message.id for s in settlements if s.notice is not None)
    assert sorted(number for notice in found for number in notice.message_ids) == owed
    assert len({(notice.submission_id, notice.kind) for notice in found}) == len(found)
    for notice in found:
        report = dsn.parse(notice.content)
        assert len(report.recipients) == len(notice.message_ids)
        for recipient in report.recipients:
            assert recipient.action is dsn.Action(notice.kind.value)
        assert (notice.submission is not None) is (where is Notices.QUEUE)
        if notice.submission is not None:
            assert notice.submission.sender == ""
            assert notice.submission.messages[0].recipient != ""


def test_a_sender_that_no_header_can_carry_still_has_its_notice_kept():
    (notice,) = noticed(settled(NO_USER, claimed(sender="x\r\nBcc: all@sender.example")))
    assert opened(notice)["To"] == "MAILER-DAEMON@queue.sender.example"
    assert opened(notice)["Bcc"] is None
