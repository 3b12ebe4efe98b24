"""Accounts, transports, routes, reply rules, shaping rules, schedules; and what is noted of changes.

The one rule: every change raises the version of the settings, so that every process has it within a
second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mailqueue.clock import from_datetime
from mailqueue.errors import Conflict, NotFound
from mailqueue.model.account import DEFAULT_ACCOUNT, Account, AccountMail
from mailqueue.model.events import EventKind
from mailqueue.model.rules import ReplyRule, Route, SenderDomain, ShapingRule, Transport
from mailqueue.model.schedule import Schedule, format_delays
from mailqueue.model.webhook import Endpoint
from mailqueue.store import outbox
from mailqueue.store.batch import EVENT, Batch
from mailqueue.store.queries import query


def _change(batch: Batch, name: str, *values: Any) -> int:  # noqa: ANN401
    """Run a statement that changes settings; return the id of a new row."""
    cursor = batch.cursor().execute(query(name), values)
    batch.settings_changed()
    return cursor.lastrowid or 0


def _change_ways(batch: Batch, now: int, name: str, *values: Any) -> int:  # noqa: ANN401
    """Change settings as `_change` does; lanes that were blocked are looked at: all may be otherwise now."""
    made = _change(batch, name, *values)
    batch.now().execute(query("unblock_all_lanes"), (now,))
    return made


def add_account(batch: Batch, name: str, now: int) -> Account:
    """Make an account. Raises Conflict where the name is taken."""
    if name in batch.settings().accounts:
        raise Conflict(f"there is an account {name!r} already")
    _change(batch, "insert_account", name, now)
    return batch.settings().accounts[name]


def set_account(batch: Batch, account: Account) -> None:
    """Store the settings of an account. Raises NotFound."""
    if account.id not in batch.settings().accounts_by_id:
        raise NotFound(f"there is no account {account.name!r}")
    notices = account.notices and account.notices.value
    values = (
        notices,
        account.schedule,
        account.retention,
        account.keep_content,
        account.on_uncertain.value,
        int(account.strict),
        account.messages_per_day,
        account.new_recipients_per_day,
        account.over_quota.value,
        int(account.fromid),
        int(account.suppression),
        account.suppress_for,
    )
    _change(batch, "update_account", *values, account.id)


def remove_account(batch: Batch, name: str, mail: AccountMail) -> Account:
    """Remove an account; see `Transaction.remove_account`."""
    account = batch.settings().accounts.get(name)
    if account is None:
        raise NotFound(f"there is no account {name!r}")
    if name == DEFAULT_ACCOUNT:
        raise Conflict(f"account {name!r} cannot be removed: it is there for mail that names none")
    values = (mail.last_message_id, account.id)
    newer = batch.flush().execute(query("newer_mail_of_account"), values).fetchone()[0]
    needs = _needs(batch, account, replace(mail, queued=mail.queued + newer))
    if needs:
        raise Conflict(f"account {name!r} is needed by {'; by '.join(needs)}")
    for each in ("delete_lanes_of_account", "delete_keys_of_account", "delete_usage_of_account"):
        batch.now().execute(query(each), (account.id,))
    outbox.forget(batch.now(), account.id)
    _change(batch, "delete_account", account.id)
    return account


def _needs(batch: Batch, account: Account, mail: AccountMail) -> list[str]:
    """Return what needs an account, each with what to do about it."""
    settings, needs = batch.settings(), []
    if mail.queued:
        needs.append(f"{_messages(mail.queued)} in the queue, which must be done first")
    if mail.retired:
        needs.append(
            f"{_messages(mail.retired)} in the history, which stay for its retention: `mailqueue account set "
            f"{account.name} --retention 0s` has an engine purge them within a minute"
        )
    for noun, verb, rules in (
        ("route", "route remove", settings.routes),
        ("hold rule", "holdrules remove", settings.hold_rules),
    ):
        ids = [str(rule.id) for rule in rules if rule.account_id == account.id]
        if ids:
            needs.append(f"{noun} {', '.join(ids)}: `mailqueue {verb} {ids[0]}`")
    return needs


def _messages(count: int) -> str:
    return f"{count} message" if count == 1 else f"{count} messages"


def _transport_row(transport: Transport) -> tuple[Any, ...]:
    return (
        transport.name,
        transport.kind.value,
        transport.host,
        transport.port,
        transport.tls.value,
        transport.username,
        transport.password,
        transport.auth and transport.auth.value,
        transport.ca_file,
        int(transport.allow_private),
        transport.reply,
        int(transport.is_default),
    )


def add_transport(batch: Batch, transport: Transport, now: int) -> Transport:
    """Store a transport; the first one becomes the default. Raises Conflict."""
    known = batch.settings().transports
    if transport.name in known:
        raise Conflict(f"there is a transport {transport.name!r} already")
    wanted = replace(transport, is_default=transport.is_default or not known)
    if wanted.is_default:
        batch.cursor().execute(query("no_default_transport"))
    _change_ways(batch, now, "insert_transport", *_transport_row(wanted), now)
    return batch.settings().transports[transport.name]


def set_transport(batch: Batch, transport: Transport, now: int) -> None:
    """Store all of a transport, by id. Raises NotFound; Conflict where its new name is taken."""
    known = batch.settings().transports.values()
    if all(each.id != transport.id for each in known):
        raise NotFound(f"there is no transport {transport.name!r}")
    if any(each.name == transport.name and each.id != transport.id for each in known):
        raise Conflict(f"there is a transport {transport.name!r} already")
    if transport.is_default:
        batch.cursor().execute(query("no_default_transport"))
    _change_ways(batch, now, "update_transport", *_transport_row(transport), transport.id)


def remove_transport(batch: Batch, name: str) -> None:
    """Remove a transport. Raises NotFound; Conflict where something needs it."""
    settings = batch.settings()
    found = settings.transports.get(name)
    if found is None:
        raise NotFound(f"there is no transport {name!r}")
    for noun, users in (("route", settings.routes), ("shaping rule", settings.shaping_rules)):
        using = [str(each.id) for each in users if each.transport == name]
        if using:
            raise Conflict(f"transport {name!r} is used by {noun} {', '.join(using)}: remove that first")
    if found.is_default and len(settings.transports) > 1:
        raise Conflict(f"transport {name!r} is the default: make another one the default first")
    [waiting] = batch.flush().execute(query("count_named_transport"), (name, name, name)).fetchone()
    if waiting:
        told = "1 message in the queue names" if waiting == 1 else f"{waiting} messages in the queue name"
        raise Conflict(f"{told} transport {name!r}: it can be removed once they are done")
    _change(batch, "delete_transport", found.id)


def add_route(batch: Batch, route: Route, now: int) -> Route:
    """Store a route. Raises NotFound where its transport does not exist."""
    transport = batch.settings().transports.get(route.transport)
    if transport is None:
        raise NotFound(f"there is no transport {route.transport!r}")
    criteria = (route.position, route.account_id, route.sender_domain, route.recipient_domain)
    values = (*criteria, route.min_attempts, transport.id, now)
    return replace(route, id=_change_ways(batch, now, "insert_route", *values))


def remove_route(batch: Batch, route_id: int, now: int) -> None:
    """Remove a route. Raises NotFound."""
    if all(route.id != route_id for route in batch.settings().routes):
        raise NotFound(f"there is no route {route_id}")
    _change_ways(batch, now, "delete_route", route_id)


def add_reply_rule(batch: Batch, rule: ReplyRule, now: int) -> ReplyRule:
    """Store a reply rule."""
    permanent = None if rule.permanent is None else int(rule.permanent)
    values = (rule.position, rule.pattern, rule.code, rule.category.value, permanent, rule.note, rule.actor)
    made = _change(batch, "insert_reply_rule", *values, now)
    return next(each for each in batch.settings().reply_rules if each.id == made)


def remove_reply_rule(batch: Batch, rule_id: int) -> ReplyRule:
    """Remove a reply rule and return it. Raises NotFound."""
    found = next((each for each in batch.settings().reply_rules if each.id == rule_id), None)
    if found is None:
        raise NotFound(f"there is no reply rule {rule_id}")
    _change(batch, "delete_reply_rule", rule_id)
    return found


def add_schedule(batch: Batch, schedule: Schedule, now: int) -> None:
    """Store a schedule. Raises Conflict where the name is taken."""
    if schedule.name in batch.settings().schedules:
        raise Conflict(f"there is a schedule {schedule.name!r} already")
    text = format_delays(schedule.delays, schedule.classes)
    _change(batch, "insert_schedule", schedule.name, text, schedule.lifetime, schedule.warn_after, now)


def add_shaping_rule(batch: Batch, rule: ShapingRule, now: int) -> ShapingRule:
    """Store a shaping rule. Raises NotFound where its transport does not exist."""
    if rule.transport is not None and rule.transport not in batch.settings().transports:
        raise NotFound(f"there is no transport {rule.transport!r}")
    criteria = (rule.position, rule.transport, rule.domain, rule.mx)
    limits = (rule.connections, rule.per_connection, rule.per_minute)
    made = _change(batch, "insert_shaping_rule", *criteria, *limits, rule.reason, rule.actor, now)
    return next(each for each in batch.settings().shaping_rules if each.id == made)


def remove_shaping_rule(batch: Batch, rule_id: int) -> ShapingRule:
    """Remove a shaping rule and return it. Raises NotFound."""
    found = next((each for each in batch.settings().shaping_rules if each.id == rule_id), None)
    if found is None:
        raise NotFound(f"there is no shaping rule {rule_id}")
    for name in ("forget_rule_pace", "forget_rule_slots"):
        batch.cursor().execute(query(name), (rule_id,))
    _change_ways(batch, 0, "delete_shaping_rule", rule_id)  # what waited for its turn by it goes at once
    return found


def set_sender_domain(batch: Batch, domain: SenderDomain) -> None:
    """Store what is wished for the mail from a domain."""
    _change(batch, "set_sender_domain", domain.name, domain.separator)


def remove_sender_domain(batch: Batch, name: str) -> SenderDomain:
    """Forget what was wished for the mail from a domain. Raises NotFound."""
    separator = batch.settings().separators.get(name)
    if separator is None:
        raise NotFound(f"nothing is set for the mail from {name}")
    _change(batch, "delete_sender_domain", name)
    return SenderDomain(name=name, separator=separator)


def set_endpoint(batch: Batch, endpoint: Endpoint) -> None:
    """Store where an account's events are posted. Raises NotFound: no such account."""
    if endpoint.account_id not in batch.settings().accounts_by_id:
        raise NotFound(f"there is no account {endpoint.account_id}")
    disabled = None if endpoint.disabled_at is None else from_datetime(endpoint.disabled_at)
    _change(
        batch,
        "set_endpoint",
        endpoint.account_id,
        endpoint.url,
        ",".join(sorted(endpoint.events)),
        endpoint.authorization,
        " ".join(endpoint.secrets),
        int(endpoint.allow_private),
        disabled,
        from_datetime(endpoint.created_at),
    )


def remove_endpoint(batch: Batch, account_id: int) -> None:
    """Have an account's events posted no more. Raises NotFound."""
    if account_id not in batch.settings().endpoints:
        raise NotFound("the account has no webhook")
    _change(batch, "delete_endpoint", account_id)


def note_change(batch: Batch, reason: str, data: Mapping[str, object], *, actor: str, now: int) -> None:
    """Write an event of a change that is about no single message."""
    batch.add(EVENT, (EventKind.ADMIN.value, 0, now, actor, reason, 0, json.dumps(data)))


def note_so_far(
    batch: Batch,
    event_id: int | None,
    reason: str,
    data: Mapping[str, object],
    *,
    actor: str,
    now: int,
) -> int:
    """Write an event of a change in steps, or what it has come to by now. Returns its id."""
    if event_id is not None:
        batch.now().execute(query("change_so_far"), (json.dumps(data), event_id))
        return event_id
    batch.flush()
    note_change(batch, reason, data, actor=actor, now=now)
    made = batch.flush().lastrowid  # it was the only row
    assert made is not None
    return made
