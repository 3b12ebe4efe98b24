"""An outbound mail queue that an application embeds in its send path.

Names are loaded at first use, so that `import mailqueue` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailqueue.asyncqueue import AsyncQueue
    from mailqueue.model.message import Message, Submission
    from mailqueue.model.recipient import Recipient
    from mailqueue.queue import Engine, Queue
    from mailqueue.store.schema import create_schema, schema_sql

_HOMES = {
    "AsyncQueue": "mailqueue.asyncqueue",
    "Engine": "mailqueue.queue",
    "Message": "mailqueue.model.message",
    "Queue": "mailqueue.queue",
    "Recipient": "mailqueue.model.recipient",
    "Submission": "mailqueue.model.message",
    "create_schema": "mailqueue.store.schema",
    "schema_sql": "mailqueue.store.schema",
}

__all__ = [
    "AsyncQueue",
    "Engine",
    "Message",
    "Queue",
    "Recipient",
    "Submission",
    "create_schema",
    "schema_sql",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
