"""What every store promises about what comes in: found by names, written once, gone with its mail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.stored import (
    NOON,
    at,
    claim,
    clean,
    deferred,
    delivered,
    engine,
    events,
    message,
    new,
    settle,
    submit,
)

from mailqueue.clock import DAY
from mailqueue.errors import NotFound, SettingError
from mailqueue.model.events import EventKind
from mailqueue.model.incoming import Follows, Incoming, Match, MatchedBy, NewIncoming, Sent
from mailqueue.model.lifecycle import Feedback
from mailqueue.model.settlement import NewEvent
from mailqueue.store.base import Store


def came(digest: bytes = b"1", recipient: str | None = "shop@example.org", now: int = NOON) -> NewIncoming:
    return NewIncoming(
        at=now,
        recipient=recipient,
        kind="bounce",
        summary="b@example.net failed",
        digest=digest,
        size=9,
        content=b"Subject: ",
        correlation="k7x2",
        actor="python:test",
    )


def sent(
    store: Store, name: str = "<1@example.org>", *recipients: str, by: MatchedBy = MatchedBy.MESSAGE_ID
) -> list[Sent]:
    return store.run(lambda transaction: transaction.sent(by, [name], recipients))


def about(found: Sent, event: EventKind = EventKind.FAILED, feedback: Feedback | None = None) -> Match:
    follows = Follows(message=found, event=NewEvent(event=event, reason="no such user"), feedback=feedback)
    return Match(by=MatchedBy.MESSAGE_ID, submission_id=found.submission_id, account_id=1, follows=(follows,))


def take(store: Store, new: NewIncoming, match: Match | None = None) -> Incoming:
    return store.run(lambda transaction: transaction.take_incoming(new, match))


def done(store: Store, *recipients: str, now: int = NOON) -> None:
    """Submit and deliver."""
    submit(store, *recipients)
    settle(store, *(delivered(each, now) for each in claim(store, engine(store), now)))


# --- finding ----------------------------------------------------------------------------------
def test_messages_are_found_by_the_message_id_and_the_envid_of_their_submission(store: Store) -> None:
    submit(store, "b@example.net")
    store.run(lambda transaction: transaction.submit(replace(new("c@example.net"), envid="order-1")))
    [by_envid] = sent(store, "order-1", by=MatchedBy.ENVID)
    assert (by_envid.recipient, by_envid.state, by_envid.feedback) == ("c@example.net", "queued", None)
    newest_first = [each.recipient for each in sent(store)]
    assert newest_first == ["c@example.net", "b@example.net"]
    assert sent(store, "<2@example.org>") == sent(store, "order-2", by=MatchedBy.ENVID) == []
    assert sent(store, "k7x2", by=MatchedBy.FROMID) == []


def test_likeliest_name_that_is_known_counts(store: Store) -> None:
    submit(store, "b@example.net")
    names = ["<none@example.org>", "<1@example.org>", "<other@example.org>"]
    found = store.run(lambda transaction: transaction.sent(MatchedBy.MESSAGE_ID, names, []))
    assert [each.id for each in found] == [1]


def test_recipient_of_a_large_submission_is_found(store: Store) -> None:
    submit(store, *(f"r{n}@example.net" for n in range(1000)))
    submit(store, "r900@example.net")
    found = sent(store, "<1@example.org>", "r900@example.net", "nobody@example.com")
    assert {each.id for each in found if each.recipient == "r900@example.net"} == {901, 1001}
    assert len(found) < 300


# --- writing ----------------------------------------------------------------------------------
def test_what_came_in_is_written_with_what_follows(store: Store) -> None:
    done(store, "b@example.net")
    [found] = sent(store)
    taken = take(store, came(), about(found, feedback=Feedback.BOUNCED))
    assert (taken.id, taken.kind, taken.messages, taken.account) == (1, "bounce", (1,), "default")
    assert (taken.matched_by, taken.submission_id) == (MatchedBy.MESSAGE_ID, 1)
    [event] = taken.events
    assert (event.event, event.data, event.reason) == ("failed", {"incoming": 1}, "no such user")
    assert (message(store).state, message(store).feedback) == ("delivered", "bounced")
    assert events(store) == ["delivered", "failed"]
    assert store.read(lambda reader: reader.incoming(1)) == replace(taken, content=b"Subject: ")
    assert store.read(lambda reader: reader.incoming_about(1)) == [replace(taken, events=())]
    assert clean(store)


def test_same_octets_for_the_same_address_are_known(store: Store) -> None:
    for recipient in ("shop@example.org", None):
        taken = take(store, came(recipient=recipient))
        again = store.run(
            lambda transaction, recipient=recipient: transaction.known_incoming(b"1", recipient)  # type: ignore[misc]
        )
        assert again == replace(taken, replayed=True)
    for digest, recipient in ((b"2", "shop@example.org"), (b"1", "other@example.org")):
        assert store.run(lambda transaction: transaction.known_incoming(digest, recipient)) is None  # noqa: B023


def test_complaint_stays_whatever_comes_after_it(store: Store) -> None:
    done(store, "b@example.net")
    [found] = sent(store)
    for number, (kind, feedback) in enumerate(
        [
            (EventKind.FAILED, Feedback.BOUNCED),
            (EventKind.COMPLAINED, Feedback.COMPLAINED),
            (EventKind.FAILED, Feedback.BOUNCED),
            (EventKind.UNRECOGNIZED, None),
        ]
    ):
        take(store, came(bytes([number])), about(found, kind, feedback))
    assert message(store).feedback == "complained"
    assert clean(store)


def test_message_in_the_queue_gets_the_event_and_goes_on_as_it_would(store: Store) -> None:
    submit(store, "b@example.net")
    [own] = claim(store, engine(store))
    settle(store, deferred(own, at(1), again=at(60)))
    before = message(store)
    take(store, came(), about(sent(store)[0], feedback=Feedback.BOUNCED))
    assert message(store) == before
    assert events(store) == ["failed"]
    [again] = claim(store, engine(store), at(60))
    settle(store, delivered(again, at(61)))
    assert message(store).state == "delivered"
    assert clean(store)


# --- looking ----------------------------------------------------------------------------------
def page(store: Store, **which: object) -> tuple[list[int], str | None]:
    wanted = {"limit": 2, "after": None, "account": None, "matched": None, **which}
    found = store.read(lambda reader: reader.incoming_page(**wanted))  # type: ignore[arg-type]
    return [each.id for each in found.items], found.next


def test_what_came_in_is_listed_page_by_page_the_last_first(store: Store) -> None:
    done(store, "b@example.net")
    for number in range(4):
        take(store, came(bytes([number])), about(sent(store)[0]) if number == 1 else None)
    assert page(store) == ([4, 3], "3")
    assert page(store, after="3") == ([2, 1], None)
    assert page(store, matched=True) == page(store, account="default") == ([2], None)
    assert page(store, matched=False, after="4") == ([3, 1], None)
    assert page(store, account="other") == ([], None)
    for cursor in ("x", "-1", "٣", "9" * 30):
        with pytest.raises(SettingError):
            page(store, after=cursor)


def test_what_never_came_in_and_what_has_been_purged_is_not_found(store: Store) -> None:
    take(store, came())
    store.run(lambda transaction: transaction.purge_incoming(at(1), 10))
    with pytest.raises(NotFound, match="purged"):
        store.read(lambda reader: reader.incoming(1))
    with pytest.raises(NotFound, match="nothing came in as 2"):
        store.read(lambda reader: reader.incoming(2))


# --- purging ----------------------------------------------------------------------------------
def test_what_is_about_no_mail_goes_after_its_time_in_steps(store: Store) -> None:
    done(store, "b@example.net")
    for number in range(5):
        take(store, came(bytes([number]), now=at(number)), about(sent(store)[0]) if number == 0 else None)

    def purge() -> int:
        return store.run(lambda transaction: transaction.purge_incoming(at(4), 2))

    assert [purge(), purge(), purge()] == [2, 1, 0]
    assert page(store) == ([5, 1], None)


def test_what_is_about_mail_goes_with_the_history_of_that_mail(store: Store) -> None:
    done(store, "b@example.net")
    take(store, came(), about(sent(store)[0], feedback=Feedback.BOUNCED))
    assert store.run(lambda transaction: transaction.purge_history(NOON + 31 * DAY, 10)) == 1
    assert page(store) == ([], None)
    assert clean(store)
