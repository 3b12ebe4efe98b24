"""Large content goes a few pieces at a time, so that its end holds nobody up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.stored import at, claim, clean, delivered, engine, failed, settle, submit

from mailqueue.clock import DAY
from mailqueue.errors import NotFound
from mailqueue.store.base import Store


@pytest.fixture
def store(open_again: Callable[..., Store]) -> Store:
    return open_again()


def test_large_content_is_gone_for_readers_at_once_and_its_pieces_go_in_steps(
    store: Store, path: Path
) -> None:
    submit(store, content=b"x" * (20 * 256 * 1024))
    [taken] = claim(store, engine(store))
    settle(store, delivered(taken, at(1)))
    with pytest.raises(NotFound, match="purged"):
        store.read(lambda reader: reader.content_chunk(taken.content_id, 0))
    assert clean(store)
    left = [pieces(path)]
    while store.run(lambda transaction: transaction.purge_content(at(2), 100)):
        left.append(pieces(path))
    assert left == [20, 4, 0]
    assert clean(store)


def test_history_with_large_content_is_purged_a_few_pieces_at_a_time(store: Store, path: Path) -> None:
    submit(store, content=b"x" * (20 * 256 * 1024))
    [taken] = claim(store, engine(store))
    settle(store, failed(taken, at(1), keep_until=at(1) + 300 * DAY))
    assert store.run(lambda transaction: transaction.purge_history(at(2) + 90 * DAY, 100)) == 1
    assert pieces(path) == 4
    assert clean(store)
    while store.run(lambda transaction: transaction.purge_orphans(at(2) + 90 * DAY, 100)):
        pass
    assert pieces(path) == 0
    assert clean(store)


def pieces(path: Path) -> int:
    """Return how many pieces of large content there are."""
    with closing(sqlite3.connect(path)) as raw:
        return int(raw.execute("SELECT count(*) FROM mailqueue_chunk").fetchone()[0])


def test_what_was_committed_stands_in_the_file_itself_after_a_checkpoint(
    store: Store, path: Path, tmp_path: Path
) -> None:
    submit(store)
    store.checkpoint()
    alone = tmp_path / "alone.db"
    alone.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(alone)) as raw:
        assert raw.execute("SELECT recipient FROM mailqueue_message").fetchall() == [("b@example.net",)]
    submit(store)
    assert clean(store)
