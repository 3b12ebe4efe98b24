"""The store floor: all SQL, behind the contract in `base`. `open_store` gives the one for a path."""

from __future__ import annotations

from mailqueue.store.sqlite import open_store

__all__ = ["open_store"]
