"""`AsyncQueue`: the verbs of `Queue` in an event loop, and nothing that blocks it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from support.receiver import Receiver
from support.stage import MAIL
from support.trouble import in_trouble

from mailqueue import AsyncQueue, Engine, Queue
from mailqueue.errors import Conflict, DatabaseBusy, InvalidSubmission, NotFound, SettingError, StoreError

FACES = (
    "accounts",
    "destinations",
    "hold_rules",
    "reply_rules",
    "retired",
    "routes",
    "schedules",
    "shaping_rules",
    "transports",
    "webhooks",
    "webhooks.retired",
)
LARGE = MAIL + b"and so on\r\n" * 150_000


def verbs(face: object) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(type(face)).items()
        if not name.startswith("_") and inspect.isfunction(value)
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Queue(tmp_path / "queue.db") as made:
        made.status()
    return tmp_path / "queue.db"


def in_loop(path: Path, story: Callable[[AsyncQueue], Awaitable[Any]], **settings: Any) -> Any:
    async def run() -> Any:
        async with AsyncQueue(path, **settings) as queue:
            return await story(queue)

    return asyncio.run(run())


# --- the same verbs ------------------------------------------------------------------------------
@pytest.mark.parametrize("part", ["", *FACES])
def test_both_doors_have_the_same_verbs_with_the_same_arguments(tmp_path: Path, part: str) -> None:
    queue, other = Queue(tmp_path / "queue.db"), AsyncQueue(tmp_path / "queue.db")
    wanted, found = (verbs(attrgetter(part)(each) if part else each) for each in (queue, other))
    wanted.pop("actor", None)  # says who changes things; it does nothing
    assert found.keys() == wanted.keys()
    for name, verb in wanted.items():
        if name != "follow":  # which is iterated over
            assert inspect.iscoroutinefunction(found[name]), f"{name} is not awaited"
        assert not inspect.iscoroutinefunction(verb)
        assert inspect.signature(found[name]) == inspect.signature(verb), name
        assert found[name].__doc__


def test_both_are_made_with_the_same_arguments() -> None:
    assert inspect.signature(AsyncQueue) == inspect.signature(Queue)


def test_every_verb_does_what_its_twin_does(path: Path, receiver: Receiver) -> None:
    async def story(queue: AsyncQueue) -> None:
        plain = queue.sync
        assert await queue.accounts.add("shop") == plain.accounts.show("shop")
        assert (await queue.accounts.set("shop", strict=True)).strict
        assert await queue.accounts.list() == plain.accounts.list()
        assert await queue.accounts.show("shop") == plain.accounts.show("shop")
        made = await queue.schedules.add("mine", "1m*", lifetime=timedelta(days=1))
        assert await queue.schedules.show("mine") == made
        assert await queue.schedules.list() == plain.schedules.list()
        await queue.transports.add("relay", kind="relay", host="127.0.0.1", port=25)
        await queue.transports.set("relay", port=receiver.port)
        assert await queue.transports.list() == plain.transports.list()
        route = await queue.routes.add("relay", recipient_domain="example.net")
        assert await queue.routes.list() == (route,)
        await queue.routes.remove(route.id)
        limit = await queue.shaping_rules.add(transport="relay", connections=1, actor="anna")
        assert await queue.shaping_rules.list() == (limit,)
        assert await queue.shaping_rules.show(limit.id) == await queue.shaping_rules.remove(limit.id) == limit
        in_trouble(plain, "relay mx:25")
        assert await queue.destinations.list() == plain.destinations.list()
        assert (await queue.destinations.show("relay mx:25")).failures == 3
        assert (await queue.destinations.retry("relay mx:25", actor="anna")).blocked_until is None
        rule = await queue.hold_rules.add(recipient_domain="example.com", reason="odd", actor="anna")
        assert await queue.hold_rules.show(rule.id) == rule
        assert await queue.hold_rules.list() == (rule,)
        submission = await queue.submit(MAIL, actor="anna")
        message = submission.messages[0].id
        assert (await queue.show(message)).hold
        assert await queue.hold_rules.held(rule.id) == 1
        assert await queue.submission(submission.id) == plain.submission(submission.id)
        assert (await queue.explain(message)).blocked_by == "hold"
        assert (await queue.hold(message)).changed == 1
        assert (await queue.release(all=True)).changed == 1
        assert (await queue.hold_rules.remove(rule.id)).id == rule.id
        rule = await queue.hold_rules.add(until=timedelta(hours=1), then="fail", actor="anna")
        assert (await queue.hold_rules.remove(rule.id, release=True)).let_go == 1
        assert (await queue.list()).items == plain.list().items
        assert await queue.dump(message) == plain.dump(message)
        await Engine(queue).run(once=True)
        assert (await queue.retired.show(message)).state == "delivered"
        assert (await queue.retired.list(limit=1)).items == plain.retired.list().items
        assert await queue.attempts(message) == plain.attempts(message)
        assert await queue.events(message) == plain.events(message)
        assert await queue.notices(message) == []
        assert await queue.check_integrity() == []
        assert (await queue.status()).queued == 0
        await queue.transports.remove("relay")

    in_loop(path, story)


def test_errors_are_those_of_the_twin(path: Path) -> None:
    async def story(queue: AsyncQueue) -> None:
        cases: list[tuple[type[Exception], Awaitable[object]]] = [
            (NotFound, queue.show(7)),
            (SettingError, queue.list(limit=0)),
            (SettingError, queue.hold()),
            (InvalidSubmission, queue.submit(MAIL, recipients=[])),
            (NotFound, queue.submit(MAIL, account="nobody")),
            (NotFound, queue.submit(MAIL, schedule="never")),
            (TypeError, queue.submit(MAIL, recipients="ben@example.com")),
        ]
        for error, awaited in cases:
            with pytest.raises(error):
                await awaited
        assert (await queue.status()).queued == 0

    in_loop(path, story)


# --- many at once --------------------------------------------------------------------------------
def test_many_submissions_at_once_are_all_on_disk(path: Path) -> None:
    async def story(queue: AsyncQueue) -> list[int]:
        tasks = (queue.submit(MAIL, recipients=[f"r{number}@example.com"]) for number in range(300))
        made = await asyncio.gather(*tasks)
        assert [each.messages[0].recipient for each in made] == [f"r{n}@example.com" for n in range(300)]
        return [each.id for each in made]

    ids = in_loop(path, story)
    with Queue(path) as queue:
        assert len(set(ids)) == queue.status().queued == 300
        assert queue.check_integrity() == []


def test_one_bad_submission_of_many_fails_alone(path: Path) -> None:
    async def story(queue: AsyncQueue) -> list[Any]:
        await queue.submit(MAIL, idempotency_key="taken")
        with closing(sqlite3.connect(path)) as file:
            file.execute(
                "CREATE TRIGGER no BEFORE INSERT ON mailqueue_submission WHEN new.subject = 'no' "
                "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            )
        return await asyncio.gather(
            queue.submit(MAIL),
            queue.submit(MAIL, recipients=["no address"]),
            queue.submit(MAIL + b"other", idempotency_key="taken"),
            queue.submit(MAIL, idempotency_key="taken"),
            queue.submit(MAIL.replace(b"Subject: Hello", b"Subject: no")),
            queue.submit(MAIL),
            return_exceptions=True,
        )

    good, invalid, conflict, replayed, refused, last = in_loop(path, story)
    assert isinstance(invalid, InvalidSubmission)
    assert isinstance(conflict, Conflict)
    assert replayed.replayed
    assert isinstance(refused, StoreError)
    with Queue(path) as queue:
        found = {message.submission_id for message in queue.list().items}
    assert found == {replayed.id, good.id, last.id}


def test_several_loops_use_one_queue(path: Path) -> None:
    queue = AsyncQueue(path)

    async def story() -> None:
        await asyncio.gather(*(queue.submit(MAIL) for _ in range(20)))
        await queue.list()

    asyncio.run(story())
    threads = [threading.Thread(target=asyncio.run, args=(story(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.sync.status().queued == 80
    asyncio.run(queue.close())


# --- the loop goes on ----------------------------------------------------------------------------
@pytest.mark.parametrize("content", [MAIL, LARGE], ids=["small", "large"])
def test_the_loop_goes_on_while_a_submit_waits_for_a_lock(path: Path, content: bytes) -> None:
    """The lock is held by the very loop: it could never be released, were the loop blocked."""

    async def story(queue: AsyncQueue) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as app:
            app.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(queue.submit(content))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            assert (await queue.status()).queued == 0
            app.execute("COMMIT")
        await waiting
        assert (await queue.status()).queued == 1

    in_loop(path, story, busy_timeout=30)


def test_a_lock_that_does_not_go_is_told(path: Path) -> None:
    async def story(queue: AsyncQueue) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as app:
            app.execute("BEGIN IMMEDIATE")
            tasks = (queue.submit(MAIL) for _ in range(5))
            found = await asyncio.gather(*tasks, queue.hold(all=True), return_exceptions=True)
            assert [type(each) for each in found] == [DatabaseBusy] * 6
        await queue.submit(MAIL)

    in_loop(path, story, busy_timeout=0.1)


def test_a_cancelled_submit_may_be_committed_and_its_key_tells(path: Path) -> None:
    async def story(queue: AsyncQueue) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as app:
            app.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(queue.submit(MAIL, idempotency_key="order-7"))
            other = asyncio.create_task(queue.submit(MAIL))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            app.execute("COMMIT")
        await other
        again = await queue.submit(MAIL, idempotency_key="order-7")
        assert again.replayed
        assert (await queue.status()).queued == 2

    in_loop(path, story, busy_timeout=30)


def test_a_loop_that_ends_before_the_commit_leaves_no_noise(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    queue = AsyncQueue(path, busy_timeout=30)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as app:
        app.execute("BEGIN IMMEDIATE")

        async def story() -> None:
            waiting = asyncio.create_task(queue.submit(MAIL))
            await asyncio.sleep(0.05)
            del waiting

        asyncio.run(story())
        app.execute("COMMIT")
    assert asyncio.run(queue.submit(MAIL)).id == 2
    assert queue.sync.status().queued == 2
    assert caplog.records == []
    asyncio.run(queue.close())


# --- opening and closing -------------------------------------------------------------------------
def test_a_closed_queue_says_so(path: Path) -> None:
    async def story() -> None:
        queue = AsyncQueue(path)
        await queue.submit(MAIL)
        await queue.close()
        await queue.close()
        for awaited in (queue.submit(MAIL), queue.status(), queue.submit(LARGE)):
            with pytest.raises(StoreError, match="has been closed"):
                await awaited

    asyncio.run(story())


def test_what_was_submitted_before_the_close_is_on_disk(path: Path) -> None:
    async def story() -> None:
        async with AsyncQueue(path) as queue:
            tasks = [asyncio.create_task(queue.submit(MAIL)) for _ in range(50)]
            await asyncio.sleep(0)
            await asyncio.gather(*tasks)

    asyncio.run(story())
    with Queue(path) as opened:
        assert opened.status().queued == 50


def test_the_first_submission_is_what_a_key_returns(path: Path) -> None:
    async def story(queue: AsyncQueue) -> None:
        found = await asyncio.gather(*(queue.submit(MAIL, idempotency_key="order-7") for _ in range(10)))
        [first] = [each for each in found if not each.replayed]
        assert {replace(each, replayed=False) for each in found} == {first}

    in_loop(path, story)


FORK = """
import asyncio, os, sys
from mailqueue import AsyncQueue

queue = AsyncQueue(sys.argv[1])
MAIL = b"From: a@example.org\\r\\nTo: b@example.net\\r\\n\\r\\nhello\\r\\n"

async def use():
    await asyncio.gather(*(queue.submit(MAIL) for _ in range(5)))
    await queue.list()
    await queue.accounts.list()

asyncio.run(use())  # threads and connections are there now
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        asyncio.run(use())
        os._exit(0)
    children.append(child)
asyncio.run(use())
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
asyncio.run(queue.close())
"""


def test_it_works_in_a_forked_child_and_in_its_parent(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Queue(path) as queue:
        assert queue.status().queued == 25
