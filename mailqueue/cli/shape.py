"""What the nouns look like in JSON: the keys and their meaning are part of the command line's contract.

The rule: moments are RFC 3339 in UTC, lengths of time that people set are in their readable form (`5d`),
those that were measured are seconds.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence

from mailqueue.cli.output import Json, rfc3339
from mailqueue.clock import to_micros
from mailqueue.model.account import Account, QuotaUse
from mailqueue.model.attempt import Attempt
from mailqueue.model.backup import Backup, Restored
from mailqueue.model.destination import DestinationInfo
from mailqueue.model.duration import format_duration
from mailqueue.model.engine import EngineInfo
from mailqueue.model.events import Event, Happened, Notice
from mailqueue.model.explain import Explanation, Gate, Preview, Purged, Resent, Status, Steered
from mailqueue.model.incoming import Incoming
from mailqueue.model.message import Message, Submission
from mailqueue.model.migration import Migration
from mailqueue.model.plan import Plan
from mailqueue.model.rules import HoldRule, ReplyRule, Route, SenderDomain, ShapingRule, Transport
from mailqueue.model.schedule import Schedule, format_delays, times
from mailqueue.model.stats import AGES, Stats
from mailqueue.model.suppression import Imported, Rejudged, Suppression, Unsuppressed, evidence_json
from mailqueue.model.verdict import Verdict
from mailqueue.model.way import Way
from mailqueue.model.webhook import Endpoint, Webhook, WebhookAnswer, WebhookAttempt


def message(found: Message) -> Json:
    """Return a message, queued or retired."""
    return {
        "id": found.id,
        "submission_id": found.submission_id,
        "account": found.account,
        "sender": found.sender,
        "recipient": found.recipient,
        "state": found.state.value,
        "hold": found.hold,
        "attempts": found.attempts,
        "next_attempt_at": rfc3339(found.next_attempt_at),
        "last_error": found.last_error,
        "category": None if found.category is None else found.category.value,
        "blocked_until": rfc3339(found.blocked_until),
        "blocked_by": found.blocked_by,
        "submitted_at": rfc3339(found.submitted_at),
        "claimed_at": rfc3339(found.claimed_at),
        "give_up_at": rfc3339(found.give_up_at),
        "retired_at": rfc3339(found.retired_at),
        "schedule": found.schedule,
        "message_id": found.message_id,
        "subject": found.subject,
        "size": found.size,
        "notify": found.notify,
        "orcpt": found.orcpt,
        "envid": found.envid,
        "ret": found.ret,
        "priority": str(found.priority),
        "transport": found.transport,
        "require_tls": found.require_tls,
        "not_before": rfc3339(found.not_before),
        "expires_at": rfc3339(found.expires_at),
        "warn_after": None if found.warn_after is None else format_duration(to_micros(found.warn_after)),
        "max_attempts": found.max_attempts,
        "extra": dict(found.extra),
        "fromid": found.fromid,
        "feedback": None if found.feedback is None else found.feedback.value,
    }


def whole_message(found: Message, events: Sequence[Event], notices: Sequence[Notice]) -> Json:
    """Return a message with what holds it, what happened to it, and the notices that told of it."""
    holds = [
        {
            "rule_id": hold.rule_id,
            "since": rfc3339(hold.since),
            "actor": hold.actor,
            "reason": hold.reason,
            "until": rfc3339(hold.until),
        }
        for hold in found.holds
    ]
    return {
        **message(found),
        "holds": holds,
        "events": [event(each) for each in events],
        "notices": [notice(each) for each in notices],
    }


def submission(made: Submission, held: Container[int] | None = None) -> Json:
    """Return what `submit` made; `held` are the ids of messages that a rule holds from the start.

    Without them, nothing is told about holds.
    """
    return {
        "id": made.id,
        "message_id": made.message_id,
        "replayed": made.replayed,
        "repairs": list(made.repairs),
        "messages": [
            {
                "id": each.id,
                "recipient": each.recipient,
                "state": each.state.value,
                "fromid": each.fromid,
                **({} if held is None else {"hold": each.id in held}),
            }
            for each in made.messages
        ],
    }


def attempt(found: Attempt) -> Json:
    """Return an attempt, whole."""
    return {
        "id": found.id,
        "message_id": found.message_id,
        "number": found.number,
        "engine_id": found.engine_id,
        "started_at": rfc3339(found.started_at),
        "duration": found.duration.total_seconds(),
        "outcome": found.outcome.value,
        "category": found.category.value,
        "scope": found.scope.value if found.scope else None,
        "transport": found.transport,
        "route_id": found.route_id,
        "host": found.host,
        "address": found.address,
        "tls": found.tls,
        "tls_verified": found.tls_verified,
        "size": found.size,
        "code": found.code,
        "enhanced": found.enhanced,
        "reply": found.reply,
        "error": found.error,
        "transcript": found.transcript,
    }


def event(found: Event) -> Json:
    """Return an event."""
    return {
        "id": found.id,
        "event": found.event.value,
        "at": rfc3339(found.at),
        "actor": found.actor,
        "reason": found.reason,
        "notice_id": found.notice_id,
        "data": dict(found.data),
    }


def happened(found: Happened) -> Json:
    """Return one line of a timeline."""
    return {
        "at": rfc3339(found.at),
        "what": found.what,
        "actor": found.actor,
        "text": found.text,
        "attempt": found.attempt,
        "notice_id": found.notice_id,
        "data": dict(found.data),
    }


def notice(found: Notice) -> Json:
    """Return a notice without its content."""
    return {
        "id": found.id,
        "submission_id": found.submission_id,
        "kind": found.kind.value,
        "at": rfc3339(found.at),
        "sent_as": found.sent_as,
    }


def incoming(found: Incoming) -> Json:
    """Return what came in, without its content."""
    return {
        "id": found.id,
        "at": rfc3339(found.at),
        "recipient": found.recipient,
        "kind": found.kind,
        "matched_by": None if found.matched_by is None else found.matched_by.value,
        "submission_id": found.submission_id,
        "account": found.account,
        "messages": list(found.messages),
        "summary": found.summary,
        "size": found.size,
        "correlation": found.correlation,
        "actor": found.actor,
        "replayed": found.replayed,
        "events": [{"message_id": each.message_id, **event(each)} for each in found.events],
    }


def explanation(found: Explanation) -> Json:
    """Return why a message waits."""
    return {
        "id": found.message_id,
        "state": found.state,
        "summary": found.summary,
        "blocked_by": found.blocked_by.value if found.blocked_by else None,
        "earliest_attempt_at": rfc3339(found.earliest_attempt_at),
        "transport": found.transport,
        "way": None if found.way is None else way(found.way),
        "priority": str(found.priority),
        "expires_at": rfc3339(found.expires_at),
        "gates": [gate(each) for each in found.gates],
    }


def gate(found: Gate) -> Json:
    """Return one thing that a message may wait at."""
    return {
        "gate": found.gate.value,
        "open": found.open,
        "text": found.text,
        "until": rfc3339(found.until),
        "frees": found.frees,
    }


def way(found: Way) -> Json:
    """Return how a message would go."""
    return {
        "transport": found.transport,
        "kind": found.kind.value,
        "chosen_by": found.chosen_by.value,
        "route_id": found.route_id,
        "destination": found.destination,
        "hosts": [
            {
                "name": each.name,
                "port": each.port,
                "preference": each.preference,
                "addresses": list(each.addresses),
            }
            for each in found.hosts
        ],
        "error": found.error,
        "tls": None if found.tls is None else found.tls.value,
        "require_tls": found.require_tls,
        "reply": found.reply,
    }


def plan(found: Plan) -> Json:
    """Return what would become of a message."""
    return {
        "account": found.account,
        "sender": found.sender,
        "recipient": found.recipient,
        "priority": str(found.priority),
        "state": None if found.state is None else found.state.value,
        "over_quota": found.over_quota,
        "usage": [quota_use(each) for each in found.usage],
        "summary": found.summary,
        "blocked_by": found.blocked_by.value if found.blocked_by else None,
        "earliest_attempt_at": rfc3339(found.earliest_attempt_at),
        "way": None if found.way is None else way(found.way),
        "schedule": found.schedule,
        "times": [format_duration(to_micros(each)) for each in found.times],
        "give_up_at": rfc3339(found.give_up_at),
        "gates": [gate(each) for each in found.gates],
    }


def status(found: Status) -> Json:
    """Return how the queue stands."""
    return {
        "queued": found.queued,
        "claimed": found.claimed,
        "held": found.held,
        "next_attempt_at": rfc3339(found.next_attempt_at),
        "engines": [engine(each) for each in found.engines],
        "transport": found.transport,
    }


def engine(found: EngineInfo) -> Json:
    """Return an engine at work."""
    return {
        "id": found.id,
        "host": found.identity.host,
        "pid": found.identity.pid,
        "started_at": rfc3339(found.started_at),
        "heartbeat_at": rfc3339(found.heartbeat_at),
        "relay": found.relay,
    }


def stats(found: Stats) -> Json:
    """Return the queue in numbers."""
    return {
        "queued": found.queued,
        "claimed": found.claimed,
        "held": found.held,
        "since": rfc3339(found.since),
        "submitted": found.submitted,
        "retired": {state.value: count for state, count in found.retired.items()},
        "events": {event.value: count for event, count in found.events.items()},
        "hours": [
            {
                "at": rfc3339(each.at),
                "submitted": each.submitted,
                "delivered": each.delivered,
                "failed": each.failed,
            }
            for each in found.hours
        ],
        "domains": [
            {
                "domain": each.domain,
                "messages": each.messages,
                "oldest": rfc3339(each.oldest),
                "ages": dict(zip(AGES, each.ages, strict=True)),
            }
            for each in found.domains
        ],
        "domains_in_all": found.domains_in_all,
        "errors": [
            {
                "category": each.category.value,
                "code": each.code,
                "enhanced": each.enhanced,
                "times": each.times,
            }
            for each in found.errors
        ],
        "destinations": [destination(each) for each in found.destinations],
        "destinations_in_all": found.destinations_in_all,
    }


def steered(done: Steered) -> Json:
    """Return what a bulk change came to, or would."""
    found: dict[str, object] = {
        "changed": done.changed,
        "unchanged": done.unchanged,
        "in_delivery": done.in_delivery,
        "retired": list(done.retired),
    }
    return {**found, **_preview(done.preview)}


def _preview(found: Preview | None) -> Json:
    if found is None:
        return {}
    sample = [message(each) for each in found.sample]
    return {"preview": {"messages": found.messages, "sample": sample, "would": found.would}}


def resent(done: Resent) -> Json:
    """Return what sending anew came to, or would."""
    return {
        "sent": done.sent,
        "messages": [{"id": old, "sent_as": new} for old, new in done.messages.items()],
        "gone": done.gone,
        "purged": [{"id": each, "at": rfc3339(at)} for each, at in done.gone_at.items()],
        "refused": done.refused,
        "refusal": done.refusal,
        "queued": list(done.queued),
        **_preview(done.preview),
    }


def purged(done: Purged) -> Json:
    """Return what purging from the history came to, or would."""
    return {"messages": done.messages, "queued": list(done.queued), **_preview(done.preview)}


def backup(done: Backup) -> Json:
    """Return what `backup` made."""
    return {"path": done.path, "size": done.size}


def restored(done: Restored) -> Json:
    """Return what `restore` did."""
    return {"db": done.path, "source": done.source, "copy": done.copy, "held": done.held}


def migration(done: Migration) -> Json:
    """Return what `migrate` did."""
    return {
        "db": done.path,
        "migrated": done.changed,
        "before": done.before,
        "after": done.after,
        "copy": done.copy,
    }


def hold_rule(rule: HoldRule, account: str | None) -> Json:
    """Return a hold rule; `account` is the name of its account."""
    return {
        "id": rule.id,
        "account": account,
        "sender_domain": rule.sender_domain,
        "sender": rule.sender,
        "recipient_domain": rule.recipient_domain,
        "recipient": rule.recipient,
        "reason": rule.reason,
        "actor": rule.actor,
        "created_at": rfc3339(rule.created_at),
        "marking": rule.marking,
        "until": rfc3339(rule.until),
        "then": rule.then.value,
        "per_minute": rule.per_minute,
        "ended_at": rfc3339(rule.ended_at),
        "ended_by": rule.ended_by,
        "ended_reason": rule.ended_reason,
        "next_at": rfc3339(rule.next_at),
        "let_go": rule.let_go,
    }


def transport(found: Transport) -> Json:
    """Return a transport; of a password only whether there is one."""
    return {
        "id": found.id,
        "name": found.name,
        "kind": found.kind.value,
        "host": found.host,
        "port": found.port,
        "tls": found.tls.value,
        "username": found.username,
        "password": found.password is not None,
        "auth": None if found.auth is None else found.auth.value,
        "ca_file": found.ca_file,
        "allow_private": found.allow_private,
        "reply": found.reply,
        "default": found.is_default,
    }


def route(found: Route, account: str | None) -> Json:
    """Return a route; `account` is the name of its account."""
    return {
        "id": found.id,
        "position": found.position,
        "account": account,
        "sender_domain": found.sender_domain,
        "recipient_domain": found.recipient_domain,
        "min_attempts": found.min_attempts,
        "transport": found.transport,
    }


def reply_rule(rule: ReplyRule) -> Json:
    """Return an own rule about replies."""
    return {
        "id": rule.id,
        "position": rule.position,
        "pattern": rule.pattern,
        "code": rule.code,
        "category": rule.category.value,
        "permanent": rule.permanent,
        "note": rule.note,
        "actor": rule.actor,
        "created_at": rfc3339(rule.created_at),
    }


def suppression(found: Suppression) -> Json:
    """Return an entry of a suppression list."""
    return {
        "id": found.id,
        "account": found.account,
        "address": found.address,
        "base": found.base,
        "cause": found.cause.value,
        "reason": found.reason,
        "message_id": found.message_id,
        "incoming_id": found.incoming_id,
        "evidence": None if found.evidence is None else evidence_json(found.evidence),
        "actor": found.actor,
        "created_at": rfc3339(found.created_at),
        "expires_at": rfc3339(found.expires_at),
    }


def unsuppressed(done: Unsuppressed) -> Json:
    """Return an entry that has been removed, and what came of the mail that it had stopped."""
    replayed = None if done.replayed is None else resent(done.replayed)
    return {**suppression(done.suppression), "removed": True, "replayed": replayed}


def imported(done: Imported) -> Json:
    """Return what an import came to."""
    return {
        "read": done.read,
        "changed": done.changed,
        "faults": list(done.faults),
        "ignored": list(done.ignored),
    }


def rejudged(found: Rejudged) -> Json:
    """Return an entry that would not be made now, and why."""
    return {**suppression(found.suppression), "refuted": found.reason, "removed": found.removed}


def verdict(found: Verdict) -> Json:
    """Return what a reply means."""
    return {
        "reply": found.reply.to_wire(),
        "category": found.category.value,
        "permanent": found.permanent,
        "overrides_code": found.overrides,
        "scope": found.scope.value,
        "status": str(found.status),
        "kind": found.kind.value,
        "rule": found.rule,
        "note": found.note,
        "source": found.source,
    }


def shaping_rule(rule: ShapingRule) -> Json:
    """Return a rule that limits what goes to a destination."""
    return {
        "id": rule.id,
        "position": rule.position,
        "transport": rule.transport,
        "domain": rule.domain,
        "mx": rule.mx,
        "connections": rule.connections,
        "per_connection": rule.per_connection,
        "per_minute": rule.per_minute,
        "reason": rule.reason,
        "actor": rule.actor,
        "created_at": rfc3339(rule.created_at),
    }


def destination(found: DestinationInfo) -> Json:
    """Return a destination that is or was in trouble."""
    return {
        "name": found.name,
        "failures": found.failures,
        "since_at": rfc3339(found.since_at),
        "blocked_until": rfc3339(found.blocked_until),
        "canary_at": rfc3339(found.canary_at),
        "last_error": found.last_error,
        "lanes": found.lanes,
        "messages": found.messages,
    }


def schedule(found: Schedule) -> Json:
    """Return a schedule, with the times it means."""
    return {
        "name": found.name,
        "delays": format_delays(found.delays, found.classes),
        "lifetime": format_duration(found.lifetime),
        "warn_after": None if found.warn_after is None else format_duration(found.warn_after),
        "shipped": found.shipped,
        "times": [format_duration(at) for at in times(found)],
    }


def sender_domain(found: SenderDomain) -> Json:
    """Return what is wished for the mail from a domain."""
    return {"name": found.name, "separator": found.separator}


def account(found: Account) -> Json:
    """Return an account."""
    return {
        "id": found.id,
        "name": found.name,
        "notices": found.notices.value if found.notices else None,
        "schedule": found.schedule,
        "retention": format_duration(found.retention),
        "keep_content": format_duration(found.keep_content),
        "on_uncertain": found.on_uncertain.value,
        "strict": found.strict,
        "messages_per_day": found.messages_per_day,
        "new_recipients_per_day": found.new_recipients_per_day,
        "over_quota": found.over_quota.value,
        "fromid": found.fromid,
        "suppression": found.suppression,
        "suppress_for": None if found.suppress_for is None else format_duration(found.suppress_for),
        "usage": [quota_use(each) for each in found.usage],
    }


def quota_use(found: QuotaUse) -> Json:
    """Return how far a quota is used."""
    return {
        "quota": found.quota.value,
        "limit": found.limit,
        "used": found.used,
        "waiting": found.waiting,
        "opens_at": rfc3339(found.opens_at),
    }


def endpoint(found: Endpoint, account: str) -> Json:
    """Return an endpoint; of its secrets only how many there are."""
    return {
        "account": account,
        "url": found.url,
        "events": sorted(found.events),
        "authorization": found.authorization is not None,
        "secrets": len(found.secrets),
        "allow_private": found.allow_private,
        "disabled_at": rfc3339(found.disabled_at),
        "created_at": rfc3339(found.created_at),
    }


def webhook(found: Webhook) -> Json:
    """Return a webhook with its payload."""
    return {
        "id": found.id,
        "account": found.account,
        "event_id": found.event_id,
        "event": found.event.value,
        "message_id": found.message_id,
        "state": found.state.value,
        "attempts": found.attempts,
        "after_id": found.after_id,
        "created_at": rfc3339(found.created_at),
        "next_attempt_at": rfc3339(found.next_attempt_at),
        "last_error": found.last_error,
        "retired_at": rfc3339(found.retired_at),
        "payload": json.loads(found.payload),
    }


def webhook_attempt(found: WebhookAttempt) -> Json:
    """Return an attempt to post a webhook."""
    return {
        "id": found.id,
        "webhook_id": found.webhook_id,
        "number": found.number,
        "started_at": rfc3339(found.started_at),
        "duration": found.duration.total_seconds(),
        "status": found.status,
        "answer": found.answer,
        "error": found.error,
    }


def webhook_answer(found: WebhookAnswer) -> Json:
    """Return what an endpoint answered to a test."""
    return {
        "url": found.url,
        "taken": found.taken,
        "status": found.status,
        "answer": found.answer,
        "error": found.error,
        "duration": found.duration.total_seconds(),
    }
