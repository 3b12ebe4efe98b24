"""The verbs about destinations: those in trouble, and rules that limit what goes where.

The rule: a limit that cannot be is refused with its name before anything is stored, and lanes are
unblocked in steps of bounded size, so that it never holds up delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailqueue.clock import to_datetime
from mailqueue.engine.audit import note
from mailqueue.engine.manage import STEP, in_steps, settings
from mailqueue.engine.settings import wide_domain
from mailqueue.engine.submit import find_transport, unknown
from mailqueue.errors import AddressError, NotFound, SettingError
from mailqueue.model.destination import COUNTED, Destination, DestinationInfo
from mailqueue.model.events import By
from mailqueue.model.rules import ShapingRule
from mailqueue.store.base import Progress, Reader, Store, Transaction

MAX_LIMIT = 1_000_000
"""Connections or messages that a rule may allow; more is no limit."""


# -- shaping rules --------------------------------------------------------------------------------
def add_rule(
    store: Store,
    *,
    transport: str | None,
    domain: str | None,
    mx: str | None,
    connections: int | None,
    per_connection: int | None,
    per_minute: int | None,
    position: int,
    by: By,
) -> ShapingRule:
    """Make a rule. Raises NotFound, SettingError."""
    limits = {"connections": connections, "per-connection": per_connection, "per-minute": per_minute}
    _check_limits(limits)
    if transport is not None:
        find_transport(settings(store), transport)
    wanted = ShapingRule(
        id=0,
        position=position,
        transport=transport,
        domain=_name("domain", domain),
        mx=_name("mx", mx),
        connections=connections,
        per_connection=per_connection,
        per_minute=per_minute,
        reason=by.reason,
        actor=by.actor,
        created_at=to_datetime(by.at),
    )

    def job(transaction: Transaction) -> ShapingRule:
        made = transaction.add_shaping_rule(wanted, by.at)
        note(
            transaction,
            by,
            "shaping add",
            id=made.id,
            transport=transport,
            domain=wanted.domain,
            mx=wanted.mx,
            connections=connections,
            per_connection=per_connection,
            per_minute=per_minute,
            position=position or None,
        )
        return made

    return store.run(job)


def _check_limits(limits: dict[str, int | None]) -> None:
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if not given:
        raise SettingError(f"a shaping rule needs a limit: {', '.join(limits)}")
    for name, limit in given.items():
        if not 1 <= limit <= MAX_LIMIT:
            raise SettingError(f"{name}: must be 1 to {MAX_LIMIT}, not {limit}")


def _name(setting: str, text: str | None) -> str | None:
    try:
        return wide_domain(text)
    except AddressError as error:
        raise SettingError(f"{setting}: {text!r}: {error}") from None


def rule(store: Store, rule_id: int) -> ShapingRule:
    """Return one rule. Raises NotFound."""
    for each in settings(store).shaping_rules:
        if each.id == rule_id:
            return each
    raise NotFound(f"there is no shaping rule {rule_id}")


def remove_rule(store: Store, rule_id: int, by: By) -> ShapingRule:
    """Remove a rule and return it. Raises NotFound."""

    def job(transaction: Transaction) -> ShapingRule:
        gone = transaction.remove_shaping_rule(rule_id)
        note(transaction, by, "shaping remove", id=rule_id)
        return gone

    return store.run(job)


# -- destinations ---------------------------------------------------------------------------------
def destinations(store: Store) -> Sequence[DestinationInfo]:
    """Return the destinations in trouble, the longest first."""
    return store.read(lambda reader: [info(reader, each, COUNTED) for each in reader.destinations()])


def destination(store: Store, name: str) -> DestinationInfo:
    """Return one destination. Raises NotFound, naming the nearest of those in trouble."""
    return store.read(lambda reader: info(reader, _find(reader, name), COUNTED))


def _find(reader: Reader, name: str) -> Destination:
    found = reader.destination(name)
    if found is None:
        known = [each.name for each in reader.destinations()]
        raise NotFound(unknown("destination in trouble", name, known))
    return found


def info(reader: Reader, found: Destination, counted: int) -> DestinationInfo:
    """Return a destination as people see it; what waits for it is counted up to `counted`."""
    backlog = reader.backlog(found.name, counted)
    return DestinationInfo(
        name=found.name,
        failures=found.failures,
        since_at=to_datetime(found.since_at),
        blocked_until=None if found.blocked_until is None else to_datetime(found.blocked_until),
        canary_at=None if found.canary_at is None else to_datetime(found.canary_at),
        last_error=found.last_error,
        lanes=backlog.lanes,
        messages=backlog.messages,
    )


def retry(store: Store, name: str, by: By) -> DestinationInfo:
    """Take a block away, so that mail goes to the destination now. Raises NotFound."""
    destination(store, name)

    def step(transaction: Transaction, after: int) -> Progress:
        found = transaction.destination(name)
        if found is None or (after and found.blocked_until is not None):
            return Progress(changed=0, after=None)  # forgotten, or in trouble again: its lanes stay blocked
        if not after:
            transaction.put_destination(replace(found, blocked_until=None, canary_at=None))
            note(transaction, by, "destinations retry", name=name)
        changed = transaction.unblock(name, by.at, STEP)
        return Progress(changed=changed, after=1 if changed == STEP else None)

    in_steps(store, step)
    return destination(store, name)
