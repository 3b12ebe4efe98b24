"""Why a message waits: the gates in order, the first that is shut, and what opens it.

The rule: it says what the claim would do, from the same facts.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime

from mailqueue.clock import from_datetime, to_datetime
from mailqueue.model.attempt import Attempt
from mailqueue.model.destination import Destination
from mailqueue.model.engine import EngineInfo
from mailqueue.model.explain import Explanation, Gate, GateKind
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Message
from mailqueue.model.rules import HoldRule, ShapingRule, Then, Transport, TransportKind
from mailqueue.model.suppression import Suppression
from mailqueue.model.way import ChosenBy, Way
from mailqueue.policy import breaker
from mailqueue.policy.shape import portion, take

_THEN = {
    Then.RELEASE: ", when it is released",
    Then.FAIL: ", when it fails if nothing else holds it",
    Then.KEEP: ", when it stays on hold by hand",
}
NO_TRANSPORT = "mailqueue transport add NAME --kind relay --host HOST (or --kind direct)"


def explain(
    message: Message,
    *,
    last: Attempt | None,
    transport: Transport | None,
    way: Way | None,
    destination: Destination | None,
    rule: ShapingRule | None,
    next_at: int,
    engines: Sequence[EngineInfo],
    rules: Mapping[int, HoldRule],
    ahead: Mapping[int, int],
    suppressed: Suppression | None = None,
    now: int,
) -> Explanation:
    """Return why `message` waits.

    Args:
        message: with its holds.
        last: its last settled attempt; None: none yet.
        transport: the one it would take; None: there is none.
        way: how it would go by that; None: there is none, or it is retired.
        destination: what is known of where it goes; None: nothing is.
        rule: the shaping rule that counts there; None: none does, or it is not known which.
        next_at: until when its messages a minute are spoken for, microseconds UTC.
        engines: those at work.
        rules: the hold rules, by their ids.
        ahead: how many messages such a rule releases before this one, by its id, where it has a pace.
        suppressed: the entry that will stop it once it is due. None: none will.
        now: microseconds UTC.
    """
    if message.state.retired:
        return _retired(message, transport)
    gates = (
        _hold(message, rules, ahead),
        *(() if suppressed is None else (_suppression(suppressed),)),
        _transport(message, transport, way),
        _time(message, last, now),
        _destination(message, destination, now),
        _rate(message, destination, rule, next_at, now),
        _lease(message, engines),
        _engine(engines),
    )
    blocked = next((gate for gate in gates if not gate.open), None)
    by_hand = any(not gate.open and gate.until is None and gate.gate is not GateKind.LEASE for gate in gates)
    times = [message.next_attempt_at, *(gate.until for gate in gates)]
    due = max((each for each in times if each is not None), default=None)
    summary = blocked.text if blocked else "due now: the engine takes it at its next look"
    if message.expires_at is not None:
        summary += f"; it expires at {message.expires_at:%Y-%m-%d %H:%M:%SZ}"
    return Explanation(
        message_id=message.id,
        state=message.state.value,
        gates=gates,
        blocked_by=blocked.gate if blocked else None,
        earliest_attempt_at=None if by_hand or due is None else _earliest(message, due, now),
        transport=transport.name if transport else None,
        way=way,
        priority=message.priority,
        expires_at=message.expires_at,
        summary=summary,
    )


def _earliest(message: Message, due: datetime, now: int) -> datetime | None:
    """Return the earliest attempt of a message that all lets go at `due`. None: it expires before."""
    at = max(due, to_datetime(now))
    return None if message.expires_at is not None and at >= message.expires_at else at


def _retired(message: Message, transport: Transport | None) -> Explanation:
    why = f": {message.last_error}" if message.last_error else ""
    when = f" at {message.retired_at:%Y-%m-%d %H:%M:%SZ}" if message.retired_at else ""
    return Explanation(
        message_id=message.id,
        state=message.state.value,
        gates=(),
        blocked_by=None,
        earliest_attempt_at=None,
        transport=transport.name if transport else None,
        way=None,
        priority=message.priority,
        expires_at=None,
        summary=f"{message.state.value}{when}{why}; it waits for nothing",
    )


def _hold(message: Message, rules: Mapping[int, HoldRule], ahead: Mapping[int, int]) -> Gate:
    if not message.hold:
        return Gate(gate=GateKind.HOLD, open=True, text="not on hold")
    names, ends = [], []
    for hold in message.holds:
        rule = rules.get(hold.rule_id or 0)
        at, how = (hold.until, "") if rule is None else _end(rule, ahead.get(rule.id, 0))
        why = f" ({hold.actor}: {hold.reason})" if hold.reason else f" ({hold.actor})"
        names.append(hold.by + why + (f" until {_told(at)}{how}" if at else ""))
        if at is not None and not (rule and rule.then is Then.KEEP):
            ends.append((at, rule is None or rule.then is Then.RELEASE))
    opens_at, opens = max(ends, default=(None, False))
    return Gate(
        gate=GateKind.HOLD,
        open=False,
        text="on hold " + ", ".join(names),
        until=opens_at if opens and len(ends) == len(message.holds) else None,
        frees=f"mailqueue release {message.id or 'ID'}",  # 0: it is not in the queue yet
    )


def _end(rule: HoldRule, ahead: int) -> tuple[datetime | None, str]:
    """Return when a rule lets go of a message that has so many before it, and what becomes of that then."""
    if rule.next_at is None or rule.per_minute is None:
        return rule.next_at, _THEN[rule.then]
    at_once, pause = portion(rule.per_minute)
    at = from_datetime(rule.next_at) + ahead // at_once * pause
    return to_datetime(at), f" or so, when it is released, as {rule.per_minute:,} a minute are"


def _suppression(entry: Suppression) -> Gate:
    account = f" --account {shlex.quote(entry.account)}"
    return Gate(
        gate=GateKind.SUPPRESSION,
        open=False,
        text=f"its recipient is suppressed ({entry.told}): it fails without an attempt once it is due",
        frees=f"mailqueue suppress remove {shlex.quote(entry.address)}{account}",
    )


def _transport(message: Message, transport: Transport | None, way: Way | None) -> Gate:
    if transport is None:
        return Gate(
            gate=GateKind.TRANSPORT,
            open=False,
            text=f"no transport: {NO_TRANSPORT}",
            frees=NO_TRANSPORT,
        )
    text = f"transport {transport.name} ({transport.kind})"
    if way is not None and way.chosen_by is ChosenBy.ENGINE:
        text += ", which the engine takes for all mail"
    elif message.transport is not None:
        text += ", which the message names"
    if message.require_tls and transport.kind is TransportKind.DIRECT:
        text += ", where what has to stay under TLS is refused"
    return Gate(gate=GateKind.TRANSPORT, open=True, text=text)


def _time(message: Message, last: Attempt | None, now: int) -> Gate:
    kind = GateKind.NOT_DUE if last is None else GateKind.BACKOFF
    due = message.next_attempt_at
    if message.state is State.CLAIMED or due is None or from_datetime(due) <= now:
        return Gate(gate=kind, open=True, text="due now")
    if due == message.blocked_until:
        return Gate(gate=kind, open=True, text="due once its destination takes mail")
    if last is None and due == message.not_before:
        text = f"future release: not before {_told(due)}"
    elif last is None:
        text = f"not due before {_told(due)}"
    else:
        text = f"waits until {_told(due)} after attempt {last.number}: {_said(message, last)}"
    return Gate(gate=kind, open=False, text=text, until=due)


def _said(message: Message, last: Attempt) -> str:
    return message.last_error or last.error or last.reply or last.outcome.value


def _destination(message: Message, known: Destination | None, now: int) -> Gate:
    if message.state is State.CLAIMED:
        return Gate(gate=GateKind.DESTINATION, open=True, text="it is being tried")
    if known is None or not known.failures:
        return Gate(gate=GateKind.DESTINATION, open=True, text="no trouble with its destination")
    return _troubled(known, now)


def _troubled(known: Destination, now: int) -> Gate:
    trouble = f"destination {known.name} in trouble since {_told(known.since_at)}: {known.last_error}"
    match breaker.gate(known, now):
        case breaker.Gate.OPEN:
            return Gate(gate=GateKind.DESTINATION, open=True, text=f"{trouble}; it is tried all the same")
        case breaker.Gate.CANARY:
            return Gate(gate=GateKind.DESTINATION, open=True, text=f"{trouble}; one message may try it now")
        case breaker.Gate.SHUT:
            until = breaker.shut_until(known, now)
            tries = f"tries it at {_told(until)}"
            if known.canary_at is not None:
                tries = f"has been trying it since {_told(known.canary_at)}"
            return Gate(
                gate=GateKind.DESTINATION,
                open=False,
                text=f"{trouble}; one message {tries}",
                until=to_datetime(until),
                frees=f"mailqueue destinations retry {shlex.quote(known.name)}",
            )


def _rate(
    message: Message, known: Destination | None, rule: ShapingRule | None, next_at: int, now: int
) -> Gate:
    if message.state is State.CLAIMED:
        return Gate(gate=GateKind.RATE, open=True, text="it is being tried")
    limit, paced, shut = "", None, _crowded_until(message, known, now)
    if rule is not None and rule.per_minute is not None:
        limit = f"shaping rule {rule.id} lets {rule.per_minute:,} a minute go"
        grant, _ = take(next_at, rule.per_minute, 1, now)
        paced = None if grant.messages else to_datetime(grant.until)
    until = max((at for at in (paced, shut) if at is not None), default=None)
    if until is None:
        return Gate(gate=GateKind.RATE, open=True, text=limit or "no limit keeps it back")
    if paced is not None:
        text = f"{limit}: the next at {_told(until)}"
    else:
        text = f"destination {message.blocked_by} has all it takes at once; asked again at {_told(until)}"
    return Gate(gate=GateKind.RATE, open=False, text=text, until=until)


def _crowded_until(message: Message, known: Destination | None, now: int) -> datetime | None:
    """Return until when its lane is not looked at, where its destination is well enough. None: it is."""
    until = message.blocked_until
    if until is None or from_datetime(until) <= now or breaker.gate(known, now) is not breaker.Gate.OPEN:
        return None
    return until


def _told(moment: datetime | int) -> str:
    at = to_datetime(moment) if isinstance(moment, int) else moment
    return f"{at:%Y-%m-%d %H:%M:%SZ}"


def _lease(message: Message, engines: Sequence[EngineInfo]) -> Gate:
    if message.state is not State.CLAIMED:
        return Gate(gate=GateKind.LEASE, open=True, text="not in delivery")
    whose = "" if len(engines) != 1 else f" by the engine with pid {engines[0].identity.pid}"
    since = f" since {message.claimed_at:%Y-%m-%d %H:%M:%SZ}" if message.claimed_at else ""
    return Gate(
        gate=GateKind.LEASE,
        open=False,
        text=f"in delivery{whose}{since}, attempt {message.attempts}",
        frees="the end of the running attempt",
    )


def _engine(engines: Sequence[EngineInfo]) -> Gate:
    if engines:
        each = ", ".join(
            str(engine.identity.pid) + (f": all mail to {engine.relay}" if engine.relay else "")
            for engine in engines
        )
        return Gate(gate=GateKind.ENGINE, open=True, text=f"engine running (pid {each})")
    return Gate(gate=GateKind.ENGINE, open=False, text="no engine is running", frees="mailqueue run")
