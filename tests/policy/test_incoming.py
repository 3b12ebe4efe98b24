"""What follows from a message that came in, for whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bounces import bounce, complaint, told
from support.incoming import names, read

from mailqueue.mail import incoming
from mailqueue.model.incoming import Match, MatchedBy, Sent
from mailqueue.model.lifecycle import Feedback, State
from mailqueue.policy import incoming as policy

ANN = Sent(
    id=1,
    submission_id=1,
    account_id=1,
    sender="shop@example.org",
    recipient="ann@example.net",
    orcpt="rfc822;annie@old.example",
    state=State.DELIVERED,
    feedback=None,
)
BOB = replace(ANN, id=2, recipient="bob@example.net", orcpt=None)


def judged(
    raw: bytes, *found: Sent, by: MatchedBy = MatchedBy.ENVID, recipient: str | None = None
) -> Match | None:
    reading = incoming.read(raw)
    came_to = policy.return_addresses(reading, recipient)
    return policy.judge(reading, by, found, policy.clues(reading, came_to, frozenset()))


def followed(raw: bytes, *found: Sent, **more: object) -> list[tuple[int, str | None, str | None]]:
    match = judged(raw, *found, **more)  # type: ignore[arg-type]
    assert match is not None
    return [
        (each.message.id, each.event and each.event.event.value, each.feedback and each.feedback.value)
        for each in match.follows
    ]


# --- by what it may be matched ----------------------------------------------------------------
ONE, TWO = "5r0c5z9jt0p3k4q8w2xy", "0123456789abcdefghij"


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        (f"shop+{ONE}@example.org", (ONE,)),
        (f"SHOP+{ONE.upper()}@EXAMPLE.ORG", (ONE,)),  # some system changed the case
        (f"shop+news+{ONE}@example.org", (ONE,)),  # the local part has one of its own
        (f"shop-{ONE}@example.org", (ONE,)),
        (f'"two words+{ONE}"@example.org', (ONE,)),
        ("shop@example.org", ()),
        ("shop+news@example.org", ()),
        ("no address", ()),
        ("", ()),
    ],
)
def test_unique_part_of_a_return_address_is_what_follows_its_separator(
    recipient: str, expected: tuple[str, ...]
) -> None:
    reading = incoming.read(b"Subject: x\r\n\r\n")
    came_to = policy.return_addresses(reading, recipient)
    assert policy.clues(reading, came_to, frozenset("+-")).fromids == expected


def test_address_of_the_envelope_comes_before_those_of_the_header() -> None:
    reading = incoming.read(f"Delivered-To: shop+{TWO}@example.org\r\n\r\n".encode())
    came_to = policy.return_addresses(reading, f"shop+{ONE}@example.org")
    assert policy.clues(reading, came_to, frozenset("+")).fromids == (ONE, TWO)


def test_what_else_leads_to_the_mail_is_told_with_the_addresses_as_they_may_be_stored() -> None:
    reading = incoming.read(bounce(told("Ann@Example.NET"), envid="order-1", message_id="<1@example.org>"))
    found = policy.clues(reading, (), frozenset())
    assert (found.envelope_id, found.message_ids[0]) == ("order-1", "<1@example.org>")
    assert found.recipients == ("Ann@example.net", "ann@example.net")


def test_large_report_is_heeded_up_to_a_limit() -> None:
    raw = bounce(*(f"r{n}@example.net" for n in range(500)), envid="order-1")
    assert len(policy.clues(incoming.read(raw), (), frozenset()).recipients) == policy.MOST_RECIPIENTS


# --- which message ----------------------------------------------------------------------------
def test_report_is_about_the_message_to_the_recipient_that_it_names() -> None:
    assert followed(bounce("bob@example.net"), ANN, BOB) == [(2, "failed", "bounced")]
    assert followed(bounce("BOB@EXAMPLE.NET"), ANN, BOB) == [(2, "failed", "bounced")]


def test_original_recipient_names_the_message_where_the_final_one_is_another() -> None:
    for original in ("ann@example.net", "annie@old.example"):
        raw = bounce(told("forwarded@elsewhere.example", original=original))
        assert followed(raw, BOB, ANN) == [(1, "failed", "bounced")]


def test_report_about_somebody_else_is_about_none_of_several_messages() -> None:
    match = judged(bounce("zoe@example.com"), ANN, BOB)
    assert match is not None
    assert (match.submission_id, match.follows) == (1, ())


def test_report_about_somebody_else_is_about_the_only_message_that_there_is() -> None:
    match = judged(bounce("forwarded@elsewhere.example"), ANN)
    assert match is not None
    [learnt] = match.learnt
    assert (learnt.address, learnt.named, learnt.status) == ("ann@example.net", False, "5.1.1")


def test_report_about_somebody_else_is_about_none_of_several_submissions_with_one_name() -> None:
    """Each has one message: the report may mean any of them."""
    for raw in (bounce("zoe@example.com"), complaint(), b"Subject: Re: x\r\n\r\n"):
        match = judged(raw, replace(BOB, submission_id=2), ANN, by=MatchedBy.MESSAGE_ID)
        assert match is not None
        assert match.follows == ()


def test_unique_return_address_tells_the_message_whatever_the_report_names() -> None:
    assert followed(bounce("zoe@example.com"), BOB, by=MatchedBy.FROMID) == [(2, "failed", "bounced")]


def test_several_recipients_of_a_report_are_each_told() -> None:
    raw = bounce("ann@example.net", told("bob@example.net", "delayed", status="4.4.1"))
    assert followed(raw, ANN, BOB) == [(1, "failed", "bounced"), (2, "delayed", None)]


def test_newest_message_to_the_recipient_is_meant_where_one_account_used_a_name_twice() -> None:
    newer = replace(ANN, id=9, submission_id=3)
    assert followed(bounce("ann@example.net"), newer, ANN) == [(9, "failed", "bounced")]


def test_of_two_accounts_with_one_name_it_is_the_one_whose_sender_it_came_to() -> None:
    other = replace(ANN, id=9, submission_id=3, account_id=2, sender="office@example.com")
    raw = bounce("ann@example.net", to="nobody@example.org")
    assert judged(raw, other, ANN) is None
    assert followed(raw, other, ANN, recipient="Shop@Example.org") == [(1, "failed", "bounced")]


# --- what follows -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("action", "event", "feedback"),
    [
        ("failed", "failed", "bounced"),
        ("delayed", "delayed", None),
        ("delivered", "delivered", None),
        ("relayed", "relayed", None),
        ("expanded", "expanded", None),
    ],
)
def test_each_action_of_a_report_is_told_by_its_own_event(
    action: str, event: str, feedback: str | None
) -> None:
    raw = bounce(told("ann@example.net", action))
    assert followed(raw, ANN) == [(1, event, feedback)]
    match = judged(raw, ANN)
    assert match is not None
    [follows] = match.follows
    assert follows.event is not None
    assert follows.event.data is not None
    assert follows.event.data["dsn"] is True
    assert (follows.learnt is not None) is (action == "failed")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.QUEUED, (1, "failed", None)),  # an answer was lost: it is tried again, nothing is lost
        (State.CLAIMED, (1, "failed", None)),
        (State.CANCELED, (1, "failed", None)),
        (State.FAILED, (1, None, None)),  # we have told that ourselves
        (State.EXPIRED, (1, None, None)),
    ],
)
def test_failure_of_a_message_that_was_not_delivered_is_no_bounce(
    state: State, expected: tuple[int, str | None, str | None]
) -> None:
    assert followed(bounce("ann@example.net"), replace(ANN, state=state)) == [expected]


def test_what_is_known_is_not_told_again() -> None:
    bounced = replace(ANN, feedback=Feedback.BOUNCED)
    complained = replace(ANN, feedback=Feedback.COMPLAINED)
    assert followed(bounce("ann@example.net"), bounced) == [(1, None, "bounced")]
    assert followed(complaint("ann@example.net"), complained) == [(1, None, "complained")]
    assert followed(complaint("ann@example.net"), bounced) == [(1, "complained", "complained")]


def test_complaint_is_of_the_recipient_that_it_names_or_the_only_one() -> None:
    assert followed(complaint("bob@example.net"), ANN, BOB) == [(2, "complained", "complained")]
    assert followed(complaint("redacted@example.net"), ANN) == [(1, "complained", "complained")]
    assert followed(complaint(), ANN) == [(1, "complained", "complained")]
    match = judged(complaint("redacted@example.net"), ANN, BOB)
    assert match is not None
    assert match.follows == ()


def test_complaint_tells_what_was_learnt_of_its_recipient() -> None:
    match = judged(complaint("ann@example.net", kind="fraud"), ANN)
    assert match is not None
    [learnt] = match.learnt
    assert (learnt.complaint, learnt.status, learnt.address) == ("fraud", None, "ann@example.net")
    assert (learnt.named, learnt.text) == (True, "fraud, reported by dns; mx.example.net")


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure"])
def test_feedback_that_is_no_complaint_is_told_as_unrecognized(kind: str) -> None:
    raw = complaint("ann@example.net", kind=kind)
    assert followed(raw, ANN) == [(1, "unrecognized", None)]
    match = judged(raw, ANN)
    assert match is not None
    assert match.learnt == ()


@pytest.mark.parametrize("name", names("others"))
def test_what_is_no_report_is_never_taken_for_a_bounce(name: str) -> None:
    raw = read("others", name)
    for found, by in ((ANN, MatchedBy.FROMID), (ANN, MatchedBy.MESSAGE_ID)):
        assert followed(raw, found, by=by) == [(1, "unrecognized", None)]
    match = judged(raw, ANN, BOB, by=MatchedBy.MESSAGE_ID)
    assert match is not None
    assert (match.follows, match.learnt) == ((), ())
