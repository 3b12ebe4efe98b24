"""Rows of the database as values of the model, and back: the only place where the two meet.

The one rule: the order of a row's columns here is the order in the statement that reads or writes
it, and both are tested together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from mailqueue.clock import from_datetime, to_datetime
from mailqueue.model.account import Account, HourUse, Notices, OnUncertain, OverQuota
from mailqueue.model.attempt import Attempt, Category, Facts, OutcomeKind, Scope
from mailqueue.model.destination import Destination
from mailqueue.model.engine import EngineInfo, Identity
from mailqueue.model.events import Event, EventKind, Notice, NoticeKind
from mailqueue.model.fromid import SEPARATOR, return_path
from mailqueue.model.incoming import Incoming, Match, MatchedBy, NewIncoming, Sent
from mailqueue.model.lane import Priority
from mailqueue.model.lifecycle import Feedback, State
from mailqueue.model.message import (
    Claimed,
    Hold,
    Message,
    NewSubmission,
    Original,
    Submission,
    SubmittedMessage,
)
from mailqueue.model.rules import (
    AuthMechanism,
    HoldRule,
    ReplyRule,
    Route,
    ShapingRule,
    Then,
    Tls,
    Transport,
    TransportKind,
)
from mailqueue.model.schedule import Schedule, parse_delays
from mailqueue.model.settlement import NewEvent, Settlement, Wish, WishKind
from mailqueue.model.suppression import Cause, Lesson, Suppression, evidence_json, evidence_of
from mailqueue.model.webhook import Endpoint, Webhook, WebhookAttempt, WebhookState

Row = Sequence[Any]


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else to_datetime(micros)


# --- settings ---------------------------------------------------------------------------------
def account(row: Row) -> Account:
    """Return the account of a row of `all_accounts`."""
    identity, name, notices, schedule_name, retention, keep_content, on_uncertain, strict, *more = row
    messages_per_day, new_recipients_per_day, over_quota, fromid, suppression, suppress_for = more
    return Account(
        id=identity,
        name=name,
        notices=None if notices is None else Notices(notices),
        schedule=schedule_name,
        retention=retention,
        keep_content=keep_content,
        on_uncertain=OnUncertain(on_uncertain),
        strict=bool(strict),
        messages_per_day=messages_per_day,
        new_recipients_per_day=new_recipients_per_day,
        over_quota=OverQuota(over_quota),
        fromid=bool(fromid),
        suppression=bool(suppression),
        suppress_for=suppress_for,
    )


def hour_use(row: Row) -> HourUse:
    """Return what was sent in the hour of a row of `usage_of_account`."""
    hour_at, messages, new_recipients = row
    return HourUse(hour_at=hour_at, messages=messages, new_recipients=new_recipients)


def hour_use_row(use: HourUse) -> tuple[int, int, int]:
    """Return the row of `count_use`, but for the account."""
    return use.hour_at, use.messages, use.new_recipients


def transport(row: Row) -> Transport:
    """Return the transport of a row of `all_transports`."""
    identity, name, kind, host, port, tls, username, password, auth, ca_file, private, reply, default = row
    return Transport(
        id=identity,
        name=name,
        kind=TransportKind(kind),
        host=host,
        port=port,
        tls=Tls(tls),
        username=username,
        password=password,
        auth=None if auth is None else AuthMechanism(auth),
        ca_file=ca_file,
        allow_private=bool(private),
        reply=reply,
        is_default=bool(default),
    )


def route(row: Row) -> Route:
    """Return the route of a row of `all_routes`."""
    identity, position, owner, sender_domain, recipient_domain, min_attempts, transport_name = row
    return Route(
        id=identity,
        position=position,
        account_id=owner,
        sender_domain=sender_domain,
        recipient_domain=recipient_domain,
        min_attempts=min_attempts,
        transport=transport_name,
    )


def schedule(row: Row) -> Schedule:
    """Return the schedule of a row of `all_schedules`."""
    name, text, lifetime, warn_after = row
    delays, classes = parse_delays(text)
    return Schedule(name=name, delays=delays, classes=classes, lifetime=lifetime, warn_after=warn_after)


def hold_rule(row: Row) -> HoldRule:
    """Return the hold rule of a row of `all_hold_rules`."""
    return HoldRule(
        id=row[0],
        account_id=row[1],
        sender_domain=row[2],
        sender=row[3],
        recipient_domain=row[4],
        recipient=row[5],
        reason=row[6],
        actor=row[7],
        created_at=to_datetime(row[8]),
        marking=bool(row[9]),
        until=_moment(row[10]),
        then=Then(row[11]),
        per_minute=row[12],
        ended_at=_moment(row[13]),
        ended_by=row[14],
        ended_reason=row[15],
        next_at=_moment(row[16]),
        let_go=row[17],
    )


def reply_rule(row: Row) -> ReplyRule:
    """Return the reply rule of a row of `all_reply_rules`."""
    identity, position, pattern, code, category, permanent, note, actor, made = row
    return ReplyRule(
        id=identity,
        position=position,
        pattern=pattern,
        code=code,
        category=Category(category),
        permanent=None if permanent is None else bool(permanent),
        note=note,
        actor=actor,
        created_at=to_datetime(made),
    )


def shaping_rule(row: Row) -> ShapingRule:
    """Return the shaping rule of a row of `all_shaping_rules`."""
    (
        identity,
        position,
        transport,
        domain,
        mx,
        connections,
        per_connection,
        per_minute,
        reason,
        actor,
        made,
    ) = row
    return ShapingRule(
        id=identity,
        position=position,
        transport=transport,
        domain=domain,
        mx=mx,
        connections=connections,
        per_connection=per_connection,
        per_minute=per_minute,
        reason=reason,
        actor=actor,
        created_at=to_datetime(made),
    )


def endpoint(row: Row) -> Endpoint:
    """Return the endpoint of a row of `all_endpoints`."""
    account_id, url, events, authorization, secrets, private, disabled, created = row
    return Endpoint(
        account_id=account_id,
        url=url,
        events=frozenset(map(EventKind, events.split(","))),
        authorization=authorization,
        secrets=tuple(secrets.split()),
        allow_private=bool(private),
        disabled_at=_moment(disabled),
        created_at=to_datetime(created),
    )


# --- submissions ------------------------------------------------------------------------------
def submission_row(identity: int, content_id: int, new: NewSubmission) -> tuple[Any, ...]:
    """Return the row of `insert_submission`."""
    return (
        identity,
        new.account_id,
        content_id,
        new.sender,
        new.message_id,
        new.subject,
        int(new.eight_bit),
        int(new.utf8_header),
        new.notice_for or 0,
        new.actor,
        new.submitted_at,
        new.envid or "",
        new.ret or "",
        new.not_before or 0,
        -1 if new.warn_after is None else new.warn_after,
        new.max_attempts or 0,
        json.dumps(dict(new.extra), ensure_ascii=False) if new.extra else "",
    )


def submission_text(submission: Submission) -> str:
    """Return a submission as the JSON that is kept with an idempotency key."""
    messages = [
        (each.id, each.recipient, each.state.value, *([each.fromid] if each.fromid else ()))
        for each in submission.messages
    ]
    kept = {"id": submission.id, "message_id": submission.message_id, "messages": messages}
    return json.dumps({**kept, "repairs": submission.repairs} if submission.repairs else kept)


def replayed(text: str) -> Submission:
    """Return the submission that `submission_text` wrote, as one that is returned again."""
    found = json.loads(text)
    return Submission(
        id=found["id"],
        message_id=found["message_id"],
        messages=tuple(
            SubmittedMessage(
                id=identity, recipient=recipient, state=State(state), fromid=next(iter(fromid), None)
            )
            for identity, recipient, state, *fromid in found["messages"]
        ),
        replayed=True,
        repairs=tuple(found.get("repairs", ())),
    )


# --- messages ---------------------------------------------------------------------------------
def claimed(
    row: Row,
    *,
    engine_id: int,
    uncertain: bool,
    separators: Mapping[str, str],
    suppressed: str | None = None,
) -> Claimed:
    """Return the claim of a row of `claim_candidates`, or the message of one of `waiting_messages`.

    Args:
        row: as it was before the claim.
        engine_id: whose claim it is now; 0: nobody's, the message waits as it is.
        uncertain: an earlier attempt may have reached the receiver.
        separators: what makes return addresses unique stands after these, by the domains of senders.
        suppressed: why it is not to be tried. None: it is.
    """
    sender, fromid = row[11], row[29]
    return Claimed(
        id=row[0],
        engine_id=engine_id,
        submission_id=row[1],
        account_id=row[2],
        recipient=row[3],
        domain=row[4],
        attempts=row[5] + (engine_id > 0),
        claim=row[6] + (engine_id > 0),
        schedule=row[7],
        give_up_at=row[8],
        warn_at=row[9],
        content_id=row[10],
        sender=sender,
        return_path=sender
        if fromid is None
        else return_path(sender, fromid, separators.get(sender.rpartition("@")[2], SEPARATOR)),
        eight_bit=row[12] == 1,
        utf8_header=row[13] == 1,
        is_notice=row[14] is not None,
        submitted_at=row[15],
        size=row[16],
        notify=row[17],
        orcpt=row[18],
        envid=row[19],
        ret=row[20],
        priority=row[21],
        transport=row[22],
        require_tls=None if row[23] is None else row[23] == 1,
        expires_at=row[24],
        warn_after=row[25],
        max_attempts=row[26],
        not_before=row[27],
        due_at=row[28],
        uncertain=uncertain,
        suppressed=suppressed,
    )


def original(row: Row) -> Original:
    """Return the retired message of a row of `originals`."""
    return Original(
        id=row[0],
        submission_id=row[1],
        account_id=row[2],
        sender=row[3],
        recipient=row[4],
        content_id=row[5],
        purged_at=row[6],
        message_id=row[7],
        subject=row[8],
        eight_bit=row[9] == 1,
        utf8_header=row[10] == 1,
        notice_for=row[11],
        envid=row[12],
        ret=row[13],
        notify=row[14],
        orcpt=row[15],
        priority=Priority(row[16]),
        transport=row[17],
        require_tls=None if row[18] is None else row[18] == 1,
        extra={} if row[19] is None else json.loads(row[19]),
    )


def message(row: Row, holds: Iterable[Hold] = ()) -> Message:
    """Return the message of a row of `read_message` and the like."""
    return Message(
        id=row[0],
        submission_id=row[1],
        account=row[2],
        sender=row[3],
        recipient=row[4],
        state=State(row[5]),
        hold=row[6] > 0,
        holds=tuple(holds),
        attempts=row[7],
        submitted_at=to_datetime(row[8]),
        claimed_at=_moment(row[9]),
        next_attempt_at=_moment(row[10]),
        give_up_at=to_datetime(row[11]),
        schedule=row[12],
        last_error=row[13],
        retired_at=_moment(row[14]),
        message_id=row[15],
        subject=row[16],
        size=row[17],
        notify=row[18],
        orcpt=row[19],
        envid=row[20],
        ret=row[21],
        priority=Priority(row[22]),
        transport=row[23] or None,
        require_tls=None if row[24] is None else row[24] == 1,
        expires_at=_moment(row[25]),
        not_before=_moment(row[26]),
        warn_after=None if row[27] is None else timedelta(microseconds=row[27]),
        max_attempts=row[28],
        blocked_until=_moment(row[29]),
        blocked_by=row[30],
        category=None if row[31] is None else Category(row[31]),
        extra=MappingProxyType({} if row[32] is None else json.loads(row[32])),
        fromid=row[33],
        feedback=None if row[34] is None else Feedback(row[34]),
    )


def wish(row: Row) -> Wish:
    """Return the wish of a row of `wishes`."""
    _, kind, actor, reason = row
    return Wish(kind=WishKind(kind), actor=actor, reason=reason)


def hold(row: Row) -> Hold:
    """Return the mark of a row of `holds_of_message`; without its rule it counts as by hand, and names it."""
    rule_id, exists, since, actor, reason, until = row
    if rule_id is not None and not exists:
        reason = f"rule {rule_id}, removed since" + (f": {reason}" if reason else "")
        rule_id = None
    return Hold(rule_id=rule_id, since=to_datetime(since), actor=actor, reason=reason, until=_moment(until))


# --- attempts, events, notices ----------------------------------------------------------------
def attempt_row(settlement: Settlement, facts: Facts) -> tuple[Any, ...]:
    """Return the row of `insert_attempt`."""
    outcome, reply = settlement.outcome, settlement.outcome.reply
    status = outcome.status or (reply and reply.enhanced)
    return (
        settlement.message.id,
        settlement.message.attempts,
        settlement.message.engine_id,
        facts.started_at,
        facts.duration,
        str(outcome.kind),
        str(outcome.category),
        str(outcome.scope or ""),
        facts.transport or "",
        facts.route_id or 0,
        facts.host or "",
        facts.address or "",
        facts.tls or "",
        facts.tls_verified or "",
        -1 if facts.size is None else facts.size,
        reply.code if reply is not None else 0,
        str(status or ""),
        reply.to_wire() if reply is not None else "",
        outcome.error or "",
        facts.transcript or "",
    )


def attempt(row: Row) -> Attempt:
    """Return the attempt of a row of `attempts_of_message`."""
    return Attempt(
        id=row[0],
        message_id=row[1],
        number=row[2],
        engine_id=row[3],
        started_at=to_datetime(row[4]),
        duration=timedelta(microseconds=row[5]),
        outcome=OutcomeKind(row[6]),
        category=Category(row[7]),
        scope=None if row[8] is None else Scope(row[8]),
        transport=row[9],
        route_id=row[10],
        host=row[11],
        address=row[12],
        tls=row[13],
        tls_verified=row[14],
        size=row[15],
        code=row[16],
        enhanced=row[17],
        reply=row[18],
        error=row[19],
        transcript=row[20],
    )


def event_row(new: NewEvent, message_id: int, at: int, notice_id: int) -> tuple[Any, ...]:
    """Return the row of `insert_event` for an event of an attempt; `notice_id` 0: no notice tells of it."""
    data = json.dumps(dict(new.data)) if new.data else ""
    return (str(new.event), message_id, at, new.actor, new.reason or "", notice_id, data)


def event(row: Row) -> Event:
    """Return the event of a row of `events_of_message`."""
    identity, kind, message_id, at, actor, reason, notice_id, data = row
    return Event(
        id=identity,
        event=EventKind(kind),
        message_id=message_id,
        at=to_datetime(at),
        actor=actor,
        reason=reason,
        notice_id=notice_id,
        data=MappingProxyType({} if data is None else json.loads(data)),
    )


def notice(row: Row) -> Notice:
    """Return the notice of a row of `notices_of_message`."""
    identity, submission_id, kind, at, content, sent_as = row
    return Notice(
        id=identity,
        submission_id=submission_id,
        kind=NoticeKind(kind),
        at=to_datetime(at),
        content=content,
        sent_as=sent_as,
    )


# --- what came in -----------------------------------------------------------------------------
def incoming_row(new: NewIncoming, match: Match | None) -> tuple[Any, ...]:
    """Return the row of `insert_incoming`; `match` None: it is about no mail."""
    about = () if match is None else sorted({each.message.id for each in match.follows})
    return (
        new.at,
        new.recipient,
        new.kind,
        match and match.by.value,
        match and match.submission_id,
        match and match.account_id,
        json.dumps(about),
        new.summary,
        new.digest,
        new.size,
        new.correlation,
        new.actor,
        new.content,
    )


def incoming(row: Row) -> Incoming:
    """Return what came in of a row of `read_incoming` and the like, without what followed."""
    identity, at, recipient, kind, by, submission_id, owner, messages, summary, size, correlation, actor = row
    return Incoming(
        id=identity,
        at=to_datetime(at),
        recipient=recipient,
        kind=kind,
        matched_by=None if by is None else MatchedBy(by),
        submission_id=submission_id,
        account=owner,
        messages=tuple(json.loads(messages)),
        summary=summary,
        size=size,
        correlation=correlation,
        actor=actor,
    )


def sent(row: Row) -> Sent:
    """Return the message of a row of `sent_by_fromid` and the like."""
    identity, submission_id, account_id, sender, recipient, orcpt, state, feedback = row
    return Sent(
        id=identity,
        submission_id=submission_id,
        account_id=account_id,
        sender=sender,
        recipient=recipient,
        orcpt=orcpt,
        state=State(state),
        feedback=None if feedback is None else Feedback(feedback),
    )


# --- suppression ------------------------------------------------------------------------------
def suppression(row: Row) -> Suppression:
    """Return the entry of a row of `list_suppressions` and the like."""
    evidence = row[8]
    return Suppression(
        id=row[0],
        account=row[1],
        address=row[2],
        base=row[3],
        cause=Cause(row[4]),
        reason=row[5],
        message_id=row[6],
        incoming_id=row[7],
        evidence=None if evidence is None else evidence_of(json.loads(evidence)),
        actor=row[9],
        created_at=to_datetime(row[10]),
        expires_at=_moment(row[11]),
    )


def suppression_row(
    account_id: int,
    base: str,
    cause: Cause,
    reason: str,
    failures: Sequence[int],
    *,
    lesson: Lesson,
    expires_at: int | None,
) -> tuple[Any, ...]:
    """Return the row of `suppress` for what a lesson teaches."""
    evidence = lesson.evidence
    if evidence is not None:
        evidence = replace(evidence, failures=tuple(failures))
    return (
        account_id,
        base,
        lesson.address,
        cause.value,
        reason,
        lesson.message_id or 0,
        lesson.incoming_id or 0,
        "" if evidence is None else json.dumps(evidence_json(evidence), ensure_ascii=False),
        "",
        lesson.at,
        expires_at or 0,
    )


def suppression_entry_row(account_id: int, entry: Suppression) -> tuple[Any, ...]:
    """Return the row of `suppress` for an entry that a person made."""
    return (
        account_id,
        entry.base,
        entry.address,
        entry.cause.value,
        entry.reason,
        0,
        0,
        "",
        entry.actor or "",
        from_datetime(entry.created_at),
        0 if entry.expires_at is None else from_datetime(entry.expires_at),
    )


# --- what engines share -----------------------------------------------------------------------
def destination(row: Row) -> Destination:
    """Return the destination of a row of `changed_destinations` and the like."""
    name, failures, since, blocked_until, canary_at, last_error, changed = row
    return Destination(
        name=name,
        failures=failures,
        since_at=since,
        blocked_until=blocked_until,
        canary_at=canary_at,
        last_error=last_error,
        changed=changed,
    )


def engine(row: Row) -> EngineInfo:
    """Return the engine of a row of `all_engines`."""
    identity, host, pid, process_start, boot_id, pid_namespace, started, heartbeat, relay = row
    return EngineInfo(
        id=identity,
        identity=Identity(
            host=host, pid=pid, process_start=process_start, boot_id=boot_id, pid_namespace=pid_namespace
        ),
        started_at=to_datetime(started),
        heartbeat_at=to_datetime(heartbeat),
        relay=relay,
    )


# --- webhooks ---------------------------------------------------------------------------------
def webhook(row: Row) -> Webhook:
    """Return the webhook of a row of `read_webhooks`."""
    identity, account, event_id, event, message_id, payload, created_at, state, attempts, *rest = row
    after_id, next_attempt_at, last_error, retired_at = rest
    return Webhook(
        id=identity,
        account=account,
        event_id=event_id,
        event=EventKind(event),
        message_id=message_id,
        payload=payload,
        created_at=to_datetime(created_at),
        state=WebhookState(state),
        attempts=attempts,
        after_id=after_id,
        next_attempt_at=_moment(next_attempt_at),
        last_error=last_error,
        retired_at=_moment(retired_at),
    )


def webhook_attempt(row: Row) -> WebhookAttempt:
    """Return the attempt of a row of `webhook_attempts`."""
    identity, webhook_id, number, started_at, duration, status, answer, error = row
    return WebhookAttempt(
        id=identity,
        webhook_id=webhook_id,
        number=number,
        started_at=to_datetime(started_at),
        duration=timedelta(microseconds=duration),
        status=status,
        answer=answer,
        error=error,
    )
