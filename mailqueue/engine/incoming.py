"""Taking in what comes back: reports of failure, complaints, and what is neither.

The rule: what came in and all that follows from it are one transaction, and when `take` returns, it is
on disk. What comes twice is taken once. It is read before that, outside of any transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import BinaryIO

from mailqueue.ids import token
from mailqueue.mail import incoming
from mailqueue.mail.mime import MAX_MESSAGE
from mailqueue.mail.visible import visible
from mailqueue.model.fromid import SEPARATOR
from mailqueue.model.incoming import Incoming, Match, MatchedBy, NewIncoming
from mailqueue.policy import incoming as policy
from mailqueue.policy.incoming import Clues, Reading
from mailqueue.policy.suppress import lessons
from mailqueue.store.base import Store, Transaction

logger = logging.getLogger("mailqueue.incoming")

KEPT = 64 * 1024
"""Octets of what came in that are kept."""

KEPT_OF_OTHERS = 4 * 1024
"""Octets that are kept of what is no report and about no mail that is known here: much of it is spam."""

LONGEST_RECIPIENT = 1000
"""Characters of the address that it came to."""


def take(
    store: Store,
    raw: bytes | BinaryIO,
    *,
    recipient: str | None,
    sender: str | None,
    actor: str,
    now: Callable[[], int],
) -> Incoming:
    """Take in a message that came to a return address. Raises StoreError, TypeError."""
    data = raw[:MAX_MESSAGE] if isinstance(raw, bytes) else _read(raw)
    reading = incoming.read(data, sender)
    recipient = None if recipient is None else visible(recipient)[:LONGEST_RECIPIENT]
    came_to = policy.return_addresses(reading, recipient)
    separators = frozenset({SEPARATOR, *store.settings().separators.values()})
    new = NewIncoming(
        at=now(),
        recipient=recipient,
        kind=policy.kind(reading),
        summary=policy.summary(reading),
        digest=sha256(data).digest(),
        size=len(data),
        content=data[:KEPT],
        correlation=token(),
        actor=actor,
    )
    taken = store.run(partial(_take, new, reading, policy.clues(reading, came_to, separators)))
    _log(new.correlation, taken, reading)
    return taken


def _read(file: BinaryIO) -> bytes:
    """Return the beginning of a file; the rest is read and forgotten, so that who writes it can end."""
    if not hasattr(file, "read"):
        raise TypeError(f"a message is bytes or a binary file, not {type(file).__name__}")
    head = file.read(MAX_MESSAGE)
    if not isinstance(head, bytes):
        raise TypeError(f"a message is octets, not {type(head).__name__}: open the file in binary mode")
    while file.read(2**20):
        pass
    return head


def _take(new: NewIncoming, reading: Reading, clues: Clues, transaction: Transaction) -> Incoming:
    known = transaction.known_incoming(new.digest, new.recipient)
    if known is not None:
        return known
    match = _match(reading, clues, transaction)
    if match is None and isinstance(reading, incoming.Unrecognized):
        new = replace(new, content=new.content[:KEPT_OF_OTHERS])
    taken = transaction.take_incoming(new, match)
    if match is not None:
        transaction.learn(lessons(match, taken.id, new.at, transaction.settings().reply_rules))
    return taken


def _match(reading: Reading, clues: Clues, transaction: Transaction) -> Match | None:
    """Return which mail it is about, by the surest clue that leads to a message, or else to a submission."""
    matches = []
    for by, names in _ways(clues):
        found = transaction.sent(by, names, clues.recipients) if names else []
        match = policy.judge(reading, by, found, clues)
        if match is not None and match.follows:
            return match
        matches += [match] if match is not None else []
    return matches[0] if matches else None


def _ways(clues: Clues) -> tuple[tuple[MatchedBy, tuple[str, ...]], ...]:
    envelope_id = () if clues.envelope_id is None else (clues.envelope_id,)
    return (
        (MatchedBy.FROMID, clues.fromids),
        (MatchedBy.ENVID, envelope_id),
        (MatchedBy.MESSAGE_ID, clues.message_ids),
    )


def _log(correlation: str, taken: Incoming, reading: Reading) -> None:
    """Tell in the log what came in, what was found by it, and where it departs from its standard."""
    if taken.replayed:
        logger.info("%s: came in before, as %d: %s", correlation, taken.id, taken.correlation)
        return
    about = ", ".join(map(str, taken.messages)) or "none"
    by = taken.matched_by or "nothing"
    logger.info("%s: %s came in, matched by %s, about messages: %s", correlation, taken.kind, by, about)
    if isinstance(reading, incoming.Unrecognized):
        return
    if taken.matched_by is None:
        logger.warning("%s: %s is about no mail that is known here", correlation, taken.kind)
    for fault in reading.found.faults:
        logger.info("%s: fault in a report: %s", correlation, visible(fault))
