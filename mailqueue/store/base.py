"""The contract of a store: what the floors above may ask for, and what each answer promises.

The one rule: whatever belongs together is one transaction. A `Transaction` lives inside one; the
methods of `Store` open it, share its commit with whoever else is waiting, and return when it is on
disk. A store decides nothing about mail: it applies values that `policy` made.

Moments are microseconds since 1970 UTC, lengths of time microseconds. Errors of the database are
raised as `mailqueue.errors.StoreError` and its kin, never as the driver's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from typing import Any, Protocol, TypeVar

from mailqueue.model.account import Account, AccountMail, HourUse
from mailqueue.model.attempt import Attempt
from mailqueue.model.backup import Backup, Restored
from mailqueue.model.change import Change
from mailqueue.model.destination import Backlog, Destination
from mailqueue.model.engine import EngineInfo, Identity
from mailqueue.model.events import Event, Notice
from mailqueue.model.filters import LAST_RETIRED_FIRST, OLDEST_FIRST, Filter, Order, Page
from mailqueue.model.incoming import Incoming, Match, MatchedBy, NewIncoming, Sent
from mailqueue.model.lane import Block, Lane, Room
from mailqueue.model.message import Claimed, Message, NewSubmission, Original, Submission
from mailqueue.model.migration import Migration
from mailqueue.model.rules import HoldRule, ReplyRule, Route, SenderDomain, ShapingRule, Then, Transport
from mailqueue.model.schedule import Schedule
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import NewNotice, Settlement, Wish
from mailqueue.model.suppression import Lesson, Suppression
from mailqueue.model.webhook import (
    ClaimedWebhook,
    Endpoint,
    Webhook,
    WebhookAttempt,
    WebhookFilter,
    WebhookSettlement,
)

T = TypeVar("T")
Copy = bool | str | PathLike[str]
"""Where a copy goes. True: beside the database. False: none is made."""
Check = Callable[[Sequence[EngineInfo]], None]
"""Looks at the engines that the database knows, and raises what speaks against going on."""


_ANY = Room(2**31)


def _all_that_is_due(lane: Lane) -> Room:
    return _ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """What an engine wants to take on."""

    engine_id: int
    now: int
    limit: int
    """Messages at most."""
    per_lane: int
    """Messages at most from one lane in this claim."""
    room: Sequence[int]
    """Messages at most of each priority, by its number."""
    after_account: int = 0
    """The account that had the last turn: those with higher ids come first."""
    wants: Callable[[Lane], Room] = _all_that_is_due
    """Says how much is wanted from a lane that is due. Called in the writer's thread; must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookClaim:
    """What an engine wants to post."""

    engine_id: int
    now: int
    limit: int
    """Webhooks at most."""
    hosts: Mapping[int, str]
    """The accounts that may begin a post, by their ids, each with the host that it goes to."""
    room: Mapping[str, int]
    """Webhooks at most for each of these hosts."""
    after_account: int
    """The account that had the last turn: those with higher ids come first."""
    fallback: Callable[[int], int]
    """Says, of the number of an attempt, how long after the claim it is due again should the engine die."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much waits."""

    queued: int
    """Waiting, those on hold included."""
    claimed: int
    held: int
    next_due_at: int | None
    """A lower bound of the earliest attempt. None: nothing is scheduled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of a bulk change."""

    changed: int
    after: int | None
    """Hand it to the next step. None: this was the last."""
    in_delivery: int = 0
    """Messages on which it acts after the running attempt; not counted as changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for the receivers of one domain."""

    domain: str
    hours: tuple[tuple[int, int], ...]
    """Beginnings of hours, microseconds UTC, and how many of the messages submitted then wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often something happened."""

    what: str
    """`submitted`, `retired`, an event, or `trouble`: an attempt that did not deliver."""
    detail: str
    """retired: the state; trouble: category, reply code and enhanced code, with spaces between; else ''."""
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HourTally:
    """How many messages came and went in one hour."""

    hour_at: int
    """When it begins, microseconds UTC."""
    submitted: int
    delivered: int
    failed: int
    """Expired ones included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """One step in which a hold rule that has ended lets go of what it holds."""

    rule: HoldRule
    """As it is now; once the last mark has gone, it is there no more."""
    failing: tuple[int, ...] = ()
    """Messages that wait, and that it alone holds, where these are to fail: hand them to `fail_held`."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What steps of purging messages came to."""

    looked: int = 0
    """Messages that were looked at."""
    messages: int = 0
    """Messages that went."""
    submissions: int = 0
    """Submissions whose last message went."""

    def __add__(self, other: Gone) -> Gone:
        """Return what two steps came to."""
        return Gone(
            self.looked + other.looked,
            self.messages + other.messages,
            self.submissions + other.submissions,
        )


