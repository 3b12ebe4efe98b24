"""The states of a message and the only legal moves between them.

::

    queued ──claim──> claimed ──settle──> delivered | failed | expired | suppressed | canceled
       ^                 │
       └──── settle ─────┘   (try again, or its engine died)

A queued message may also retire without a claim: expired, suppressed, canceled, or failed by hand.
Nothing leaves a retired state: what comes back later is an event, not a move. Hold is no state
but a mark beside the schedule, so that a release restores the schedule as it was.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a message is in its life; equal to the text stored."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELED = "canceled"

    @property
    def retired(self) -> bool:
        """Whether the message is in the history: final, and never tried again."""
        return self in RETIRED


class Feedback(StrEnum):
    """What came back about a message after it had retired; equal to the text stored."""

    BOUNCED = "bounced"
    """It had been handed over, and was not delivered after all."""
    COMPLAINED = "complained"
    """Its recipient does not want such mail."""


RETIRED = frozenset({State.DELIVERED, State.FAILED, State.EXPIRED, State.SUPPRESSED, State.CANCELED})

MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.CLAIMED}) | (RETIRED - {State.DELIVERED}),
    # claimed -> claimed is forbidden: a claim returns to the queue first, so that two engines
    # never hold one message. A late `delivered` of a dead engine's claim is the one move from
    # queued to delivered (`late=True`): the mail is out, whatever we thought of the engine.
    State.CLAIMED: frozenset({State.QUEUED}) | RETIRED,
    **{state: frozenset() for state in RETIRED},
}
"""From each state, where a message may go next."""


def legal(old: State, new: State, *, late: bool = False) -> bool:
    """Return whether a message may move from `old` to `new`.

    Args:
        old: the state it is in.
        new: the state it is to have.
        late: the move comes from the settlement of a claim that has been returned meanwhile.
    """
    return new in MOVES[old] or (late and old is State.QUEUED and new is State.DELIVERED)
