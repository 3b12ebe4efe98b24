"""Submit many: all messages of a batch in one transaction, or none.

The rule: every message is looked at, and every fault of every one told, before anything is stored; so
the transaction does nothing but write, and other writers wait for that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from mailqueue.engine.submit import Draft, find_account, insert, told, write_ahead
from mailqueue.errors import Conflict, InvalidSubmission, NotFound, QuotaExceeded
from mailqueue.model.message import Submission
from mailqueue.model.settings import Settings
from mailqueue.store.base import Store, Transaction

MAX_MESSAGES = 100_000
"""Messages that may be handed in at once."""
MAX_TOTAL = 128 * 2**20
"""Octets that their contents may have together: they are in memory until they are on disk."""

P = ParamSpec("P")
T = TypeVar("T")

_EVERY = 100  # messages between two calls of progress

Progress = Callable[[int, int | None], object]
"""Called with how many messages have been looked at, and how many there are (None: nobody knows yet)."""
Make = Callable[[Settings], Draft]


def submit_many(
    store: Store,
    messages: Iterable[object],
    *,
    prepare: Callable[[object], Make],
    progress: Progress | None,
    connection: Any,  # noqa: ANN401 - the contract of a DB-API connection is its driver's
) -> list[Submission]:
    """Store all messages; see `Queue.submit_many`.

    Args:
        store: where to.
        messages: what was handed in.
        prepare: returns what makes the draft of one of them.
        progress: see `Progress`. None: nobody asks.
        connection: whose transaction is joined. None: one of our own.
    """
    total = len(messages) if isinstance(messages, Sequence) else None
    tell = progress or (lambda done, total: None)

    def seen() -> Settings:
        if connection is None:
            return store.look(lambda reader: reader.settings())
        with store.joined(connection) as transaction:
            return transaction.settings()

    drafts = _drafts(store, messages, prepare, seen, lambda done: tell(done, total))
    _check_keys(drafts)
    if connection is None:
        written = [_numbered(n, write_ahead, store, each) for n, each in enumerate(drafts, 1)]
        made = store.run(lambda transaction: _insert(transaction, drafts, written))
    else:
        with store.joined(connection) as transaction:
            made = _insert(transaction, drafts, [None] * len(drafts))
    tell(len(made), len(made))
    return [told(each) for each in made]


def _drafts(
    store: Store,
    messages: Iterable[object],
    prepare: Callable[[object], Make],
    seen: Callable[[], Settings],
    tell: Callable[[int], object],
) -> list[Draft]:
    """Look at all messages. Raises InvalidSubmission with every fault, each with its message's number."""
    found: list[Draft] = []
    faults: list[str] = []
    octets = 0
    for number, message in enumerate(messages, 1):
        try:
            new = _draft(store, prepare(message), seen)
        except InvalidSubmission as error:
            faults += [f"message {number}: {fault}" for fault in error.faults]
        except NotFound as error:
            faults.append(f"message {number}: {error}")
        except TypeError as error:
            raise TypeError(f"message {number}: {error}") from error
        else:
            octets += new.size
            if not faults:
                found.append(new)
        if number > MAX_MESSAGES or octets > MAX_TOTAL:
            faults.append(
                f"message {number}: more than {MAX_MESSAGES} messages or {MAX_TOTAL} octets at once: "
                "hand them in in several calls"
            )
            break
        if number % _EVERY == 0:
            tell(number)
    if faults:
        raise InvalidSubmission(faults)
    return found


def _draft(store: Store, make: Make, seen: Callable[[], Settings]) -> Draft:
    try:
        return make(store.settings())
    except NotFound:  # unless it has just been made, or in the very transaction that is joined
        return make(seen())


def _check_keys(drafts: Sequence[Draft]) -> None:
    """Raise Conflict where two messages of the batch have one idempotency key and differ."""
    known: dict[tuple[str, str], tuple[int, bytes]] = {}
    conflicts = []
    for number, new in enumerate(drafts, 1):
        if new.idempotency is not None:
            key, print_ = new.idempotency.key, new.idempotency.fingerprint
            first, same = known.setdefault((new.account, key), (number, print_))
            if same != print_:
                conflicts.append(f"message {number}: idempotency key {key!r} stands for message {first}")
    if conflicts:
        raise Conflict("; ".join(conflicts))


def _insert(
    transaction: Transaction, drafts: Sequence[Draft], written: Sequence[int | None]
) -> list[Submission]:
    """Store all drafts inside a transaction, after a look at all of their idempotency keys."""
    settings = transaction.settings()
    conflicts = []
    for number, new in enumerate(drafts, 1):
        if new.idempotency is not None:
            account = find_account(settings, new.account)
            known = transaction.replay(account.id, new.idempotency.key)
            if known is not None and known[0] != new.idempotency.fingerprint:
                conflicts.append(
                    f"message {number}: idempotency key {new.idempotency.key!r} stands for another "
                    f"message: submission {known[1].id}, {known[1].message_id}"
                )
    if conflicts:
        raise Conflict("; ".join(conflicts))
    return [
        _numbered(number, insert, transaction, new, content)
        for number, (new, content) in enumerate(zip(drafts, written, strict=True), 1)
    ]


def _numbered(number: int, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what is done for one message; where it is over a quota, the error says its number."""
    try:
        return step(*args, **kwargs)
    except QuotaExceeded as error:
        error.args = (f"message {number}: {error}",)
        raise