class Transaction(Protocol):
    """Changes, inside one write transaction that others may share."""

    # -- submit --------------------------------------------------------------------------------
    def settings(self) -> Settings:
        """Return the settings as they are inside this transaction."""
        ...

    def replay(self, account_id: int, key: str) -> tuple[bytes, Submission] | None:
        """Return fingerprint and first Submission (`replayed=True`) of an idempotency key. None: new."""
        ...

    def submit(self, new: NewSubmission) -> Submission:
        """Store a submission with its content, all its messages, their holds and its idempotency key.

        A message with holds, or one that waits, gets its marks and an event `held` for each; one that is
        dropped retires at once, as canceled or suppressed, with an event.
        Raises the wake counter and lowers the due time of the destinations concerned.
        """
        ...

    def usage(self, account_id: int, since: int) -> list[HourUse]:
        """Return what an account with a quota has sent from the hour `since` on, in any order."""
        ...

    def known_recipients(self, account_id: int, recipients: Sequence[str]) -> dict[str, int]:
        """Return which of these recipients the account is known to write to, and since when."""
        ...

    def count_use(self, account_id: int, uses: Sequence[HourUse], first: Mapping[str, int]) -> None:
        """Add to what an account has sent, and the recipients that it writes to for the first time."""
        ...

    def suppressed(self, account_id: int, recipients: Sequence[str], now: int) -> dict[str, str]:
        """Return which of these recipients the account writes to no more, and why, in a line.

        None for an account without suppression.
        One step into an index each; none where there are no entries.
        """
        ...

    def begin_content(self, size: int, now: int) -> int:
        """Begin content of `size` octets, more than 256 KiB, that is written in steps. Returns its id.

        It belongs to nobody until it is submitted; `purge_orphans` takes what never is.
        """
        ...

    def append_content(self, content_id: int, number: int, data: bytes) -> None:
        """Write chunk `number` (from 0) of content begun with `begin_content`."""
        ...

    # -- deliver -------------------------------------------------------------------------------
    def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Claim messages that are due: by priority, accounts in turn, their lanes in turn, the oldest first.

        Promises: no message that has expired, is on hold, or is matched by a hold rule at work, is claimed
        (one that such a rule matches and has not marked yet is marked now); the claim number, the attempt's
        number and the fallback time are committed with it; the cost does not depend on how many wait.
        Those whose recipient is suppressed are not claimed, and come beside the others, with `suppressed` set
        and as they wait: they are to retire without an attempt. Notices are claimed all the same.
        A lane that has more to give goes to the end of the line; one from which nothing is wanted until a
        certain time is not looked at before it. It may look in vain at some lanes and return less than is
        due: then `next_due_at` is not later than `request.now`.
        """
        ...

    def settle(self, settlements: Sequence[Settlement], notices: Sequence[NewNotice]) -> frozenset[int]:
        """Apply settlements, each guarded by its claim number, and their notices.

        For each: the attempt is written, the message retires or is due again, events are written with the
        notice that tells of them; content that no message needs goes, or gets its purge time. What it
        teaches about its recipient is learnt; what is delivered makes the failures before it count no more.
        A settlement whose claim has been returned meanwhile is late: `delivered` retires the message all the
        same (unless it has retired), anything else only adds its attempt.
        One without facts retires a message that waits in the queue, on hold or not, and writes no attempt;
        where the message has been claimed or has retired since it was read, it is late, and does nothing.

        Returns the ids of the messages whose settlement was late. Where a notice tells of a late one that
        did not apply, NOTHING has been written and `StaleNotice` is raised with their ids: compose it anew
        without. So it is with `Unheeded`, where a person has given up messages that these do not deliver:
        settle these as they wished. A retry waits until the time, and by the way, that were set meanwhile.
        """
        ...

    def wish(self, ids: Sequence[int], wish: Wish, now: int) -> list[int]:
        """Note what is to become of messages that are claimed, unless they are delivered; an event each.

        Returns the ids of those that are. One whose claim returns without a settlement expires at once, and
        is then settled as wished.
        """
        ...

    def warned(self, notice: NewNotice, reason: str) -> bool:
        """Write a `delayed` notice with its events and clear `warn_at` of its messages.

        False, and nothing written: one of them is owed none any more.
        """
        ...

    def unwarned(self, message_ids: Sequence[int]) -> None:
        """Clear `warn_at` of messages that are owed no delay notice any more."""
        ...

    def suppression(self, account_id: int, base: str, now: int) -> Suppression | None:
        """Return the entry of an account for a base address. None: it is not suppressed."""
        ...

    def learn(self, lessons: Sequence[Lesson]) -> list[Suppression]:
        """Take in what is learnt about addresses, of accounts that have suppression.

        One that is dead, or whose owner complained, is suppressed at once; one for which a message failed,
        when enough have (`mailqueue.model.suppression.enough`) since the last that was delivered. An entry
        that is there stays, unless the new one lasts longer.

        Returns the entries that were made or changed.
        """
        ...

    def put_back(self, messages: Sequence[Claimed], due_at: int | None = None) -> None:
        """Return claims that were never begun, the attempt not counted: due at `due_at`, or as they were."""
        ...

    def block(self, blocks: Sequence[Block]) -> None:
        """Have lanes not looked at for a while: their destination takes nothing."""
        ...

    def unblock(self, destination: str, now: int, limit: int) -> int:
        """Have the lanes that a destination blocks looked at, `limit` at most. Returns how many."""
        ...

    # -- what engines share of destinations ----------------------------------------------------
    def destinations(self, after: int) -> list[Destination]:
        """Return the destinations changed after the number `after`, in the order of their changes."""
        ...

    def destination(self, name: str) -> Destination | None:
        """Return what is known of a destination. None: nothing is."""
        ...

    def put_destination(self, destination: Destination) -> Destination:
        """Store what is known of a destination, and return it with the number of this change."""
        ...

    def pace(self, rule_id: int) -> int:
        """Return until when the messages a minute of a rule are spoken for, microseconds UTC. 0: free."""
        ...

    def set_pace(self, rule_id: int, next_at: int) -> None:
        """Note until when the messages a minute of a shaping rule are spoken for."""
        ...

    def take_slot(self, rule_id: int, engine_id: int, limit: int) -> bool:
        """Take one of the `limit` connections of a shaping rule. False: they are all taken.

        It is given back with `free_slot`, or when the engine is buried.
        """
        ...

    def free_slot(self, rule_id: int, engine_id: int) -> None:
        """Give a connection of a shaping rule back."""
        ...

    # -- engines -------------------------------------------------------------------------------
    def register_engine(self, identity: Identity, now: int, relay: str | None = None) -> int:
        """Note an engine at work, and where it sends all its mail. Returns its id, never used before."""
        ...

    def heartbeat(self, engine_id: int, now: int) -> bool:
        """Note that the engine lives. False: it has been buried, its claims are no longer its own."""
        ...

    def bury_engine(self, engine_id: int, now: int) -> int:
        """Remove an engine; its claims return to the queue. Returns how many.

        They are due at their fallback time, each with an attempt marked interrupted; its webhooks at once.
        """
        ...

    # -- webhooks ------------------------------------------------------------------------------
    def disable_endpoint(self, account_id: int, now: int) -> bool:
        """Post nothing to an endpoint any more. False: it is not at work."""
        ...

    def claim_webhooks(self, wanted: WebhookClaim) -> list[ClaimedWebhook]:
        """Claim webhooks that are due, each the first of those about its message that have not retired.

        None are claimed for an engine that has been buried, or for an endpoint that is not at work.
        """
        ...

    def settle_webhooks(self, settlements: Sequence[WebhookSettlement]) -> None:
        """Write attempts, and what follows from them for the webhooks.

        A delivery retires a webhook that has not; anything else acts only for its claim.
        """
        ...

    def schedule_webhooks(self, ids: Sequence[int], at: int) -> list[int]:
        """Have those that are queued posted at `at`. Returns their ids."""
        ...

    def cancel_webhooks(self, ids: Sequence[int], reason: str, now: int) -> list[int]:
        """Retire those that have not as `canceled`. Returns their ids."""
        ...

    def replay_webhook(self, webhook_id: int, now: int) -> int:
        """Queue what a webhook tells once more, as a new one that is due now. Returns its id.

        Raises:
            NotFound: there is no such webhook, or it has been purged.
        """
        ...

    def cancel_stranded_webhooks(self, reason: str, now: int, limit: int) -> int:
        """Cancel what is queued for accounts without an endpoint at work. Returns how many went."""
        ...

    # -- what comes in -------------------------------------------------------------------------
    def known_incoming(self, digest: bytes, recipient: str | None) -> Incoming | None:
        """Return what came in with the same octets for the same address (`replayed=True`). None: new."""
        ...

    def sent(self, by: MatchedBy, names: Sequence[str], recipients: Sequence[str]) -> list[Sent]:
        """Return messages, queued or retired, that a report may be about; its cost is bounded.

        Args:
            by: what `names` are. The first that is known here counts: of fromids its message, of others the
                messages of its submissions, the newest submission first.
            names: fromids, ENVIDs or Message-IDs, the likeliest first.
            recipients: of submissions with many messages, those to these addresses come first, and then
                only the first of the others.
        """
        ...

    def take_incoming(self, new: NewIncoming, match: Match | None) -> Incoming:
        """Write what came in, and what follows from it: events, and feedback of messages that have retired.

        A complaint stays the feedback, whatever comes after it. No state changes.
        """
        ...

    # -- steer ---------------------------------------------------------------------------------
    def hold(self, which: Filter, *, actor: str, reason: str, now: int, after: int, limit: int) -> Progress:
        """Put a mark by hand on queued and claimed messages that have none by hand yet; an event each.

        Args:
            which: the messages meant; its `text` must not be set.
            actor: who does it.
            reason: a line for people; '' is none.
            now: microseconds UTC.
            after: ids above this one; 0 to begin with, then what the step before returned.
            limit: messages looked at, at most.
        """
        ...

    def release(
        self, which: Filter, *, actor: str, reason: str, now: int, after: int, limit: int
    ) -> Progress:
        """Take all marks from messages and exempt them from the rules that exist now; arguments as `hold`.

        An event for each that had a mark. Their schedule goes on as it was.
        """
        ...

    def change(
        self,
        which: Filter,
        change: Change,
        *,
        actor: str,
        reason: str,
        now: int,
        after: int,
        limit: int,
    ) -> Progress:
        """Change when messages are due (not before now, and within their lifetime), their way, or their TLS.

        An event for each; arguments as `hold`. On one that is claimed it acts after the running attempt.
        """
        ...

    def resent(self, messages: Mapping[int, int], *, actor: str, reason: str, now: int) -> None:
        """Note that retired messages were sent anew, as others: an event `admin` of each, naming the other.

        Args:
            messages: the new ones, by the ids of the old ones, which may have been purged meanwhile.
            actor: who did it.
            reason: a line for people; '' is none.
            now: microseconds UTC.
        """
        ...

    def lift_holds(self, now: int, limit: int) -> int:
        """Take away `limit` marks at most whose end has come. Returns how many messages had them.

        A message that nothing holds any more gets an event, and is due as it was.
        """
        ...

    def add_hold_rule(self, rule: HoldRule, now: int) -> HoldRule:
        """Store a rule (its id and `marking` are ignored).

        It acts from the commit on; `mark_rule` marks what is queued.
        """
        ...

    def mark_rule(self, rule_id: int, now: int, limit: int) -> Progress:
        """Look at the next `limit` messages that were queued when the rule was made; mark those it matches.

        `Progress.after` None: all are marked, or the rule has been removed meanwhile.
        """
        ...

    def remove_hold_rule(self, rule_id: int, *, actor: str, reason: str = "", now: int) -> HoldRule:
        """Remove a rule, with an event; its marks stay and become marks by hand that name it.

        Args:
            rule_id: of the rule.
            actor: who removes it; '': nobody, its time has come.
            reason: why they do; '' is none.
            now: microseconds UTC.

        Raises:
            NotFound: no such rule.
        """
        ...

    def hold_rule(self, rule_id: int) -> HoldRule:
        """Return a rule as it is inside this transaction. Raises NotFound."""
        ...

    def end_hold_rule(
        self,
        rule_id: int,
        *,
        then: Then,
        per_minute: int | None,
        actor: str,
        reason: str,
        next_at: int,
        now: int,
    ) -> HoldRule:
        """End a rule, with an event: from the commit on it marks nothing, and `lift_rule` takes its marks.

        One that has ended already is given another end.

        Args:
            rule_id: of the rule.
            then: what becomes of what it alone holds: RELEASE or FAIL.
            per_minute: so many are released in a minute, for people to see; `lift_rule` is told each time.
            actor: who ends it; '': nobody, its time has come.
            reason: why they do; '' is none.
            next_at: an engine sees to it then, microseconds UTC.
            now: microseconds UTC.

        Raises:
            NotFound: no such rule.
        """
        ...

    def lift_rule(self, rule_id: int, *, most: int, next_at: int | None, now: int, limit: int) -> Lifted:
        """Take away the first `limit` marks at most of a rule that has ended.

        What others hold as well loses this mark. What it alone holds is released, with an event each, and is
        due as it was; or is told in `failing`, and keeps its mark until `fail_held`. One in delivery fails
        after the running attempt, unless that delivers it. The rule goes with its last mark, with an event.

        Args:
            rule_id: of the rule.
            most: messages that are released, at most.
            next_at: when it goes on, where any were released, microseconds UTC. None: as soon as it may, as
                where none were.
            now: microseconds UTC.
            limit: marks looked at, at most.

        Raises:
            NotFound: no such rule.
        """
        ...

    def fail_held(
        self, rule_id: int, settlements: Sequence[Settlement], notices: Sequence[NewNotice]
    ) -> bool:
        """Apply settlements, as `settle` does, of messages that fail by the end of a rule.

        False, and nothing written: it does not alone hold all of them any more, or lets them fail no more.
        """
        ...

    def suppress(self, account_id: int, entries: Sequence[Suppression]) -> int:
        """Put addresses on the list of an account (ids and names of accounts are ignored).

        An entry that is there stays, unless the new one is `manual` or lasts longer; when it began to count
        stays in any case. Returns how many are new or have changed.
        """
        ...

    def unsuppress(self, account_id: int, base: str, now: int) -> Suppression:
        """Take an address off the list of an account and return the entry; its failures are forgotten.

        Raises:
            NotFound: it is not on the list.
        """
        ...

    def add_account(self, name: str, now: int) -> Account:
        """Make an account. Raises Conflict where the name is taken."""
        ...

    def set_account(self, account: Account) -> None:
        """Store the settings of an account that exists."""
        ...

    def remove_account(self, name: str, mail: AccountMail) -> Account:
        """Remove an account and return it, with its idempotency keys and its counts, not whom it wrote to.

        Args:
            name: of the account.
            mail: what `Reader.mail_of_account` has just said; newer mail is looked for here.

        Raises:
            NotFound: there is no such account.
            Conflict: it is `default`, or mail, routes or hold rules need it; the text says what to do.
        """
        ...

    def forget_recipients(self, account_id: int, limit: int) -> int:
        """Forget whom an account has written to, `limit` at most. Returns how many went."""
        ...

    def forget_suppressions(self, account_id: int, limit: int) -> int:
        """Remove what an account that is gone has suppressed and noted, `limit` of each at most.

        Returns how many went.
        """
        ...

    def add_transport(self, transport: Transport, now: int) -> Transport:
        """Store a transport (its id is ignored); the first one becomes the default. Raises Conflict."""
        ...

    def set_transport(self, transport: Transport, now: int) -> None:
        """Store all of a transport, by id; `is_default=True` takes the mark from the other."""
        ...

    def remove_transport(self, name: str) -> None:
        """Remove a transport.

        Raises:
            NotFound: there is none of that name.
            Conflict: routes or shaping rules use it, messages that have not retired name it, or it is the
                default and others exist.
        """
        ...

    def add_route(self, route: Route, now: int) -> Route:
        """Store a route (its id is ignored). Raises NotFound where its transport does not exist."""
        ...

    def remove_route(self, route_id: int, now: int) -> None:
        """Remove a route. Raises NotFound."""
        ...

    def add_reply_rule(self, rule: ReplyRule, now: int) -> ReplyRule:
        """Store a reply rule (its id and time are ignored)."""
        ...

    def remove_reply_rule(self, rule_id: int) -> ReplyRule:
        """Remove a reply rule and return it. Raises NotFound."""
        ...

    def add_shaping_rule(self, rule: ShapingRule, now: int) -> ShapingRule:
        """Store a shaping rule (its id and time are ignored). Raises NotFound: no such transport."""
        ...

    def remove_shaping_rule(self, rule_id: int) -> ShapingRule:
        """Remove a shaping rule and return it. Raises NotFound."""
        ...

    def add_schedule(self, schedule: Schedule, now: int) -> None:
        """Store a schedule. Raises Conflict where the name is taken, shipped ones included."""
        ...

    def set_sender_domain(self, domain: SenderDomain) -> None:
        """Store what is wished for the mail from a domain, in place of what was."""
        ...

    def remove_sender_domain(self, name: str) -> SenderDomain:
        """Forget what was wished for the mail from a domain. Raises NotFound."""
        ...

    def set_endpoint(self, endpoint: Endpoint) -> None:
        """Store where an account's events are posted; those to come go there, from the commit on.

        Raises:
            NotFound: no such account.
        """
        ...

    def remove_endpoint(self, account_id: int) -> None:
        """Have an account's events posted no more. Raises NotFound."""
        ...

    def note_change(self, reason: str, data: Mapping[str, object], *, actor: str, now: int) -> None:
        """Write an event `admin`: a change by a person that is about no single message.

        Args:
            reason: a line for people, why; '' is none.
            data: what was done: `verb`, and what was given to it.
            actor: who did it.
            now: microseconds UTC.
        """
        ...

    def note_so_far(
        self, event_id: int | None, reason: str, data: Mapping[str, object], *, actor: str, now: int
    ) -> int:
        """Write what a change in steps has come to so far: one event as `note_change` does. Returns its id.

        Args:
            event_id: what the step before returned. None: this is the first.
            reason: a line for people.
            data: all that was done up to here.
            actor: who does it.
            now: microseconds UTC.
        """
        ...

    # -- upkeep --------------------------------------------------------------------------------
    def purge_history(self, now: int, limit: int) -> int:
        """Remove messages whose account's retention is over, `limit` at most. Returns how many went.

        With each go its attempts and events; with the last one of a submission its content and notices.
        """
        ...

    def purge_messages(self, ids: Sequence[int]) -> Gone:
        """Remove the first of these messages, so many that a step stays short, as `purge_history` does.

        Those that have not retired stay.
        """
        ...

    def purge_content(self, now: int, limit: int) -> int:
        """Remove some octets of content whose keep time is over. Returns 0 when there is no more.

        Content that a message still needs stays until that message retires. Large content is gone for
        readers at once, and its pieces go in steps.
        """
        ...

    def purge_keys(self, older_than: int, limit: int) -> int:
        """Remove idempotency keys made before `older_than`."""
        ...

    def purge_orphans(self, older_than: int, limit: int) -> int:
        """Remove some content begun before `older_than` that no submission has. Returns 0 at the end."""
        ...

    def purge_usage(self, older_than: int) -> int:
        """Forget what accounts have sent in the hours before `older_than`. Returns how many hours went."""
        ...

    def mend(self) -> None:
        """Count anew what follows from other rows, and return claims of engines that do not exist.

        Slow where much waits: looks at all of that, and nobody else writes meanwhile.
        """
        ...

    def purge_tally(self, older_than: int) -> int:
        """Forget what happened in the hours before `older_than`, counted. Returns how many counts went."""
        ...

    def purge_recipients(self, older_than: int, limit: int) -> int:
        """Forget recipients that were first written to before `older_than`. Returns how many went."""
        ...

    def purge_suppressions(self, now: int, limit: int) -> int:
        """Remove suppressions whose end has come, `limit` at most. Returns how many went."""
        ...

    def purge_strikes(self, older_than: int, limit: int) -> int:
        """Forget failures from before `older_than` that might have led to a suppression. Returns how many."""
        ...

    def purge_destinations(self, older_than: int, limit: int) -> int:
        """Forget destinations that have been well since before `older_than`. Returns how many."""
        ...

    def purge_webhooks(self, now: int, limit: int) -> int:
        """Remove retired webhooks whose account's retention is over, with their attempts."""
        ...

    def purge_incoming(self, older_than: int, limit: int) -> int:
        """Remove what came in before `older_than` and was about no mail. Returns how much went.

        The rest goes with the history of the submission that it is about.
        """
        ...


