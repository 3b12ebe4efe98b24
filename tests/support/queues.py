"""Queues made by chance, and what a list of them must be: by looking at every message."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from support.stored import (
    ALL,
    at,
    claim,
    deferred,
    delivered,
    engine,
    failed,
    hold,
    new,
    recipient,
    settle,
)

from mailqueue.clock import DAY, HOUR, MINUTE, to_datetime
from mailqueue.errors import NotFound
from mailqueue.model.attempt import Category
from mailqueue.model.events import Event, EventKind
from mailqueue.model.filters import Filter, Order, Sort, Times
from mailqueue.model.lane import Block, Lane, Priority
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Claimed, Message
from mailqueue.model.settlement import Settlement
from mailqueue.store.base import Store

ACCOUNTS = ("default", "shop", "empty")
SENDERS = ("a@example.org", "A@example.org", "b@shop.example", '"x@y"@example.org', "")
RECIPIENTS = tuple(
    f"{local}@{domain}" for local in "bcd" for domain in ("example.net", "example.com", "[192.0.2.1]")
)
SUBJECTS = ("Your Order 17", "Grüße", None)
BODIES = (b"Subject: one\r\n\r\nthe first\r\n", b"Subject: two\r\n\r\nthe second\r\n" * 20, b"x" * 300_000)
LENGTH = 20 * HOUR


def _submit(store: Store, chance: random.Random, now: int) -> None:
    made = new(
        *(
            recipient(
                to,
                due=now + chance.choice((0, 0, 0, HOUR)),
                priority=chance.choice(list(Priority)),
                transport=chance.choice(("", "", "out")),
            )
            for to in chance.sample(RECIPIENTS, chance.randint(1, 4))
        ),
        sender=chance.choice(SENDERS),
        account_id=chance.choice((1, 1, 2)),
        content=chance.choice(BODIES),
        submitted_at=now + chance.randint(-2, 2) * MINUTE,
    )
    made = replace(made, subject=chance.choice(SUBJECTS), message_id=f"<{chance.randint(1, 20)}@example.org>")
    store.run(lambda transaction: transaction.submit(made))


def _settled(each: Claimed, chance: random.Random, now: int) -> Settlement | None:
    return chance.choice(
        (
            None,
            delivered(each, now),
            delivered(each, now),
            failed(each, now),
            deferred(each, now, again=now + HOUR),
            replace(failed(each, now), move=replace(failed(each, now).move, state=State.EXPIRED)),  # type: ignore[type-var]
        )
    )


def fill(store: Store, seed: int, *, submissions: int = 30) -> None:
    """Submit, deliver, fail, defer, hold and block, over a day."""
    chance = random.Random(seed)
    store.run(lambda transaction: transaction.add_account("shop", at(0)))
    store.run(lambda transaction: transaction.add_account("empty", at(0)))
    own = engine(store)
    for number in range(submissions):
        now = at(0) + number * LENGTH // submissions
        _submit(store, chance, now)
        taken = claim(store, own, now + MINUTE, limit=chance.randint(0, 3))
        settlements = [_settled(each, chance, now + 2 * MINUTE) for each in taken]
        settle(store, *(each for each in settlements if each is not None))
        if chance.random() < 0.3:
            hold(store, Filter(ids=(chance.randint(1, number + 1),)))
    waiting = store.read(lambda reader: reader.queue(ALL, limit=1000, after=None)).items
    if waiting:
        lane = _lane(chance.choice(waiting))
        store.run(lambda transaction: transaction.block([Block(lane, at(0) + DAY, "relay out:25")]))


def _lane(message: Message) -> Lane:
    domain = message.recipient.rpartition("@")[2]
    account = ACCOUNTS.index(message.account) + 1
    return Lane(message.priority.value, account, domain, message.transport or "")


# --- filters and orders -----------------------------------------------------------------------
def _times() -> st.SearchStrategy[Times]:
    moments = st.none() | st.integers(-HOUR, LENGTH + 2 * HOUR).map(lambda n: to_datetime(at(0) + n))
    return st.builds(Times, after=moments, before=moments)


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "ids": st.lists(st.integers(1, 80), max_size=20, unique=True).map(tuple),
    "submission_id": st.integers(1, 32),
    "account": st.sampled_from((*ACCOUNTS, "nobody")),
    "sender": st.sampled_from(
        (*SENDERS, "@example.org", "@shop.example", "@nobody.example", "n@example.org")
    ),
    "recipient": st.sampled_from(
        (*RECIPIENTS, "@example.net", "@[192.0.2.1]", "@nobody.example", "n@example.net")
    ),
    "subject": st.sampled_from(("order", "ORDER  17", "grüsse", "x")),
    "hold": st.booleans(),
    "transport": st.sampled_from(("", "out", "other")),
    "submitted": _times(),
    "next_attempt": _times(),
    "retired": _times(),
    "category": st.sampled_from((Category.OK, Category.GREYLISTED, Category.MAILBOX_UNKNOWN, Category.DNS)),
    "state": st.sampled_from(State),
    "event": st.sampled_from((EventKind.HELD, EventKind.DELIVERED, EventKind.FAILED, EventKind.RELAYED)),
    "message_id": st.integers(1, 22).map(lambda n: f"<{n}@example.org>"),
    "text": st.sampled_from(("the first", "THE second", "one", "nobody")),
    "priority": st.sampled_from(Priority),
    "destination": st.sampled_from(("relay out:25", "other")),
}
"""Values of every filter, most of which something in a queue has."""


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Return filters with none to three things set."""
    names = draw(st.lists(st.sampled_from(sorted(_VALUES)), max_size=3, unique=True))
    return Filter(**{name: draw(_VALUES[name]) for name in names})


