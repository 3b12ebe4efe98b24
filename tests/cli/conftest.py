"""A queue of its own for each test, and nothing around that would steer the command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Command


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in [name for name in os.environ if name.startswith("MAILQUEUE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def mailqueue(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "queue.db")
    command("list")  # makes the file
    yield command
    command.clear_away()
