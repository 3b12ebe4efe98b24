"""Makers of names that must not repeat or be guessed. Randomness is an argument."""

from __future__ import annotations

import secrets
from collections.abc import Callable

Token = Callable[[], str]
"""Makes one more unguessable token of [0-9a-z]."""

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def token(randbits: Callable[[int], int] = secrets.randbits) -> str:
    """Return 20 characters of [0-9a-z], about 103 bits, made from `randbits`."""
    number = randbits(103)
    digits = []
    for _ in range(20):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def message_id(domain: str, make: Token = token) -> str:
    """Return a new Message-ID for `domain`, with its angle brackets (RFC 5322 3.6.4)."""
    return f"<{make()}@{domain}>"
