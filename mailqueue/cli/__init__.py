"""The command line `mailqueue`: every verb of the queue, for people and, with --json, for programs."""

from __future__ import annotations

from mailqueue.cli.root import main as main

__all__ = ["main"]
