"""What the machine tells whoever drives it; few, and none for a single reply.

The rule: an event asks for something to be done, or says that something is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mailqueue.mail.smtp.facts import Lost, TransactionResult


@dataclass(frozen=True, slots=True)
class Ready:
    """The session stands: `capabilities` are known, transactions may start."""


@dataclass(frozen=True, slots=True)
class TlsWanted:
    """The server is ready for the TLS handshake: make it, then call `tls_established`."""


@dataclass(frozen=True, slots=True)
class BodyWanted:
    """The server wants the content: call `send_body` with each block, then `end_body`, as soon as
    `takes_block` and `takes_end` allow; neither any more when `wants_body` has become False.
    """


@dataclass(frozen=True, slots=True)
class TransactionDone:
    """The transaction is over."""

    result: TransactionResult


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation is over: close the connection. Always the last event, and always one."""

    lost: Lost | None
    """None: it ended by QUIT."""


Event: TypeAlias = Ready | TlsWanted | BodyWanted | TransactionDone | Ended
