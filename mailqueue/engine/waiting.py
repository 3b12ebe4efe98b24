"""Batches that wait for a connection of their destination, and whose turn it is.

The rule: interactive before normal before bulk; within each, accounts in turn, and the batches of one in
the order in which they came.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace

from mailqueue.model.lane import Priority
from mailqueue.model.message import Claimed
from mailqueue.policy.batch import Batch

_Accounts = OrderedDict[int, deque[Batch]]


class Waiting:
    """Batches of one destination, in line."""

    __slots__ = ("_count", "_lines")

    def __init__(self) -> None:
        self._lines: dict[int, _Accounts] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def top(self) -> Priority:
        """The priority of the batch whose turn it is; there is one."""
        return Priority(min(self._lines))

    def add(self, batch: Batch) -> None:
        """Put a batch at the end of the line of its account."""
        self._count += 1
        first = batch.messages[0]
        self._lines.setdefault(first.priority, OrderedDict()).setdefault(first.account_id, deque()).append(
            batch
        )

    def add_first(self, batch: Batch) -> None:
        """Put a batch back to where it was taken from."""
        self._count += 1
        first = batch.messages[0]
        accounts = self._lines.setdefault(first.priority, OrderedDict())
        accounts.setdefault(first.account_id, deque()).appendleft(batch)
        accounts.move_to_end(first.account_id, last=False)

    def pop(self) -> Batch:
        """Take the batch whose turn it is; there is one."""
        self._count -= 1
        priority = min(self._lines)
        accounts = self._lines[priority]
        account_id, line = accounts.popitem(last=False)
        batch = line.popleft()
        if line:
            accounts[account_id] = line  # at the end: the others come first
        elif not accounts:
            del self._lines[priority]
        return batch

    def take(self, meant: Callable[[Claimed], bool]) -> list[Claimed]:
        """Take the messages that are meant out of the line, and return them."""
        taken: list[Claimed] = []
        batches = [batch for accounts in self._lines.values() for line in accounts.values() for batch in line]
        self._lines, self._count = {}, 0
        for batch in batches:
            chosen = [message for message in batch.messages if meant(message)]
            taken += chosen
            if not chosen:
                self.add(batch)
            elif len(chosen) < len(batch.messages):
                left = tuple(message for message in batch.messages if not meant(message))
                self.add(replace(batch, messages=left))
        return taken
