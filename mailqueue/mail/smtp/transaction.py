"""What is known so far of the transaction that runs.

The rule: a reply is written down where it belongs, and only the reply to our own content counts
as final.
"""

from __future__ import annotations

from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp.envelope import Envelope
from mailqueue.mail.smtp.facts import Lost, Phase, TransactionResult


class Transaction:
    """Gathers the replies to one envelope.

    Attributes:
        envelope: what is being sent.
        chunked: whether the content goes in chunks (BDAT).
        mail: reply to MAIL; None so far.
        rcpt: replies to RCPT, as many as came.
        data: reply to DATA; None so far.
        final: reply to the content; None so far.
        accepted: how many recipients were taken.
        octets: octets of content handed out.
        dot_sent: whether the final dot, or the last chunk, was handed out.
    """

    __slots__ = ("accepted", "chunked", "data", "dot_sent", "envelope", "final", "mail", "octets", "rcpt")

    def __init__(self, envelope: Envelope, *, chunked: bool) -> None:
        self.envelope = envelope
        self.chunked = chunked
        self.mail: Reply | None = None
        self.rcpt: list[Reply] = []
        self.data: Reply | None = None
        self.final: Reply | None = None
        self.accepted = 0
        self.octets = 0
        self.dot_sent = False

    @property
    def deliverable(self) -> bool:
        """Whether the server took the sender and at least one recipient."""
        return self.accepted > 0 and self.mail is not None and self.mail.positive

    def record(self, phase: Phase, reply: Reply) -> None:
        """Write down the answer to the command of `phase`.

        The answer to a lone dot, sent where no recipient was taken, is about no message and is
        not kept; nor is one to RSET. That a chunk was taken says nothing yet; the first that was
        not is the answer to the content.
        """
        if phase is Phase.RCPT:
            self.rcpt.append(reply)
            self.accepted += reply.positive
        elif phase is Phase.MAIL:
            self.mail = reply
        elif phase is Phase.DATA:
            self.data = reply
        elif phase is Phase.BDAT:
            if self.final is None and not reply.positive:
                self.final = reply
        elif phase is Phase.FINAL and self.dot_sent:
            self.final = reply

    def content(self) -> str:
        """Return a remark on the content for the transcript."""
        dot = ", and the final dot" if self.dot_sent else ""
        return f"content: {self.octets} octets{dot}"

    def result(self, lost: Lost | None) -> TransactionResult:
        """Return what is known; `lost` says how the connection ended, None that it did not."""
        missing = len(self.envelope.recipients) - len(self.rcpt)
        return TransactionResult(
            mail=self.mail,
            rcpt=(*self.rcpt, *(None,) * missing),
            data=self.data,
            final=self.final,
            final_dot_sent=self.dot_sent,
            content_octets=self.octets,
            lost=lost,
        )
