"""What comes back to a return address, for tests: bounces and complaints about any mail."""

from __future__ import annotations

from support import feedback, reports

from mailqueue.mail import arf, dsn
from mailqueue.mail.codes import EnhancedCode

BOUNCES = "bounces.example.org"
"""The domain of the return addresses."""


def told(
    to: str, action: str = "failed", *, original: str | None = None, status: str = "5.1.1"
) -> dsn.RecipientReport:
    """Return what a report says of a recipient."""
    return dsn.RecipientReport(
        final_recipient=dsn.mailbox(to),
        original_recipient=None if original is None else dsn.mailbox(original),
        action=dsn.Action(action),
        status=EnhancedCode(*map(int, status.split("."))),
        remote_mta=dsn.host("mx.example.net"),
        diagnostic=dsn.said("550 5.1.1 no such user") if action == "failed" else None,
    )


def bounce(
    *recipients: str | dsn.RecipientReport,
    envid: str | None = None,
    message_id: str | None = None,
    to: str = f"shop@{BOUNCES}",
) -> bytes:
    """Return a delivery report; what is not given, it does not tell."""
    entries = tuple(told(each) if isinstance(each, str) else each for each in recipients)
    about = reports.report(*entries, original_envelope_id=envid)
    return dsn.compose(reports.draft(about, to=to, original=original(message_id), original_subject=None))


def complaint(
    *recipients: str, kind: str = "abuse", envid: str | None = None, message_id: str | None = None
) -> bytes:
    """Return a complaint; what is not given, it does not tell."""
    about = arf.Report(
        type=kind,
        user_agent="reporter/1",
        original_envelope_id=envid,
        original_rcpt_to=recipients,
        reporting_mta="dns; mx.example.net",
    )
    return arf.compose(feedback.draft(about, to=f"fbl@{BOUNCES}", original=original(message_id)))


def original(message_id: str | None) -> bytes:
    """Return a message to be returned."""
    named = b"" if message_id is None else f"Message-ID: {message_id}\r\n".encode()
    return b"From: shop@example.org\r\nSubject: Your order\r\n" + named + b"\r\nIt is on its way.\r\n"
