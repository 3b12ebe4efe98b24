"""A store across os.fork: children and parent each open the file for themselves, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stored import ALL, clean

from mailqueue.store.base import Store

TESTS = str(Path(__file__).parent.parent)

PRELUDE = """
import os, sys, threading
from support.stored import submit
from mailqueue.store import open_store

store = open_store(sys.argv[1])

def fork(work):
    child = os.fork()
    if child == 0:
        try:
            work()
            store.close()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child

def wait(children):
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
"""


def run(script: str, path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, path],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": TESTS, "PATH": os.environ["PATH"]},
    )
    assert (done.returncode, done.stderr) == (0, "")


def queued(store: Store) -> int:
    return store.read(lambda reader: reader.depth()).queued


@pytest.mark.parametrize(
    "opened", ["", "submit(store); store.data_version(); store.read(lambda r: r.wake())"]
)
def test_four_children_and_their_parent_submit(
    path: Path, open_again: Callable[..., Store], opened: str
) -> None:
    run(
        f"""
{opened}
def work():
    threads = [threading.Thread(target=lambda: [submit(store) for _ in range(5)]) for _ in range(3)]
    [each.start() for each in threads]
    [each.join() for each in threads]
children = [fork(work) for _ in range(4)]
work()
wait(children)
""",
        path,
    )
    store = open_again()
    assert queued(store) == 75 + bool(opened)
    assert clean(store)


def test_commit_of_a_child_is_not_lost_when_its_parent_closes_the_file(
    path: Path, open_again: Callable[..., Store]
) -> None:
    # SQLite would let the parent remove the log that the child still writes to, had the child
    # inherited the connection: the lock that tells of the child would be missing.
    run(
        """
submit(store)
told, tell = os.pipe()
closed, close = os.pipe()
def work():
    submit(store)
    os.write(tell, b"x")
    os.read(closed, 1)
    submit(store)
child = fork(work)
os.read(told, 1)
store.close()
os.write(close, b"x")
wait([child])
""",
        path,
    )
    assert queued(open_again()) == 3


def test_fork_while_threads_submit_and_read_waits_for_a_quiet_moment(
    path: Path, open_again: Callable[..., Store]
) -> None:
    run(
        """
stop = threading.Event()
def work():
    while not stop.is_set():
        submit(store)
        store.read(lambda reader: reader.depth())
        store.data_version()
threads = [threading.Thread(target=work) for _ in range(3)]
[each.start() for each in threads]
children = [fork(lambda: submit(store, "child@example.net")) for _ in range(5)]
wait(children)
stop.set()
[each.join() for each in threads]
""",
        path,
    )
    store = open_again()
    page = store.read(lambda reader: reader.queue(ALL, limit=100_000, after=None))
    assert sum(each.recipient == "child@example.net" for each in page.items) == 5
    assert clean(store)


def test_child_does_not_do_the_jobs_that_waited_in_its_parent(
    path: Path, open_again: Callable[..., Store]
) -> None:
    run(
        """
import time
slow = store.enqueue(lambda t: time.sleep(0.3))
from support.stored import new
waiting = [store.enqueue(lambda t: t.submit(new())) for _ in range(5)]
child = fork(lambda: submit(store))
wait([child])
assert [each.result(10).id for each in waiting]
""",
        path,
    )
    assert queued(open_again()) == 6


def test_child_of_a_parent_that_is_killed_while_writing_is_not_kept_waiting(
    path: Path, open_again: Callable[..., Store]
) -> None:
    run(
        """
import signal, time
def middle():
    inside, tell = os.pipe()
    grandchild_may_go, let_go = os.pipe()
    def work():
        os.close(let_go)
        os.read(grandchild_may_go, 1)   # the end of its parent
        submit(store)
    submit(store)
    fork(work)
    def hang(transaction):
        os.write(tell, b"x")
        time.sleep(60)
    threading.Thread(target=lambda: store.run(hang), daemon=True).start()
    os.read(inside, 1)
    os.kill(os.getpid(), signal.SIGKILL)
child = os.fork()
if child == 0:
    middle()
os.waitpid(child, 0)
deadline = time.monotonic() + 20
while store.read(lambda reader: reader.depth()).queued < 2 and time.monotonic() < deadline:
    time.sleep(0.05)
assert store.read(lambda reader: reader.depth()).queued == 2
""",
        path,
    )
    assert clean(open_again())
