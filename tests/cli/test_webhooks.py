"""`webhook`: endpoints are set without showing secrets, and what is posted can be seen and steered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Command
from support.hooks import OLD_SECRET, SECRET, HookReceiver, Says
from support.receiver import Receiver

from mailqueue import Engine, Queue


@pytest.fixture
def hooks() -> Iterator[HookReceiver]:
    with HookReceiver() as running:
        yield running


def deliver(mailqueue: Command) -> None:
    """Have all that is due delivered and posted."""
    with Receiver() as receiver, Queue(mailqueue.db) as queue:
        asyncio.run(Engine(queue, relay=f"127.0.0.1:{receiver.port}").run(once=True))


def listens(mailqueue: Command, hooks: HookReceiver, *more: str) -> None:
    mailqueue("webhook", "set", "--url", hooks.url, "--new-secret", "--allow-private", *more)


def test_private_url_is_refused_with_the_flag_that_allows_it(mailqueue: Command, hooks: HookReceiver) -> None:
    said = mailqueue.fails(3, "webhook", "set", "--url", hooks.url, "--new-secret")
    assert "127.0.0.1 is not a public address" in said
    assert "--allow-private" in said
    assert mailqueue.json("webhook", "endpoints")["items"] == []


def test_new_secret_is_shown_once(mailqueue: Command, hooks: HookReceiver) -> None:
    arguments = ("webhook", "set", "--url", hooks.url, "--allow-private")
    secret = mailqueue.json(*arguments, "--new-secret")["secret"]
    assert secret.startswith("whsec_")
    with Queue(mailqueue.db) as queue:
        assert queue.webhooks.endpoints()[0].secrets == (secret,)
        assert secret not in repr(queue.webhooks.endpoints())
    for again in (
        mailqueue("webhook", "endpoints"),
        mailqueue("webhook", "endpoints", "--json"),
        mailqueue(*arguments),
        mailqueue(*arguments, "--json"),
        mailqueue("webhook", "test"),
        mailqueue("webhook", "unset", "--json"),
    ):
        assert secret not in again
    assert hooks.posts[0].verified(secret)["type"] == "test"


def test_secrets_come_from_files_and_the_environment(
    mailqueue: Command, hooks: HookReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv("HOOK_AUTH", "Bearer hush")
    more = ("--secret-file", str(tmp_path / "secret"), "--authorization-env", "HOOK_AUTH")
    said = mailqueue("webhook", "set", "--url", hooks.url, "--allow-private", *more)
    assert "hush" not in said
    assert SECRET not in said
    assert mailqueue.json("webhook", "test")["taken"] is True
    [post] = hooks.posts
    assert post.verified(SECRET)["data"] == {"account": "default"}
    assert post.headers["Authorization"] == "Bearer hush"
    mailqueue("webhook", "set", "--no-authorization")
    mailqueue("webhook", "test")
    assert "Authorization" not in hooks.posts[1].headers


def test_secret_is_rotated(mailqueue: Command, hooks: HookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", OLD_SECRET)
    monkeypatch.setenv("TWO", SECRET)
    mailqueue("webhook", "set", "--url", hooks.url, "--allow-private", "--secret-env", "ONE")
    mailqueue("webhook", "set", "--secret-env", "TWO", "--rotate")
    mailqueue("webhook", "test")
    mailqueue("webhook", "set", "--drop-old-secret")
    mailqueue("webhook", "test")
    both, new = hooks.posts
    assert both.verified(OLD_SECRET) == both.verified(SECRET)
    assert len(new.headers["webhook-signature"].split()) == 1
    assert new.verified(SECRET)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "ftp://example.org"), "url: must begin with https://"),
        (("--url", "https://me:pw@example.org/"), "url: must not hold a password"),
        (("--events", "delivered,opened"), "events: no event 'opened'"),
        (("--events", "released"), "events: no event 'released'"),
        (("--secret-env", "SHORT"), "secret: must hold 24 to 64 octets"),
        (("--rotate",), "rotate: needs another secret"),
        (("--new-secret", "--drop-old-secret"), "drop_old_secret"),
        (("--authorization-env", "LINES"), "authorization: must be one line"),
        (("--account", "shop", "--url", "https://example.org"), "no account 'shop'"),
    ],
)
def test_setting_that_cannot_be_is_refused(
    mailqueue: Command,
    hooks: HookReceiver,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setenv("SHORT", "whsec_c2hvcnQ=")
    monkeypatch.setenv("LINES", "a\nb")
    listens(mailqueue, hooks)
    before = mailqueue.json("webhook", "endpoints")
    status = 4 if "shop" in arguments else 3
    assert said in mailqueue.fails(status, "webhook", "set", *arguments)
    assert mailqueue.json("webhook", "endpoints") == before


def test_first_setting_needs_a_url_and_a_secret(mailqueue: Command) -> None:
    assert "url: " in mailqueue.fails(3, "webhook", "set", "--new-secret")
    said = mailqueue.fails(3, "webhook", "set", "--url", "https://192.0.2.1/")
    assert "--new-secret" in said
    assert "webhook set" in mailqueue.fails(4, "webhook", "test")


def test_test_that_is_not_taken_is_told(mailqueue: Command, hooks: HookReceiver) -> None:
    listens(mailqueue, hooks)
    hooks.always = Says(500, b"broken")
    done = mailqueue.run("webhook", "test")
    assert done.exit_code == 3
    assert f"{hooks.url}: 500 (" in done.stdout
    assert "broken" in done.stdout


def test_webhooks_are_listed_and_shown_with_what_was_answered(
    mailqueue: Command, hooks: HookReceiver
) -> None:
    listens(mailqueue, hooks, "--events", "delivered")
    hooks.answers(Says(503, b"not now"))
    [message] = mailqueue.submit("ann@example.net")
    deliver(mailqueue)
    [found] = mailqueue.json("webhook", "list", "--event", "delivered")["items"]
    assert (found["message_id"], found["state"], found["attempts"]) == (message, "queued", 1)
    assert found["payload"]["data"]["recipient"] == "ann@example.net"
    assert "503 not now" in mailqueue("webhook", "list")
    assert mailqueue.json("webhook", "list", "--message-id", 99)["items"] == []
    shown = mailqueue("webhook", "show", found["id"])
    assert "attempt 1, " in shown
    assert "503 not now (" in shown
    [attempt] = mailqueue.json("webhook", "attempts", found["id"])["items"]
    assert (attempt["status"], attempt["answer"], attempt["number"]) == (503, "not now", 1)
    assert "503" in mailqueue("webhook", "attempts", found["id"])
    assert mailqueue.json("webhook", "show", found["id"])["tried"] == [attempt]
    assert "is on its way" in mailqueue.fails(4, "webhook", "retired", "show", found["id"])


def test_webhooks_are_scheduled_canceled_and_replayed(mailqueue: Command, hooks: HookReceiver) -> None:
    listens(mailqueue, hooks, "--events", "delivered")
    hooks.answers(Says(500), Says(500))
    mailqueue.submit("ann@example.net", "ben@example.net")
    deliver(mailqueue)
    one, two = (each["id"] for each in mailqueue.json("webhook", "list")["items"])
    assert mailqueue("webhook", "schedule", one, "--at", "2h") == "1 webhook rescheduled\n"
    assert mailqueue.json("webhook", "cancel", two, "--reason", "not wanted") == {
        "changed": [two],
        "unchanged": [],
    }
    gone = mailqueue.json("webhook", "retired", "show", two)
    assert gone["state"] == "canceled"
    assert "2 webhooks" not in mailqueue("webhook", "schedule", one, two)
    assert mailqueue.json("webhook", "retired", "list", "--state", "failed")["items"] == []
    [new] = mailqueue.json("webhook", "replay", two)["made"]
    deliver(mailqueue)
    assert mailqueue.json("webhook", "list")["items"] == []
    states = {each["id"]: each["state"] for each in mailqueue.json("webhook", "retired", "list")["items"]}
    assert states == {new: "delivered", two: "canceled", one: "delivered"}
    assert "canceled" in mailqueue("webhook", "retired", "list", "--limit", "2")
    assert "no webhook 99" in mailqueue.fails(4, "webhook", "cancel", "99")


def test_removing_the_endpoint_cancels_what_waits(mailqueue: Command, hooks: HookReceiver) -> None:
    listens(mailqueue, hooks)
    hooks.always = Says(500)
    mailqueue.submit("ann@example.net")
    deliver(mailqueue)
    assert json.loads(mailqueue("webhook", "unset", "--json"))["removed"] is True
    assert mailqueue.json("webhook", "list")["items"] == []
    [gone] = mailqueue.json("webhook", "retired", "list")["items"]
    assert gone["state"] == "canceled"
