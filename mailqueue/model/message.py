"""Submissions and messages: what goes in, what is claimed, what people see.

What is made for each message on its way is not frozen, though nobody changes it: freezing costs more
than all else about making it (docs/decisions 0012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailqueue.model.attempt import Category
from mailqueue.model.lane import Lane, Priority
from mailqueue.model.lifecycle import Feedback, State


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedMessage:
    """One recipient of a submission, as `submit` returns it."""

    id: int
    """The message's id: what every other verb takes."""
    recipient: str
    """RCPT TO."""
    state: State
    """`queued`; `suppressed`; or `canceled` by its account's quota. Of a submission that came again, as it
    was then."""
    fromid: str | None = None
    """What makes its return address unique. None: it has the sender's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What `submit` returns: it is on disk, all recipients or none."""

    id: int
    """`s12` on the command line."""
    message_id: str
    """The Message-ID field as it goes out, with its brackets."""
    messages: tuple[SubmittedMessage, ...]
    """One per recipient, in the order given."""
    replayed: bool = False
    """True: the idempotency key was known, and this is the first submission again."""
    repairs: tuple[str, ...] = ()
    """What was changed in the message that strict mode refuses, a sentence each. (): nothing, as in nearly
    all mail."""


SYSTEM = "engine"
"""Actor of marks that no person and no rule has made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A mark that a message gets at submit and that ends by itself."""

    until: int
    """Microseconds UTC."""
    reason: str
    """Why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Why a message retires at submit."""

    reason: str
    """For people."""
    state: State = State.CANCELED
    """As what: canceled, or suppressed."""
    keep_content_until: int
    """Microseconds UTC: content stays until then."""


