"""Webhooks by a real engine to a real receiver: in order, again and again, and never in the way of mail."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Signer
from support.hooks import OLD_SECRET, SECRET, HookReceiver, Posted, Says
from support.receiver import Receiver
from support.stage import MAIL, AtWork, Stage, free_port, wait_until

from mailqueue import Engine, Queue
from mailqueue.clock import to_datetime
from mailqueue.engine import hooks as posting
from mailqueue.errors import Conflict, NotFound
from mailqueue.model.webhook import Webhook, WebhookState

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Receiver() as receiver:
        made = Stage(tmp_path / "queue.db")
        made.relay(receiver.port)
        yield made
        made.close()


@pytest.fixture
def hooks() -> Iterator[HookReceiver]:
    with HookReceiver() as running:
        yield running


def listens(stage: Stage, url: str, account: str = "default", **more: object) -> None:
    settings = {"url": url, "secret": SECRET, "allow_private": True, **more}
    stage.queue.webhooks.set(account, **settings)  # type: ignore[arg-type]


def only(stage: Stage) -> Webhook:
    """Return the only webhook, on its way or retired."""
    webhooks = stage.queue.webhooks
    [found] = [*webhooks.list().items, *webhooks.retired.list().items]
    return found


def types(posts: list[Posted]) -> list[str]:
    return [post.json["type"] for post in posts]


def signed(post: Posted, secret: str = SECRET) -> bool:
    """Tell whether a post is signed, at whatever time: the engine's clock is the test's."""
    at = to_datetime(int(post.headers["webhook-timestamp"]) * 1_000_000)
    signature = Signer(secret).sign(post.headers["webhook-id"], at, post.body)
    return signature in post.headers["webhook-signature"].split(" ")


def test_delivery_is_posted_signed_with_what_it_tells(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, authorization="Bearer x")
    [message] = stage.submit("ann@example.com")
    stage.deliver()
    [delivered] = hooks.posts
    assert delivered.json["type"] == "delivered"
    data = delivered.json["data"]
    assert (data["id"], data["recipient"], data["state"]) == (message, "ann@example.com", "delivered")
    assert data["attempt"]["host"] == "127.0.0.1"
    assert signed(delivered)
    assert delivered.headers["Authorization"] == "Bearer x"
    assert stage.queue.webhooks.list().items == ()
    assert only(stage).state is WebhookState.DELIVERED


def test_only_the_events_that_are_wanted_are_posted(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, events="failed, held")
    stage.submit("ann@example.com")
    stage.submit("unknown-1@example.com")
    stage.deliver()
    assert types(hooks.posts) == ["failed"]


def test_each_account_has_its_own_endpoint(stage: Stage, hooks: HookReceiver):
    stage.queue.accounts.add("shop")
    stage.queue.accounts.add("quiet")
    with HookReceiver() as other:
        listens(stage, hooks.url, events="delivered")
        listens(stage, other.url, "shop", events="delivered", secret=OLD_SECRET)
        for account in ("default", "shop", "quiet"):
            stage.submit("ann@example.com", account=account)
        stage.deliver()
        assert [each.json["data"]["account"] for each in hooks.posts] == ["default"]
        assert [each.json["data"]["account"] for each in other.posts] == ["shop"]
        assert signed(other.posts[0], OLD_SECRET)


def test_both_secrets_sign_while_they_are_changed(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, events="delivered", secret=OLD_SECRET)
    stage.queue.webhooks.set(secret=SECRET, rotate=True)
    stage.submit("ann@example.com")
    stage.deliver()
    stage.queue.webhooks.set(drop_old_secret=True)
    stage.submit("ann@example.com")
    stage.deliver()
    both, new = hooks.posts
    assert (signed(both, SECRET), signed(both, OLD_SECRET)) == (True, True)
    assert (signed(new, SECRET), signed(new, OLD_SECRET)) == (True, False)


def held_and_delivered(stage: Stage, recipient: str = "ann@example.com") -> int:
    """Submit a message that has two events to tell of once it is delivered."""
    [message] = stage.submit(recipient)
    stage.queue.hold(message, reason="wait")
    stage.queue.release(message)
    return message


def test_events_of_a_message_are_posted_in_their_order_however_long_one_takes(
    stage: Stage, hooks: HookReceiver
):
    listens(stage, hooks.url)
    message = held_and_delivered(stage)
    hooks.answers(Says(500), Says(502, b"no\r\nway"))
    stage.deliver()
    assert types(hooks.posts) == ["held"]
    held, delivered = stage.queue.webhooks.list().items
    assert (held.after_id, delivered.after_id) == (None, held.id)
    assert (held.attempts, held.last_error, delivered.attempts) == (1, "500", 0)
    stage.deliver(MINUTE)
    assert types(hooks.posts) == ["held", "held"]
    assert stage.queue.webhooks.show(held.id).last_error == "502 no way"
    other = held_and_delivered(stage, "ben@example.com")  # another message: it waits for nobody
    stage.deliver(timedelta(seconds=1))
    assert types(hooks.posts)[2:] == ["held", "delivered"]
    stage.deliver(HOUR)
    assert types(hooks.posts)[4:] == ["held", "delivered"]
    assert [each.json["data"]["id"] for each in hooks.posts[2:]] == [other] * 2 + [message] * 2
    ids = [each.headers["webhook-id"] for each in hooks.posts]
    assert ids[0] == ids[1] == ids[4]
    assert len(set(ids)) == 4


def test_attempts_are_kept_with_what_was_answered(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, events="delivered")
    stage.submit("ann@example.com")
    hooks.answers(Says(503, b"not now"), Says(200, b"thanks"))
    stage.deliver()
    stage.deliver(HOUR)
    found = only(stage)
    first, second = stage.queue.webhooks.attempts(found.id)
    assert (first.number, first.status, first.answer, first.error) == (1, 503, "not now", None)
    assert (second.number, second.status, second.answer) == (2, 200, "thanks")
    assert second.started_at - first.started_at == HOUR
    assert first.duration > timedelta(0)
    assert (found.state, found.attempts, found.last_error) == ("delivered", 2, "503 not now")


def test_endpoint_that_asks_for_time_gets_it(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, events="delivered")
    stage.submit("ann@example.com")
    hooks.answers(Says(429, headers={"Retry-After": "7200"}))
    stage.deliver()
    assert only(stage).next_attempt_at == to_datetime(stage.clock.now()) + 2 * HOUR
    stage.deliver(2 * HOUR - MINUTE)
    assert len(hooks.posts) == 1
    stage.deliver(MINUTE)
    assert only(stage).state is WebhookState.DELIVERED


def test_nobody_there_for_three_days_is_given_up(stage: Stage):
    listens(stage, f"http://127.0.0.1:{free_port('127.0.0.1')}/", events="delivered")
    stage.submit("ann@example.com")
    begun = to_datetime(stage.clock.now())
    stage.deliver()
    for _ in range(50):
        found = only(stage)
        if found.next_attempt_at is None:
            break
        stage.deliver(found.next_attempt_at - to_datetime(stage.clock.now()))
    assert (found.state, found.last_error) == ("failed", "Connection refused")
    tried = [each.started_at - begun for each in stage.queue.webhooks.attempts(found.id)]
    assert 15 < len(tried) < 25
    assert 2.5 * DAY < tried[-1] <= 3 * DAY


def test_next_event_goes_once_the_one_before_was_given_up(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url)
    held_and_delivered(stage)
    hooks.answers(Says(500), Says(500))
    stage.deliver()
    stage.deliver(4 * DAY)  # nobody was at work: it has an attempt all the same
    assert types(hooks.posts) == ["held", "held", "delivered"]
    assert [each.state for each in stage.queue.webhooks.retired.list().items] == ["delivered", "failed"]


def test_endpoint_that_is_gone_is_disabled(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url)
    hooks.answers(Says(500), Says(410))
    held_and_delivered(stage)
    stage.deliver()
    stage.deliver(HOUR)
    [found] = stage.queue.webhooks.endpoints()
    assert found.disabled_at == to_datetime(stage.clock.now())
    assert types(hooks.posts) == ["held", "held"]
    stage.submit("ben@example.com")
    stage.deliver()
    assert len(hooks.posts) == 2  # what happens now is posted to nobody
    with AtWork(stage):
        wait_until(lambda: stage.queue.webhooks.list().items == ())
    assert [each.state for each in stage.queue.webhooks.retired.list().items] == ["canceled", "failed"]
    listens(stage, hooks.url)
    stage.submit("cat@example.com")
    stage.deliver()
    assert types(hooks.posts)[2:] == ["delivered"]


def test_what_waits_for_an_endpoint_that_is_removed_is_canceled(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url)
    hooks.always = Says(500)
    stage.submit("ann@example.com", "ben@example.com")
    stage.deliver()
    stage.queue.webhooks.unset()
    assert stage.queue.webhooks.list().items == ()
    assert {each.state for each in stage.queue.webhooks.retired.list().items} == {"canceled"}
    with pytest.raises(NotFound, match="has no webhook"):
        stage.queue.webhooks.unset()


def test_dead_receiver_has_a_few_posts_and_mail_goes_on(stage: Stage, hooks: HookReceiver):
    never = threading.Event()
    hooks.always = Says(after=never)
    listens(stage, hooks.url, events="delivered")
    stage.queue.accounts.add("shop")
    with HookReceiver() as well, AtWork(stage, drain=0.1) as work:
        listens(stage, well.url, "shop", events="delivered")
        ids = stage.submit(*(f"b{number}@example.com" for number in range(20)))
        wait_until(lambda: all(stage.state(each) == "delivered" for each in ids))
        hooks.got(posting.PER_HOST)
        more = stage.submit("ann@example.com", account="shop")
        wait_until(lambda: stage.state(more[0]) == "delivered")
        well.got(1)
        assert len(hooks.posts) == posting.PER_HOST
        work.engine.stop()
        never.set()
    waiting = stage.queue.webhooks.list().items
    assert {each.state for each in waiting} == {"queued"}
    broken_off = [each for each in waiting if each.attempts]
    assert len(broken_off) == posting.PER_HOST
    [attempt] = stage.queue.webhooks.attempts(broken_off[0].id)
    assert attempt.error is not None
    assert "the engine ended" in attempt.error


def test_two_engines_post_each_webhook_once_and_in_order(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url)
    messages = [stage.submit(f"b{number}@example.com")[0] for number in range(10)]
    stage.queue.hold(messages, reason="wait")
    with AtWork(stage), AtWork(stage):
        stage.queue.release(messages)
        hooks.got(2 * len(messages))
        wait_until(lambda: stage.queue.webhooks.list().items == ())
    assert len({each.headers["webhook-id"] for each in hooks.posts}) == len(hooks.posts) == 20
    for message in messages:
        about = [each for each in hooks.posts if each.json["data"]["id"] == message]
        assert types(about) == ["held", "delivered"]


def test_engine_at_work_posts_again_when_it_is_time(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, events="delivered")
    hooks.answers(Says(500))
    with AtWork(stage) as work:
        stage.submit("ann@example.com")
        hooks.got(1)
        wait_until(lambda: only(stage).state is WebhookState.QUEUED)
        work.after(HOUR)
        hooks.got(2)
        wait_until(lambda: only(stage).state is WebhookState.DELIVERED)


def test_what_was_answered_is_written_once_the_database_lets_go(tmp_path: Path, hooks: HookReceiver):
    answer = threading.Event()
    hooks.answers(Says(after=answer))
    with Receiver() as receiver, Queue(tmp_path / "queue.db", busy_timeout=0.1) as queue:
        queue.webhooks.set(url=hooks.url, secret=SECRET, allow_private=True, events="delivered")
        engine = Engine(queue, relay=f"127.0.0.1:{receiver.port}")
        engine.start()
        queue.submit(MAIL, recipients=["ann@example.com"])
        hooks.got(1)
        with closing(sqlite3.connect(tmp_path / "queue.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer.set()
            time.sleep(0.5)
            other.execute("ROLLBACK")
        wait_until(lambda: queue.webhooks.list().items == ())
        engine.stop()
        [found] = queue.webhooks.retired.list().items
        assert [each.status for each in queue.webhooks.attempts(found.id)] == [204]
    assert len(hooks.posts) == 1


def test_webhook_that_is_scheduled_goes_then(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, events="delivered")
    hooks.answers(Says(500))
    stage.submit("ann@example.com")
    stage.deliver()
    found = only(stage)
    assert stage.queue.webhooks.schedule(found.id, at=DAY) == (found.id,)
    stage.deliver(DAY - MINUTE)
    assert len(hooks.posts) == 1
    assert stage.queue.webhooks.schedule([found.id]) == (found.id,)
    stage.deliver()
    assert len(hooks.posts) == 2
    assert stage.queue.webhooks.schedule([found.id]) == ()


def test_webhook_that_is_canceled_lets_the_next_one_go(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url)
    hooks.answers(Says(500))
    held_and_delivered(stage)
    stage.deliver()
    first, second = stage.queue.webhooks.list().items
    assert stage.queue.webhooks.cancel(first.id, reason="not wanted") == (first.id,)
    assert stage.queue.webhooks.show(second.id).after_id is None
    stage.deliver()
    assert types(hooks.posts) == ["held", "delivered"]
    assert stage.queue.webhooks.retired.show(first.id).state is WebhookState.CANCELED
    assert stage.queue.webhooks.cancel(first.id) == ()


def test_webhook_is_replayed_as_a_new_one_that_tells_the_same(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, events="delivered")
    stage.submit("ann@example.com")
    stage.deliver()
    [again] = stage.queue.webhooks.replay(only(stage).id)
    with pytest.raises(Conflict, match="on its way"):
        stage.queue.webhooks.replay(again)
    stage.deliver()
    first, second = hooks.posts
    assert first.body == second.body
    assert first.headers["webhook-id"] != second.headers["webhook-id"]
    with pytest.raises(NotFound, match="no webhook 99"):
        stage.queue.webhooks.replay([again, 99])
    stage.queue.webhooks.unset()
    with pytest.raises(Conflict, match="no webhook at work"):
        stage.queue.webhooks.replay(again)


def test_retired_webhooks_go_when_the_account_says_so(stage: Stage, hooks: HookReceiver):
    listens(stage, hooks.url, events="delivered")
    stage.queue.accounts.set("default", retention=DAY)
    stage.submit("ann@example.com")
    stage.deliver()
    found = only(stage)
    stage.clock.advance(DAY + MINUTE)
    with AtWork(stage):
        wait_until(lambda: stage.queue.webhooks.retired.list().items == ())
    with pytest.raises(NotFound, match="purged"):
        stage.queue.webhooks.show(found.id)


def test_test_is_posted_at_once_and_its_answer_told(stage: Stage, hooks: HookReceiver):
    hooks.answers(Says(200, b"hello"), Says(500))
    listens(stage, hooks.url)
    answer = stage.queue.webhooks.test()
    assert (answer.url, answer.status, answer.answer, answer.taken) == (hooks.url, 200, "hello", True)
    [post] = hooks.posts
    assert (post.json["type"], post.json["data"]) == ("test", {"account": "default"})
    assert signed(post)
    assert not stage.queue.webhooks.test().taken
