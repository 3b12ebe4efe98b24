"""Feedback reports: complaints of recipients, and what failed authentication, as mailbox providers tell it.

Make one: fill in a `Draft` with a `Report`, and `compose` it. Read one: `parse` returns its `Report`,
`read` all that is in it. For every `Report`, `parse(compose(Draft(report=report, ...))) == report`.

No I/O and no clock: every date is an argument, an `int` of microseconds since 1970 UTC.

RFC 5965 (the format), RFC 6650 (its use), RFC 6591 (failed authentication), RFC 6692 (source ports).
"""

from __future__ import annotations

from mailqueue.mail.arf.compose import Draft, compose
from mailqueue.mail.arf.model import FeedbackType, Report
from mailqueue.mail.arf.parse import ParsedReport, parse, read

__all__ = ["Draft", "FeedbackType", "ParsedReport", "Report", "compose", "parse", "read"]
