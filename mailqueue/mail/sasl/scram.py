"""SCRAM-SHA-256: neither side tells the password, and both prove that they know it.

The rule: success counts only after the server's signature was verified.

RFC 5802 (SCRAM), RFC 7677 (with SHA-256); without channel binding.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64encode
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from mailqueue.mail.sasl.prep import saslprep
from mailqueue.mail.sasl.values import Credentials, Mechanism, SaslError

MIN_ITERATIONS: Final = 4096
"""Fewer make guessing cheap for a false server (RFC 7677 4)."""
MAX_ITERATIONS: Final = 1_000_000
"""More would be a way to keep us busy; this many take about half a second."""

_GS2_HEADER: Final = "n,,"  # no channel binding, no other identity
_SERVER_FIRST = re.compile(r"r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,9})(?:,.*)?")
_SERVER_FINAL = re.compile(r"v=([A-Za-z0-9+/=]+)(?:,.*)?")
_SERVER_ERROR = re.compile(r"e=([\x21-\x2b\x2d-\x7e]{1,100})(?:,.*)?")


class _Step(Enum):
    FIRST = auto()
    CHALLENGED = auto()
    PROVED = auto()


class Scram:
    """One exchange.

    Args:
        credentials: prepared with SASLprep here.
        nonce: printable ASCII without a comma, new for each exchange and not to be guessed.

    Raises:
        SaslError: the user name or the password cannot be prepared.
        ValueError: `nonce` cannot be one.
    """

    mechanism = Mechanism.SCRAM_SHA_256

    def __init__(self, credentials: Credentials, nonce: str) -> None:
        if not re.fullmatch(r"[\x21-\x2b\x2d-\x7e]+", nonce):
            raise ValueError("a nonce is printable ASCII without a comma")
        name = saslprep(credentials.username, "user name").replace("=", "=3D").replace(",", "=2C")
        self._password = saslprep(credentials.password, "password").encode()
        self._nonce = nonce
        self._first_bare = f"n={name},r={nonce}"
        self._signature = b""
        self._step = _Step.FIRST

    def first(self) -> bytes:
        """Return the client-first-message."""
        return f"{_GS2_HEADER}{self._first_bare}".encode()

    def respond(self, challenge: bytes) -> bytes:
        """Return the client-final-message, or after the server's proof an empty response."""
        text = _text(challenge)
        match self._step:
            case _Step.FIRST:
                self._step = _Step.CHALLENGED
                return self._prove(text)
            case _Step.CHALLENGED:
                self._verify(text)
                self._step = _Step.PROVED
                return b""
            case _Step.PROVED:
                raise SaslError("the server goes on after its proof")

    def finish(self) -> None:
        """Take note of success."""
        if self._step is not _Step.PROVED:
            raise SaslError("the server said success without proof that it knows the password (RFC 5802 5)")

    def _prove(self, server_first: str) -> bytes:
        nonce, salt, iterations = _parse_first(server_first)
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise SaslError("the server's nonce does not continue ours (RFC 5802 5.1)")
        without_proof = f"c={b64encode(_GS2_HEADER.encode()).decode()},r={nonce}"
        said = f"{self._first_bare},{server_first},{without_proof}".encode()
        salted = _salted(self._password, salt, iterations)
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), said)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._signature = _hmac(_hmac(salted, b"Server Key"), said)
        return f"{without_proof},p={b64encode(proof).decode()}".encode()

    def _verify(self, server_final: str) -> None:
        error = _SERVER_ERROR.fullmatch(server_final)
        if error is not None:
            raise SaslError(f"the server says {error[1]}")
        found = _SERVER_FINAL.fullmatch(server_final)
        if found is None or not hmac.compare_digest(_decoded(found[1]), self._signature):
            raise SaslError("the server did not prove that it knows the password (RFC 5802 5)")


def _parse_first(text: str) -> tuple[str, bytes, int]:
    """Return nonce, salt and iterations of a server-first-message."""
    if text.startswith("m="):
        raise SaslError("the server demands an extension of SCRAM that is not known here (RFC 5802 5.1)")
    found = _SERVER_FIRST.fullmatch(text)
    if found is None:
        raise SaslError("the server's first message is none of SCRAM (RFC 5802 7)")
    iterations = int(found[3])
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise SaslError(
            f"the server asks for {iterations} iterations; "
            f"{MIN_ITERATIONS} to {MAX_ITERATIONS} are accepted (RFC 7677 4)"
        )
    return found[1], _decoded(found[2]), iterations


def _text(challenge: bytes) -> str:
    try:
        return challenge.decode()
    except UnicodeDecodeError:
        raise SaslError("the server's message is not UTF-8") from None


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise SaslError("the server's message holds what is not base64") from None


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


@lru_cache(maxsize=64)
def _salted(password: bytes, salt: bytes, iterations: int) -> bytes:
    """Return Hi(): slow by design, so it is kept for the connections that follow (RFC 5802 9)."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
