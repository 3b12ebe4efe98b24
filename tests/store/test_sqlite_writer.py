"""Group commit: who shares a commit, who fails alone, and what is on disk when a call returns."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.stored import clean, new, submit

from mailqueue.errors import Conflict, StoreError
from mailqueue.store.base import Store, Transaction
from mailqueue.store.sqlite import SqliteStore

Opener = Callable[..., Store]


@pytest.fixture
def statements(store: SqliteStore) -> list[str]:
    """The statements of the connection that writes, from now on."""
    submit(store)
    seen: list[str] = []
    store._connections.writer().set_trace_callback(seen.append)
    return seen


@contextmanager
def busy_writer(store: Store) -> Iterator[None]:
    """Keep the writer's thread inside a transaction while this lasts."""
    inside, go_on = threading.Event(), threading.Event()

    def job(transaction: Transaction) -> None:
        inside.set()
        assert go_on.wait(10)

    held = store.enqueue(job)
    assert inside.wait(10)
    try:
        yield
    finally:
        go_on.set()
        held.result(10)


def queued(store: Store) -> int:
    return store.read(lambda reader: reader.depth()).queued


def test_submission_is_on_disk_when_the_call_returns(store: Store, path: Path) -> None:
    submit(store)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM mailqueue_message").fetchone() == (1,)


def test_jobs_that_wait_share_one_commit(store: Store, statements: list[str]) -> None:
    with busy_writer(store):
        waiting = [store.enqueue(lambda transaction: transaction.submit(new())) for _ in range(20)]
    ids = [each.result(10).id for each in waiting]
    assert ids == list(range(2, 22))
    assert statements.count("COMMIT") == 2


def test_lone_caller_commits_in_its_own_thread(store: Store) -> None:
    threads = [store.run(lambda _: threading.get_ident()) for _ in range(3)]
    assert set(threads) == {threading.get_ident()}
    assert store.enqueue(lambda _: threading.get_ident()).result(10) != threading.get_ident()


def test_fifty_threads_submit_at_once_and_all_is_there(store: Store) -> None:
    done: list[int] = []

    def work(n: int) -> None:
        done.extend(submit(store, f"b{n}@example.net").id for _ in range(10))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(50)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(done)) == 500
    assert queued(store) == 500
    assert clean(store)


def test_job_that_fails_before_it_wrote_fails_alone_in_the_shared_commit(
    store: Store, statements: list[str]
) -> None:
    def fail(transaction: Transaction) -> None:
        transaction.replay(1, "key")
        raise Conflict("taken")

    with busy_writer(store):
        good = [store.enqueue(lambda transaction: transaction.submit(new())) for _ in range(3)]
        bad = store.enqueue(fail)
        good.append(store.enqueue(lambda transaction: transaction.submit(new())))
    with pytest.raises(Conflict, match="taken"):
        bad.result(10)
    assert [each.result(10).id for each in good] == [2, 3, 4, 5]
    assert statements.count("COMMIT") == 2


@pytest.mark.parametrize("poison", ["raises", "does not fit"])
def test_job_that_fails_after_it_wrote_leaves_nothing_and_the_others_are_done_again(
    store: Store, poison: str
) -> None:
    def fail(transaction: Transaction) -> None:
        transaction.submit(new("bad@example.net", sender=None if poison == "does not fit" else "a@b.example"))  # type: ignore[arg-type]
        if poison == "raises":
            raise Conflict("after all")

    runs: Counter[str] = Counter()

    def count(name: str) -> Callable[[Transaction], int]:
        def job(transaction: Transaction) -> int:
            runs[name] += 1
            return transaction.submit(new(f"{name}@example.net")).messages[0].id

        return job

    with busy_writer(store):
        first, bad, last = store.enqueue(count("first")), store.enqueue(fail), store.enqueue(count("last"))
    with pytest.raises((Conflict, StoreError)):
        bad.result(10)
    assert (first.result(10), last.result(10)) == (1, 2)
    assert queued(store) == 2
    assert runs["first"] == 2
    assert clean(store)


def test_cancelled_job_that_waits_is_never_done(store: Store) -> None:
    with busy_writer(store):
        unwanted = store.enqueue(lambda transaction: transaction.submit(new()))
        wanted = store.enqueue(lambda transaction: transaction.submit(new()))
        assert unwanted.cancel()
    assert wanted.result(10).id == 1
    assert queued(store) == 1


def test_job_inside_a_job_is_refused_in_place_of_waiting_for_ever(store: Store) -> None:
    with pytest.raises(RuntimeError, match="inside a transaction"):
        store.run(lambda _: store.run(lambda transaction: transaction.submit(new())))
    submit(store)


def test_interrupted_caller_leaves_no_half_of_its_work(store: Store) -> None:
    def interrupted(transaction: Transaction) -> None:
        transaction.submit(new())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.run(interrupted)
    assert queued(store) == 0
    submit(store)
    assert clean(store)


def test_close_commits_what_waits_and_ends_the_thread(store: Store, open_again: Opener) -> None:
    before = threading.active_count()
    with busy_writer(store):
        waiting = [store.enqueue(lambda transaction: transaction.submit(new())) for _ in range(5)]
        closing_thread = threading.Thread(target=store.close)
        closing_thread.start()
    closing_thread.join(10)
    assert [each.result(0).id for each in waiting] == [1, 2, 3, 4, 5]
    assert threading.active_count() == before
    assert queued(open_again()) == 5


def test_closed_store_says_so_and_closing_twice_is_nothing(store: Store) -> None:
    submit(store)
    store.close()
    store.close()
    for use in (
        lambda: submit(store),
        lambda: store.enqueue(lambda _: None),
        lambda: store.read(lambda reader: reader.depth()),
        store.data_version,
    ):
        with pytest.raises(StoreError, match="has been closed"):
            use()


def test_what_waits_at_the_end_of_the_process_is_written(path: Path, open_again: Opener) -> None:
    script = (
        "import sys, time; from support.stored import new; from mailqueue.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "store.enqueue(lambda t: time.sleep(0.2))\n"
        "for _ in range(10): store.enqueue(lambda t: t.submit(new()))\n"
    )
    tests = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, path],
        capture_output=True,
        timeout=60,
        env={"PYTHONPATH": tests},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert queued(open_again()) == 10


def test_two_processes_that_write_at_once_both_get_on(path: Path, open_again: Opener) -> None:
    script = (
        "import sys; from support.stored import submit; from mailqueue.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "for _ in range(60): submit(store)\n"
        "store.close()\n"
    )
    tests = str(Path(__file__).parent.parent)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, path], stderr=subprocess.PIPE, env={"PYTHONPATH": tests}
        )
        for _ in range(3)
    ]
    assert [(worker.communicate(timeout=60)[1], worker.returncode) for worker in workers] == [(b"", 0)] * 3
    store = open_again()
    assert queued(store) == 180
    assert clean(store)
