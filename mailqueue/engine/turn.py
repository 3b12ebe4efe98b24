"""One turn of an engine: in one transaction, what is finished is settled and what there is room for claimed.

The rule: what is decided here is decided inside the transaction, from what it shows; it may be run again,
so it changes nothing but the database and what is known of destinations, which is read anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mailqueue.engine.settle import Work
from mailqueue.engine.traffic import Tally, Traffic
from mailqueue.model.destination import Destination
from mailqueue.model.lane import Block, Lane, Room
from mailqueue.model.message import Claimed
from mailqueue.model.settings import Settings
from mailqueue.policy.breaker import Gate
from mailqueue.store.base import ClaimRequest, Transaction

Wants = Callable[[Lane, Settings], Room]
"""Says how much is wanted from a lane."""


@dataclass(frozen=True, slots=True)
class SentBack:
    """Messages whose attempt has not begun."""

    messages: Sequence[Claimed]
    until: int = 0
    """Microseconds UTC: their destination takes nothing before. 0: it does, they are due as they were."""
    by: str = ""
    """The destination's name."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a turn has found."""

    settings: Settings
    claimed: Sequence[Claimed]
    late: frozenset[int]
    """Messages whose claim was returned before they were settled."""
    changed: Sequence[Destination]
    """Destinations that this turn or somebody else has changed."""
    still_blocked: frozenset[str]
    """Destinations that are well again, and have lanes that are still blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a turn is to write."""

    work: Work
    tallies: Sequence[Tally]
    sent_back: Sequence[SentBack]
    request: ClaimRequest | None
    wants: Wants
    traffic: Traffic

    def write(self, transaction: Transaction) -> Written:
        """Write it."""
        settings = transaction.settings()
        for each in self.sent_back:
            self._return(transaction, each, settings)
        work = self.work
        late = transaction.settle(work.settlements, work.notices) if work.settlements else frozenset()
        still_blocked = self.traffic.note(transaction, self.tallies)
        changed = transaction.destinations(self.traffic.seen)
        self.traffic.know(changed)
        claimed: Sequence[Claimed] = ()
        if self.request is not None:
            request = replace(self.request, wants=lambda lane: self.wants(lane, settings))
            claimed = transaction.claim(request)
        return Written(settings, claimed, late, changed, still_blocked)

    def _return(self, transaction: Transaction, back: SentBack, settings: Settings) -> None:
        if not back.until:
            transaction.put_back(back.messages)
            return
        whole = [each for each in back.messages if self.traffic.uniform(each.lane, settings)]
        single = [each for each in back.messages if not self.traffic.uniform(each.lane, settings)]
        transaction.put_back(whole)
        transaction.put_back(single, back.until)  # others in their lanes may go elsewhere
        if self.traffic.gate(back.by) is Gate.SHUT:
            return  # the claim blocks their lanes, once it has looked for more that is beyond its lifetime
        lanes = dict.fromkeys(each.lane for each in whole)
        transaction.block([Block(lane, back.until, back.by) for lane in lanes])
