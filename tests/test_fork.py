"""A queue that was opened before a fork works in the children and in the parent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.receiver import Receiver

from mailqueue import Engine, Queue

PRELUDE = """
import os, sys, threading
from mailqueue import Engine, Queue

queue = Queue(sys.argv[1])

def submit(count):
    for _ in range(count):
        queue.submit(b"From: a@example.org\\r\\nTo: b@example.net\\r\\n\\r\\nhello\\r\\n")

def from_threads():
    threads = [threading.Thread(target=submit, args=(10,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    submit(5)
    for thread in threads:
        thread.join()

submit(1)  # the preloaded queue has connections and threads now
queue.status()
"""
FORK_FOUR = """
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        CHILD
        sys.exit(0)
    children.append(child)
PARENT
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
"""


def run(script: str, *arguments: object) -> None:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("opened", [True, False], ids=["opened before the fork", "not yet opened"])
def test_four_forked_children_and_their_parent_all_submit(tmp_path: Path, opened: bool) -> None:
    prelude = PRELUDE if opened else PRELUDE.replace("submit(1)", "").replace("queue.status()", "")
    fork = FORK_FOUR.replace("CHILD", "from_threads()").replace("PARENT", "from_threads()")
    run(prelude + fork, tmp_path / "queue.db")
    with Queue(tmp_path / "queue.db") as queue:
        assert queue.status().queued == 5 * 25 + opened
        assert queue.check_integrity() == []


def test_a_running_engine_is_not_inherited_and_the_child_can_start_its_own(tmp_path: Path) -> None:
    """As a web server does that preloads the application, and whose workers each start an engine."""
    engine = """
engine = Engine(queue, relay=f"127.0.0.1:{sys.argv[2]}")
engine.start()
"""
    fork = FORK_FOUR.replace("CHILD", "submit(1); engine.start(); submit(1); engine.stop()")
    stop = """
engine.stop()
assert queue.status().engines == ()
"""
    with Receiver() as receiver:
        script = PRELUDE + engine + fork.replace("PARENT", "submit(1)") + stop
        run(script, tmp_path / "queue.db", str(receiver.port))
        with Queue(tmp_path / "queue.db") as queue:
            asyncio.run(Engine(queue, relay=f"127.0.0.1:{receiver.port}").run(once=True))
            assert queue.status().queued == 0
        received = Counter(message.message_id for message in receiver.messages)
    assert (len(received), set(received.values())) == (1 + 4 * 2 + 1, {1})
