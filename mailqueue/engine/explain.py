"""Why a message waits, which way it would take, and what would become of one that is not there yet.

The rule: nothing is stored, and what is told comes from the functions that a claim and an attempt go by.
DNS is asked outside of the database, for a few seconds at most; that it had no answer is part of what
is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from mailqueue.engine import liveness
from mailqueue.engine.hops import Hop, found_hop, next_hops, told_hop, unknown_hop
from mailqueue.engine.transports import relay_transport
from mailqueue.mail import codes
from mailqueue.mail.base import base_of
from mailqueue.model.attempt import Attempt
from mailqueue.model.engine import EngineInfo
from mailqueue.model.explain import Explanation
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Hold, Message
from mailqueue.model.rules import HoldRule, Route, Transport, TransportKind
from mailqueue.model.settings import Settings
from mailqueue.model.suppression import Suppression
from mailqueue.model.way import ChosenBy, NextHost, Way
from mailqueue.net.hosts import NextHops, ResolveFailure
from mailqueue.net.resolver import Resolver
from mailqueue.policy.explain import explain as explained
from mailqueue.policy.route import choose, domain_of, secured
from mailqueue.policy.shape import rule_for
from mailqueue.store.base import Reader, Store

LOOK_FOR = 5.0
"""Seconds that DNS is asked for at most, all look-ups together."""
_EACH = 4.0  # one look-up of them

Dns = bool | Resolver
"""Whether DNS is asked, and by whom: True is the system's name servers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the database says of a message that is asked about."""

    message: Message
    last: Attempt | None
    """None: no attempt is over."""
    settings: Settings
    engines: tuple[EngineInfo, ...]
    """Those at work."""
    rules: Mapping[int, HoldRule]
    """Hold rules by their ids, those at least that hold it."""
    ahead: Mapping[int, int]
    """How many messages such a rule releases before this one, by its id, where it has a pace."""
    suppressed: Suppression | None = None
    """What will stop it once it is due. None: nothing will."""


def explain(store: Store, message_id: int, *, dns: Dns, now: int) -> Explanation:
    """Return why a message waits, and which way it would take. Raises NotFound."""
    return why(store, store.read(lambda reader: _seen(reader, message_id, now)), dns=dns, now=now)


def _seen(reader: Reader, message_id: int, now: int) -> Seen:
    found, tried, settings = reader.message(message_id), reader.attempts(message_id), reader.settings()
    if found.state is State.QUEUED:
        found = _marked(reader, found, settings, now)
    rules = {rule.id: rule for rule in reader.hold_rules()}
    holding = [rules[each.rule_id] for each in found.holds if each.rule_id is not None]
    paced = [rule.id for rule in holding if rule.per_minute is not None]
    return Seen(
        message=found,
        last=tried[-1] if tried else None,
        settings=settings,
        engines=liveness.living(reader.engines(), now),
        suppressed=_stops(reader, message_id, now),
        rules=rules,
        ahead={rule_id: reader.ahead_in_rule(rule_id, message_id) for rule_id in paced},
    )


def _stops(reader: Reader, message_id: int, now: int) -> Suppression | None:
    """Return the suppression that will stop a message which waits, when it is due. None: none will."""
    for each in reader.waiting([message_id]):
        account = reader.settings().accounts_by_id[each.account_id]
        if account.suppression and not each.is_notice:
            return reader.suppression(account.id, base_of(each.recipient), max(now, each.due_at))
    return None


def _marked(reader: Reader, found: Message, settings: Settings, now: int) -> Message:
    """Return a message with the marks, too, of rules that match it and have not come to it yet.

    A claim gives it these.
    """
    account_id, has = settings.accounts[found.account].id, {each.rule_id for each in found.holds}
    rules = [
        rule
        for rule in settings.hold_rules
        if rule.marking
        and rule.at_work(now)
        and rule.id not in has
        and rule.matches(account_id=account_id, sender=found.sender, recipient=found.recipient)
    ]
    exempt = reader.exempt_through(found.id) if rules else 0
    marks = tuple(mark(rule, rule.created_at) for rule in rules if rule.id > exempt)
    return replace(found, hold=found.hold or bool(marks), holds=found.holds + marks) if marks else found


def mark(rule: HoldRule, since: datetime) -> Hold:
    """Return the mark of a rule."""
    return Hold(rule_id=rule.id, since=since, actor=rule.actor, reason=rule.reason)


