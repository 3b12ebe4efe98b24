"""Write a `Report` as the lines of its delivery-status part.

What is written here, `reading.read` reads as an equal `Report`.

RFC 3464 2 (the fields), RFC 3461 6.3 and 9.2, RFC 6533 3 and 4.1 (addresses of type utf-8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mailqueue.mail.dates import header_date
from mailqueue.mail.dsn.model import RecipientReport, Report, Typed
from mailqueue.mail.fields import fold
from mailqueue.mail.xtext import encode_unitext


def write(report: Report) -> list[str]:
    """Return the lines, without their ends, of the delivery-status part.

    Raises:
        ValueError: the report does not say who reports (RFC 3464 2.2.2).
    """
    if report.reporting_mta is None:
        raise ValueError("a report needs a Reporting-MTA to be composed (RFC 3464 2.2.2)")
    lines = _fold_all(_message_fields(report))
    for recipient in report.recipients:
        lines += ["", *_fold_all(_recipient_fields(recipient))]
    return lines


def _message_fields(report: Report) -> Iterator[tuple[str, str | None]]:
    yield "Original-Envelope-Id", report.original_envelope_id
    yield "Reporting-MTA", _typed_text(report.reporting_mta)
    yield "DSN-Gateway", _typed_text(report.dsn_gateway)
    yield "Received-From-MTA", _typed_text(report.received_from_mta)
    yield "Arrival-Date", _date_text(report.arrival_date)
    yield "Future-Release-Request", report.future_release_request
    yield from report.extensions


def _recipient_fields(recipient: RecipientReport) -> Iterator[tuple[str, str | None]]:
    yield "Original-Recipient", _typed_text(recipient.original_recipient)
    yield "Final-Recipient", _typed_text(recipient.final_recipient)
    yield "Action", recipient.action.value
    yield "Status", _status_text(recipient)
    yield "Remote-MTA", _typed_text(recipient.remote_mta)
    yield "Diagnostic-Code", _typed_text(recipient.diagnostic)
    yield "Last-Attempt-Date", _date_text(recipient.last_attempt)
    yield "Final-Log-ID", recipient.final_log_id
    yield "Will-Retry-Until", _date_text(recipient.will_retry_until)
    yield from recipient.extensions


def _fold_all(pairs: Iterable[tuple[str, str | None]]) -> list[str]:
    return [line for name, value in pairs if value is not None for line in fold(name, value)]


def _typed_text(typed: Typed | None) -> str | None:
    if typed is None:
        return None
    if typed.type == "utf-8" and "\\" in typed.value:
        # Word by word, so that there is still a place to fold.
        return "utf-8; " + " ".join(map(encode_unitext, typed.value.split(" ")))
    return str(typed)


def _status_text(recipient: RecipientReport) -> str:
    if recipient.status_comment is None:
        return str(recipient.status)
    comment = re.sub(r"([\\()])", r"\\\1", recipient.status_comment)
    return f"{recipient.status} ({comment})"


def _date_text(micros: int | None) -> str | None:
    return None if micros is None else header_date(micros)
