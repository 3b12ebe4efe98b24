"""The SMTP client as a machine without I/O: octets of the server in, events out, octets to send beside them.

The rule: every reply belongs to the oldest command without one, and to a command that was sent
before it came. What breaks that rule ends the connection, for nobody could tell any more which
recipient an answer is about.

RFC 5321 (SMTP), 2920 (PIPELINING), 3030 (CHUNKING), 3207 (STARTTLS), 4954 (AUTH), 8314 (implicit TLS).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from mailqueue.mail import codes
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import transcript
from mailqueue.mail.smtp.conversation import Conversation
from mailqueue.mail.smtp.envelope import Envelope, mail_command, rcpt_command
from mailqueue.mail.smtp.events import BodyWanted, Event, TransactionDone
from mailqueue.mail.smtp.facts import Cause, Lost, Phase
from mailqueue.mail.smtp.login import Login
from mailqueue.mail.smtp.replies import MalformedReply
from mailqueue.mail.smtp.stuffing import Chunks, DotStuffing
from mailqueue.mail.smtp.transaction import Transaction

MAX_UNANSWERED: Final = 8
"""Chunks that may be on their way without an answer, where the server pipelines."""

_BODY_WANTED: Final = BodyWanted()


class Client(Conversation):
    """One connection's worth of SMTP, from the greeting to QUIT, with any number of transactions.

    Whoever drives it hands in what the server sent (`receive`, `receive_eof`), acts on the events,
    and after every call sends what `data_to_send` returns before handing in more.

    Attributes:
        capabilities: what the server offers; before the first `Ready`, and from STARTTLS on until
            the server has said it anew, nothing.
        replies: how many replies were read: when it moves, the next phase has begun.
        encrypted: whether the handshake was made.
    """

    __slots__ = ("_dirty", "_stuffing", "_transaction")

    def __init__(
        self,
        hostname: str,
        *,
        starttls: bool,
        must_encrypt: bool = False,
        tls_first: bool = False,
        login: Login | None = None,
    ) -> None:
        """Begin the conversation; see `Conversation`."""
        super().__init__(
            hostname, starttls=starttls, must_encrypt=must_encrypt, tls_first=tls_first, login=login
        )
        self._transaction: Transaction | None = None
        self._stuffing: DotStuffing | Chunks = DotStuffing()
        self._dirty = False  # the server may hold the beginning of a transaction: RSET before the next

    # --- what is the case ---------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether `start` and `quit` may be called: the session stands, and no transaction runs."""
        return (
            self._standing is Phase.IDLE
            and not self._awaiting
            and not self._ended
            and not self._reader.pending  # the server has begun to speak out of turn
        )

    @property
    def wants_body(self) -> bool:
        """Whether content is wanted: what was asked for by `BodyWanted` is not all sent, and not refused."""
        return self._standing is Phase.BODY and not self._ended

    @property
    def takes_block(self) -> bool:
        """Whether `send_body` may be called: content is wanted, and few chunks are without an answer."""
        at_once = MAX_UNANSWERED if self.capabilities.pipelining else 1
        return self.wants_body and len(self._awaiting) < at_once

    @property
    def takes_end(self) -> bool:
        """Whether `end_body` may be called: content is wanted, and no chunk is without an answer.

        So a refusal in the middle of the content always comes before its end, and leaves no doubt.
        """
        return self.wants_body and not self._awaiting

    def transcript(self) -> str:
        """Return what was said since `start`, or since the connection where nothing was started.

        A line for each line of a command (`C: `) or a reply (`S: `), remarks in brackets, the
        content as its size only; at most 16 KiB (see `transcript.render`).
        """
        return transcript.render(
            entry.content() if isinstance(entry, Transaction) else entry for entry in self._log
        )

    # --- what the server sends ----------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take octets from the server, in pieces of any size, and return what happened."""
        if self._ended:
            return []
        try:
            for reply in self._reader.feed(data):
                if self._ended:
                    break
                self._take(reply)
        except MalformedReply as fault:
            self._lose(Cause.PROTOCOL, f"the server sent {fault}")
        if self._reader.pending and (self._out or self._standing is Phase.TLS):
            # Behind the reply to STARTTLS these are octets in the clear, maybe anybody's (CVE-2011-0411).
            self._lose(Cause.PROTOCOL, "the server went on before it could know the next command")
        return self._take_events()

    def receive_eof(self) -> list[Event]:
        """Take note that the server will send no more."""
        if self.phase is Phase.QUIT:
            self._end(None)
        else:
            where = ", in the middle of a reply" if self._reader.pending else ""
            self._lose(Cause.CLOSED, f"the server closed the connection{where}")
        return self._take_events()

    def give_up(self, cause: Cause, reason: str) -> list[Event]:
        """Take note that the connection broke or that we break it off: `reason` says why, in one line."""
        self._lose(cause, reason)
        return self._take_events()

    # --- what we send -------------------------------------------------------------------------

    def data_to_send(self) -> bytes:
        """Return what is to be sent now; it is returned once."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def start(self, envelope: Envelope, *, in_blocks: bool = False) -> None:
        """Begin a transaction: MAIL, RCPT and DATA at once where the server pipelines, else one by one.

        It ends with `TransactionDone`, before that `BodyWanted` if the server takes any recipient.

        Args:
            envelope: what MAIL and RCPT say.
            in_blocks: the content is large and comes block by block. Then it goes in chunks (BDAT)
                where the server takes them, and not after DATA.

        Raises:
            RuntimeError: not `usable`.
        """
        if not self.usable:
            raise RuntimeError(f"no transaction can start at {self.phase}")
        self._transaction = Transaction(envelope, chunked=in_blocks and self.capabilities.chunking)
        self._log = []
        if self.capabilities.pipelining:
            self._send_group(self._transaction)
        elif self._dirty:
            self._command(Phase.RSET, "RSET\r\n")
        else:
            self._step()

    def send_body(self, block: bytes) -> None:
        """Send a block of the content; dots are added and line ends made CRLF here.

        Raises:
            RuntimeError: the server does not want content, or not yet (see `takes_block`).
        """
        transaction = self._body(may=self.takes_block)
        transaction.octets += len(block)
        octets = self._stuffing.feed(block)
        if transaction.chunked and octets:
            self._command(Phase.BDAT, f"BDAT {len(octets)}\r\n")
        self._out.append(octets)

    def end_body(self) -> None:
        """Send the final dot, or the last chunk: from here on the server may have the message.

        Raises:
            RuntimeError: the server does not want content, or not yet its end (see `takes_end`).
        """
        transaction = self._body(may=self.takes_end)
        transaction.dot_sent = True
        self._standing = Phase.IDLE
        octets = self._stuffing.finish()
        if transaction.chunked:
            self._command(Phase.FINAL, f"BDAT {len(octets)} LAST\r\n")
        else:
            self._awaiting.append(Phase.FINAL)
        self._out.append(octets)

    def quit(self) -> None:
        """Say QUIT. `Ended` follows; a lost connection is as good an answer as any.

        Raises:
            RuntimeError: not `usable`.
        """
        if not self.usable:
            raise RuntimeError(f"QUIT cannot be said at {self.phase}")
        self._command(Phase.QUIT, "QUIT\r\n")

    # --- inside -------------------------------------------------------------------------------

    def _take(self, reply: Reply) -> None:
        self.replies += 1
        if self._auth is not None:
            reply = self._auth.hear(reply)
        self._log.append(reply)
        if self._out or not self._awaiting:
            self._take_unasked(reply)
            return
        phase = self._awaiting[0]
        if reply.code == codes.SERVICE_NOT_AVAILABLE:
            self._close_down(phase, reply)
            return
        answer = _TABLE[phase][reply.code // 100 - 2]
        if isinstance(answer, Cause):
            self._lose(answer, _REASONS[answer], reply)
            return
        self._awaiting.popleft()
        answer(self, reply)

    def _take_unasked(self, reply: Reply) -> None:
        if reply.code == codes.SERVICE_NOT_AVAILABLE:
            self._lose(Cause.CLOSING, "the server closes the connection", reply)
        elif self.phase is Phase.BODY and reply.code >= 400 and self._transaction is not None:
            self._transaction.final = reply
            self._lose(Cause.PROTOCOL, "the server refused the content before its end", reply)
        elif self.phase is Phase.TLS and self.replies == 1:
            self._lose(Cause.TLS, "the server greets in the clear where TLS comes first", reply)
        else:
            self._lose(Cause.PROTOCOL, "a reply to no command", reply)

    def _close_down(self, phase: Phase, reply: Reply) -> None:
        """421: it is the answer to the oldest command, and the server closes (RFC 5321 3.8)."""
        if phase is Phase.QUIT:
            self._end(None)
            return
        if self._transaction is not None:
            self._transaction.record(phase, reply)
        self._lose(Cause.CLOSING, "the server closes the connection", reply)

    def _abandon(self, lost: Lost | None) -> None:
        if self._transaction is not None:
            self._finish(lost)

    def _finish(self, lost: Lost | None = None) -> None:
        result = self._current().result(lost)
        self._transaction = None
        self._events.append(TransactionDone(result))

    def _body(self, *, may: bool) -> Transaction:
        if not may:
            raise RuntimeError(f"no content is wanted at {self.phase}")
        return self._current()

    def _current(self) -> Transaction:
        assert self._transaction is not None
        return self._transaction

    # --- a transaction ------------------------------------------------------------------------

    def _send_group(self, transaction: Transaction) -> None:
        """Send all commands of a transaction at once; DATA must be the last (RFC 2920 3.1).

        Chunks wait for the answers: they would go to a server that has taken nobody.
        """
        offered, envelope = self.capabilities, transaction.envelope
        lines = [
            mail_command(envelope, offered),
            *[rcpt_command(envelope, offered, number) for number in range(len(envelope.recipients))],
        ]
        if self._dirty:
            lines.insert(0, "RSET\r\n")
            self._awaiting.append(Phase.RSET)
        self._awaiting.append(Phase.MAIL)
        self._awaiting.extend((Phase.RCPT,) * len(envelope.recipients))
        if not transaction.chunked:
            lines.append("DATA\r\n")
            self._awaiting.append(Phase.DATA)
        self._send("".join(lines).encode("utf-8"))

    def _step(self) -> None:
        """Send the next command, now that all that were sent are answered."""
        transaction = self._current()
        envelope = transaction.envelope
        if transaction.mail is None:
            self._command(Phase.MAIL, mail_command(envelope, self.capabilities))
        elif not transaction.mail.positive:
            self._finish()
        elif len(transaction.rcpt) < len(envelope.recipients):
            self._command(Phase.RCPT, rcpt_command(envelope, self.capabilities, len(transaction.rcpt)))
        elif not transaction.deliverable:
            self._finish()
        elif transaction.chunked:
            self._want_body(Chunks())
        else:
            self._command(Phase.DATA, "DATA\r\n")

    def _reset(self, reply: Reply) -> None:
        self._dirty = False
        if not self._awaiting:
            self._step()

    def _mail(self, reply: Reply) -> None:
        self._current().record(Phase.MAIL, reply)
        self._dirty = reply.positive
        if not self._awaiting:
            self._step()

    def _rcpt(self, reply: Reply) -> None:
        self._current().record(Phase.RCPT, reply)
        if not self._awaiting:
            self._step()

    def _data_refused(self, reply: Reply) -> None:
        self._current().record(Phase.DATA, reply)
        self._finish()

    def _go_ahead(self, reply: Reply) -> None:
        transaction = self._current()
        transaction.record(Phase.DATA, reply)
        if transaction.deliverable:
            self._want_body(DotStuffing())
            self._log.append(transaction)
        else:  # it waits for content that it would send to nobody (RFC 2920 3.1)
            self._command(Phase.FINAL, ".\r\n")

    def _want_body(self, stuffing: DotStuffing | Chunks) -> None:
        self._standing = Phase.BODY
        self._stuffing = stuffing
        self._events.append(_BODY_WANTED)

    def _chunk(self, reply: Reply) -> None:
        """Note the answer to a chunk; after a refusal only those to chunks under way are waited for.

        What the server keeps of the transaction then is not known: RSET comes next (RFC 3030 2).
        """
        transaction = self._current()
        transaction.record(Phase.BDAT, reply)
        if transaction.final is not None:
            self._standing = Phase.IDLE
            if not self._awaiting:
                self._finish()

    def _final(self, reply: Reply) -> None:
        transaction = self._current()
        transaction.record(Phase.FINAL, reply)
        self._dirty = transaction.chunked and not reply.positive
        self._finish()


_Answer: TypeAlias = Callable[[Client, Reply], None] | Cause

_NONSENSE: Final = Cause.PROTOCOL
_REFUSED: Final = Cause.REFUSED
_REASONS: Final = {
    _NONSENSE: "the server gave an answer that the command cannot have",
    _REFUSED: "the server refused",
}

_TABLE: Final[dict[Phase, tuple[_Answer, _Answer, _Answer, _Answer]]] = {
    # awaited        2yz               3yz               4yz                   5yz
    Phase.GREETING: (Client._greeted, _NONSENSE, _REFUSED, _REFUSED),
    Phase.EHLO: (Client._extended, _NONSENSE, _REFUSED, Client._not_extended),
    Phase.HELO: (Client._plain, _NONSENSE, _REFUSED, _REFUSED),
    Phase.STARTTLS: (Client._go_tls, _NONSENSE, _REFUSED, _REFUSED),
    Phase.AUTH: (
        Client._granted,
        Client._challenged,
        Client._denied,
        Client._denied,
    ),
    Phase.RSET: (Client._reset, _NONSENSE, _NONSENSE, _NONSENSE),
    Phase.MAIL: (Client._mail, _NONSENSE, Client._mail, Client._mail),
    Phase.RCPT: (Client._rcpt, _NONSENSE, Client._rcpt, Client._rcpt),
    Phase.DATA: (_NONSENSE, Client._go_ahead, Client._data_refused, Client._data_refused),
    Phase.BDAT: (Client._chunk, _NONSENSE, Client._chunk, Client._chunk),
    Phase.FINAL: (Client._final, _NONSENSE, Client._final, Client._final),
    Phase.QUIT: (Client._bye, Client._bye, Client._bye, Client._bye),
}
"""What each reply does, by what is awaited and the reply's first digit: a step, or the end and its
cause. Not here: 421, which ends all (`_close_down`), and a reply that nothing awaits (`_take_unasked`)."""
