"""Stores to test: each kind of store runs the same contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailqueue.store import open_store
from mailqueue.store.base import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the queue is."""
    return tmp_path / "mail.db"


@pytest.fixture
def open_again(path: Path) -> Iterator[Callable[..., Store]]:
    """Open the queue as another process would; every store is closed after the test."""
    stores: list[Store] = []

    def opened(**options: object) -> Store:
        stores.append(open_store(path, **options))  # type: ignore[arg-type]
        return stores[-1]

    yield opened
    for each in stores:
        each.close()


@pytest.fixture(params=["sqlite"])
def store(request: pytest.FixtureRequest, open_again: Callable[..., Store]) -> Store:
    """A new store, of each kind in turn."""
    assert request.param == "sqlite"
    return open_again()
