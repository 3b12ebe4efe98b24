"""What an engine asks for in a claim, so that it has enough on its way and nobody has too much of it.

The rule: of what is due nothing is forgotten. Whatever a claim was kept from taking, though there may be
more of it, has the engine look again: at once where there is room for it, else when something is finished.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum

from mailqueue.clock import Clock
from mailqueue.engine.attempt import Tried
from mailqueue.engine.dispatch import Dispatch
from mailqueue.engine.traffic import Traffic
from mailqueue.model.lane import Lane, Room
from mailqueue.model.message import Claimed
from mailqueue.model.settings import Settings
from mailqueue.store.base import ClaimRequest

_CLAIM = 200  # messages of one claim at most: a commit stays short
_ALWAYS = 4  # the part of the window that each priority has, whatever those before it do


class More(Enum):
    """Whether there may be more that is due, once a claim has been made."""

    NOW = "now"
    """There may, and there is room for it."""
    LATER = "later"
    """There may, where enough is on its way."""
    NO = "no"


class Intake:
    """Makes the claims of one engine.

    Args:
        clock: tells the time.
        dispatch: what is on its way.
        traffic: what is known of destinations.
        window: messages on their way at once.
        per_lane: messages of one lane on their way at once.
    """

    def __init__(
        self, *, clock: Clock, dispatch: Dispatch, traffic: Traffic, window: int, per_lane: int
    ) -> None:
        self.look = True
        """Something may be due: the next turn is to make a claim."""
        self._clock = clock
        self._dispatch = dispatch
        self._traffic = traffic
        self._window = window
        self._per_lane = per_lane
        self._from_lane = per_lane // 4 or 1  # messages of one claim at most
        self._free: Sequence[int] = ()
        self._passed_over = False
        self._last_account = 0

    def request(
        self, engine_id: int, finished: Sequence[Tried], may: Callable[[], bool]
    ) -> ClaimRequest | None:
        """Return what to claim. None: nothing may be due, there is no room for it, or it may not.

        Args:
            engine_id: of the engine.
            finished: what is settled in the same transaction.
            may: whether anything can be taken on; asked last.
        """
        free = self._room(Counter(tried.message.priority for tried in finished))
        room = [-(-each // 2) for each in free]  # the other half when it is seen where these lead
        if not self.look or max(room) == 0 or not may():
            return None
        self.look, self._passed_over, self._free = False, min(room) == 0, free
        limit = min(max(room), _CLAIM)
        return ClaimRequest(
            engine_id=engine_id,
            now=self._clock.now(),
            limit=limit,
            per_lane=min(limit, self._from_lane),
            room=room,
            after_account=self._last_account,
        )

    def _room(self, settled: Counter[int]) -> list[int]:
        """Return how many messages of each priority there is room for.

        Those before it count as well; but they leave it a part, should they go where nothing is taken.
        """
        before, room = 0, []
        for priority, count in enumerate(self._dispatch.by_priority):
            own = count - settled[priority]
            before += own
            room.append(max(0, self._window - before, self._window // _ALWAYS - own))
        return room

    def wants(self, lane: Lane, settings: Settings) -> Room:
        """Say how much is wanted from a lane; called while a claim is made, in the writer's thread."""
        on_their_way = self._dispatch.on_their_way(lane)
        left = self._per_lane - on_their_way
        if left <= 0:
            self._passed_over = True
            return Room(0)
        room, name = self._traffic.room(lane, settings, on_their_way)
        if room is not None:
            self._passed_over |= not room.until  # there may be more
            if room.messages == 0:
                return room
        crowded = self._dispatch.crowded(name, lane.priority, self._free[lane.priority]) if name else None
        if crowded is not None:
            self._passed_over |= not crowded.until
            return crowded
        self._passed_over |= left < self._from_lane  # it may have more
        return Room(left if room is None else min(left, room.messages))

    def taken(self, request: ClaimRequest, claimed: Sequence[Claimed]) -> More:
        """Note what a claim has taken. Returns whether there may be more."""
        if claimed:  # where all had a turn, the next claim begins with any of them: they may share a limit
            last = claimed[-1] if len(claimed) >= request.limit else random.choice(claimed)
            self._last_account = last.account_id
        if _filled(request, claimed) or (self._passed_over and not self._dispatch.in_flight):
            return More.NOW
        return More.LATER if self._passed_over else More.NO


def _filled(request: ClaimRequest, claimed: Sequence[Claimed]) -> bool:
    """Return whether a claim has all that it asked for of something, so that there may be more."""
    per_lane = Counter(message.lane for message in claimed)
    per_priority = Counter(message.priority for message in claimed)
    return (
        len(claimed) >= request.limit
        or request.per_lane in per_lane.values()
        or any(count >= request.room[priority] for priority, count in per_priority.items())
    )