def lists() -> st.SearchStrategy[tuple[bool, Order]]:
    """Return the lists there are, the history (True) and the queue, each in all of its orders."""
    return st.sampled_from(
        [
            (retired, Order(each, descending))
            for retired in (False, True)
            for each in Sort
            if each is not (Sort.NEXT_ATTEMPT if retired else Sort.RETIRED)
            for descending in (False, True)
        ]
    )


# --- what must come ---------------------------------------------------------------------------
_KEYS: dict[Sort, Callable[[Message], tuple[Any, ...]]] = {
    Sort.SUBMITTED: lambda message: (message.id,),
    Sort.RETIRED: lambda message: (message.retired_at, message.id),
    Sort.NEXT_ATTEMPT: lambda message: (message.next_attempt_at, message.id),
    Sort.RECIPIENT: lambda message: (message.recipient.rpartition("@")[2], message.recipient, message.id),
    Sort.SIZE: lambda message: (message.size, message.id),
}


class Sample:
    """A queue made by chance, and every message in it, with its events and its content."""

    def __init__(self, store: Store, seed: int) -> None:
        fill(store, seed)
        self.store = store
        self.every = [
            (each, [event.event for event in self._events(each.id)], self._content(each.id))
            for each in self._messages()
        ]

    def _messages(self) -> Iterator[Message]:
        for submission_id in range(1, 40):
            with suppress(NotFound):
                yield from self.store.read(lambda reader, s=submission_id: reader.submission_messages(s))

    def _events(self, message_id: int) -> Sequence[Event]:
        return self.store.read(lambda reader: reader.events(message_id))

    def _content(self, message_id: int) -> list[bytes]:
        try:
            return [self.store.read(lambda reader: reader.content(reader.content_of(message_id)))]
        except NotFound:  # purged
            return []

    def expected(self, which: Filter, order: Order, *, retired: bool) -> list[Message]:
        """Return what a list must have, as `Filter.matches` says of each message."""
        found = [
            message
            for message, events, content in self.every
            if message.state.retired is retired and which.matches(message, events=events, content=content)
        ]
        return sorted(found, key=_KEYS[order.by], reverse=order.descending)


def listed(store: Store, which: Filter, order: Order, *, retired: bool, limit: int) -> list[int]:
    """Return the ids of all pages of a list."""
    found: list[int] = []
    after = None
    while True:
        page = store.read(
            lambda reader, after=after: (reader.retired if retired else reader.queue)(
                which, limit=limit, after=after, order=order
            )
        )
        assert len(page.items) <= limit
        assert [each.id for each in page.items] == list(dict.fromkeys(each.id for each in page.items))
        found += [each.id for each in page.items]
        after = page.next
        if after is None:
            return found
