"""The one class that has all changes, each written in the file of its topic."""

# ruff: noqa: D102 -- the contract in base.py says what each method promises

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailqueue.model.account import Account, AccountMail, HourUse
from mailqueue.model.change import Change
from mailqueue.model.destination import Destination
from mailqueue.model.engine import Identity
from mailqueue.model.filters import Filter
from mailqueue.model.incoming import Incoming, Match, MatchedBy, NewIncoming, Sent
from mailqueue.model.lane import Block
from mailqueue.model.message import Claimed, NewSubmission, Submission
from mailqueue.model.rules import HoldRule, ReplyRule, Route, SenderDomain, ShapingRule, Then, Transport
from mailqueue.model.schedule import Schedule
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import NewNotice, Settlement, Wish
from mailqueue.model.suppression import Lesson, Suppression
from mailqueue.model.webhook import ClaimedWebhook, Endpoint, WebhookSettlement
from mailqueue.store import (
    admin,
    claim,
    ending,
    engines,
    hooks,
    incoming,
    integrity,
    quota,
    settle,
    steer,
    submit,
    suppression,
    traffic,
    upkeep,
)
from mailqueue.store.base import ClaimRequest, Gone, Lifted, Progress, WebhookClaim
from mailqueue.store.batch import Batch


class SqliteTransaction:
    """Changes inside one write transaction; `mailqueue.store.base.Transaction` says what each promises."""

    __slots__ = ("batch",)

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    # -- submit --------------------------------------------------------------------------------
    def settings(self) -> Settings:
        return self.batch.settings()

    def replay(self, account_id: int, key: str) -> tuple[bytes, Submission] | None:
        return submit.replay(self.batch, account_id, key)

    def submit(self, new: NewSubmission) -> Submission:
        return submit.submit(self.batch, new)

    def usage(self, account_id: int, since: int) -> list[HourUse]:
        return quota.usage(self.batch.now(), account_id, since)

    def known_recipients(self, account_id: int, recipients: Sequence[str]) -> dict[str, int]:
        return quota.known_recipients(self.batch.now(), account_id, recipients)

    def count_use(self, account_id: int, uses: Sequence[HourUse], first: Mapping[str, int]) -> None:
        quota.count_use(self.batch, account_id, uses, first)

    def suppressed(self, account_id: int, recipients: Sequence[str], now: int) -> dict[str, str]:
        whom = [(account_id, each) for each in recipients]
        return {each: why for (_, each), why in suppression.suppressed(self.batch, whom, now).items()}

    def begin_content(self, size: int, now: int) -> int:
        return submit.begin_content(self.batch, size, now)

    def append_content(self, content_id: int, number: int, data: bytes) -> None:
        submit.append_content(self.batch, content_id, number, data)

    # -- deliver -------------------------------------------------------------------------------
    def claim(self, request: ClaimRequest) -> list[Claimed]:
        return claim.claim(self.batch, request)

    def settle(self, settlements: Sequence[Settlement], notices: Sequence[NewNotice]) -> frozenset[int]:
        return settle.settle(self.batch, settlements, notices)

    def wish(self, ids: Sequence[int], wish: Wish, now: int) -> list[int]:
        return settle.wish(self.batch, ids, wish, now)

    def warned(self, notice: NewNotice, reason: str) -> bool:
        return settle.warned(self.batch, notice, reason)

    def unwarned(self, message_ids: Sequence[int]) -> None:
        settle.unwarned(self.batch, message_ids)

    def suppression(self, account_id: int, base: str, now: int) -> Suppression | None:
        return suppression.one(self.batch.now(), account_id, base, now)

    def learn(self, lessons: Sequence[Lesson]) -> list[Suppression]:
        return suppression.learn(self.batch, lessons)

    def put_back(self, messages: Sequence[Claimed], due_at: int | None = None) -> None:
        claim.put_back(self.batch, messages, due_at)

    def block(self, blocks: Sequence[Block]) -> None:
        claim.block(self.batch, blocks)

    def unblock(self, destination: str, now: int, limit: int) -> int:
        return claim.unblock(self.batch, destination, now, limit)

    def destinations(self, after: int) -> list[Destination]:
        return traffic.changed(self.batch, after)

    def destination(self, name: str) -> Destination | None:
        return traffic.find(self.batch, name)

    def put_destination(self, destination: Destination) -> Destination:
        return traffic.put(self.batch, destination)

    def pace(self, rule_id: int) -> int:
        return traffic.pace(self.batch.now(), rule_id)

    def set_pace(self, rule_id: int, next_at: int) -> None:
        traffic.set_pace(self.batch, rule_id, next_at)

    def take_slot(self, rule_id: int, engine_id: int, limit: int) -> bool:
        return traffic.take_slot(self.batch, rule_id, engine_id, limit)

    def free_slot(self, rule_id: int, engine_id: int) -> None:
        traffic.free_slot(self.batch, rule_id, engine_id)

    def register_engine(self, identity: Identity, now: int, relay: str | None = None) -> int:
        return engines.register(self.batch, identity, now, relay)

    def heartbeat(self, engine_id: int, now: int) -> bool:
        return engines.heartbeat(self.batch, engine_id, now)

    def bury_engine(self, engine_id: int, now: int) -> int:
        hooks.bury(self.batch, engine_id, now)
        return engines.bury(self.batch, engine_id)

    # -- webhooks ------------------------------------------------------------------------------
    def disable_endpoint(self, account_id: int, now: int) -> bool:
        return hooks.disable_endpoint(self.batch, account_id, now)

    def claim_webhooks(self, wanted: WebhookClaim) -> list[ClaimedWebhook]:
        return hooks.claim(self.batch, wanted)

    def settle_webhooks(self, settlements: Sequence[WebhookSettlement]) -> None:
        hooks.settle(self.batch, settlements)

    def schedule_webhooks(self, ids: Sequence[int], at: int) -> list[int]:
        return hooks.schedule(self.batch, ids, at)

    def cancel_webhooks(self, ids: Sequence[int], reason: str, now: int) -> list[int]:
        return hooks.cancel(self.batch, ids, reason, now)

    def replay_webhook(self, webhook_id: int, now: int) -> int:
        return hooks.replay(self.batch, webhook_id, now)

    def cancel_stranded_webhooks(self, reason: str, now: int, limit: int) -> int:
        return hooks.cancel_stranded(self.batch, reason, now, limit)

    # -- what comes in -------------------------------------------------------------------------
    def known_incoming(self, digest: bytes, recipient: str | None) -> Incoming | None:
        return incoming.known(self.batch, digest, recipient)

    def sent(self, by: MatchedBy, names: Sequence[str], recipients: Sequence[str]) -> list[Sent]:
        return incoming.sent(self.batch, by, names, recipients)

    def take_incoming(self, new: NewIncoming, match: Match | None) -> Incoming:
        return incoming.take(self.batch, new, match)

    # -- steer ---------------------------------------------------------------------------------
    def hold(self, which: Filter, *, actor: str, reason: str, now: int, after: int, limit: int) -> Progress:
        return steer.hold(self.batch, which, actor=actor, reason=reason, now=now, after=after, limit=limit)

    def release(
        self, which: Filter, *, actor: str, reason: str, now: int, after: int, limit: int
    ) -> Progress:
        return steer.release(self.batch, which, actor=actor, reason=reason, now=now, after=after, limit=limit)

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
        return steer.change(
            self.batch, which, change, actor=actor, reason=reason, now=now, after=after, limit=limit
        )

    def resent(self, messages: Mapping[int, int], *, actor: str, reason: str, now: int) -> None:
        steer.resent(self.batch, messages, actor=actor, reason=reason, now=now)

    def lift_holds(self, now: int, limit: int) -> int:
        return steer.lift(self.batch, now, limit)

    def add_hold_rule(self, rule: HoldRule, now: int) -> HoldRule:
        return steer.add_rule(self.batch, rule, now)

    def mark_rule(self, rule_id: int, now: int, limit: int) -> Progress:
        return steer.mark_rule(self.batch, rule_id, now, limit)

    def remove_hold_rule(self, rule_id: int, *, actor: str, reason: str = "", now: int) -> HoldRule:
        return ending.remove_rule(self.batch, rule_id, actor=actor, reason=reason, now=now)

    def hold_rule(self, rule_id: int) -> HoldRule:
        return steer.hold_rule(self.batch, rule_id)

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
        return ending.end_rule(
            self.batch,
            rule_id,
            then=then,
            per_minute=per_minute,
            actor=actor,
            reason=reason,
            next_at=next_at,
            now=now,
        )

    def lift_rule(self, rule_id: int, *, most: int, next_at: int | None, now: int, limit: int) -> Lifted:
        return ending.lift_rule(self.batch, rule_id, most=most, next_at=next_at, now=now, limit=limit)

    def fail_held(
        self, rule_id: int, settlements: Sequence[Settlement], notices: Sequence[NewNotice]
    ) -> bool:
        return ending.fail_held(self.batch, rule_id, settlements, notices)

    def suppress(self, account_id: int, entries: Sequence[Suppression]) -> int:
        return suppression.suppress(self.batch, account_id, entries)

    def unsuppress(self, account_id: int, base: str, now: int) -> Suppression:
        return suppression.unsuppress(self.batch, account_id, base, now)

    def add_account(self, name: str, now: int) -> Account:
        return admin.add_account(self.batch, name, now)

    def set_account(self, account: Account) -> None:
        admin.set_account(self.batch, account)

    def remove_account(self, name: str, mail: AccountMail) -> Account:
        return admin.remove_account(self.batch, name, mail)

    def forget_recipients(self, account_id: int, limit: int) -> int:
        return quota.forget_recipients(self.batch, account_id, limit)

    def forget_suppressions(self, account_id: int, limit: int) -> int:
        return suppression.forget(self.batch, account_id, limit)

    def add_transport(self, transport: Transport, now: int) -> Transport:
        return admin.add_transport(self.batch, transport, now)

    def set_transport(self, transport: Transport, now: int) -> None:
        admin.set_transport(self.batch, transport, now)

    def remove_transport(self, name: str) -> None:
        admin.remove_transport(self.batch, name)

    def add_route(self, route: Route, now: int) -> Route:
        return admin.add_route(self.batch, route, now)

    def remove_route(self, route_id: int, now: int) -> None:
        admin.remove_route(self.batch, route_id, now)

    def add_reply_rule(self, rule: ReplyRule, now: int) -> ReplyRule:
        return admin.add_reply_rule(self.batch, rule, now)

    def remove_reply_rule(self, rule_id: int) -> ReplyRule:
        return admin.remove_reply_rule(self.batch, rule_id)

    def add_shaping_rule(self, rule: ShapingRule, now: int) -> ShapingRule:
        return admin.add_shaping_rule(self.batch, rule, now)

    def remove_shaping_rule(self, rule_id: int) -> ShapingRule:
        return admin.remove_shaping_rule(self.batch, rule_id)

    def add_schedule(self, schedule: Schedule, now: int) -> None:
        admin.add_schedule(self.batch, schedule, now)

    def set_sender_domain(self, domain: SenderDomain) -> None:
        admin.set_sender_domain(self.batch, domain)

    def remove_sender_domain(self, name: str) -> SenderDomain:
        return admin.remove_sender_domain(self.batch, name)

    def set_endpoint(self, endpoint: Endpoint) -> None:
        admin.set_endpoint(self.batch, endpoint)

    def remove_endpoint(self, account_id: int) -> None:
        admin.remove_endpoint(self.batch, account_id)

    def mend(self) -> None:
        integrity.mend(self.batch)

    def purge_tally(self, older_than: int) -> int:
        return upkeep.purge_tally(self.batch, older_than)

    def note_change(self, reason: str, data: Mapping[str, object], *, actor: str, now: int) -> None:
        admin.note_change(self.batch, reason, data, actor=actor, now=now)

    def note_so_far(
        self, event_id: int | None, reason: str, data: Mapping[str, object], *, actor: str, now: int
    ) -> int:
        return admin.note_so_far(self.batch, event_id, reason, data, actor=actor, now=now)

    # -- upkeep --------------------------------------------------------------------------------
    def purge_history(self, now: int, limit: int) -> int:
        return upkeep.purge_history(self.batch, now, limit)

    def purge_messages(self, ids: Sequence[int]) -> Gone:
        return upkeep.purge_messages(self.batch, ids)

    def purge_content(self, now: int, limit: int) -> int:
        return upkeep.purge_content(self.batch, now, limit)

    def purge_keys(self, older_than: int, limit: int) -> int:
        return upkeep.purge_keys(self.batch, older_than, limit)

    def purge_orphans(self, older_than: int, limit: int) -> int:
        return upkeep.purge_orphans(self.batch, older_than, limit)

    def purge_usage(self, older_than: int) -> int:
        return quota.purge_usage(self.batch, older_than)

    def purge_recipients(self, older_than: int, limit: int) -> int:
        return quota.purge_recipients(self.batch, older_than, limit)

    def purge_suppressions(self, now: int, limit: int) -> int:
        return suppression.purge(self.batch, now, limit)

    def purge_strikes(self, older_than: int, limit: int) -> int:
        return suppression.purge_strikes(self.batch, older_than, limit)

    def purge_destinations(self, older_than: int, limit: int) -> int:
        return traffic.purge(self.batch, older_than, limit)

    def purge_webhooks(self, now: int, limit: int) -> int:
        return hooks.purge(self.batch, now, limit)

    def purge_incoming(self, older_than: int, limit: int) -> int:
        return incoming.purge(self.batch, older_than, limit)
