"""Submit: from what the caller handed in to a message on disk.

The rule: all that can be found out without the database is found out before the transaction
(`draft`), and every fault is told at once; what must agree with the settings at the moment of the
commit (hold rules, account, idempotency) is decided inside it (`insert`).

RFC 5321 2.3.1 (envelope), RFC 5322 3.6, RFC 6531 (SMTPUTF8).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from email.message import Message as EmailMessage
from typing import Any, BinaryIO

from mailqueue import ids
from mailqueue.engine import quota, suppress
from mailqueue.engine.envelope import Addressee, Return, read_recipients, read_return, read_sender
from mailqueue.engine.options import Options, When, read_options
from mailqueue.errors import Conflict, InvalidSubmission, MailqueueError, NotFound, StoreError
from mailqueue.mail import content
from mailqueue.mail.address import MAX_LOCALPART
from mailqueue.mail.extra import merged
from mailqueue.mail.fingerprint import fingerprint
from mailqueue.mail.header import cut
from mailqueue.mail.lines import to_crlf
from mailqueue.model.account import Account
from mailqueue.model.fromid import LENGTH, SEPARATOR, return_path
from mailqueue.model.lane import Priority
from mailqueue.model.message import Idempotency, NewMessage, NewSubmission, Submission
from mailqueue.model.recipient import Recipient
from mailqueue.model.rules import Transport
from mailqueue.model.schedule import STANDARD, Schedule
from mailqueue.model.settings import Settings
from mailqueue.policy import retry
from mailqueue.store.base import Store, Transaction

logger = logging.getLogger("mailqueue.submit")

MAX_SIZE = 50 * 2**20
"""Octets that a message may have, unless the queue says otherwise."""

MAX_KEY = 255
"""Characters that an idempotency key may have."""

IN_TRANSACTION = 2**20
"""Octets of content: what is larger is written in steps before, so that it holds nobody up."""

_STEP = 256 * 2**10


@dataclass(slots=True, kw_only=True)
class Draft:
    """A submission that has been looked at and found good, not yet stored."""

    account: str
    sender: str
    recipients: tuple[Addressee, ...]
    wishes: Return
    options: Options
    header: bytes
    body: bytes
    message_id: str
    subject: str | None
    eight_bit: bool
    utf8_header: bool
    schedule: str | None
    """None: the account's."""
    idempotency: Idempotency | None
    extra: Mapping[str, str]
    repairs: tuple[str, ...]
    actor: str
    now: int
    notice_for: int | None = None
    """The submission this is a delivery notice for, which no quota counts. None: ordinary mail."""

    @property
    def size(self) -> int:
        """Octets on the wire."""
        return len(self.header) + len(self.body)

    @property
    def large(self) -> bool:
        """Its content is written in steps of its own, before the submission."""
        return self.size > IN_TRANSACTION


def draft(
    message: EmailMessage | bytes | BinaryIO,
    *,
    settings: Settings,
    now: int,
    sender: str | None,
    recipients: Sequence[str | Recipient] | None,
    account: str,
    idempotency_key: str | None,
    schedule: str | None,
    strict: bool | None,
    extra: Mapping[str, str] | None,
    notify: str | Iterable[str] | None,
    ret: str | None,
    envid: str | None,
    not_before: When | None,
    expires_at: When | None,
    warn_after: timedelta | None,
    max_attempts: int | None,
    priority: Priority | str,
    transport: str | None,
    require_tls: bool | None,
    max_size: int,
    actor: str,
) -> Draft:
    """Look at a message and its envelope; see `Queue.submit` for the arguments.

    Raises:
        InvalidSubmission: with every fault, of the envelope first.
        NotFound: no such account, schedule or transport.
    """
    owner = find_account(settings, account)
    if schedule is not None:
        find_schedule(settings, schedule)
    if transport is not None:
        find_transport(settings, transport)
    strict = owner.strict if strict is None else strict
    prepared, of_content = _prepared(message, now=now, strict=strict, max_size=max_size)
    faults: list[str] = []
    mail_from = read_sender(sender, prepared, faults)
    rcpt_to = read_recipients(recipients, notify, prepared, faults)
    wishes = read_return(ret, envid, faults)
    options = read_options(
        not_before=not_before,
        expires_at=expires_at,
        warn_after=warn_after,
        max_attempts=max_attempts,
        priority=priority,
        transport=transport,
        require_tls=require_tls,
        tls_optional=prepared is not None and prepared.tls_optional,
        strict=strict,
        now=now,
        faults=faults,
    )
    if idempotency_key is not None and not 0 < len(idempotency_key) <= MAX_KEY:
        faults.append(f"idempotency key: must have 1 to {MAX_KEY} characters, not {len(idempotency_key)}")
    along = merged(prepared.extra if prepared is not None else {}, extra, faults)
    faults += of_content
    if faults or prepared is None:
        raise InvalidSubmission(list(dict.fromkeys(faults)))
    return Draft(
        account=account,
        sender=mail_from,
        recipients=rcpt_to,
        wishes=wishes,
        options=options,
        header=prepared.header,
        body=prepared.body,
        message_id=prepared.message_id,
        subject=prepared.subject,
        eight_bit=prepared.eight_bit,
        utf8_header=prepared.utf8_header,
        schedule=schedule,
        idempotency=_idempotency(
            idempotency_key, prepared, mail_from, rcpt_to, wishes, options, schedule, along
        ),
        extra=along,
        repairs=prepared.repairs,
        actor=actor,
        now=now,
    )


