"""Group commit: jobs that wait at the same time share one write transaction and one sync of the disk.

The one rule: a job's result is handed out after the commit that holds it, and never before. There is
no timer: take what waits, commit, repeat. A caller who is alone commits in its own thread; whoever
comes while somebody commits waits for the writer's thread, which starts when first needed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from mailqueue.errors import StoreError
from mailqueue.store.base import Transaction

T = TypeVar("T")

_GROUP = 512
"""Jobs in one transaction at most."""


class Job(Generic[T]):
    """Something to do in a write transaction, and who waits for it."""

    __slots__ = ("done", "error", "future", "result", "work")

    def __init__(self, work: Callable[[Transaction], T], future: Future[T] | None = None) -> None:
        self.work = work
        self.future = future
        self.done: threading.Lock | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    def begin(self) -> bool:
        """Say that it is about to be done. False: whoever waited has cancelled it."""
        return self.future is None or self.future.set_running_or_notify_cancel()

    def finish(self) -> None:
        """Wake whoever waits."""
        if self.done is not None:
            self.done.release()
        elif self.future is not None:
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)

    def outcome(self) -> T:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        result: T = self.result
        return result


class Writer:
    """Takes jobs and has them committed in groups.

    Args:
        commit: does a group of jobs in one transaction, sets their results or errors, never raises.
        path: for the texts of errors.
    """

    def __init__(self, commit: Callable[[Sequence[Job[Any]]], None], path: str) -> None:
        self._commit = commit
        self._path = path
        self.start_anew()

    def start_anew(self) -> None:
        """Forget everything, as a child must that was forked: what waits is the parent's."""
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[Job[Any]] = deque()
        self._busy = False
        self._owner = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` and return its result, once it is on disk."""
        job = Job(work)
        with self._changed:
            self._check_open()
            alone = not self._busy and not self._waiting
            if alone:
                self._busy = True
            else:
                if self._owner == threading.get_ident():
                    raise RuntimeError("a job must not wait for another: it is inside a transaction")
                job.done = threading.Lock()
                job.done.acquire()
                self._add(job)
        if alone:
            self._do([job])
        elif job.done is not None:
            job.done.acquire()
        return job.outcome()

    def enqueue(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Have `work` done with the next group."""
        future: Future[T] = Future()
        with self._changed:
            self._check_open()
            self._add(Job(work, future))
        return future

    def close(self, timeout: float) -> None:
        """Take no more jobs, do those that wait within `timeout` seconds, end the thread."""
        end = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while (self._busy or self._waiting) and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            left_over = list(self._waiting)
            self._waiting.clear()
        for job in left_over:
            job.error = StoreError(f"{self._path}: closed before this could be written; nothing was stored")
            job.finish()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(0.1, end - time.monotonic()))

    # -- inside --------------------------------------------------------------------------------
    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._path}: this queue has been closed")

    def _add(self, job: Job[Any]) -> None:
        """Let a job wait for the thread; the lock is held."""
        if self._thread is None:
            thread = threading.Thread(target=self._loop, name="mailqueue-writer", daemon=True)
            thread.start()  # may fail, at the end of the process: then nothing waits for it
            self._thread = thread
        self._waiting.append(job)
        if not self._busy and len(self._waiting) == 1:
            self._changed.notify_all()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while self._busy or not self._waiting:
                    if self._closed and not self._waiting:
                        return
                    self._changed.wait()
                self._busy = True
                group = [self._waiting.popleft() for _ in range(min(_GROUP, len(self._waiting)))]
            self._do(group)

    def _do(self, group: Sequence[Job[Any]]) -> None:
        self._owner = threading.get_ident()
        wanted = [job for job in group if job.begin()]
        try:
            self._commit(wanted)
        finally:
            with self._changed:
                self._busy = False
                self._owner = 0
                if self._waiting or self._closed:
                    self._changed.notify_all()
        for job in wanted:
            job.finish()
