"""Delivery status notifications ("bounces"): a model of what they say, composing and parsing.

Make one: fill in a `Draft` with a `Report`, and `compose` it; `describe` and `headline` write the
words for people. Read one: `parse` returns its `Report`, `read` all that is in it. For every `Report`
that names its Reporting-MTA, `parse(compose(Draft(report=report, ...))) == report`.

No I/O and no clock: every date is an argument, an `int` of microseconds since 1970 UTC.

RFC 3464, RFC 6522, RFC 6533, RFC 3461, RFC 3834.
"""

from __future__ import annotations

from mailqueue.mail.dsn.compose import compose
from mailqueue.mail.dsn.describe import describe, headline
from mailqueue.mail.dsn.draft import ENVELOPE_SENDER, LARGEST_ORIGINAL, Draft, Returned, Story
from mailqueue.mail.dsn.model import Action, RecipientReport, Report, Typed, host, mailbox, said
from mailqueue.mail.dsn.parse import ParsedReport, parse, read

__all__ = [
    "ENVELOPE_SENDER",
    "LARGEST_ORIGINAL",
    "Action",
    "Draft",
    "ParsedReport",
    "RecipientReport",
    "Report",
    "Returned",
    "Story",
    "Typed",
    "compose",
    "describe",
    "headline",
    "host",
    "mailbox",
    "parse",
    "read",
    "said",
]
