"""The verbs for what is decided in the database: accounts, schedules, transports, routes.

The rule: a value that cannot be is refused with its name and what would be right, before anything
is stored; every process acts on a change within a second (decision 9).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from mailqueue.clock import to_micros
from mailqueue.engine.audit import note
from mailqueue.engine.manage import STEP, settings
from mailqueue.engine.submit import find_account, find_schedule, find_transport
from mailqueue.engine.transports import check_ca_file, check_transport, default_port, default_tls
from mailqueue.errors import SettingError
from mailqueue.mail import domain
from mailqueue.model.account import Account, Notices, OnUncertain, OverQuota
from mailqueue.model.duration import LONGEST, format_duration
from mailqueue.model.events import By
from mailqueue.model.rules import AuthMechanism, Route, SenderDomain, Tls, Transport, TransportKind
from mailqueue.model.schedule import Schedule, parse_delays
from mailqueue.policy import quota
from mailqueue.store.base import Reader, Store, Transaction

E = TypeVar("E", bound=StrEnum)

MAX_ATTEMPTS = 1_000_000
"""Failed attempts that a route may wait for."""

MAX_QUOTA = 1_000_000_000
"""Messages a day that a quota may allow."""

MAX_SEPARATOR = 4
"""Characters that the separator of a sender's domain may have."""

_SEPARATORS = frozenset("!#$%&*+-/=^_|~")  # of RFC 5322 atext, but for what shells and people stumble over

MAX_NAME = 64
"""Characters that the name of an account, schedule or transport may have."""


def check_name(noun: str, name: str) -> None:
    """Raise SettingError unless `name` can be typed and printed as one word."""
    good = name and len(name) <= MAX_NAME and all(each.isalnum() or each in "-_.@" for each in name)
    if not good or name.startswith("-"):
        raise SettingError(
            f"{noun} name {name!r}: must be 1 to {MAX_NAME} letters, digits, '-', '_', '.' or '@', "
            "and not begin with '-'"
        )