def _prepared(
    message: EmailMessage | bytes | BinaryIO, *, now: int, strict: bool, max_size: int
) -> tuple[content.Prepared | None, Sequence[str]]:
    """Return the content as it goes out, and its faults. None: there is no telling what it is."""
    try:
        octets = _octets(message, max_size)
    except InvalidSubmission as error:
        return None, error.faults
    too_large = len(octets) > max_size
    if too_large:  # its header may have more faults, and names the envelope
        octets = cut(to_crlf(octets[:_STEP]).data)[0]
    prepared = content.prepare(
        octets, now=now, make_message_id=lambda domain: ids.message_id(domain, now), strict=strict
    )
    if too_large or len(prepared.header) + len(prepared.body) > max_size:
        return prepared, [f"content: larger than {max_size} octets", *prepared.faults]
    return prepared, prepared.faults


def _octets(message: EmailMessage | bytes | BinaryIO, max_size: int) -> bytes:
    """Return the octets of a message, one more than `max_size` at most of a file that is too large."""
    if isinstance(message, (bytes, bytearray, memoryview)):
        octets = bytes(message)
    elif isinstance(message, EmailMessage):
        octets = content.to_bytes(message)
    elif hasattr(message, "read"):
        octets = message.read(max_size + 1)
        if not isinstance(octets, bytes):
            raise TypeError("a message file must be binary: open it with mode 'rb'")
    else:
        raise TypeError(f"a message is an EmailMessage, bytes or a binary file, not {type(message).__name__}")
    return octets


def _idempotency(
    key: str | None,
    prepared: content.Prepared,
    sender: str,
    recipients: Iterable[Addressee],
    wishes: Return,
    options: Options,
    schedule: str | None,
    extra: Mapping[str, str],
) -> Idempotency | None:
    if key is None:
        return None
    parts = (
        f"sender {sender}",
        *(part for each in recipients for part in each.parts()),
        *wishes.parts(),
        *options.parts,
        f"schedule {schedule}",
        *(f"extra {key}={value}" for key, value in sorted(extra.items())),
    )
    return Idempotency(key=key, fingerprint=fingerprint(prepared.header, prepared.body, parts))


def find_account(settings: Settings, name: str) -> Account:
    """Return the account of that name. Raises NotFound, naming the nearest."""
    found = settings.accounts.get(name)
    if found is None:
        raise NotFound(unknown("account", name, settings.accounts))
    return found


def find_schedule(settings: Settings, name: str) -> Schedule:
    """Return the schedule of that name. Raises NotFound, naming the nearest."""
    found = settings.schedules.get(name)
    if found is None:
        raise NotFound(unknown("schedule", name, settings.schedules))
    return found


def find_transport(settings: Settings, name: str) -> Transport:
    """Return the transport of that name. Raises NotFound, naming the nearest."""
    found = settings.transports.get(name)
    if found is None:
        raise NotFound(unknown("transport", name, settings.transports))
    return found


