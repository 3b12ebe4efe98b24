"""Compose a delivery notice as the bytes of a message.

No line is longer than 998 octets, every line ends in CRLF, and each part has a transfer encoding
that its type may have. The notice is all ASCII unless an address, a diagnostic or the returned
message is not: then those parts are 8-bit, and the notice needs 8BITMIME to travel (RFC 6152);
SMTPUTF8 (RFC 6531) only if its own header has UTF-8, for a recipient whose address has it.
`mail.content.prepare` finds both from the bytes.

RFC 3464 2, RFC 6522 3 and 4, RFC 6533 4, RFC 3461 6, RFC 3834 3 and 5, RFC 2046 5.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailqueue.mail import reporting
from mailqueue.mail.dsn.describe import describe, headline
from mailqueue.mail.dsn.draft import Draft, Returned
from mailqueue.mail.dsn.writing import write
from mailqueue.mail.fields import clean


def compose(draft: Draft) -> bytes:
    """Return the notice, to be sent with the null return path (`ENVELOPE_SENDER`).

    Whatever is in the report or the original, a notice comes out. Where the boundary happens to
    stand in a part, a number is added to it.

    Raises:
        ValueError: what the caller chose is wrong: the report has no Reporting-MTA, `to` is empty
            (nobody is told of the fate of a message with the null return path), `sender`, `to` or
            `message_id` has characters that a header cannot carry, or the boundary others than allowed.
    """
    parts = [
        reporting.text_part(describe(draft) if draft.text is None else draft.text),
        _status_part(draft),
        *_original_part(draft),
    ]
    return reporting.assemble(_header(draft), "delivery-status", draft.boundary, parts)


def _header(draft: Draft) -> Iterator[str]:
    yield from reporting.header(
        author="Mail Delivery System",
        sender=draft.sender,
        to=draft.to,
        subject=clean(headline(draft) if draft.subject is None else draft.subject),
        date=draft.date,
        message_id=draft.message_id,
    )
    if reporting.is_message_id(draft.original_message_id):
        yield f"In-Reply-To: {draft.original_message_id}"
        yield f"References: {draft.original_message_id}"
    yield "Auto-Submitted: auto-replied"


def _status_part(draft: Draft) -> bytes:
    body = "".join(f"{line}\r\n" for line in write(draft.report)).encode()
    kind = "message/delivery-status" if body.isascii() else "message/global-delivery-status"
    return reporting.part("Delivery report", kind, body)


def _original_part(draft: Draft) -> Iterator[bytes]:
    returned = draft.returned
    if returned is not Returned.NOTHING:
        yield reporting.original_part(draft.enclosure, whole=returned is Returned.FULL, name="Undelivered")