@dataclass(slots=True, kw_only=True)
class NewMessage:
    """One recipient to be stored."""

    recipient: str
    domain: str
    next_attempt_at: int
    """Microseconds UTC."""
    fallback: int
    """Microseconds after a claim at which it is due again, should the engine die."""
    schedule: str
    give_up_at: int
    """Microseconds UTC."""
    holds: tuple[int, ...] = ()
    """Ids of the hold rules that hold it from the start."""
    wait: Wait | None = None
    """Held from the start until a certain time, too. None: it is not."""
    drop: Drop | None = None
    """It retires at once. None: it is queued."""
    notify: str | None = None
    """NOTIFY (RFC 3461 4.1): 'never', or some of 'success,failure,delay'. None: not said."""
    orcpt: str | None = None
    """ORCPT (RFC 3461 4.2), 'rfc822;b@example.org', decoded. None: none."""
    priority: Priority = Priority.NORMAL
    """What goes first."""
    transport: str = ""
    """The transport it takes, whatever the routes say. '': as they say."""
    require_tls: bool | None = None
    """RFC 8689. True: REQUIRETLS. False: TLS-Required: No. None: not said."""
    expires_at: int | None = None
    """Microseconds UTC: given up then, on hold or not. None: by its lifetime alone."""
    fromid: str = ""
    """What makes its return address unique. '': it has the sender's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """A key and what it stands for."""

    key: str
    fingerprint: bytes


@dataclass(slots=True, kw_only=True)
class NewSubmission:
    """One call of submit, ready to be stored."""

    account_id: int
    sender: str
    """'' is the null return path."""
    message_id: str
    subject: str | None
    eight_bit: bool
    utf8_header: bool
    content: bytes | int
    """The octets (CRLF), or the id of content that has been written in steps before."""
    messages: tuple[NewMessage, ...]
    actor: str
    submitted_at: int
    """Microseconds UTC."""
    idempotency: Idempotency | None = None
    notice_for: int | None = None
    """The submission this is a delivery notice for. None: ordinary mail."""
    envid: str | None = None
    """ENVID (RFC 3461 4.4), decoded. None: none."""
    ret: str | None = None
    """RET (RFC 3461 4.3), 'FULL' or 'HDRS'. None: not said."""
    repairs: tuple[str, ...] = ()
    """For `Submission.repairs`."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """What travels along."""
    not_before: int | None = None
    """Microseconds UTC: no attempt before. None: at once."""
    warn_after: int | None = None
    """Microseconds after which a delay notice is owed. 0: none is. None: as the schedule says."""
    max_attempts: int | None = None
    """Given up after so many attempts. None: by time alone."""


@dataclass(slots=True, kw_only=True)
class Claimed:
    """A message that an engine has claimed: all that an attempt and its settlement need."""

    id: int
    """The message's."""
    submission_id: int
    """The submission it is part of."""
    account_id: int
    """Who sends."""
    content_id: int
    """Its content; equal for all recipients of a submission."""
    size: int
    """Octets of content."""
    sender: str
    """Who sends; '' is the null return path."""
    return_path: str
    """MAIL FROM: the sender, or what is unique in its place."""
    recipient: str
    """RCPT TO."""
    domain: str
    """Of the recipient, as it is looked up."""
    eight_bit: bool
    """The body has octets above 127."""
    utf8_header: bool
    """The header has octets above 127."""
    is_notice: bool
    """A delivery notice: its failure causes no other."""
    claim: int
    """Number of the claim; a settlement names it."""
    engine_id: int
    """Whose claim it is."""
    attempts: int
    """This attempt's number, from 1."""
    schedule: str
    """Name of its retry schedule."""
    submitted_at: int
    """Microseconds UTC."""
    give_up_at: int
    """Microseconds UTC: no attempt is planned after this."""
    warn_at: int | None
    """Microseconds UTC: when a delay notice is owed. None: none is."""
    uncertain: bool
    """An earlier attempt was uncertain or interrupted: the receiver may have it already."""
    notify: str | None = None
    """NOTIFY (RFC 3461 4.1): 'never', or some of 'success,failure,delay'. None: not said."""
    orcpt: str | None = None
    """ORCPT (RFC 3461 4.2), 'rfc822;b@example.org', decoded. None: none."""
    envid: str | None = None
    """ENVID of its submission (RFC 3461 4.4), decoded. None: none."""
    ret: str | None = None
    """RET of its submission (RFC 3461 4.3), 'FULL' or 'HDRS'. None: not said."""
    priority: int = Priority.NORMAL
    """A `Priority`."""
    transport: str = ""
    """The transport it takes, whatever the routes say. '': as they say."""
    require_tls: bool | None = None
    """RFC 8689. True: REQUIRETLS. False: TLS-Required: No. None: not said."""
    expires_at: int | None = None
    """Microseconds UTC: given up then, on hold or not. None: by its lifetime alone."""
    warn_after: int | None = None
    """Microseconds after which a delay notice is owed. 0: none is. None: as the schedule says."""
    max_attempts: int | None = None
    """Given up after so many attempts. None: by time alone."""
    not_before: int | None = None
    """Microseconds UTC: no attempt was to be made before. None: it was not said."""
    due_at: int = 0
    """Microseconds UTC: when this attempt was due."""
    suppressed: str | None = None
    """Why its recipient is suppressed: it waits as it is, is no claim, and not to be tried. None: it is."""

    lane: Lane = field(init=False)
    """Where it waited, and waits if it is tried again."""

    def __post_init__(self) -> None:
        self.lane = Lane(self.priority, self.account_id, self.domain, self.transport)

    @property
    def begins_at(self) -> int:
        """When its lifetime begins, microseconds UTC: when it was submitted, or may be tried."""
        return max(self.submitted_at, self.not_before or 0)


