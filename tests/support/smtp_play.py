"""Play conversations with the SMTP machine: no sockets, the test is the server."""

from collections.abc import Iterable

from mailqueue.mail.smtp import (
    BodyWanted,
    Client,
    Ended,
    Envelope,
    Event,
    Lost,
    Ready,
    TlsWanted,
    TransactionDone,
    TransactionResult,
)

PIPELINING = ("PIPELINING", "SIZE 0", "8BITMIME", "ENHANCEDSTATUSCODES")
CONTENT = b"Subject: hello\r\n\r\n.a dot\r\nand no line end"


def envelope(*recipients: str, **more) -> Envelope:
    return Envelope(
        **{
            "sender": "a@sender.example",
            "recipients": recipients or ("b@receiver.example",),
            "size": len(CONTENT),
            **more,
        }
    )


class Play:
    """A machine, what it has sent, and what it has told."""

    def __init__(self, *, starttls: bool = False, content: bytes = CONTENT) -> None:
        self.client = Client("client.example", starttls=starttls)
        self.content = content
        self.sent = b""
        self.events: list[Event] = []

    @classmethod
    def ready(cls, *extensions: str, content: bytes = CONTENT) -> "Play":
        """Return a play after EHLO, in which the server offers `extensions`."""
        play = cls(content=content)
        play.says("220 server.example ESMTP")
        play.says(*hello(extensions))
        play.take()
        play.events.clear()
        return play

    def starts(self, *recipients: str, **more) -> str:
        """Start a transaction; return what the machine says then."""
        self.client.start(envelope(*recipients, **more))
        return self.take()

    def says(self, *lines: str) -> str:
        """Let the server say lines; return what the machine says then, the content included."""
        return self.gets("".join(line + "\r\n" for line in lines).encode())

    def gets(self, data: bytes) -> str:
        """Let octets come from the server; do as the machine asks."""
        self.act(self.client.receive(data))
        return self.take()

    def act(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, BodyWanted):
                self.client.send_body(self.content)
                self.client.end_body()
            elif isinstance(event, TlsWanted):
                self.sent += b"<TLS>"

    def take(self) -> str:
        data = self.client.data_to_send()
        self.sent += data
        return data.decode()

    def eof(self) -> None:
        self.act(self.client.receive_eof())

    @property
    def results(self) -> list[TransactionResult]:
        return [event.result for event in self.events if isinstance(event, TransactionDone)]

    @property
    def result(self) -> TransactionResult:
        (only,) = self.results
        return only

    @property
    def ended(self) -> bool:
        return any(isinstance(event, Ended) for event in self.events)

    @property
    def lost(self) -> Lost | None:
        (event,) = [event for event in self.events if isinstance(event, Ended)]
        assert self.events[-1] is event, "the end is the last event"
        assert self.client.ended
        assert not self.client.usable
        return event.lost

    @property
    def is_ready(self) -> bool:
        return any(isinstance(event, Ready) for event in self.events)


def hello(extensions: Iterable[str]) -> list[str]:
    lines = ["server.example", *extensions]
    return [*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]
