"""The page about webhooks tells what the code does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.hooks import SECRET, HookReceiver
from support.receiver import Receiver
from test_reference import page, plain, section, table, tables

from mailqueue import Engine, Queue
from mailqueue.model.duration import format_duration
from mailqueue.model.schedule import format_delays
from mailqueue.model.webhook import HOOK_EVENTS
from mailqueue.net import post
from mailqueue.policy.hooks import MOST_ASKED, SCHEDULE

PAGE = page("webhooks")
LETTER = b"From: a@example.org\r\nTo: ann@example.net\r\nSubject: Hello\r\n\r\nHello.\r\n"


def test_every_event_that_is_posted_is_described() -> None:
    assert {plain(row[0]) for row in table(PAGE, "Events that are posted")} == HOOK_EVENTS


def test_what_is_posted_has_the_headers_and_keys_that_are_described(tmp_path: Path) -> None:
    with HookReceiver() as hooks, Receiver() as receiver, Queue(tmp_path / "queue.db") as queue:
        queue.webhooks.set(url=hooks.url, secret=SECRET, allow_private=True, authorization="Bearer x")
        queue.submit(LETTER)
        asyncio.run(Engine(queue, relay=f"127.0.0.1:{receiver.port}").run(once=True))
    [got] = hooks.posts
    payload = got.verified()
    headers, keys = tables(section(PAGE, "What is posted"))
    assert {"Host", "Accept", "Accept-Encoding", "Content-Length"} >= set(got.headers) - {
        plain(row[0]) for row in headers
    }
    assert {plain(row[0]) for row in headers} <= set(got.headers)
    assert {plain(row[0]) for row in keys} == set(payload["data"])
    assert all(f"`{key}`" in keys[-1][1] for key in payload["data"]["attempt"])
    assert set(payload) == {"type", "timestamp", "data"}


def test_times_and_limits_are_those_that_are_told() -> None:
    steps = format_delays(SCHEDULE.delays)
    assert f"after {steps.removesuffix(', 6h*')}, then every 6h " in PAGE
    assert f"{format_duration(SCHEDULE.lifetime).removesuffix('d')} days after the event" in PAGE
    assert f"heeded up to {format_duration(MOST_ASKED)}" in PAGE
    assert f"within {post.TIMEOUT:g} seconds" in PAGE
    assert f"{post.KEPT} octets of the answer" in PAGE
