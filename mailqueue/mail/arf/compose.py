"""Compose a feedback report as the bytes of a message.

It is all ASCII unless a value or the message it returns is not.

RFC 5965 2 (its three parts) and 3 (the fields), RFC 6650 (what a reporter should do).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailqueue.mail import reporting
from mailqueue.mail.arf.model import FIELDS, Report
from mailqueue.mail.dates import header_date
from mailqueue.mail.fields import clean, fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All that a feedback report is made of."""

    report: Report
    """What is told to programs."""
    sender: str
    """The address in From: who looks after the reports reads what is sent there."""
    to: str
    """Who gets the report."""
    date: int
    """When it is made, in microseconds UTC."""
    message_id: str
    """The report's own Message-ID, with its angle brackets."""
    boundary: str
    """What separates the parts: not to be guessed, at most 60 characters of [0-9A-Za-z'()+_,./:=?-]."""
    original: bytes
    """The message it is about, with any line ends; its header is enough unless `full`."""
    full: bool = False
    """Whether the whole message goes with it, where it can; else its header."""
    subject: str = "Report about a message"
    """For people. RFC 5965 2 wishes it to be the subject of the original."""
    text: str = "This is a report about a message that came from your network. It is attached.\n"
    """The part for people, lines ended by LF."""


def compose(draft: Draft) -> bytes:
    """Return the report as a message.

    Whatever is in the report or the original, a message comes out. An original that has a NUL or a
    line over 998 octets goes as its header only.

    Raises:
        ValueError: `sender`, `to` or `message_id` has characters that a header cannot carry, or the
            boundary others than allowed.
    """
    body = "".join(f"{line}\r\n" for line in _lines(draft.report)).encode()
    whole = draft.full and reporting.fits(draft.original)
    original = (reporting.whole_original if whole else reporting.original_header)(draft.original)
    header = reporting.header(
        author="Feedback",
        sender=draft.sender,
        to=draft.to,
        subject=clean(draft.subject),
        date=draft.date,
        message_id=draft.message_id,
    )
    parts = [
        reporting.text_part(draft.text),
        reporting.part("Feedback report", "message/feedback-report", body),
        reporting.original_part(original, whole=whole, name="Reported"),
    ]
    return reporting.assemble(
        [*header, "Auto-Submitted: auto-generated"], "feedback-report", draft.boundary, parts
    )


def _lines(report: Report) -> Iterator[str]:
    for name, attribute in FIELDS.items():
        value = getattr(report, attribute)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None:
                yield from fold(name, _text(attribute, one))
    for name, value in report.extensions:
        yield from fold(name, value)


def _text(attribute: str, value: str | int) -> str:
    match attribute:
        case "arrival_date":
            return header_date(int(value))
        case "original_mail_from" | "original_rcpt_to":
            return f"<{value}>"
        case _:
            return str(value)
