"""Fixtures that any test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postfix import postfix
from support.receiver import Receiver
from support.stage import Stage

from mailqueue import Queue

__all__ = ["postfix"]

pytest.register_assert_rewrite("store.conformance", "support.stored")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A queue on a manual clock; in the end all must be in order."""
    made = Stage(tmp_path / "queue.db")
    yield made
    made.close()


@pytest.fixture
def queue(stage: Stage) -> Queue:
    """The queue of `stage`."""
    return stage.queue


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An SMTP server that takes all mail, or does as its scripts say."""
    with Receiver() as running:
        yield running
