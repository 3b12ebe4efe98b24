"""What comes back about mail that went out, from the first octet to the history of a message."""

from __future__ import annotations

import asyncio
import io
import logging
import random
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from support.bounces import BOUNCES, bounce, complaint, told
from support.clock import ManualClock
from support.incoming import names, read, table
from support.receiver import Receiver

from mailqueue import AsyncQueue, Engine, Queue, Submission
from mailqueue.clock import DAY
from mailqueue.engine.sweep import purge
from mailqueue.errors import NotFound, SettingError
from mailqueue.mail.mime import MAX_MESSAGE

SHOP = f"shop@{BOUNCES}"
LUNCH = "<lunch.1@example.org>"
"""The Message-ID of the mail that the stored messages are about."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with Queue(tmp_path / "queue.db") as opened:
        yield opened


def deliver(queue: Queue, receiver: Receiver, *to: str, **options: object) -> Submission:
    """Submit a letter, and deliver what is due."""
    message = EmailMessage()
    message["From"], message["Subject"] = SHOP, "Your order"
    if "message_id" in options:
        message["Message-ID"] = options.pop("message_id")
    message.set_content("It is on its way.\n")
    submission = queue.submit(message, recipients=to, **options)  # type: ignore[arg-type]
    asyncio.run(Engine(queue, relay=f"127.0.0.1:{receiver.port}").run(once=True))
    return submission


def what(queue: Queue, message_id: int = 1) -> list[str]:
    return [each.what for each in queue.timeline(message_id)]


# --- bounces ----------------------------------------------------------------------------------
def test_mail_that_was_taken_and_comes_back_has_bounced(queue: Queue, receiver: Receiver) -> None:
    submission = deliver(queue, receiver, "ann@example.net", "bob@example.net", envid="order-1")
    came = queue.incoming(bounce("bob@example.net", envid="order-1"), recipient=SHOP, sender="")
    ann, bob = submission.messages
    assert (came.kind, came.matched_by, came.messages) == ("bounce", "envid", (bob.id,))
    assert came.summary == "bob@example.net failed at mx.example.net: 550 5.1.1 no such user"
    [event] = came.events
    assert (event.event, event.data["dsn"], event.data["status"]) == ("failed", True, "5.1.1")
    found = queue.show(bob.id)
    assert (found.state, found.feedback) == ("delivered", "bounced")
    assert queue.show(ann.id).feedback is None
    assert what(queue, bob.id) == ["submitted", "attempted", "delivered", "incoming", "failed"]
    assert queue.retired.show(bob.id) == found
    assert list(queue.check_integrity()) == []


def test_message_id_of_the_returned_header_leads_to_the_mail(queue: Queue, receiver: Receiver) -> None:
    submission = deliver(queue, receiver, "ann@example.net", "bob@example.net")
    came = queue.incoming(bounce("ann@example.net", message_id=submission.message_id))
    assert (came.matched_by, came.messages) == ("message-id", (1,))


def test_return_address_of_its_own_goes_before_all_else(queue: Queue, receiver: Receiver) -> None:
    queue.accounts.set("default", fromid=True)
    _, bob = deliver(queue, receiver, "ann@example.net", "bob@example.net", envid="order-1").messages
    assert bob.fromid is not None
    raw = bounce("ann@example.net", envid="order-1")
    came = queue.incoming(raw, recipient=f"shop+{bob.fromid.upper()}@{BOUNCES}")
    assert (came.matched_by, came.messages) == ("fromid", (2,))


def test_return_address_is_known_by_each_separator_that_is_set(queue: Queue, receiver: Receiver) -> None:
    queue.accounts.set("default", fromid=True)
    (ann,) = deliver(queue, receiver, "ann@example.net").messages
    for separator in ("+", "-"):
        queue.sender_domains.set(BOUNCES, separator="-")
        came = queue.incoming(bounce("redacted@example.net", to=f"shop{separator}{ann.fromid}@{BOUNCES}"))
        assert (came.matched_by, came.messages) == ("fromid", (1,))


def test_clue_that_leads_nowhere_is_passed_over(queue: Queue, receiver: Receiver) -> None:
    first = deliver(queue, receiver, "ann@example.net", envid="order-1")
    deliver(queue, receiver, "bob@example.net", "carl@example.net", envid="order-2")
    raw = bounce("ann@example.net", envid="order-2", message_id=first.message_id)
    came = queue.incoming(raw, recipient=f"shop+nobody@{BOUNCES}")
    assert (came.matched_by, came.messages) == ("message-id", (1,))


def test_same_report_twice_changes_nothing_twice(queue: Queue, receiver: Receiver) -> None:
    deliver(queue, receiver, "ann@example.net", envid="order-1")
    raw = bounce("ann@example.net", envid="order-1")
    first, again = queue.incoming(raw, recipient=SHOP), queue.incoming(raw, recipient=SHOP)
    assert (first.replayed, again.replayed, again.id) == (False, True, first.id)
    assert again.events == first.events
    queue.incoming(raw + b"\r\n", recipient=SHOP)  # it came by another way
    assert what(queue).count("failed") == 1
    assert what(queue).count("incoming") == 2


def test_delays_and_successes_are_told_and_are_no_feedback(queue: Queue, receiver: Receiver) -> None:
    deliver(queue, receiver, "ann@example.net", envid="order-1")
    for action in ("delayed", "relayed", "expanded", "delivered"):
        queue.incoming(bounce(told("ann@example.net", action, status="2.0.0"), envid="order-1"))
    assert what(queue)[4::2] == ["delayed", "relayed", "expanded", "delivered"]
    assert set(what(queue)[3::2]) == {"incoming"}
    assert queue.show(1).feedback is None


def test_report_about_a_message_in_the_queue_loses_nothing(queue: Queue, receiver: Receiver) -> None:
    queue.submit(b"From: a@example.org\r\n\r\nx\r\n", recipients=["ann@example.net"], envid="order-1")
    queue.hold(1)
    before = queue.show(1)
    came = queue.incoming(bounce("ann@example.net", envid="order-1"))
    assert [each.event.value for each in came.events] == ["failed"]
    assert queue.show(1) == before
    queue.release(1)
    asyncio.run(Engine(queue, relay=f"127.0.0.1:{receiver.port}").run(once=True))
    assert (queue.show(1).state, queue.show(1).feedback) == ("delivered", None)


def test_failure_that_we_told_ourselves_is_not_told_again(queue: Queue, receiver: Receiver) -> None:
    """The notice of an account with `notices=queue` may come back to our own return address."""
    deliver(queue, receiver, "unknown@example.net")
    [notice] = queue.notices(1)
    came = queue.incoming(notice.content, recipient=SHOP, sender="")
    assert (came.matched_by, came.messages, came.events) == ("message-id", (1,), ())
    assert what(queue) == ["submitted", "attempted", "failed", "incoming"]
    assert queue.show(1).feedback is None


def test_bounce_is_posted_to_the_account_s_webhook(queue: Queue, receiver: Receiver) -> None:
    deliver(queue, receiver, "ann@example.net", envid="order-1")
    queue.webhooks.set(url="http://127.0.0.1:1/hook", allow_private=True, new_secret=True)
    queue.incoming(bounce("ann@example.net", envid="order-1"))
    queue.incoming(complaint("ann@example.net", envid="order-1"))
    assert [each.event.value for each in queue.webhooks.list().items] == ["failed", "complained"]
    assert '"dsn":true' in queue.webhooks.show(1).payload.replace(" ", "")


# --- the others -------------------------------------------------------------------------------
def test_complaint_is_the_feedback_and_stays(queue: Queue, receiver: Receiver) -> None:
    deliver(queue, receiver, "ann@example.net", envid="order-1")
    came = queue.incoming(complaint("ann@example.net", envid="order-1"))
    assert [(each.event.value, each.data["type"]) for each in came.events] == [("complained", "abuse")]
    queue.incoming(bounce("ann@example.net", envid="order-1"))
    assert queue.show(1).feedback == "complained"


def test_answer_of_a_person_is_told_as_unrecognized(queue: Queue, receiver: Receiver) -> None:
    submission = deliver(queue, receiver, "ann@example.net")
    reply = f"From: ann@example.net\r\nIn-Reply-To: {submission.message_id}\r\n\r\nThanks.\r\n"
    came = queue.incoming(reply.encode(), recipient=SHOP, sender="ann@example.net")
    assert (came.kind, came.matched_by, came.messages) == ("ordinary", "message-id", (1,))
    assert [(each.event.value, each.data["kind"]) for each in came.events] == [("unrecognized", "ordinary")]
    assert queue.show(1).feedback is None


def test_what_is_about_no_mail_is_kept_and_said_in_the_log(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "mailqueue.incoming"):
        came = queue.incoming(bounce("ann@example.net", envid="order-1"), recipient=SHOP)
        queue.incoming(b"Subject: Buy this\r\n\r\n" + b"x" * 100_000, recipient=SHOP)
    assert (came.matched_by, came.submission_id, came.messages) == (None, None, ())
    assert [record.getMessage() for record in caplog.records if came.correlation in record.getMessage()] == [
        f"{came.correlation}: bounce came in, matched by nothing, about messages: none",
        f"{came.correlation}: bounce is about no mail that is known here",
    ]
    spam, known = queue.incoming_mail.list(matched=False).items
    assert (spam.kind, known) == ("ordinary", queue.incoming_mail.list(matched=False).items[1])
    assert len(queue.incoming_mail.show(spam.id).content) == 4096
    assert queue.incoming_mail.show(came.id).content == bounce("ann@example.net", envid="order-1")


def test_faults_of_a_report_are_logged_under_its_name(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mailqueue.incoming"):
        came = queue.incoming(read("bounces", "activehunter"))
    start = f"{came.correlation}: fault in a report: it has no delivery status"
    assert any(record.getMessage().startswith(start) for record in caplog.records)


# --- everything that was ever met -------------------------------------------------------------
@pytest.fixture(scope="module")
def lunch(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Queue]:
    """A queue that has sent the mail that the stored messages are about."""
    with Queue(tmp_path_factory.mktemp("lunch") / "queue.db") as queue:
        deliver(queue, receiver, "anna@example.com", "bert@example.com", message_id=LUNCH)
        yield queue


@pytest.mark.parametrize("name", names("bounces"))
def test_bounce_of_any_writer_leads_to_the_mail_that_it_returns(name: str, lunch: Queue) -> None:
    _, recipients, _, message_id = table("bounces")[name]
    came = lunch.incoming(read("bounces", name))
    assert came.kind == "bounce"
    named = [each for each in ("anna@example.com", "bert@example.com") if each in recipients.lower()]
    if message_id == LUNCH:
        assert set(named) <= {lunch.show(each).recipient for each in came.messages}


@pytest.mark.parametrize("name", names("complaints"))
def test_complaint_of_any_reporter_is_taken(name: str, lunch: Queue) -> None:
    assert lunch.incoming(read("complaints", name)).kind == "complaint"


@pytest.mark.parametrize("name", names("others"))
def test_nothing_else_is_ever_taken_for_a_failure(name: str, lunch: Queue) -> None:
    came = lunch.incoming(read("others", name))
    assert came.kind == table("others")[name][0]
    assert {each.event.value for each in came.events} <= {"unrecognized"}


# --- hostile ----------------------------------------------------------------------------------
HOSTILE = {
    "nothing": b"",
    "no header": b"\x00" * 1000,
    "octets of every value": bytes(range(256)) * 100,
    "lone surrogates": b"Subject: \xed\xa0\x80\r\nIn-Reply-To: <\xed\xb0\x80@\xff> <\xed\xa0\x80@x>\r\n\r\n",
    "a header without end": b"X: " + b"y" * 2_000_000,
    "many fields": b"To: a+b@example.org\r\n" * 5000 + b"\r\n",
    "many message ids": b"References: " + b"<a@example.org> " * 5000 + b"\r\n\r\n",
    "controls in the address": b"Delivered-To: \x1b[2J+x@example.org\r\n\r\n",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_octets_are_taken_as_what_they_are(raw: bytes, queue: Queue) -> None:
    came = queue.incoming(raw, recipient="\x1b]0;x\x07\ud800" + "a" * 5000, sender="\ud800")
    assert came.messages == ()
    assert (came.recipient or "").isprintable()
    assert queue.incoming(raw).matched_by is None
    assert queue.incoming_mail.show(came.id).size == len(raw)
    assert list(queue.check_integrity()) == []


@pytest.mark.parametrize("seed", range(40))
def test_report_with_octets_changed_by_chance_is_taken(seed: int, lunch: Queue) -> None:
    chance = random.Random(seed)
    raw = bytearray(bounce("anna@example.com", envid="x", message_id=LUNCH))
    for _ in range(40):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    lunch.incoming(bytes(raw))
    assert lunch.show(1).state == "delivered"


def test_report_of_many_recipients_is_heeded_up_to_a_limit(queue: Queue, receiver: Receiver) -> None:
    to = [f"r{n}@example.net" for n in range(150)]
    deliver(queue, receiver, *to, envid="order-1")
    came = queue.incoming(bounce(*to, envid="order-1"))
    assert came.messages == tuple(range(1, 101))


def test_what_is_beyond_the_limit_is_not_looked_at(queue: Queue, receiver: Receiver) -> None:
    deliver(queue, receiver, "ann@example.net", envid="order-1")
    raw = bounce("ann@example.net", envid="order-1") + b"x" * (9 * 2**20)
    came = queue.incoming(io.BytesIO(raw))
    assert (came.messages, came.size) == ((1,), MAX_MESSAGE)
    assert queue.incoming(raw).replayed
    assert len(queue.incoming_mail.show(came.id).content) == 64 * 1024


def test_text_is_no_message(queue: Queue) -> None:
    for raw in (io.StringIO("Subject: x\n"), "Subject: x\n", EmailMessage()):
        with pytest.raises(TypeError, match=r"octets|bytes"):
            queue.incoming(raw)  # type: ignore[arg-type]


# --- looking, and the end ---------------------------------------------------------------------
def test_what_cannot_be_asked_for_says_so(queue: Queue) -> None:
    with pytest.raises(SettingError, match="limit"):
        queue.incoming_mail.list(limit=0)
    with pytest.raises(NotFound, match="no account"):
        queue.incoming_mail.list(account="nobody")
    with pytest.raises(NotFound):
        queue.incoming_mail.show(7)


def test_what_came_in_goes_with_its_mail_or_after_30_days(tmp_path: Path, receiver: Receiver) -> None:
    clock = ManualClock()
    with Queue(tmp_path / "queue.db", clock=clock) as queue:
        deliver(queue, receiver, "ann@example.net", envid="order-1")
        queue.incoming(bounce("ann@example.net", envid="order-1"))
        queue.incoming(bounce("zoe@example.net"))
        asyncio.run(purge(queue.store, clock.now() + 29 * DAY))
        assert len(queue.incoming_mail.list().items) == 2
        asyncio.run(purge(queue.store, clock.now() + 31 * DAY))
        assert queue.incoming_mail.list().items == ()


def test_many_at_once_are_each_taken_once(tmp_path: Path, receiver: Receiver) -> None:
    async def story() -> None:
        async with AsyncQueue(tmp_path / "queue.db") as queue:
            raw = [bounce(f"r{n % 20}@example.net", envid="order-1") for n in range(60)]
            came = await asyncio.gather(*(queue.incoming(each, recipient=SHOP) for each in raw))
            assert sorted({each.id for each in came}) == list(range(1, 21))
            assert sum(not each.replayed for each in came) == 20
            assert (await queue.incoming_mail.show(1)).recipient == SHOP

    with Queue(tmp_path / "queue.db") as queue:
        deliver(queue, receiver, *(f"r{n}@example.net" for n in range(20)), envid="order-1")
    asyncio.run(story())
    with Queue(tmp_path / "queue.db") as queue:
        assert {queue.show(each).feedback for each in range(1, 21)} == {"bounced"}
        assert list(queue.check_integrity()) == []