def why(store: Store, seen: Seen, *, dns: Dns, now: int) -> Explanation:
    """Return why a message waits, and which way it would take; `now` in microseconds UTC."""
    message, settings = seen.message, seen.settings
    chosen = _choose(seen)
    transport, way, hop = None if chosen is None else chosen[0], None, None
    if chosen is not None and not message.state.retired:
        way, hop = _way(chosen, message, dns, now)
    name = message.blocked_by or (None if hop is None else hop.name)
    rule = None
    if transport is not None and hop is not None:
        rule = rule_for(settings.shaping_rules, transport.name, domain_of(message.recipient), hop.hosts)
    destination, next_at = store.read(
        lambda reader: (
            None if name is None else reader.destination(name),
            0 if rule is None else reader.pace(rule.id),
        )
    )
    return explained(
        message,
        last=seen.last,
        transport=transport,
        way=way,
        destination=destination,
        rule=rule,
        next_at=next_at,
        engines=seen.engines,
        rules=seen.rules,
        ahead=seen.ahead,
        suppressed=seen.suppressed,
        now=now,
    )


# -- the way --------------------------------------------------------------------------------------
def _choose(seen: Seen) -> tuple[Transport, Route | None] | None:
    message, settings = seen.message, seen.settings
    return choose(
        settings,
        message.sender,
        message.recipient,
        _override(seen.engines),
        account_id=settings.accounts[message.account].id,
        failed=message.attempts - (message.state is State.CLAIMED),
        named=message.transport or "",
    )


def _override(engines: Iterable[EngineInfo]) -> Transport | None:
    """Return the transport that takes all mail of all engines at work. None: there is none."""
    relays = {each.relay for each in engines}
    relay = relays.pop() if len(relays) == 1 else None
    return None if relay is None else relay_transport(relay)


def _way(
    chosen: tuple[Transport, Route | None], message: Message, dns: Dns, now: int
) -> tuple[Way, Hop | None]:
    """Return how a message would go by a transport, and what it leads to, as far as it is known."""
    transport, route = secured(chosen[0], message.require_tls), chosen[1]
    domain = domain_of(message.recipient)
    found = look_up(transport, domain, dns)
    hop = _hop(transport, domain, found, now)
    nowhere = transport.kind is TransportKind.FAIL
    way = Way(
        transport=transport.name,
        kind=transport.kind,
        chosen_by=_chosen_by(message, transport, route),
        route_id=None if route is None else route.id,
        destination=None if hop is None else hop.name,
        hosts=_hosts(transport, found),
        error=f"{found.enhanced} {found.text}" if isinstance(found, ResolveFailure) else None,
        tls=None if nowhere else transport.tls,
        require_tls=message.require_tls,
        reply=transport.reply if nowhere else None,
    )
    return way, hop


def _chosen_by(message: Message, transport: Transport, route: Route | None) -> ChosenBy:
    if transport.id == 0:
        return ChosenBy.ENGINE
    if route is not None:
        return ChosenBy.ROUTE
    return ChosenBy.DEFAULT if message.transport is None else ChosenBy.MESSAGE


def _hop(transport: Transport, domain: str, found: NextHops | ResolveFailure | None, now: int) -> Hop | None:
    told = told_hop(transport, domain)
    match found:
        case NextHops() if told is None:
            return found_hop(transport, found, now)
        case ResolveFailure(permanent=False) if told is None:
            return unknown_hop(transport, domain)
        case _:
            return told


def _hosts(transport: Transport, found: NextHops | ResolveFailure | None) -> tuple[NextHost, ...]:
    if isinstance(found, NextHops):
        return tuple(
            NextHost(
                name=host.name,
                port=transport.port,
                preference=None if found.implicit else host.preference,
                addresses=host.addresses,
            )
            for host in found.hosts
        )
    if transport.host is None:
        return ()
    return (NextHost(name=transport.host, port=transport.port, preference=None, addresses=()),)


# -- DNS ------------------------------------------------------------------------------------------
def look_up(transport: Transport, domain: str, dns: Dns) -> NextHops | ResolveFailure | None:
    """Return where mail for a domain goes by a transport. None: nowhere, or DNS is not to be asked."""
    if dns is False or transport.kind is TransportKind.FAIL:
        return None
    with ThreadPoolExecutor(1, "mailqueue-lookup") as apart:  # this thread may have a loop that runs
        resolver = Resolver(timeout=_EACH) if dns is True else dns
        return apart.submit(_in_loop, resolver, transport, domain).result()


def _in_loop(resolver: Resolver, transport: Transport, domain: str) -> NextHops | ResolveFailure:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_asked(resolver, transport, domain))
    finally:
        loop.close()  # without a wait for what the system's resolver may still do


async def _asked(resolver: Resolver, transport: Transport, domain: str) -> NextHops | ResolveFailure:
    try:
        async with asyncio.timeout(LOOK_FOR):
            return await next_hops(resolver, transport, domain)
    except TimeoutError:
        why = f"no answer within {LOOK_FOR:g} s"
    except Exception as error:  # it must not hide all else that is told
        why = f"a fault of mailqueue's own: {error!r}"
    finally:
        await resolver.close()
    return ResolveFailure(domain=domain, permanent=False, enhanced=codes.DIRECTORY_FAILURE, text=why)
