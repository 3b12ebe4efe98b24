"""What suppresses an address: a table of replies, and what is judged again later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.clock import DAY
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp.facts import Phase
from mailqueue.model.attempt import Category
from mailqueue.model.rules import ReplyRule
from mailqueue.model.suppression import (
    Cause,
    Evidence,
    Finding,
    Suppression,
    enough,
    evidence_json,
    evidence_of,
)
from mailqueue.policy import outcome
from mailqueue.policy.suppress import evidence_in, finding, refuted

DEAD, FAILED, NOTHING = Finding.DEAD, Finding.FAILED, None
SAMPLES = [
    line.split("\t")
    for line in (Path(__file__).parents[1] / "data/replies.tsv").read_text().splitlines()
    if not line.startswith("#")
]


def said(text: str, phase: str = Phase.RCPT) -> Evidence:
    return evidence_in(outcome.refused(Reply.from_text(text), phase))


def own(category: Category, pattern: str = "nope") -> ReplyRule:
    return ReplyRule(
        id=7,
        position=0,
        pattern=pattern,
        code=None,
        category=category,
        permanent=None,
        note="",
        actor="cli:ann",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def entry(evidence: Evidence | None, cause: Cause = Cause.CODE) -> Suppression:
    return Suppression(
        id=1,
        account="default",
        address="ann@example.com",
        base="ann@example.com",
        cause=cause,
        reason="",
        message_id=None,
        incoming_id=None,
        evidence=evidence,
        actor=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        expires_at=None,
    )


REPLIES = [
    # at once: the server says that there is no such mailbox, or never again
    (DEAD, "550 5.1.1 No such user here"),
    (DEAD, "550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown in local recipient table"),
    (DEAD, "550 5.1.1 Mailbox unavailable"),
    (DEAD, "550 5.1.3 Not an address here"),
    (DEAD, "551 5.1.6 She has moved"),
    (DEAD, "550 5.2.1 The mailbox is gone"),
    (DEAD, "550 5.2.1 The email account that you tried to reach is disabled."),
    (DEAD, "550 No such user here"),
    (DEAD, "550 5.7.1 Unknown recipient"),
    (DEAD, "554 delivery error: This user doesn't have a yahoo.com account"),
    # one failure of several: it may be dead, or it may not
    (FAILED, "550 Requested action not taken: mailbox unavailable"),
    (FAILED, "550 Not here"),
    (FAILED, "551 User not local"),
    (FAILED, "550 5.1.0 Address rejected"),
    (FAILED, "550 5.1.4 Ambiguous"),
    (FAILED, "550 5.1.2 No such domain"),
    (FAILED, "550 5.2.1 This account is temporarily suspended"),
    (FAILED, "550 5.2.0 Something about the mailbox"),
    (FAILED, "552 5.2.2 Over quota"),
    (FAILED, "452 4.2.2 Mailbox full"),
    (FAILED, "450 4.1.1 No such user yet"),
    # nothing about the address
    (NOTHING, "550 5.7.1 Message refused by policy"),
    (NOTHING, "550 5.7.1 Blocked, see https://www.spamhaus.org/"),
    (NOTHING, "550 5.7.26 Unauthenticated mail is not accepted from this domain"),
    (NOTHING, "550 5.7.1 Relaying denied"),
    (NOTHING, "554 5.7.1 Looks like spam"),
    (NOTHING, "552 5.3.4 Message too big"),
    (NOTHING, "550 5.6.0 Bad header"),
    (NOTHING, "451 4.7.1 Greylisted"),
    (NOTHING, "450 4.7.1 Too much mail from you"),
    (NOTHING, "550 5.4.5 Daily user sending limit exceeded"),
    (NOTHING, "452 4.3.1 Disk full"),
    (NOTHING, "421 4.3.2 No such user, going down"),
    (NOTHING, "530 5.7.0 Authenticate first"),
    (NOTHING, "503 5.5.1 Bad sequence"),
    (NOTHING, "553 5.1.8 Sender unknown"),
]


@pytest.mark.parametrize(("expected", "text"), REPLIES, ids=lambda each: str(each)[:60])
def test_reply_to_rcpt_says_of_the_address(expected: Finding | None, text: str) -> None:
    assert finding(said(text)) is expected


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample[4][:60])
def test_only_what_is_about_the_mailbox_condemns_it(sample: list[str]) -> None:
    found = finding(said(sample[4].replace("\\n", "\n")))
    if found is DEAD:
        assert sample[:2] in (["mailbox_unknown", "p"], ["mailbox_disabled", "p"])
    elif found is FAILED:
        assert sample[0].startswith("mailbox_") or sample[0] in ("domain_unknown", "other")


@pytest.mark.parametrize("text", [text for expected, text in REPLIES if expected is DEAD])
def test_answer_to_the_content_condemns_nobody_as_others_may_share_it(text: str) -> None:
    assert finding(said(text, Phase.FINAL)) in (FAILED, NOTHING)


def test_answer_to_mail_is_about_the_sender() -> None:
    assert finding(said("550 5.1.1 No such user here", Phase.MAIL)) is NOTHING


def test_domain_that_is_not_in_dns_is_a_failure_and_dns_trouble_is_not() -> None:
    gone = outcome.resolve_failed(True, outcome.codes.BAD_SYSTEM, "example.com does not exist")
    trouble = outcome.resolve_failed(False, outcome.codes.DIRECTORY_FAILURE, "no answer")
    assert finding(evidence_in(gone)) is FAILED
    assert finding(evidence_in(trouble)) is NOTHING


def test_rule_of_the_operator_counts_first() -> None:
    vague = said("550 Nope")
    assert finding(vague) is FAILED
    assert finding(vague, [own(Category.MAILBOX_UNKNOWN)]) is DEAD
    assert finding(vague, [own(Category.POLICY)]) is NOTHING
    assert finding(said("550 5.1.1 Nope"), [own(Category.CONTENT)]) is NOTHING


@pytest.mark.parametrize(
    ("status", "expected"), [("5.1.1", DEAD), ("5.2.2", FAILED), ("5.7.1", NOTHING), ("4.4.7", FAILED)]
)
def test_report_with_a_status_alone_is_judged_by_it(status: str, expected: Finding | None) -> None:
    assert finding(Evidence(category=Category.OTHER, phase=Phase.RCPT, status=status)) is expected


def test_words_of_a_report_say_more_than_its_status() -> None:
    blocked = Evidence(
        category=Category.OTHER, phase=Phase.RCPT, status="5.1.1", error="failed: Blocked as spam"
    )
    assert finding(blocked) is NOTHING


@pytest.mark.parametrize(
    ("days", "expected"), [((0, 1), False), ((0, 1, 2.9), False), ((0, 1, 3), True), ((0, 3), False)]
)
def test_three_failures_over_three_days_are_enough(days: tuple[float, ...], expected: bool) -> None:
    assert enough([round(each * DAY) for each in days]) is expected


# --- judging again ----------------------------------------------------------------------------
def test_entry_stands_as_long_as_the_rule_would_make_it() -> None:
    dead, three = said("550 5.1.1 Nope"), (0, DAY, 3 * DAY)
    assert refuted(entry(dead)) is None
    assert refuted(entry(dead), [own(Category.POLICY)]) == "policy says nothing about the address"
    assert refuted(entry(said("550 Nope"))) == (
        "mailbox_unknown says not for certain that the address is dead"
    )
    full = replace(said("552 5.2.2 Full"), failures=three)
    assert refuted(entry(full, Cause.FAILURES)) is None
    assert refuted(entry(replace(full, failures=(0, 1)), Cause.FAILURES)) == (
        "not enough messages failed, or not for long"
    )
    blocked = replace(said("550 5.7.1 Blocked"), failures=three)
    assert refuted(entry(blocked, Cause.FAILURES)) == "policy says nothing about the address"


def test_what_people_and_complaints_put_there_is_not_judged() -> None:
    for cause in (Cause.MANUAL, Cause.IMPORT, Cause.COMPLAINT):
        assert refuted(entry(said("550 5.7.1 Blocked"), cause)) is None
    assert refuted(entry(None)) is None


@given(
    st.builds(
        Evidence,
        category=st.sampled_from(Category),
        phase=st.none() | st.sampled_from([each.value for each in Phase]),
        reply=st.none() | st.just("550 5.1.1 No"),
        status=st.none() | st.just("5.1.1"),
        error=st.none() | st.text(min_size=1),
        failures=st.lists(st.integers(0, 2**50), max_size=4).map(tuple),
    )
)
def test_evidence_is_read_as_it_was_written(evidence: Evidence) -> None:
    assert evidence_of(evidence_json(evidence)) == evidence
