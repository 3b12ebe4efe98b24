"""What every store promises about submitting."""

from __future__ import annotations

import pytest
from support.stored import (
    BODY,
    NOON,
    add_rule,
    at,
    claim,
    clean,
    due,
    engine,
    message,
    new,
    recipient,
    submit,
)

from mailqueue.clock import to_datetime
from mailqueue.errors import Conflict, NotFound, StoreError
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Idempotency
from mailqueue.store.base import Store, Transaction

KIB = 1024


def test_submitted_message_is_read_back_as_it_was_handed_in(store: Store) -> None:
    made = submit(store, "b@example.net", "c@example.com")
    assert [each.recipient for each in made.messages] == ["b@example.net", "c@example.com"]
    assert [each.state for each in made.messages] == [State.QUEUED, State.QUEUED]
    found = message(store, made.messages[1].id)
    assert (found.submission_id, found.account, found.sender) == (made.id, "default", "a@example.org")
    assert (found.recipient, found.subject, found.message_id) == ("c@example.com", "hello", "<1@example.org>")
    assert (found.size, found.attempts, found.last_error, found.hold) == (len(BODY), 0, None, False)
    assert found.next_attempt_at == to_datetime(NOON)
    assert store.read(lambda reader: reader.content(reader.content_of(found.id))) == BODY
    assert clean(store)


def test_ids_are_never_used_again_by_another_submission(store: Store) -> None:
    ids = [submit(store, "b@example.net", "c@example.net") for _ in range(3)]
    assert len({each.id for each in ids}) == 3
    assert len({message.id for each in ids for message in each.messages}) == 6


def test_submissions_of_one_transaction_keep_their_own_content_and_messages(store: Store) -> None:
    def both(transaction: Transaction) -> list[int]:
        return [
            transaction.submit(new(f"{name}@example.net", content=name.encode())).messages[0].id
            for name in "pq"
        ]

    first, second = store.run(both)
    assert store.read(lambda reader: reader.content(reader.content_of(first))) == b"p"
    assert store.read(lambda reader: reader.content(reader.content_of(second))) == b"q"


def test_empty_content_is_content_too(store: Store) -> None:
    made = submit(store, content=b"")
    assert store.read(lambda reader: reader.content(reader.content_of(made.messages[0].id))) == b""
    assert clean(store)


