"""What all mechanisms share: names, credentials, the shape of a machine.

The rule: a password is in no repr and in no text of an error.

RFC 4422 3 (the exchange).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class SaslError(Exception):
    """The exchange cannot go on; the text says why, in one line, without secrets."""


class Mechanism(StrEnum):
    """A way to prove who we are; the best first."""

    SCRAM_SHA_256 = "SCRAM-SHA-256"
    """The password never leaves us, and the server proves that it knows it too (RFC 7677)."""
    CRAM_MD5 = "CRAM-MD5"
    """The password never leaves us, but MD5 is weak (RFC 2195)."""
    PLAIN = "PLAIN"
    """The password as it is (RFC 4616): under TLS only, see `choose`."""
    LOGIN = "LOGIN"
    """The password as it is, the old way that no RFC describes: under TLS only, see `choose`."""

    @property
    def tells_password(self) -> bool:
        """Whether the server, and who listens, learns the password."""
        return self in (Mechanism.PLAIN, Mechanism.LOGIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we say that we are, and the proof.

    Raises:
        ValueError: either is empty, holds NUL (RFC 4616 2) or cannot be written as UTF-8.
    """

    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        for what, text in (("user name", self.username), ("password", self.password)):
            if not text or "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
                raise ValueError(f"the {what} is empty, or holds NUL or what UTF-8 cannot write")


class Exchange(Protocol):
    """One attempt to authenticate: the machine of a mechanism."""

    @property
    def mechanism(self) -> Mechanism:
        """Which one."""
        ...

    def first(self) -> bytes | None:
        """Return what we say first; None where the server begins."""
        ...

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to the server's next challenge.

        Raises:
            SaslError: it is none that the mechanism knows, or the server fails its own proof.
        """
        ...

    def finish(self) -> None:
        """Take note that the server said success.

        Raises:
            SaslError: it said so before it had heard, or proved, all that the mechanism asks for.
        """
        ...
