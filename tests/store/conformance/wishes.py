"""What every store promises about wishes for notices (RFC 3461): they come back as they were handed in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.stored import (
    at,
    claim,
    clean,
    deferred,
    delivered,
    engine,
    failure_notice,
    message,
    new,
    recipient,
    settle,
    submit,
)

from mailqueue.model.events import NoticeKind
from mailqueue.model.message import Claimed, Message
from mailqueue.store.base import StaleNotice, Store

WISHED = (
    replace(recipient("b@example.net"), notify="success,delay", orcpt="utf-8;jörg@example.com"),
    replace(recipient("c@example.net"), notify="never"),
    recipient("d@example.net"),
)
KEPT = [
    ("success,delay", "utf-8;jörg@example.com", "order 17", "HDRS"),
    ("never", None, "order 17", "HDRS"),
    (None, None, "order 17", "HDRS"),
]


def wishes(found: Claimed | Message) -> tuple[str | None, ...]:
    return (found.notify, found.orcpt, found.envid, found.ret)


def wished(store: Store) -> None:
    new_one = replace(new(*WISHED), envid="order 17", ret="HDRS")
    store.run(lambda transaction: transaction.submit(new_one))


def test_wishes_come_back_with_every_claim_and_to_whoever_looks(store: Store) -> None:
    wished(store)
    assert [wishes(message(store, number)) for number in (1, 2, 3)] == KEPT
    first = claim(store, engine(store))
    assert [wishes(each) for each in first] == KEPT
    settle(store, *(deferred(each, at(1), again=at(100), warn_at=at(50)) for each in first))
    owed = store.read(lambda reader: reader.owed_warnings(at(50), 10))
    assert [wishes(each) for each in owed] == KEPT
    assert [wishes(each) for each in claim(store, engine(store), at(100))] == KEPT
    assert clean(store)


def test_message_without_wishes_has_none(store: Store) -> None:
    submit(store, "b@example.net")
    [own] = claim(store, engine(store))
    assert wishes(own) == wishes(message(store)) == (None, None, None, None)


@pytest.mark.parametrize("kind", NoticeKind)
def test_notice_of_every_kind_is_kept(store: Store, kind: NoticeKind) -> None:
    submit(store, "b@example.net")
    [own] = claim(store, engine(store))
    settle(store, delivered(own), notices=[replace(failure_notice(own.id), kind=kind)])
    [notice] = store.read(lambda reader: reader.notices(own.id))
    assert notice.kind is kind
    assert clean(store)


def test_late_delivery_is_told_of_with_its_notice_and_only_once(store: Store) -> None:
    """The claim went to another engine meanwhile: who delivers first tells, the second tells nothing."""
    submit(store, "b@example.net")
    dead = engine(store)
    [first] = claim(store, dead)
    store.run(lambda transaction: transaction.bury_engine(dead, at(1)))
    relayed = replace(failure_notice(first.id), kind=NoticeKind.RELAYED)
    assert settle(store, delivered(first, at(2)), notices=[relayed]) == {first.id}
    with pytest.raises(StaleNotice):
        settle(store, delivered(first, at(3)), notices=[relayed])
    assert len(store.read(lambda reader: reader.notices(first.id))) == 1
    assert clean(store)