class Reader(Protocol):
    """Questions, answered from one snapshot each."""

    def settings(self) -> Settings:
        """Return the settings; read again only when their version has moved."""
        ...

    def wake(self) -> int:
        """Return the wake counter."""
        ...

    def depth(self) -> Depth:
        """Return how much waits; cheap at a million."""
        ...

    def next_due_at(self) -> int | None:
        """Return a lower bound of when an engine has something to do next.

        That is an attempt, a delay notice, a message that expires, a hold or a hold rule that ends.
        """
        ...

    def next_hold_end(self) -> int | None:
        """Return when the next mark is to be taken away. None: none ends by itself."""
        ...

    def next_webhook_at(self, account_ids: Sequence[int]) -> int | None:
        """Return when a webhook of one of these accounts is due next. None: none waits."""
        ...

    def webhook(self, webhook_id: int) -> Webhook:
        """Return a webhook, queued or retired. Raises NotFound."""
        ...

    def webhook_attempts(self, webhook_id: int) -> list[WebhookAttempt]:
        """Return the attempts of a webhook, in order. Raises NotFound where there is no such webhook."""
        ...

    def webhooks(
        self, which: WebhookFilter, *, retired: bool, limit: int, after: int | None
    ) -> Page[Webhook]:
        """Return a page of webhooks on their way, oldest first, or of the retired ones, newest first."""
        ...

    def usage(self, account_id: int, since: int) -> list[HourUse]:
        """Return what an account with a quota has sent from the hour `since` on, in any order."""
        ...

    def known_recipients(self, account_id: int, recipients: Sequence[str]) -> dict[str, int]:
        """Return which of these recipients the account is known to write to, and since when."""
        ...

    def suppression(self, account_id: int, base: str, now: int) -> Suppression | None:
        """Return the entry of an account for a base address. None: it is not suppressed."""
        ...

    def suppressions(
        self, account_id: int | None, *, limit: int, after: str | None, now: int
    ) -> Page[Suppression]:
        """Return a page of the suppressions of an account, or of all (None), in the order of bases.

        Raises:
            SettingError: a bad cursor.
        """
        ...

    def mail_of_account(self, account_id: int) -> AccountMail:
        """Return how much mail there is of an account. Slow where much waits: looks at all of that."""
        ...

    def hold_rules(self) -> list[HoldRule]:
        """Return all hold rules, oldest first, with how far those are that have ended."""
        ...

    def ending_hold_rules(self, now: int) -> list[int]:
        """Return the ids of hold rules to whose end an engine has to see by `now`, in that order."""
        ...

    def ahead_in_rule(self, rule_id: int, message_id: int) -> int:
        """Return how many messages a rule has held for longer than this one. Slow where those are many."""
        ...

    def held_by_rule(self, rule_id: int) -> int:
        """Return how many messages a hold rule holds. Slow where those are many: counts their marks."""
        ...

    def engines(self) -> list[EngineInfo]:
        """Return the engines that are noted as at work."""
        ...

    def destinations(self) -> list[Destination]:
        """Return the destinations in trouble, the longest first."""
        ...

    def destination(self, name: str) -> Destination | None:
        """Return what is known of a destination. None: nothing is."""
        ...

    def pace(self, rule_id: int) -> int:
        """Return until when the messages a minute of a rule are spoken for, microseconds UTC. 0: free."""
        ...

    def block(self, lane: Lane) -> Block | None:
        """Return until when a lane is not looked at, which may be past. None: nothing was in its way."""
        ...

    def backlog(self, destination: str, limit: int) -> Backlog:
        """Return what waits in the lanes that a destination blocks; messages are counted up to `limit`."""
        ...

    def waiting_by_domain(self, limit: int) -> tuple[list[Waiting], int]:
        """Return the domains with the most mail, the largest first, and how many there are.

        Its cost grows with the domains and hours, not with the messages.
        """
        ...

    def tally(self, since: int) -> list[Tally]:
        """Return what happened from the hour `since` on, in any order."""
        ...

    def tally_by_hour(self, since: int) -> list[HourTally]:
        """Return the hours from `since` on in which messages came or went, in order."""
        ...

    def owed_warnings(self, now: int, limit: int) -> list[Claimed]:
        """Return queued messages, not on hold, whose delay notice is owed; their engine is 0.

        Those of one submission come together, so that there may be more than `limit`.
        """
        ...

    def expired(self, now: int, limit: int) -> list[Claimed]:
        """Return queued messages, on hold or not, whose `expires_at` is not after `now`, `limit` at most.

        Those with the earliest come first. Their engine is 0; attempts and claim are as they stand.
        """
        ...

    def waiting(self, ids: Sequence[int]) -> list[Claimed]:
        """Return those of the messages that are queued, in the order given; as `expired` does."""
        ...

    def message(self, message_id: int) -> Message:
        """Return a message, queued or retired, with its holds. Raises NotFound."""
        ...

    def submission_messages(self, submission_id: int) -> list[Message]:
        """Return the messages of a submission. Raises NotFound."""
        ...

    def queue(
        self, which: Filter, *, limit: int, after: str | None, order: Order = OLDEST_FIRST
    ) -> Page[Message]:
        """Return a page of messages in the queue.

        Its cost is bounded, whatever the filter and however many messages there are: where too many would
        have to be looked at, it ends before it is full, with the cursor that goes on.

        Raises:
            SettingError: a bad cursor, or too many messages to be brought into a slow order.
        """
        ...

    def retired(
        self, which: Filter, *, limit: int, after: str | None, order: Order = LAST_RETIRED_FIRST
    ) -> Page[Message]:
        """Return a page of the history, as `queue` does of the queue."""
        ...

    def ids(self, which: Filter, *, retired: bool, after: str | None) -> Page[int]:
        """Return a page of the ids of messages of the history (`retired`), or of the queue; a large one."""
        ...

    def count(self, which: Filter, *, retired: bool) -> int | None:
        """Return how many messages are meant, where an index alone tells: some 10 a microsecond.

        None: each of them would have to be looked at.
        """
        ...

    def submissions_of(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Return the submission of each of these messages, and the message, in any order."""
        ...

    def originals(self, ids: Sequence[int]) -> list[Original]:
        """Return those of the messages that are in the history, in the order given."""
        ...

    def attempts(self, message_id: int) -> list[Attempt]:
        """Return the attempts of a message, in order. Raises NotFound where there is no such message."""
        ...

    def events(self, message_id: int) -> list[Event]:
        """Return the events of a message, in order."""
        ...

    def changes(self, *, limit: int, after: int | None) -> Page[Event]:
        """Return events `admin` about no single message, the newest first.

        Args:
            limit: events at most.
            after: only those with ids below this one; None: from the newest on.
        """
        ...

    def last_event_id(self) -> int:
        """Return the highest id that an event ever had. 0: there was none."""
        ...

    def events_after(self, after: int, limit: int) -> list[Event]:
        """Return the events with ids above `after`, in order, `limit` at most, each with its message."""
        ...

    def submitted(self, message_id: int) -> tuple[datetime, str]:
        """Return when a message was submitted, and who did it. Raises NotFound."""
        ...

    def notices(self, message_id: int) -> list[Notice]:
        """Return the notices that told of a message, in order. Raises NotFound: no such message."""
        ...

    def incoming(self, incoming_id: int) -> Incoming:
        """Return what came in, with what followed and its content. Raises NotFound."""
        ...

    def incoming_page(
        self, *, limit: int, after: str | None, account: str | None, matched: bool | None
    ) -> Page[Incoming]:
        """Return a page of what came in, the last first; its cost is bounded, as that of `queue`.

        Args:
            limit: items at most.
            after: `next` of the page before; None: the first page.
            account: only about mail of the account of this name; None: all.
            matched: only what is about mail (True), or about none (False); None: all.

        Raises:
            SettingError: a bad cursor.
        """
        ...

    def incoming_about(self, message_id: int) -> list[Incoming]:
        """Return what came in about a message, in order, without content and events."""
        ...

    def content(self, content_id: int) -> bytes:
        """Return content whole. Raises NotFound, saying when it was purged."""
        ...

    def contents(self, content_ids: Sequence[int]) -> dict[int, bytes]:
        """Return contents that stand in one row each, by their ids; larger and purged ones are left out."""
        ...

    def content_chunk(self, content_id: int, number: int) -> bytes | None:
        """Return piece `number` (from 0) of content, at most 256 KiB. None: there are no more.

        Raises:
            NotFound: the content has been purged, or there is none.
        """
        ...

    def exempt_through(self, message_id: int) -> int:
        """Return up to which hold rule none holds a message, as it was released. 0: none. Raises NotFound."""
        ...

    def content_of(self, message_id: int) -> int:
        """Return the content id of a message. Raises NotFound."""
        ...

    def content_head(self, content_id: int, octets: int) -> bytes:
        """Return the first `octets` of content. Raises NotFound."""
        ...

    def integrity(self) -> list[str]:
        """Return every fault found in the database, a sentence each, with what mends it; [] is clean.

        Slow: reads all of it.
        """
        ...


class Store(Protocol):
    """An open database. Thread-safe; opens nothing until first used; starts anew after a fork."""

    def run(self, job: Callable[[Transaction], T]) -> T:
        """Run `job` in a write transaction and return what it returned, once that is on disk.

        Jobs that wait at the same time share one commit; one that raises fails alone. So a job may be run
        twice (the first time rolled back) and must have no other effect than on the transaction.
        """
        ...

    def enqueue(self, job: Callable[[Transaction], T]) -> Future[T]:
        """Like `run`, without waiting."""
        ...

    def joined(self, connection: Any) -> AbstractContextManager[Transaction]:  # noqa: ANN401
        """Enter the caller's own transaction on `connection`, in this thread (decision 8).

        Raises:
            NotInTransaction: the connection commits by itself and no transaction is open.
            WrongDatabase: its main file is another.
        """
        ...

    def read(self, question: Callable[[Reader], T]) -> T:
        """Answer a question from one snapshot."""
        ...

    def look(self, question: Callable[[Reader], T]) -> T:
        """Answer a question that is a single one of the Reader's, without the cost of a snapshot.

        For settings, wake, next_due_at, content of up to 256 KiB and the like, on hot paths.
        """
        ...

    def settings(self) -> Settings:
        """Return the settings as they were at most 50 ms ago; a change by this store shows at once."""
        ...

    def migrate(self, *, copy: Copy, check: Check) -> Migration:
        """Bring tables of an older version up to date; does nothing where they are.

        Nobody else can write meanwhile. `check` is called once that is so; what it raises ends it.

        Raises:
            SchemaMissing: there are no tables, or no file.
            SchemaNewer: they are newer than this code.
            StoreError: the copy cannot be made, or something is at its place; the database is in the way.
        """
        ...

    def back_up(self, target: str) -> Backup:
        """Copy the whole file to `target`, as its last commit left it; nobody is held up.

        Raises:
            StoreError: there is something at `target` already, or it cannot be written.
        """
        ...

    def restore(self, source: str, *, copy: Copy, whole_file: bool, check: Check) -> Restored:
        """Put a backup in the place of the file, after a copy of it. No id is given again.

        Args:
            source: path of the backup; it is looked through before anything is changed.
            copy: where the copy goes, as for `migrate`.
            whole_file: replace the tables of others that are in the file, too.
            check: called with the engines that the file knows; what it raises ends it.

        Raises:
            SchemaMissing, SchemaOutdated, SchemaNewer: the backup has no tables of ours, or others.
            StoreError: it is not sound; the file may not be replaced; the copy cannot be made.
        """
        ...

    def checkpoint(self) -> None:
        """Bring what was committed to its place in the file, so that no commit has to; nobody waits for it.

        Whoever commits much in steps calls it after each: else a commit does now and then, and takes long.
        """
        ...

    def data_version(self) -> int:
        """Return a number that moves whenever anyone has committed to the file. Takes microseconds."""
        ...

    def on_wake(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called, in whatever thread, after each commit of this store that wakes engines.

        Commits of others show in `data_version` only. Returns what ends it.
        """
        ...

    def close(self) -> None:
        """Commit what waits, for at most 10 s, end the threads, close the connections."""
        ...


class Unheeded(Exception):
    """Somebody has wished something else of messages that are settled, but not as delivered."""

    def __init__(self, wishes: Mapping[int, Wish]) -> None:
        self.wishes = wishes
        super().__init__(f"a person has given up messages {sorted(wishes)}")


class StaleNotice(Exception):
    """A notice tells of messages whose settlement came too late to apply."""

    def __init__(self, message_ids: frozenset[int]) -> None:
        self.message_ids = message_ids
        super().__init__(f"claims returned meanwhile: {sorted(message_ids)}")
