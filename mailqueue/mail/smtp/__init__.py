"""The SMTP client as a machine without I/O: nothing here opens a socket or knows the time.

`Client` is the machine; `Envelope`, `Capabilities` and `lacks` say what may be sent where;
`TransactionResult` and `Lost` are the facts that remain. A driver moves octets between `Client`
and a connection and enforces `TIMEOUTS`.

RFC 5321, 2920, 3030, 1870, 6152, 6531, 3461, 2034, 3207, 4954, 8689, 9422.
"""

from mailqueue.mail.smtp.client import MAX_UNANSWERED, Client
from mailqueue.mail.smtp.envelope import Capabilities, Envelope, domain_of, fitting, lacks
from mailqueue.mail.smtp.events import BodyWanted, Ended, Event, Ready, TlsWanted, TransactionDone
from mailqueue.mail.smtp.facts import TIMEOUTS, Cause, Lost, Phase, TransactionResult
from mailqueue.mail.smtp.login import Login
from mailqueue.mail.smtp.replies import MAX_REPLY
from mailqueue.mail.smtp.transcript import MAX_TRANSCRIPT

__all__ = [
    "MAX_REPLY",
    "MAX_TRANSCRIPT",
    "MAX_UNANSWERED",
    "TIMEOUTS",
    "BodyWanted",
    "Capabilities",
    "Cause",
    "Client",
    "Ended",
    "Envelope",
    "Event",
    "Login",
    "Lost",
    "Phase",
    "Ready",
    "TlsWanted",
    "TransactionDone",
    "TransactionResult",
    "domain_of",
    "fitting",
    "lacks",
]