def choice(setting: str, value: str, kind: type[E]) -> E:
    """Return the member of `kind` for `value`. Raises SettingError, which lists what there is."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise SettingError(f"{setting}: must be one of {known}, not {value!r}") from None


def length(setting: str, value: timedelta) -> int:
    """Return `value` in microseconds. Raises SettingError where it is negative, or beyond the calendar."""
    micros = to_micros(value)
    if micros < 0:
        raise SettingError(f"{setting}: must not be negative, not {value}")
    if micros > LONGEST:
        raise SettingError(f"{setting}: must be at most {format_duration(LONGEST)}, not {value}")
    return micros


# -- schedules and accounts -----------------------------------------------------------------------
def add_schedule(
    store: Store, name: str, delays: str, *, lifetime: timedelta, warn_after: timedelta | None, by: By
) -> Schedule:
    """Make a schedule. Raises ScheduleError, Conflict, SettingError."""
    check_name("schedule", name)
    steps, classes = parse_delays(delays)
    if lifetime == timedelta(0):
        raise SettingError("lifetime: must be longer than nothing")
    made = Schedule(
        name=name,
        delays=steps,
        lifetime=length("lifetime", lifetime),
        warn_after=None if warn_after is None else length("warn-after", warn_after),
        classes=MappingProxyType(dict(classes)),
    )

    def job(transaction: Transaction) -> Schedule:
        transaction.add_schedule(made, by.at)
        note(
            transaction,
            by,
            "schedule add",
            name=name,
            delays=delays,
            lifetime=lifetime,
            warn_after=warn_after,
        )
        return made

    return store.run(job)


def schedule(store: Store, name: str) -> Schedule:
    """Return one schedule. Raises NotFound."""
    return find_schedule(settings(store), name)


def add_account(store: Store, name: str, by: By) -> Account:
    """Make an account. Raises Conflict, SettingError."""
    check_name("account", name)

    def job(transaction: Transaction) -> Account:
        made = transaction.add_account(name, by.at)
        note(transaction, by, "account add", name=name)
        return made

    return store.run(job)


def account(store: Store, name: str, now: int) -> Account:
    """Return one account, with how far its quotas are used. Raises NotFound."""

    def question(reader: Reader) -> Account:
        found = find_account(reader.settings(), name)
        uses = reader.usage(found.id, quota.since(now))
        return replace(found, usage=quota.usage(found, uses, now))

    return store.read(question)


def set_account(
    store: Store,
    name: str,
    *,
    notices: Notices | str | None,
    schedule: str | None,
    retention: timedelta | None,
    keep_content: timedelta | None,
    on_uncertain: OnUncertain | str | None,
    strict: bool | None,
    messages_per_day: int | None,
    new_recipients_per_day: int | None,
    over_quota: OverQuota | str | None,
    fromid: bool | None,
    suppression: bool | None,
    suppress_for: timedelta | None,
    by: By,
) -> Account:
    """Change what is given of an account. Raises NotFound, SettingError."""
    over = None if over_quota is None else choice("over-quota", over_quota, OverQuota)
    chosen = None if notices is None else choice("notices", notices, Notices)
    uncertain = None if on_uncertain is None else choice("on-uncertain", on_uncertain, OnUncertain)
    kept_for = None if retention is None else length("retention", retention)
    content_for = None if keep_content is None else length("keep-content", keep_content)
    suppressed_for = None if suppress_for is None else length("suppress-for", suppress_for)

    def job(transaction: Transaction) -> Account:
        now_set = transaction.settings()
        old = find_account(now_set, name)
        if schedule is not None:
            find_schedule(now_set, schedule)
        new = replace(
            old,
            notices=old.notices if chosen is None else chosen,
            schedule=schedule or old.schedule,
            retention=old.retention if kept_for is None else kept_for,
            keep_content=old.keep_content if content_for is None else content_for,
            on_uncertain=old.on_uncertain if uncertain is None else uncertain,
            strict=old.strict if strict is None else strict,
            messages_per_day=_limit("messages-per-day", messages_per_day, old.messages_per_day),
            new_recipients_per_day=_limit(
                "new-recipients-per-day", new_recipients_per_day, old.new_recipients_per_day
            ),
            over_quota=over or old.over_quota,
            fromid=old.fromid if fromid is None else fromid,
            suppression=old.suppression if suppression is None else suppression,
            suppress_for=old.suppress_for if suppressed_for is None else suppressed_for or None,
        )
        transaction.set_account(new)
        note(
            transaction,
            by,
            "account set",
            name=name,
            notices=notices,
            schedule=schedule,
            retention=retention,
            keep_content=keep_content,
            on_uncertain=on_uncertain,
            strict=strict,
            messages_per_day=messages_per_day,
            new_recipients_per_day=new_recipients_per_day,
            over_quota=over_quota,
            fromid=fromid,
            suppression=suppression,
            suppress_for=suppress_for,
        )
        uses = transaction.usage(new.id, quota.since(by.at))
        return replace(new, usage=quota.usage(new, uses, by.at))

    return store.run(job)


def _limit(setting: str, value: int | None, old: int | None) -> int | None:
    """Return the new value of a quota: 0 takes it away, None leaves it. Raises SettingError."""
    if value is None:
        return old
    if not 0 <= value <= MAX_QUOTA:
        raise SettingError(f"{setting}: must be 1 to {MAX_QUOTA}, or 0 for no quota, not {value}")
    return value or None


def remove_account(store: Store, name: str, by: By) -> None:
    """Remove an account. Raises NotFound, Conflict."""
    mail = store.read(lambda reader: reader.mail_of_account(find_account(reader.settings(), name).id))

    def job(transaction: Transaction) -> Account:
        gone = transaction.remove_account(name, mail)
        note(transaction, by, "account remove", name=name)
        return gone

    gone = store.run(job)
    while store.run(lambda transaction: transaction.forget_recipients(gone.id, STEP)):
        pass
    while store.run(lambda transaction: transaction.forget_suppressions(gone.id, STEP)):
        pass


# -- domains of senders ---------------------------------------------------------------------------
def sender_domains(store: Store) -> tuple[SenderDomain, ...]:
    """Return the domains for which something has been set."""
    found = settings(store).separators
    return tuple(SenderDomain(name=name, separator=separator) for name, separator in found.items())


def set_sender_domain(store: Store, name: str, separator: str, by: By) -> SenderDomain:
    """Say what is wished for the mail from a domain. Raises AddressError, SettingError."""
    made = SenderDomain(name=domain.normalise_domain(name.removeprefix("@")), separator=separator)
    if not 1 <= len(separator) <= MAX_SEPARATOR or not set(separator) <= _SEPARATORS:
        raise SettingError(
            f"separator: must be 1 to {MAX_SEPARATOR} of {' '.join(sorted(_SEPARATORS))}, not {separator!r}"
        )

    def job(transaction: Transaction) -> SenderDomain:
        transaction.set_sender_domain(made)
        note(transaction, by, "domain set", name=made.name, separator=separator)
        return made

    return store.run(job)


def remove_sender_domain(store: Store, name: str, by: By) -> SenderDomain:
    """Forget what was wished for the mail from a domain. Raises NotFound, AddressError."""
    wanted = domain.normalise_domain(name.removeprefix("@"))

    def job(transaction: Transaction) -> SenderDomain:
        gone = transaction.remove_sender_domain(wanted)
        note(transaction, by, "domain remove", name=wanted)
        return gone

    return store.run(job)


# -- transports and routes ------------------------------------------------------------------------
def add_transport(
    store: Store,
    name: str,
    *,
    by: By,
    kind: TransportKind | str,
    host: str | None,
    port: int | None,
    tls: Tls | str | None,
    username: str | None,
    password: str | None,
    auth: AuthMechanism | str | None,
    ca_file: str | None,
    allow_private: bool,
    reply: str | None,
    default: bool,
) -> Transport:
    """Make a transport. Raises SettingError, Conflict."""
    check_name("transport", name)
    chosen = choice("kind", kind, TransportKind)
    wanted = Transport(
        id=0,
        name=name,
        kind=chosen,
        host=host,
        port=default_port(chosen) if port is None else port,
        tls=default_tls(chosen, username) if tls is None else choice("tls", tls, Tls),
        username=username,
        password=password,
        auth=choice("auth", auth.upper(), AuthMechanism) if auth else None,
        ca_file=ca_file,
        allow_private=allow_private,
        reply=reply,
        is_default=default,
    )
    check_transport(wanted)
    check_ca_file(ca_file)

    def job(transaction: Transaction) -> Transport:
        made = transaction.add_transport(wanted, by.at)
        note(
            transaction,
            by,
            "transport add",
            name=name,
            kind=chosen,
            host=host,
            port=port,
            tls=tls,
            username=username,
            password=password,
            auth=auth,
            ca_file=ca_file,
            allow_private=allow_private or None,
            reply=reply,
            default=default or None,
        )
        return made

    return store.run(job)


def _given(value: str | None, old: str | None) -> str | None:
    """Return the new value of a text that may be taken away: '' does, None leaves it."""
    return old if value is None else value or None


def set_transport(
    store: Store,
    name: str,
    *,
    host: str | None,
    port: int | None,
    tls: Tls | str | None,
    username: str | None,
    password: str | None,
    auth: AuthMechanism | str | None,
    ca_file: str | None,
    allow_private: bool | None,
    reply: str | None,
    default: bool | None,
    by: By,
) -> Transport:
    """Change what is given of a transport. Raises NotFound, SettingError."""
    chosen = None if tls is None else choice("tls", tls, Tls)
    mechanism = choice("auth", auth.upper(), AuthMechanism) if auth else None
    check_ca_file(ca_file or None)

    def job(transaction: Transaction) -> Transport:
        old = find_transport(transaction.settings(), name)
        if default is False and old.is_default:
            raise SettingError(f"default: make another transport the default, and {name!r} is it no more")
        new = replace(
            old,
            host=old.host if host is None else host,
            port=old.port if port is None else port,
            tls=old.tls if chosen is None else chosen,
            username=_given(username, old.username),
            password=None if username == "" else _given(password, old.password),
            auth=None if username == "" or auth == "" else mechanism or old.auth,
            ca_file=_given(ca_file, old.ca_file),
            allow_private=old.allow_private if allow_private is None else allow_private,
            reply=old.reply if reply is None else reply,
            is_default=old.is_default if default is None else default,
        )
        check_transport(new)
        transaction.set_transport(new, by.at)
        note(
            transaction,
            by,
            "transport set",
            name=name,
            host=host,
            port=port,
            tls=tls,
            username=username,
            password=password,
            auth=auth,
            ca_file=ca_file,
            allow_private=allow_private,
            reply=reply,
            default=default,
        )
        return new

    return store.run(job)


def remove_transport(store: Store, name: str, by: By) -> None:
    """Remove a transport. Raises NotFound, Conflict."""

    def job(transaction: Transaction) -> None:
        transaction.remove_transport(name)
        note(transaction, by, "transport remove", name=name)

    store.run(job)


def add_route(
    store: Store,
    transport: str,
    *,
    account: str | None,
    sender_domain: str | None,
    recipient_domain: str | None,
    min_attempts: int,
    position: int,
    by: By,
) -> Route:
    """Make a route. Raises NotFound, AddressError, SettingError."""
    known = settings(store)
    find_transport(known, transport)
    if not 0 <= min_attempts <= MAX_ATTEMPTS:
        raise SettingError(f"min-attempts: must be 0 to {MAX_ATTEMPTS}, not {min_attempts}")
    wanted = Route(
        id=0,
        position=position,
        account_id=None if account is None else find_account(known, account).id,
        min_attempts=min_attempts,
        sender_domain=wide_domain(sender_domain),
        recipient_domain=wide_domain(recipient_domain),
        transport=transport,
    )

    def job(transaction: Transaction) -> Route:
        made = transaction.add_route(wanted, by.at)
        note(
            transaction,
            by,
            "route add",
            id=made.id,
            transport=transport,
            account=account,
            sender_domain=wanted.sender_domain,
            recipient_domain=wanted.recipient_domain,
            min_attempts=min_attempts or None,
            position=position or None,
        )
        return made

    return store.run(job)


def wide_domain(text: str | None) -> str | None:
    """Return the one form of a domain; a leading dot, which means its subdomains too, stays."""
    if text is None:
        return None
    dot, name = ("." if text.startswith(".") else ""), text.removeprefix(".").removeprefix("@")
    return dot + domain.normalise_domain(name)


def remove_route(store: Store, route_id: int, by: By) -> None:
    """Remove a route. Raises NotFound."""

    def job(transaction: Transaction) -> None:
        transaction.remove_route(route_id, by.at)
        note(transaction, by, "route remove", id=route_id)

    store.run(job)
