"""The whole way of a bounce: out through a real Postfix, back in, and all that follows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import environment
from support.hooks import SECRET, HookReceiver
from support.postfix import Postfix, free_port
from support.stage import wait_until

from mailqueue import Engine, Queue
from mailqueue.model.events import Event
from mailqueue.model.fromid import return_path

pytestmark = pytest.mark.postfix

LETTER = b"From: shop@returns.example\r\nSubject: Your order\r\n\r\nIt is on its way.\r\n"
ANN = "ann@bounce.example"
PORT = free_port()
SETTINGS = {
    "relay_domains": "bounce.example returns.example",
    "transport_maps": (
        f"inline:{{ {{bounce.example = returning:}}, {{returns.example = lmtp:inet:127.0.0.1:{PORT}}} }}"
    ),
}


@pytest.fixture
def returning(postfix: Postfix) -> Iterator[Postfix]:
    """A Postfix that returns what is for Ann, and hands over what comes to return addresses."""
    with Postfix(SETTINGS, ["lmtp unix - - n - - lmtp"]) as running:
        yield running


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """The file of a queue, into which a listener takes what comes to return addresses."""
    db = tmp_path / "mail.db"
    with Queue(db) as queue:
        queue.status()  # makes it
    command = (sys.executable, "-m", "mailqueue", "--db", str(db), "incoming", "listen")
    options = ("--listen", f"127.0.0.1:{PORT}", "--domain", "returns.example", "--log-level", "error")
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"listening at ")
        yield db
        process.terminate()
        assert process.wait(20) == 0


def test_who_bounces_is_written_to_no_more_until_somebody_says_otherwise(
    returning: Postfix, listening: Path
) -> None:
    told: list[Event] = []
    with HookReceiver() as hooks, Queue(listening) as queue:
        queue.accounts.set("default", fromid=True)
        queue.webhooks.set(url=hooks.url, secret=SECRET, allow_private=True)
        engine = Engine(queue, relay=f"127.0.0.1:{returning.port}", hostname="mx.example.org")
        engine.on()(told.append)
        engine.start()
        try:
            first = goes_out_and_comes_back(queue, hooks)
            second = retires_at_once(queue, returning, first)
            third = goes_once_the_entry_is_gone(queue, second)
        finally:
            engine.stop()
        assert [(each.event.value, each.message_id) for each in told if each.event != "admin"][:4] == [
            ("delivered", first),
            ("failed", first),
            ("suppressed", second),
            ("delivered", third),
        ]
        assert told[0].message is not None
        assert told[0].message.extra["order"] == "17"
        assert queue.check_integrity() == []


def goes_out_and_comes_back(queue: Queue, hooks: HookReceiver) -> int:
    """Postfix takes a message, and returns it: history, suppression list and a signed webhook say so."""
    [sent] = queue.submit(LETTER, recipients=[ANN], extra={"order": "17"}).messages
    wait_until(lambda: queue.show(sent.id).feedback is not None, 30)
    found = queue.retired.show(sent.id)
    assert (found.state.value, found.feedback) == ("delivered", "bounced")
    [came] = queue.incoming_mail.list().items
    assert (came.kind, came.matched_by, came.messages) == ("bounce", "fromid", (sent.id,))
    assert came.recipient == return_path("shop@returns.example", sent.fromid or "")
    entry = queue.suppressions.lookup("Ann+news@BOUNCE.example")
    assert entry is not None
    assert (entry.cause, entry.message_id, entry.incoming_id) == ("code", sent.id, came.id)
    posted = [each.verified() for each in hooks.got(2)]
    assert [each["type"] for each in posted] == ["delivered", "failed"]
    assert [each["data"]["id"] for each in posted] == [sent.id, sent.id]
    assert posted[1]["data"]["extra"] == {"order": "17"}
    assert posted[1]["data"]["details"]["dsn"] is True
    wait_until(lambda: queue.webhooks.retired.list(message_id=sent.id, event="failed").items)
    lines = [each.what for each in queue.timeline(sent.id)]
    assert [each for each in lines if each != "webhook"] == [
        *("submitted", "attempted", "delivered"),
        *("incoming", "failed"),
    ]
    assert lines.count("webhook") == 2
    return sent.id


def retires_at_once(queue: Queue, postfix: Postfix, first: int) -> int:
    """The next message to that address does not go out: no attempt, no connection."""
    connections = postfix.log().count("connect from")
    [stopped] = queue.submit(LETTER, recipients=["ANN@bounce.example"]).messages
    assert stopped.state == "suppressed"
    assert queue.attempts(stopped.id) == []
    [event] = queue.events(stopped.id)
    assert event.event == "suppressed"
    assert ANN in queue.show(first).recipient
    assert postfix.log().count("connect from") == connections
    return stopped.id


def goes_once_the_entry_is_gone(queue: Queue, stopped: int) -> int:
    """With the entry removed, what it stopped is submitted anew and delivered."""
    gone = queue.suppressions.remove(ANN, replay=True)
    assert gone.replayed is not None
    again = gone.replayed.messages[stopped]
    wait_until(lambda: queue.show(again).state.retired, 30)
    assert queue.show(again).state == "delivered"
    assert [each.outcome.value for each in queue.attempts(again)] == ["delivered"]
    return again
