"""The SMTP client as a machine without I/O: octets of the server in, events out, octets to send beside them.

The rule: every reply belongs to the oldest command without one, and to a command that was sent
before it came. What breaks that rule ends the connection, for nobody could tell any more which
recipient an answer is about.

RFC 5321 (SMTP), 2920 (PIPELINING), 3207 (STARTTLS).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from mailqueue.mail import codes
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import transcript
from mailqueue.mail.smtp.envelope import Capabilities, Envelope, mail_command, rcpt_command
from mailqueue.mail.smtp.events import BodyWanted, Ended, Event, Ready, TlsWanted, TransactionDone
from mailqueue.mail.smtp.facts import Cause, Lost, Phase
from mailqueue.mail.smtp.replies import MalformedReply, ReplyReader
from mailqueue.mail.smtp.stuffing import DotStuffing
from mailqueue.mail.smtp.transaction import Transaction

_READY: Final = Ready()
_TLS_WANTED: Final = TlsWanted()
_BODY_WANTED: Final = BodyWanted()


class Client:
    """One connection's worth of SMTP, from the greeting to QUIT, with any number of transactions.

    Whoever drives it hands in what the server sent (`receive`, `receive_eof`), acts on the events,
    and after every call sends what `data_to_send` returns before handing in more.

    Attributes:
        capabilities: what the server offers; before the first `Ready`, and from STARTTLS on until
            the server has said it anew, nothing.
        replies: how many replies were read: when it moves, the next phase has begun.
        encrypted: whether the handshake was made.
    """

    __slots__ = (
        "_awaiting",
        "_dirty",
        "_ended",
        "_events",
        "_hostname",
        "_log",
        "_out",
        "_reader",
        "_standing",
        "_starttls",
        "_stuffing",
        "_transaction",
        "capabilities",
        "encrypted",
        "replies",
    )

    def __init__(self, hostname: str, *, starttls: bool) -> None:
        """Begin by waiting for the greeting.

        Args:
            hostname: what EHLO says that we are: a domain name or an address literal (RFC 5321 4.1.4).
            starttls: whether to take up the server's offer of STARTTLS, if it makes one.

        Raises:
            ValueError: `hostname` cannot stand in a command.
        """
        if not hostname or not hostname.isascii() or not hostname.isprintable() or " " in hostname:
            raise ValueError(f"{hostname!r} cannot be the name in EHLO")
        self.capabilities = Capabilities()
        self.encrypted = False
        self.replies = 0
        self._hostname = hostname
        self._starttls = starttls
        self._reader = ReplyReader()
        self._awaiting: deque[Phase] = deque((Phase.GREETING,))  # replies owed to us, the oldest first
        self._standing = Phase.IDLE  # the phase while none is owed: IDLE, TLS or BODY
        self._transaction: Transaction | None = None
        self._stuffing = DotStuffing()
        self._dirty = False  # the server may hold the beginning of a transaction: RSET before the next
        self._ended = False
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._log: list[bytes | Reply | str | Transaction] = []

    # --- what is the case ---------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """What is waited for now."""
        return self._awaiting[0] if self._awaiting else self._standing

    @property
    def ended(self) -> bool:
        """Whether the conversation is over."""
        return self._ended

    @property
    def usable(self) -> bool:
        """Whether `start` and `quit` may be called: the session stands, and no transaction runs."""
        return (
            self._standing is Phase.IDLE
            and not self._awaiting
            and not self._ended
            and not self._reader.pending  # the server has begun to speak out of turn
        )

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

    def tls_established(self) -> None:
        """Go on under TLS: what the server offered in the clear is forgotten and asked again (RFC 3207 4.2).

        Raises:
            RuntimeError: the server has not answered STARTTLS with a go-ahead.
        """
        if self.phase is not Phase.TLS or self._ended:
            raise RuntimeError(f"no TLS handshake was due at {self.phase}")
        self.encrypted = True
        self._standing = Phase.IDLE
        self._log.append("TLS")
        self._command(Phase.EHLO, f"EHLO {self._hostname}\r\n")

    def start(self, envelope: Envelope) -> None:
        """Begin a transaction: MAIL, RCPT and DATA at once where the server pipelines, else one by one.

        It ends with `TransactionDone`, before that `BodyWanted` if the server takes any recipient.

        Raises:
            RuntimeError: not `usable`.
        """
        if not self.usable:
            raise RuntimeError(f"no transaction can start at {self.phase}")
        self._transaction = Transaction(envelope)
        self._log = []
        if self.capabilities.pipelining:
            self._send_group(envelope)
        elif self._dirty:
            self._command(Phase.RSET, "RSET\r\n")
        else:
            self._step()

    def send_body(self, chunk: bytes) -> None:
        """Send a chunk of the content; dots are added and line ends made CRLF here.

        Raises:
            RuntimeError: the server does not want content.
        """
        self._body().octets += len(chunk)
        self._out.append(self._stuffing.feed(chunk))

    def end_body(self) -> None:
        """Send the final dot: from here on the server may have the message.

        Raises:
            RuntimeError: the server does not want content.
        """
        self._body().dot_sent = True
        self._out.append(self._stuffing.finish())
        self._standing = Phase.IDLE
        self._awaiting.append(Phase.FINAL)

    def quit(self) -> None:
        """Say QUIT. `Ended` follows; a lost connection is as good an answer as any.

        Raises:
            RuntimeError: not `usable`.
        """
        if not self.usable:
            raise RuntimeError(f"QUIT cannot be said at {self.phase}")
        self._command(Phase.QUIT, "QUIT\r\n")

    # --- inside -------------------------------------------------------------------------------

    def _take_events(self) -> list[Event]:
        events = self._events
        if events:
            self._events = []
        return events

    def _take(self, reply: Reply) -> None:
        self.replies += 1
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

    def _lose(
        self, cause: Cause, reason: str, reply: Reply | None = None, phase: Phase | None = None
    ) -> None:
        self._end(Lost(phase=phase or self.phase, cause=cause, reason=reason, reply=reply))

    def _end(self, lost: Lost | None) -> None:
        if self._ended:
            return
        self._ended = True
        # What was asked for in the same breath is not wanted any more.
        self._events = [event for event in self._events if isinstance(event, TransactionDone)]
        self._out = [b"QUIT\r\n"] if lost is not None and lost.cause is Cause.REFUSED else []
        if lost is not None:
            self._log.append(f"{lost.reason} (at {lost.phase})")
        if self._transaction is not None:
            self._finish(lost)
        self._events.append(Ended(lost))

    def _finish(self, lost: Lost | None = None) -> None:
        result = self._current().result(lost)
        self._transaction = None
        self._events.append(TransactionDone(result))

    def _command(self, phase: Phase, text: str) -> None:
        self._send(text.encode("utf-8"))
        self._awaiting.append(phase)

    def _send(self, octets: bytes) -> None:
        self._log.append(octets)
        self._out.append(octets)

    def _body(self) -> Transaction:
        if self._standing is not Phase.BODY or self._ended or self._transaction is None:
            raise RuntimeError(f"no content is wanted at {self.phase}")
        return self._transaction

    def _current(self) -> Transaction:
        assert self._transaction is not None
        return self._transaction

    # --- the session --------------------------------------------------------------------------

    def _greeted(self, reply: Reply) -> None:
        self._command(Phase.EHLO, f"EHLO {self._hostname}\r\n")

    def _extended(self, reply: Reply) -> None:
        offered = Capabilities.from_lines(reply.lines)
        if self._starttls and offered.starttls and not self.encrypted:
            self._command(Phase.STARTTLS, "STARTTLS\r\n")
            return
        self.capabilities = offered
        self._events.append(_READY)

    def _not_extended(self, reply: Reply) -> None:
        if reply.code == codes.NO_MAIL_SERVICE:
            self._lose(Cause.REFUSED, "the server takes no mail", reply, phase=Phase.EHLO)
        else:
            self._command(Phase.HELO, f"HELO {self._hostname}\r\n")

    def _plain(self, reply: Reply) -> None:
        self._events.append(_READY)

    def _go_tls(self, reply: Reply) -> None:
        self._standing = Phase.TLS
        self._events.append(_TLS_WANTED)

    def _bye(self, reply: Reply) -> None:
        self._end(None)

    # --- a transaction ------------------------------------------------------------------------

    def _send_group(self, envelope: Envelope) -> None:
        """Send all commands of a transaction at once; DATA must be the last (RFC 2920 3.1)."""
        offered = self.capabilities
        lines = [
            mail_command(envelope, offered),
            *[rcpt_command(envelope, offered, number) for number in range(len(envelope.recipients))],
            "DATA\r\n",
        ]
        if self._dirty:
            lines.insert(0, "RSET\r\n")
            self._awaiting.append(Phase.RSET)
        self._awaiting.append(Phase.MAIL)
        self._awaiting.extend((Phase.RCPT,) * len(envelope.recipients))
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
        elif transaction.deliverable:
            self._command(Phase.DATA, "DATA\r\n")
        else:
            self._finish()

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
            self._standing = Phase.BODY
            self._stuffing = DotStuffing()
            self._log.append(transaction)
            self._events.append(_BODY_WANTED)
        else:  # it waits for content that it would send to nobody (RFC 2920 3.1)
            self._command(Phase.FINAL, ".\r\n")

    def _final(self, reply: Reply) -> None:
        self._current().record(Phase.FINAL, reply)
        self._dirty = False
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
    Phase.RSET: (Client._reset, _NONSENSE, _NONSENSE, _NONSENSE),
    Phase.MAIL: (Client._mail, _NONSENSE, Client._mail, Client._mail),
    Phase.RCPT: (Client._rcpt, _NONSENSE, Client._rcpt, Client._rcpt),
    Phase.DATA: (_NONSENSE, Client._go_ahead, Client._data_refused, Client._data_refused),
    Phase.FINAL: (Client._final, _NONSENSE, Client._final, Client._final),
    Phase.QUIT: (Client._bye, Client._bye, Client._bye, Client._bye),
}
"""What each reply does, by what is awaited and the reply's first digit: a step, or the end and its
cause. Not here: 421, which ends all (`_close_down`), and a reply that nothing awaits (`_take_unasked`)."""
