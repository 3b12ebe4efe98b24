"""Many messages in one transaction: all of them, or none."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from support.receiver import Receiver

from mailqueue import AsyncQueue, Engine, Queue
from mailqueue.engine import many
from mailqueue.errors import Conflict, InvalidSubmission

LETTER = b"From: shop@example.org\r\nTo: ann@example.net\r\nSubject: Offer\r\n\r\nHello.\r\n"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with Queue(tmp_path / "queue.db") as made:
        yield made
        assert made.check_integrity() == []


def items(count: int, **more: object) -> list[dict[str, Any]]:
    return [
        {"message": LETTER, "recipients": [f"c{number}@example.net"], **more}
        for number in range(1, count + 1)
    ]


def waiting(queue: Queue) -> int:
    return queue.status().queued


def test_all_messages_are_queued_in_their_order(queue: Queue) -> None:
    made = queue.submit_many(items(250))
    assert [each.messages[0].recipient for each in made] == [f"c{n}@example.net" for n in range(1, 251)]
    assert [each.id for each in made] == list(range(1, 251))
    assert waiting(queue) == 250
    assert queue.dump(made[249].messages[0].id).endswith(b"\r\n\r\nHello.\r\n")


def test_a_message_may_come_bare_and_in_every_form_that_submit_takes(queue: Queue) -> None:
    object_ = EmailMessage()
    object_["From"], object_["To"] = "shop@example.org", "bob@example.net"
    made = queue.submit_many(iter([LETTER, object_, io.BytesIO(LETTER), {"message": LETTER, "sender": ""}]))
    assert [each.messages[0].recipient.split("@")[0] for each in made] == ["ann", "bob", "ann", "ann"]
    assert queue.show(made[3].messages[0].id).sender == ""


def test_each_message_has_its_own_arguments(queue: Queue) -> None:
    queue.accounts.add("news")
    made = queue.submit_many(
        [
            {"message": LETTER, "sender": "a@example.org", "schedule": "otp"},
            {"message": LETTER, "account": "news", "recipients": ["x@example.net", "y@example.net"]},
        ],
        actor="nightly",
    )
    first, second = queue.show(made[0].messages[0].id), queue.show(made[1].messages[1].id)
    assert (first.sender, first.schedule, first.account) == ("a@example.org", "otp", "default")
    assert (second.recipient, second.account) == ("y@example.net", "news")


def test_nothing_comes_of_nothing(queue: Queue) -> None:
    seen: list[tuple[int, int | None]] = []
    assert list(queue.submit_many([], progress=lambda done, total: seen.append((done, total)))) == []
    assert seen == [(0, 0)]


def test_delivered_like_any_other_mail(queue: Queue) -> None:
    made = queue.submit_many(items(20))
    with Receiver() as receiver:
        asyncio.run(Engine(queue, relay=f"127.0.0.1:{receiver.port}").run(once=True))
        assert len(receiver.wait(20)) == 20
    assert {queue.show(each.messages[0].id).state for each in made} == {"delivered"}


# --- faults -----------------------------------------------------------------------------------
def test_every_fault_of_every_message_is_told_and_nothing_is_stored(queue: Queue) -> None:
    bad = items(5)
    bad[1]["recipients"] = ["no address", "also none"]
    bad[2]["account"] = "defualt"
    bad[4] |= {"sender": "a@@b", "schedule": "standrad"}
    bad.append({"message": b"From: a@example.org\r\n\r\n\0", "recipients": ["x@example.net"], "sender": "@"})
    with pytest.raises(InvalidSubmission) as caught:
        queue.submit_many(bad)
    faults = caught.value.faults
    assert [fault.split(": ")[0] for fault in faults] == [
        "message 2",
        "message 2",
        "message 3",
        "message 5",
        "message 6",
        "message 6",
    ]
    assert "did you mean 'default'" in faults[2]
    assert waiting(queue) == 0


def test_a_bad_one_behind_large_content_leaves_no_content_behind(queue: Queue) -> None:
    large = LETTER + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 20_000
    with pytest.raises(InvalidSubmission):
        queue.submit_many([large, b"no header at all, no recipient"])
    with sqlite3.connect(queue.path) as raw:
        assert raw.execute("SELECT count(*) FROM mailqueue_content").fetchone() == (0,)
    raw.close()


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"message": LETTER, "recipient": ["a@b.example"]}, "message 2: got an unexpected keyword argument"),
        ({"recipients": ["a@b.example"]}, "message 2: missing a required argument: 'message'"),
        ({"message": LETTER, "actor": "x"}, "message 2: 'actor' is not for one message"),
        ({"message": LETTER, "connection": None}, "message 2: 'connection' is not for one message"),
        ({"message": LETTER, "recipients": "a@b.example"}, "message 2: "),
        ({"message": "text"}, "message 2: a message is"),
        (None, "message 2: a message is"),
    ],
)
def test_what_submit_would_not_take_is_an_error_with_the_number(queue: Queue, item: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        queue.submit_many([LETTER, item])
    assert waiting(queue) == 0


def test_an_iterator_that_breaks_off_stores_nothing(queue: Queue) -> None:
    def broken() -> Iterator[bytes]:
        yield LETTER
        raise OSError("the list is on a broken disk")

    with pytest.raises(OSError, match="broken disk"):
        queue.submit_many(broken())
    assert waiting(queue) == 0


def test_more_than_fits_in_memory_is_refused_before_it_is_all_read(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "MAX_TOTAL", 1000)
    read = []

    def endless() -> Iterator[bytes]:
        while True:
            read.append(1)
            yield LETTER

    with pytest.raises(InvalidSubmission, match="in several calls"):
        queue.submit_many(endless())
    assert len(read) < 20
    monkeypatch.setattr(many, "MAX_MESSAGES", 3)
    with pytest.raises(InvalidSubmission, match="message 4: more than 3 messages"):
        queue.submit_many(items(9))


# --- progress ---------------------------------------------------------------------------------
def test_progress_rises_and_ends_when_all_is_stored(queue: Queue) -> None:
    seen: list[tuple[int, int | None]] = []
    stored: list[int] = []

    def progress(done: int, total: int | None) -> None:
        seen.append((done, total))
        stored.append(waiting(queue))

    queue.submit_many(items(250), progress=progress)
    assert seen == [(100, 250), (200, 250), (250, 250)]
    assert stored == [0, 0, 250]
    seen.clear()
    queue.submit_many(iter(items(200)), progress=progress)
    assert seen == [(100, None), (200, None), (200, 200)]


def test_progress_may_break_it_off_and_nothing_is_stored(queue: Queue) -> None:
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        queue.submit_many(items(150), progress=stop)
    assert waiting(queue) == 0


# --- idempotency ------------------------------------------------------------------------------
def test_the_same_batch_again_is_the_same_submissions(queue: Queue) -> None:
    batch = [{**item, "idempotency_key": f"k{number}"} for number, item in enumerate(items(3))]
    first, again = queue.submit_many(batch), queue.submit_many(batch)
    assert [each.id for each in first] == [each.id for each in again]
    assert [each.replayed for each in first + again] == [False] * 3 + [True] * 3
    assert waiting(queue) == 3


def test_a_key_twice_in_a_batch_is_one_submission(queue: Queue) -> None:
    made = queue.submit_many([*items(1, idempotency_key="k"), *items(1, idempotency_key="k")])
    assert [(each.id, each.replayed) for each in made] == [(1, False), (1, True)]
    assert waiting(queue) == 1


def test_keys_that_stand_for_other_messages_are_all_told_and_nothing_is_stored(queue: Queue) -> None:
    queue.submit(LETTER, idempotency_key="a")
    queue.submit(LETTER, idempotency_key="b")
    batch = items(4)
    batch[1]["idempotency_key"], batch[3]["idempotency_key"] = "a", "b"
    with pytest.raises(Conflict, match=r"message 2: .*'a'.*; message 4: .*'b'"):
        queue.submit_many(batch)
    assert waiting(queue) == 2
    with pytest.raises(Conflict, match=r"message 3: idempotency key 'c' stands for message 1"):
        queue.submit_many([each | {"idempotency_key": "c"} for each in (batch[0], batch[0], batch[2])])
    assert waiting(queue) == 2


# --- large content ----------------------------------------------------------------------------
def test_large_content_is_stored_whole_between_small_ones(queue: Queue) -> None:
    large = LETTER + (b"z" * 70 + b"\r\n") * 30_000
    made = queue.submit_many([LETTER, large, {"message": large, "idempotency_key": "k"}])
    for each in made[1:]:
        content = queue.dump(each.messages[0].id)
        assert content.count(b"z" * 70) == 30_000


# --- the application's own transaction --------------------------------------------------------
def test_rolled_back_with_the_application_none_ever_existed(queue: Queue) -> None:
    queue.list()
    app = sqlite3.connect(queue.path)
    app.execute("CREATE TABLE orders (id INTEGER)")
    app.execute("INSERT INTO orders VALUES (1)")
    queue.submit_many(items(5), connection=app)
    app.rollback()
    assert waiting(queue) == 0
    app.execute("INSERT INTO orders VALUES (1)")
    made = queue.submit_many(items(5), connection=app)
    assert waiting(queue) == 0
    app.commit()
    assert waiting(queue) == len(made) == 5
    app.close()


def test_a_bad_batch_leaves_the_applications_transaction_as_it_was(queue: Queue) -> None:
    queue.submit(LETTER, idempotency_key="k")
    app = sqlite3.connect(queue.path)
    app.execute("CREATE TABLE orders (id INTEGER)")
    app.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(InvalidSubmission):
        queue.submit_many([LETTER, b""], connection=app)
    with pytest.raises(Conflict):
        queue.submit_many([*items(2), *items(1, idempotency_key="k")], connection=app)
    app.commit()
    assert app.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    assert waiting(queue) == 1
    app.close()


def test_an_account_of_the_same_transaction_is_known(queue: Queue) -> None:
    queue.list()
    app = sqlite3.connect(queue.path)
    columns = "name, notices, schedule, retention, keep_content, strict, created_at"
    app.execute(
        f"INSERT INTO mailqueue_account ({columns}) "
        "SELECT 'fresh', notices, schedule, retention, keep_content, strict, created_at "
        "FROM mailqueue_account WHERE name = 'default'"
    )
    app.execute("UPDATE mailqueue_meta SET value = value + 1 WHERE key = 'settings'")
    made = queue.submit_many(items(2, account="fresh"), connection=app)
    app.commit()
    app.close()
    assert queue.show(made[1].messages[0].id).account == "fresh"


# --- awaited ----------------------------------------------------------------------------------
def test_awaited_it_is_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncQueue(tmp_path / "queue.db") as queue:
            seen: list[int] = []
            made = await queue.submit_many(items(120), progress=lambda done, total: seen.append(done))
            assert (len(made), seen) == (120, [100, 120])
            app = sqlite3.connect(tmp_path / "queue.db")
            app.execute("CREATE TABLE orders (id INTEGER)")
            await queue.submit_many(items(3), connection=app)
            app.rollback()
            app.close()
            assert (await queue.status()).queued == 120
            with pytest.raises(InvalidSubmission):
                await queue.submit_many([b""])

    asyncio.run(story())