@pytest.mark.parametrize("size", [256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 700 * KIB])
def test_content_of_any_size_is_read_back_whole_and_in_pieces(store: Store, size: int) -> None:
    octets = bytes(range(251)) * (size // 251 + 1)
    octets = octets[:size]
    made = submit(store, content=octets)
    content = store.read(lambda reader: reader.content_of(made.messages[0].id))
    assert store.read(lambda reader: reader.content(content)) == octets
    pieces = []
    while (piece := store.read(lambda reader: reader.content_chunk(content, len(pieces)))) is not None:
        pieces.append(piece)
    assert b"".join(pieces) == octets
    assert max(map(len, pieces)) <= 256 * KIB
    assert store.read(lambda reader: reader.content_head(content, 300_000)) == octets[:300_000]
    assert clean(store)


def test_content_written_in_steps_belongs_to_nobody_until_submitted(store: Store) -> None:
    octets = b"x" * (600 * KIB)
    content = store.run(lambda transaction: transaction.begin_content(len(octets), NOON))
    for number, start in enumerate(range(0, len(octets), 256 * KIB)):
        piece = octets[start : start + 256 * KIB]
        store.run(lambda transaction, n=number, p=piece: transaction.append_content(content, n, p))
    made = submit(store, content=content)
    assert store.read(lambda reader: reader.content_of(made.messages[0].id)) == content
    assert store.read(lambda reader: reader.content(content)) == octets
    assert clean(store)


def test_content_that_is_not_there_whole_is_not_submitted(store: Store) -> None:
    content = store.run(lambda transaction: transaction.begin_content(600 * KIB, NOON))
    store.run(lambda transaction: transaction.append_content(content, 0, b"x" * 100))
    with pytest.raises(NotFound, match="not there whole"):
        submit(store, content=content)
    assert store.read(lambda reader: reader.depth()).queued == 0


def test_content_of_one_submission_is_not_taken_by_another(store: Store) -> None:
    content = store.run(lambda transaction: transaction.begin_content(300 * KIB, NOON))
    store.run(lambda transaction: transaction.append_content(content, 0, b"x" * 256 * KIB))
    store.run(lambda transaction: transaction.append_content(content, 1, b"x" * 44 * KIB))
    submit(store, content=content)
    with pytest.raises(NotFound, match="belongs to a submission already"):
        submit(store, content=content)
    with pytest.raises(NotFound, match="not being written"):
        store.run(lambda transaction: transaction.append_content(content, 2, b"x"))


def test_submit_raises_the_wake_counter_and_the_due_time_of_its_destination(store: Store) -> None:
    before = store.read(lambda reader: reader.wake())
    submit(store, recipient("b@example.net", due=at(50)))
    assert due(store) == at(50)
    submit(store, recipient("c@example.net", due=at(20)))
    submit(store, recipient("d@example.net", due=at(70)))
    assert due(store) == at(20)
    assert store.read(lambda reader: reader.wake()) == before + 3


def test_callback_for_new_mail_is_called_after_the_commit_and_no_more_once_ended(store: Store) -> None:
    seen: list[int] = []
    end = store.on_wake(lambda: seen.append(store.read(lambda reader: reader.depth()).queued))
    submit(store)
    store.run(lambda transaction: transaction.settings())
    end()
    submit(store)
    assert seen == [1]


def test_message_held_from_the_start_has_its_marks_and_is_not_due(store: Store) -> None:
    rule = add_rule(store, recipient_domain="example.net", reason="moving house")
    made = submit(store, recipient("b@example.net", holds=(rule.id,)), "c@example.com")
    held = message(store, made.messages[0].id)
    assert [(each.rule_id, each.reason, each.actor) for each in held.holds] == [
        (rule.id, "moving house", "cli:op")
    ]
    event = store.read(lambda reader: reader.events(held.id))[0]
    assert (event.event.value, event.reason, event.data) == ("held", "moving house", {"rule": rule.id})
    assert store.read(lambda reader: reader.depth()).held == 1
    taken = claim(store, engine(store))
    assert [each.recipient for each in taken] == ["c@example.com"]
    assert clean(store)


def test_hold_rule_that_does_not_exist_holds_nothing(store: Store) -> None:
    with pytest.raises(NotFound, match="no hold rule 7"):
        submit(store, recipient("b@example.net", holds=(7,)))
    assert store.read(lambda reader: reader.depth()).queued == 0


# --- idempotency ------------------------------------------------------------------------------
KEY = Idempotency(key="order 7", fingerprint=b"\x01" * 32)


def test_idempotency_key_gives_the_first_submission_back_even_when_its_history_has_gone(store: Store) -> None:
    made = submit(store, "b@example.net", "c@example.net", key=KEY)
    found = store.run(lambda transaction: transaction.replay(1, "order 7"))
    assert found is not None
    fingerprint, again = found
    assert fingerprint == KEY.fingerprint
    assert (again.id, again.message_id, again.messages) == (made.id, made.message_id, made.messages)
    assert again.replayed
    assert not made.replayed


def test_idempotency_keys_of_accounts_are_apart(store: Store) -> None:
    other = store.run(lambda transaction: transaction.add_account("shop", NOON))
    submit(store, key=KEY)
    assert store.run(lambda transaction: transaction.replay(other.id, "order 7")) is None
    submit(store, key=KEY, account_id=other.id)
    assert clean(store)


def test_idempotency_key_is_known_to_the_next_job_of_the_same_commit(store: Store) -> None:
    def twice(transaction: Transaction) -> bool:
        first = transaction.submit(new(key=KEY))
        found = transaction.replay(1, "order 7")
        return found is not None and found[1].id == first.id

    assert store.run(twice)


def test_submission_that_fails_leaves_nothing_and_frees_its_key(store: Store) -> None:
    def job(transaction: Transaction) -> None:
        transaction.submit(new(key=KEY))
        raise Conflict("changed my mind")

    with pytest.raises(Conflict, match="changed my mind"):
        store.run(job)
    assert store.run(lambda transaction: transaction.replay(1, "order 7")) is None
    assert store.read(lambda reader: reader.depth()).queued == 0
    assert clean(store)


def test_value_that_a_row_cannot_take_fails_its_own_submission_only(store: Store) -> None:
    bad = new(sender=None)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="sender"):
        store.run(lambda transaction: transaction.submit(bad))
    submit(store)
    assert clean(store)