def unknown(noun: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence that there is no such thing, with the nearest name there is."""
    near = get_close_matches(name, list(known), 1)
    return f"no {noun} {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def made(store: Store, make: Callable[[Settings], Draft]) -> Draft:
    """Return the draft made with the settings of this moment, or of one within the last 50 ms."""
    try:
        return make(store.settings())
    except NotFound:  # unless another process has just made what is missing
        return make(store.look(lambda reader: reader.settings()))


def store_draft(store: Store, new: Draft) -> Submission:
    """Store a draft and return when it is on disk."""
    written = write_ahead(store, new)
    return told(store.run(lambda transaction: insert(transaction, new, written)))


def store_joined(store: Store, connection: Any, make: Callable[[Settings], Draft]) -> Submission:  # noqa: ANN401
    """Make a draft and store it in the transaction of `connection`, with the settings that it sees."""
    with store.joined(connection) as transaction:
        return told(insert(transaction, make(transaction.settings())))


def told(submission: Submission) -> Submission:
    """Return a submission that has been stored, after a line in the log if its message was repaired."""
    if submission.repairs and not submission.replayed:
        logger.info("submission %d was repaired: %s", submission.id, "; ".join(submission.repairs))
    return submission


def write_ahead(store: Store, new: Draft) -> int | None:
    """Write large content in steps of its own and return its id. None: it goes with the submission."""
    if not new.large:
        return None
    octets = new.header + new.body
    content_id = store.run(lambda transaction: _begin_content(transaction, new, len(octets)))
    for number, start in enumerate(range(0, len(octets), _STEP)):
        piece = octets[start : start + _STEP]
        store.run(
            lambda transaction, number=number, piece=piece: transaction.append_content(  # type: ignore[misc]
                content_id, number, piece
            )
        )
    return content_id


def _begin_content(transaction: Transaction, new: Draft, size: int) -> int:
    """Begin content, unless a quota is known to have no room for what it is for. Raises QuotaExceeded."""
    account = find_account(transaction.settings(), new.account)
    key = new.idempotency
    if account.quotas and (key is None or transaction.replay(account.id, key.key) is None):
        recipients = [str(each.address) for each in new.recipients]
        stopped = transaction.suppressed(account.id, recipients, new.now)
        quota.look(transaction, account, [each for each in recipients if each not in stopped], new.now)
    return transaction.begin_content(size, new.now)


def insert(transaction: Transaction, new: Draft, written: int | None = None) -> Submission:
    """Store a draft inside a transaction; its content was written before as `written`, or goes with it."""
    settings = transaction.settings()
    account = find_account(settings, new.account)
    if new.idempotency is not None:
        known = transaction.replay(account.id, new.idempotency.key)
        if known is not None:
            return _replayed(known, new.idempotency)
    if new.options.transport is not None:
        find_transport(settings, new.options.transport)
    name = new.schedule or account.schedule or STANDARD
    schedule = settings.schedule(name)
    messages = new_messages(settings, account, new, schedule)
    if new.notice_for is None:
        messages = suppress.stop(transaction, account, messages, new.now)
        messages = quota.let_in(transaction, account, messages, new.now)
    return transaction.submit(
        NewSubmission(
            account_id=account.id,
            sender=new.sender,
            message_id=new.message_id,
            subject=new.subject,
            eight_bit=new.eight_bit,
            utf8_header=new.utf8_header,
            content=new.header + new.body if written is None else written,
            messages=messages,
            actor=new.actor,
            submitted_at=new.now,
            idempotency=new.idempotency,
            notice_for=new.notice_for,
            ret=new.wishes.ret,
            envid=new.wishes.envid,
            repairs=new.repairs,
            extra=new.extra,
            not_before=new.options.not_before,
            warn_after=new.options.warn_after,
            max_attempts=new.options.max_attempts,
        )
    )


def insert_all(transaction: Transaction, new: Iterable[Draft]) -> list[Submission | MailqueueError]:
    """Store drafts inside one transaction; one that is refused fails alone, before it writes anything."""
    results: list[Submission | MailqueueError] = []
    for each in new:
        try:
            results.append(insert(transaction, each))
        except StoreError:
            raise
        except MailqueueError as error:
            results.append(error)
    return results


def _replayed(known: tuple[bytes, Submission], wanted: Idempotency) -> Submission:
    first, submission = known
    if first != wanted.fingerprint:
        raise Conflict(
            f"idempotency key {wanted.key!r} stands for another message: submission {submission.id}, "
            f"{submission.message_id}"
        )
    return submission


def new_messages(
    settings: Settings, account: Account, new: Draft, schedule: Schedule
) -> tuple[NewMessage, ...]:
    """Return the messages of a submission, with the marks of the hold rules that match.

    Their lifetime begins when they may be tried (decision 20).
    """
    own_return = account.fromid and new.sender != ""
    if own_return:
        _check_return(settings, new.sender)
    options, rules = new.options, [rule for rule in settings.hold_rules if rule.at_work(new.now)]
    fallback = retry.fallback(schedule, 1)
    due = new.now if options.not_before is None else options.not_before
    give_up_at = due + schedule.lifetime
    if options.expires_at is not None:
        give_up_at = min(give_up_at, options.expires_at)
    return tuple(
        NewMessage(
            recipient=str(recipient.address),
            domain=recipient.address.domain,
            next_attempt_at=due,
            fallback=fallback,
            schedule=schedule.name,
            give_up_at=give_up_at,
            holds=tuple(
                rule.id
                for rule in rules
                if rule.matches(account_id=account.id, sender=new.sender, recipient=str(recipient.address))
            ),
            notify=recipient.notify,
            orcpt=recipient.orcpt,
            priority=options.priority,
            transport=options.transport or "",
            require_tls=options.require_tls,
            expires_at=options.expires_at,
            fromid=ids.token() if own_return else "",
        )
        for recipient in new.recipients
    )


def _check_return(settings: Settings, sender: str) -> None:
    """See that a sender leaves room for what makes a return address unique. Raises InvalidSubmission."""
    domain = sender.rpartition("@")[2]
    made = return_path(sender, "x" * LENGTH, settings.separators.get(domain, SEPARATOR))
    length = len(made.rpartition("@")[0].encode())
    if length > MAX_LOCALPART:
        raise InvalidSubmission(
            [
                f"sender: with what makes its return address unique its local part has {length} octets; "
                f"{MAX_LOCALPART} are allowed"
            ]
        )
