"""The integrity check finds each kind of fault, and nothing in a database that is sound."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

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
    hold,
    settle,
    submit,
)

from mailqueue.model.filters import Filter
from mailqueue.store.base import Store
from mailqueue.store.integrity import _FAULTS, _MEND


def lived_in(store: Store) -> None:
    """Fill a store with messages in every situation."""
    add_rule(store, recipient_domain="rule.example")
    submit(store, *(f"b{n}@d{n}.example" for n in range(6)))
    submit(store, "large@example.net", content=b"x" * 600_000)
    submit(store, "x@rule.example")
    own = engine(store)
    taken = {each.id: each for each in claim(store, own)}
    settle(store, delivered(taken[1], at(1)), deferred(taken[2], at(1), again=at(9), warn_at=at(50)))
    settle(store, failed(taken[3], at(1), keep_until=at(999)), notices=[failure_notice(3)])
    hold(store, Filter(ids=(4,)))
    submit(store, "last@example.net")


DAMAGE = {
    "messages_miscounted": "UPDATE mailqueue_meta SET value = value + 1 WHERE key = 'held'",
    "waiting_miscounted": "UPDATE mailqueue_waiting SET messages = messages + 1 WHERE domain = 'example.net'",
    "marks_miscounted": "UPDATE mailqueue_message SET holds = 0 WHERE id = 4",
    "marks_of_retired": "INSERT INTO mailqueue_hold (message_id, since_at, actor) VALUES (1, 1, 'x')",
    "lane_missing": "UPDATE mailqueue_lane SET due_at = NULL WHERE domain = 'example.net'",
    "lane_late": "UPDATE mailqueue_lane SET due_at = due_at * 2 WHERE domain = 'd1.example'",
    "claim_without_engine": "DELETE FROM mailqueue_engine",
    "content_missing": "UPDATE mailqueue_content SET data = NULL, purged_at = 1 WHERE submission_id = 1",
    "content_not_linked": "UPDATE mailqueue_content SET submission_id = 99 WHERE submission_id = 1",
    "content_of_nobody": "UPDATE mailqueue_content SET submission_id = 99 WHERE submission_id = 1",
    "content_of_wrong_size": "UPDATE mailqueue_content SET data = x'00' WHERE submission_id = 1",
    "content_not_gone": "UPDATE mailqueue_content SET purged_at = 1 WHERE submission_id = 2",
    "content_kept_for_ever": (
        "UPDATE mailqueue_message SET retired_at = 1, state = 'failed', next_attempt_at = NULL,"
        " engine_id = NULL, claimed_at = NULL WHERE submission_id = 2"
    ),
    "attempts_miscounted": "DELETE FROM mailqueue_attempt WHERE message_id = 2",
    "attempts_twice": (
        "INSERT INTO mailqueue_attempt (message_id, number, engine_id, started_at, duration, outcome,"
        " category) VALUES (2, 1, 1, 1, 1, 'failed', 'other')"
    ),
    "fate_without_event": "DELETE FROM mailqueue_event WHERE message_id = 1",
    "event_without_notice": "DELETE FROM mailqueue_notice",
    "feedback_of_active": "UPDATE mailqueue_message SET feedback = 'bounced' WHERE id = 4",
    "feedback_without_event": "UPDATE mailqueue_message SET feedback = 'complained' WHERE id = 1",
    "incoming_of_nobody": (
        "INSERT INTO mailqueue_incoming (at, kind, submission_id, messages, summary, digest, size,"
        " correlation, actor, content) VALUES (1, 'bounce', 99, '[]', '', x'', 0, '', '', x'')"
    ),
    "submission_without_messages": "DELETE FROM mailqueue_message WHERE submission_id = 2",
    "ids_out_of_order": "UPDATE mailqueue_message SET submission_id = 3 WHERE id = 1",
}


def test_every_kind_of_fault_is_tried_here() -> None:
    assert set(DAMAGE) == set(_FAULTS)


@pytest.mark.parametrize("kind", DAMAGE)
def test_fault_is_found_and_told_in_a_sentence(
    kind: str, path: Path, open_again: Callable[..., Store]
) -> None:
    store = open_again()
    lived_in(store)
    assert store.read(lambda reader: reader.integrity()) == []
    with closing(sqlite3.connect(path)) as raw, raw:
        assert raw.execute(DAMAGE[kind]).rowcount > 0
    found = store.read(lambda reader: reader.integrity())
    start, _, end = _FAULTS[kind].partition("{}")
    assert [each for each in found if each.startswith(start) and end.rpartition("{}")[2] in each], found


@pytest.mark.parametrize("kind", [kind for kind, text in _MEND.items() if "--mend" in text])
def test_what_follows_from_other_rows_is_counted_anew(
    kind: str, path: Path, open_again: Callable[..., Store]
) -> None:
    store = open_again()
    lived_in(store)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(DAMAGE[kind])
    assert store.read(lambda reader: reader.integrity())
    store.run(lambda transaction: transaction.mend())
    assert store.read(lambda reader: reader.integrity()) == []
    assert 2 in {each.id for each in claim(store, engine(store), now=at(10_000))}, (
        "what waits is not forgotten"
    )


def test_large_content_with_a_piece_missing_is_found(path: Path, open_again: Callable[..., Store]) -> None:
    store = open_again()
    lived_in(store)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM mailqueue_chunk WHERE number = 1")
    [fault] = store.read(lambda reader: reader.integrity())
    assert fault.startswith("content 2 should have 600000 octets")


def test_reference_to_a_row_that_is_not_there_is_found(path: Path, open_again: Callable[..., Store]) -> None:
    store = open_again()
    lived_in(store)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM mailqueue_account")
    found = store.read(lambda reader: reader.integrity())
    assert any("refers to a row of mailqueue_account that does not exist" in each for each in found)


def test_index_and_column_that_are_missing_are_named(path: Path, open_again: Callable[..., Store]) -> None:
    store = open_again()
    lived_in(store)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DROP INDEX mailqueue_message_due")
        raw.execute("ALTER TABLE mailqueue_engine RENAME COLUMN boot_id TO boots")
    found = store.read(lambda reader: reader.integrity())
    assert any(
        each.startswith("index mailqueue_message_due is missing, or not as it should be (make it anew")
        for each in found
    )
    assert any(
        each.startswith("column boot_id of table mailqueue_engine is missing (restore a") for each in found
    )


def test_faults_of_an_applications_own_tables_are_not_ours(
    path: Path, open_again: Callable[..., Store]
) -> None:
    store = open_again()
    lived_in(store)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE orders (id INTEGER, customer INTEGER REFERENCES customers (id))")
        raw.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY)")
        raw.execute("INSERT INTO orders VALUES (1, 7)")
    assert store.read(lambda reader: reader.integrity()) == []
