"""Makers of names that must not repeat or be guessed. Randomness is an argument."""

from __future__ import annotations

import secrets
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def token(randbits: Callable[[int], int] = secrets.randbits) -> str:
    """Return 20 characters of [0-9a-z], about 103 bits, made from `randbits`."""
    return _digits(randbits(103), 20)


def message_id(domain: str, now: int, randbits: Callable[[int], int] = secrets.randbits) -> str:
    """Return a new Message-ID for `domain`, with its angle brackets (RFC 5322 3.6.4).

    It begins with the time, so that new ones stand together in an index, and ends with 51 random bits.

    Args:
        domain: what follows the @.
        now: microseconds since 1970 UTC.
        randbits: makes a random number of so many bits.
    """
    return f"<{_digits(now % 36**10, 10)}{_digits(randbits(51), 10)}@{domain}>"


def _digits(number: int, count: int) -> str:
    digits = []
    for _ in range(count):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
