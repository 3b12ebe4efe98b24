"""What every store promises about events that are posted: they are written with what they tell of."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.stored import (
    add_rule,
    at,
    claim,
    deferred,
    delivered,
    engine,
    failed,
    failure_notice,
    recipient,
    settle,
    submit,
)

from mailqueue.errors import NotFound
from mailqueue.model.events import EventKind
from mailqueue.model.message import Drop
from mailqueue.model.webhook import Endpoint
from mailqueue.store.base import Store


def endpoint(*events: EventKind, account_id: int = 1, disabled: bool = False) -> Endpoint:
    now = datetime(2027, 1, 15, tzinfo=UTC)
    return Endpoint(
        account_id=account_id,
        url="https://example.org/hook",
        events=frozenset(events),
        authorization=None,
        secrets=("whsec_bm90aGluZyB0byBzZWUgaGVyZQ==",),
        allow_private=False,
        disabled_at=now if disabled else None,
        created_at=now,
    )


def set_endpoint(store: Store, made: Endpoint) -> None:
    store.run(lambda transaction: transaction.set_endpoint(made))


def outbox(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT payload FROM mailqueue_webhook ORDER BY id").fetchall()
    return [json.loads(payload) for (payload,) in found]


def test_endpoint_is_there_as_it_was_set_and_gone_once_it_is_removed(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.FAILED, EventKind.DELIVERED))
    assert store.settings().endpoints == {1: endpoint(EventKind.FAILED, EventKind.DELIVERED)}
    set_endpoint(store, endpoint(EventKind.FAILED))
    assert store.settings().endpoints == {1: endpoint(EventKind.FAILED)}
    store.run(lambda transaction: transaction.remove_endpoint(1))
    assert store.settings().endpoints == {}
    with pytest.raises(NotFound, match="no webhook"):
        store.run(lambda transaction: transaction.remove_endpoint(1))
    with pytest.raises(NotFound, match="no account 7"):
        set_endpoint(store, endpoint(EventKind.FAILED, account_id=7))


def test_event_is_posted_with_what_was_so_when_it_was_written(store: Store, path: Path) -> None:
    set_endpoint(store, endpoint(EventKind.FAILED, EventKind.DELIVERED, EventKind.DELAYED))
    submit(store, "b@example.com", "c@example.com")
    one, two = claim(store, engine(store))
    settle(store, delivered(one, at(1)), failed(two, at(2)), notices=[failure_notice(two.id)])
    first, second = outbox(path)
    assert (first["type"], first["data"]["recipient"]) == ("delivered", "b@example.com")
    assert (second["type"], second["timestamp"]) == ("failed", "2023-11-14T22:13:22.000000Z")
    told = second["data"]
    assert (told["id"], told["account"], told["state"]) == (two.id, "default", "failed")
    assert (told["attempt"]["number"], told["attempt"]["outcome"]) == (1, "failed")
    assert told["extra"] == {}
    assert told["next_attempt_at"] is None


def test_only_what_the_account_wishes_is_posted(store: Store, path: Path) -> None:
    set_endpoint(store, endpoint(EventKind.FAILED))
    submit(store, "b@example.com")
    [one] = claim(store, engine(store))
    settle(store, delivered(one, at(1)))
    assert outbox(path) == []


def test_nothing_is_posted_to_an_endpoint_that_has_said_that_it_is_gone(store: Store, path: Path) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED, disabled=True))
    submit(store, "b@example.com")
    [one] = claim(store, engine(store))
    settle(store, delivered(one, at(1)))
    assert outbox(path) == []


def test_hold_at_submit_and_what_is_dropped_there_are_posted(store: Store, path: Path) -> None:
    set_endpoint(store, endpoint(EventKind.HELD, EventKind.CANCELED))
    rule = add_rule(store, recipient_domain="held.example")
    submit(store, recipient("b@held.example", holds=(rule.id,)))
    dropped = Drop(reason="no room", keep_content_until=at(99))
    submit(store, replace(recipient("c@example.com"), drop=dropped))
    held, canceled = outbox(path)
    assert (held["type"], held["data"]["details"]) == ("held", {"rule": rule.id})
    assert (canceled["type"], canceled["data"]["state"]) == ("canceled", "canceled")


def test_retry_is_no_event_and_posts_nothing(store: Store, path: Path) -> None:
    set_endpoint(store, endpoint(*EventKind))
    submit(store, "b@example.com")
    [one] = claim(store, engine(store))
    settle(store, deferred(one, at(1), again=at(60)))
    assert outbox(path) == []
