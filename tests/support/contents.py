"""A message without a fault, and short ways to look at one."""

from mailqueue.mail import content
from mailqueue.mail.content import Prepared

NOW = 1_700_000_000_000_000
DATE = b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
GOOD = (
    b"From: Ann <ann@sender.example>\r\n"
    b"To: bob@receiver.example\r\n"
    b"Date: Mon, 13 Nov 2023 10:00:00 +0100\r\n"
    b"Message-ID: <1@sender.example>\r\n"
    b"Subject: Hello\r\n"
)


def prepare(data: bytes, strict: bool = False) -> Prepared:
    """Prepare `data` at NOW; a new Message-ID is `<made@DOMAIN>`."""
    return content.prepare(data, now=NOW, make_message_id=lambda domain: f"<made@{domain}>", strict=strict)


def sent(data: bytes) -> bytes:
    """Return the message as it is sent."""
    prepared = prepare(data)
    return prepared.header + prepared.body


def faults(data: bytes) -> tuple[str, ...]:
    """Return what strict mode finds."""
    return prepare(data, strict=True).faults