@dataclass(slots=True, kw_only=True)
class Original:
    """A retired message: all that sending it anew needs."""

    id: int
    """The message's."""
    submission_id: int
    """The submission it is part of."""
    account_id: int
    """Who sends."""
    sender: str
    """MAIL FROM; '' is the null return path."""
    recipient: str
    """RCPT TO."""
    content_id: int
    """Its content."""
    purged_at: int | None
    """Microseconds UTC: when its content was purged. None: it is there."""
    message_id: str
    """The Message-ID field, with its brackets."""
    subject: str | None
    """Decoded. None: there is none."""
    eight_bit: bool
    """The body has octets above 127."""
    utf8_header: bool
    """The header has octets above 127."""
    notice_for: int | None
    """The submission this is a delivery notice for. None: ordinary mail."""
    envid: str | None
    """ENVID, decoded. None: none."""
    ret: str | None
    """RET. None: not said."""
    notify: str | None
    """NOTIFY. None: not said."""
    orcpt: str | None
    """ORCPT, decoded. None: none."""
    priority: Priority
    """What goes first."""
    transport: str
    """The transport it took, whatever the routes say. '': as they say."""
    require_tls: bool | None
    """RFC 8689. None: not said."""
    extra: Mapping[str, str]
    """What travels along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A mark that keeps a message from being claimed."""

    rule_id: int | None
    """None: held by hand, or by an engine."""
    since: datetime
    """When the mark was made."""
    actor: str
    """Who made it, or the rule."""
    reason: str
    """Why, for people; may be empty."""
    until: datetime | None = None
    """When it ends by itself. None: it stays until the message is released."""

    @property
    def by(self) -> str:
        """Who holds, for people: `by rule 3`, `by hand`, `by the engine`."""
        if self.rule_id is not None:
            return f"by rule {self.rule_id}"
        return "by the engine" if self.actor == SYSTEM else "by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One recipient of a submission, in the queue or in the history."""

    id: int
    """What every verb takes."""
    submission_id: int
    """The submission it is part of."""
    account: str
    """Name of the account that sends."""
    sender: str
    """MAIL FROM; '' is the null return path."""
    recipient: str
    """RCPT TO."""
    state: State
    """Where it is in its life."""
    hold: bool
    """At least one mark holds it."""
    holds: tuple[Hold, ...]
    """The marks; empty in lists, whole in `show`."""
    attempts: int
    """Begun so far, the running one included."""
    submitted_at: datetime
    """When it was submitted."""
    claimed_at: datetime | None
    """When the running attempt was claimed. None: none is running."""
    next_attempt_at: datetime | None
    """The later of its own time and the end of its destination's block. None: retired."""
    give_up_at: datetime
    """No attempt is planned after this."""
    schedule: str
    """Name of its retry schedule."""
    last_error: str | None
    """What the last failed attempt came to, or why it was given up without one. None: none failed."""
    retired_at: datetime | None
    """When it was done. None: it is in the queue."""
    message_id: str
    """The Message-ID field, with its brackets."""
    subject: str | None
    """Decoded, for people. None: there is none."""
    size: int
    """Octets of content."""
    notify: str | None = None
    """When the sender is told: `never`, or some of `success,failure,delay`. None: of failure and delay."""
    orcpt: str | None = None
    """What the sender called the recipient, `type;address`. None: it was not said."""
    envid: str | None = None
    """The sender's own name for the submission, in notices. None: there is none."""
    ret: str | None = None
    """What a notice of failure returns: `FULL` or `HDRS`. None: it was not said."""
    priority: Priority = Priority.NORMAL
    """What goes first."""
    transport: str | None = None
    """The transport it takes, whatever the routes say. None: as they say."""
    require_tls: bool | None = None
    """RFC 8689. True: REQUIRETLS. False: TLS-Required: No. None: not said."""
    expires_at: datetime | None = None
    """It is given up then, on hold or not. None: by its lifetime alone."""
    not_before: datetime | None = None
    """No attempt before. None: at once."""
    warn_after: timedelta | None = None
    """The sender is told of a delay after this. Zero: not at all. None: as the schedule says."""
    max_attempts: int | None = None
    """Given up after so many attempts. None: by time alone."""
    blocked_until: datetime | None = None
    """Its destination takes no more before: it is in trouble, or has all it takes at once. None: it does."""
    blocked_by: str | None = None
    """That destination: a transport and its next hop. None: none."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """What travels along, for whoever asks about it."""
    fromid: str | None = None
    """What makes its return address unique. None: it has the sender's."""
    category: Category | None = None
    """What kind of answer the last attempt had. None: none is over yet."""
    feedback: Feedback | None = None
    """What came back after it had retired. None: nothing."""
