"""What can be raised to a caller, as one tree.

Exceptions are for callers: what a receiving server answers is never one of these, it is a
value (`mailqueue.mail.reply.Reply`) that travels to the history. Every error's text names what
is wrong, where, and what to do about it.

::

    MailqueueError
    ├── InvalidSubmission      the message or its envelope cannot be queued; `.faults` lists every reason
    ├── AddressError           one address cannot be parsed (also a ValueError)
    ├── ScheduleError          a retry schedule cannot be read (also a ValueError)
    ├── ParseError             bytes are not what they should be, e.g. not a report (also a ValueError)
    ├── SettingError           a setting has an unknown name or a bad value (also a ValueError)
    ├── Conflict               a key or name is taken with other content, or what should go is needed
    ├── QuotaExceeded          the account has sent what it may in 24 hours; nothing was stored
    ├── NotFound               no such message, rule, transport ... or it has been purged (also a LookupError)
    ├── NotInTransaction       `connection=` is in autocommit mode and no transaction is open
    ├── WrongDatabase          `connection=` is open on another file than the queue's
    └── StoreError             the database itself is in the way
        ├── DatabaseBusy       a lock was not had within `busy_timeout`
        ├── DatabaseReadOnly   the file or its folder cannot be written
        ├── DiskFull           no room to write
        ├── NotWal             an existing file that is not in WAL mode
        ├── SchemaMissing      the file exists, and holds no mailqueue tables
        ├── SchemaOutdated     older than this version of mailqueue: `mailqueue migrate`
        └── SchemaNewer        written by a newer version of mailqueue
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime


class MailqueueError(Exception):
    """The root: catches everything that mailqueue raises on purpose."""


class InvalidSubmission(MailqueueError, ValueError):
    """The message or its envelope cannot be queued; nothing was stored.

    Attributes:
        faults: every reason found, in the order of the envelope and then the content, each a
            sentence that names the place ("recipient 2 'a b@example': ...").
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__("cannot be queued: " + "; ".join(self.faults))


class AddressError(MailqueueError, ValueError):
    """One address cannot be parsed; the text says which and where (RFC 5321 4.1.2, RFC 6531)."""


class ScheduleError(MailqueueError, ValueError):
    """A retry schedule or a duration cannot be read; the text names the item."""


class ParseError(MailqueueError, ValueError):
    """Bytes handed in are not what they should be, for instance not a delivery report."""


class SettingError(MailqueueError, ValueError):
    """A setting has an unknown name or a bad value; the text names the nearest right one."""


class Conflict(MailqueueError):
    """A key, or the name of a thing to be made, is taken with other content; or what should go is needed."""


class QuotaExceeded(MailqueueError):
    """The account has sent what it may in 24 hours; nothing was stored.

    Attributes:
        account: its name.
        quota: `messages` or `new_recipients`.
        limit: so many in any 24 hours.
        used: counted in the last 24 hours.
        opens_at: when there is room for what was handed in; None: never, it is more than the limit.
    """

    def __init__(
        self, account: str, *, quota: str, limit: int, used: int, wanted: int, opens_at: datetime | None
    ) -> None:
        self.account = account
        self.quota = quota
        self.limit = limit
        self.used = used
        self.opens_at = opens_at
        what = quota.replace("_", " ")
        then = f"there is room from {opens_at:%Y-%m-%d %H:%M:%SZ} on" if opens_at else "hand it in in parts"
        super().__init__(
            f"account {account!r} is over its quota of {what} in 24 hours: {used} of {limit} used, "
            f"this has {wanted}; {then}"
        )


class NotFound(MailqueueError, LookupError):
    """No such thing, or it has been purged; the text says which of the two."""


class NotInTransaction(MailqueueError):
    """The connection handed in commits every statement by itself and has no transaction open."""


class WrongDatabase(MailqueueError):
    """The connection handed in has another main file than the queue's."""


class StoreError(MailqueueError):
    """The database itself is in the way; nothing was stored."""


class DatabaseBusy(StoreError):
    """A lock was not had within `busy_timeout`."""


class DatabaseReadOnly(StoreError):
    """The file, or the folder it is in, cannot be written."""


class DiskFull(StoreError):
    """There is no room to write; what was there before is unharmed."""


class NotWal(StoreError):
    """An existing file is not in WAL mode; the text gives the command that changes it."""


class SchemaMissing(StoreError):
    """The file exists and holds no mailqueue tables, and may not be given any."""


class SchemaOutdated(StoreError):
    """The tables are older than this version of mailqueue: run `mailqueue migrate`."""


class SchemaNewer(StoreError):
    """The tables were written by a newer version of mailqueue than this one."""
